"""Bytes on their way out: files with ranges, folders as tar, tables as Arrow streams."""

from __future__ import annotations

import mimetypes
import re
import tarfile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import FileResponse, Response, StreamingResponse

from stargazer.service.problems import Refusal, problem_of
from stargazer.tables.arrow import arrow, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request

    from stargazer.store import Store

__all__ = ["ARROW", "FOREVER", "arrow_response", "bytes_response", "file_headers", "is_known_to", "tar_response"]

ARROW = "application/vnd.apache.arrow.stream"
FOREVER = "public, max-age=29030400, immutable"
SPAN = re.compile(r"(?!-$)([0-9]{0,40})-([0-9]{0,40})")
PIECE, BLOCK = 1 << 20, tarfile.BLOCKSIZE


def file_headers(cid: str, name: str, *, tag: str = "", download: bool = True) -> dict[str, str]:
    """Headers of an answer with the bytes of a CID, which never change."""
    headers = {"ETag": f'"{tag or cid}"', "X-Ipfs-Path": f"/ipfs/{cid}", "Cache-Control": FOREVER}
    headers["X-Content-Type-Options"] = "nosniff"
    # What lies in a store is data: no page in it may act in the name of whoever looks at it.
    headers["Content-Security-Policy"] = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
    if name and download:
        headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(name)}"
    return headers


def is_known_to(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Answer 304 where the client has these bytes; None where it has not.

    Raises
    ------
    Refusal
        412: it wants others, which it had before, or none.
    """
    wanted = request.headers.get("if-match")
    if wanted is not None and not {headers["ETag"], "*"} & {each.strip() for each in wanted.split(",")}:
        told = f"what is here is {headers['ETag']}, and not {wanted:.200}"
        raise Refusal(412, "PreconditionFailed", told, "header If-Match", {"ETag": headers["ETag"]})
    given = request.headers.get("if-none-match", "")
    tags = [each.strip().removeprefix("W/") for each in given.split(",")]
    return Response(status_code=304, headers=dict(headers)) if headers["ETag"] in tags or "*" in tags else None


def bytes_response(store: Store, cid: str, name: str, headers: Mapping[str, str]) -> Response:
    """Answer with a file, or the parts of it that were asked for."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return _Parts(store.blobs.path(cid), headers=dict(headers), media_type=kind)


class _Parts(FileResponse):
    """A file, or parts of it; a range that is none is passed over, as HTTP wants it.

    Source: RFC 9110, section 14.2: a unit that is not known, and a range that is not well-formed, are ignored.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"range"]
        if given and not all(map(_is_range, given)):
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != b"range"]}
        refused: Response | None = None

        async def sends(message: Any) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == 416:
                refused = _beyond(dict(message["headers"]).get(b"content-range", b"").decode())
            if refused is None:
                await send(message)

        await super().__call__(scope, receive, sends)
        if refused is not None:
            await refused(scope, receive, send)


def _beyond(span: str) -> Response:
    """What is answered where nothing of a file lies in the range that is wanted, in the shape of all problems."""
    told = f"the file has {span.rpartition('/')[2]} bytes, and none of them in that range"
    return problem_of(Refusal(416, "ArgumentError", told, "header Range", {"Content-Range": span}), "header Range")


def _is_range(text: str) -> bool:
    unit, _, spans = text.partition("=")
    found = [SPAN.fullmatch(span.strip()) for span in spans.split(",")]
    return unit.strip().lower() == "bytes" and all(
        span is not None and (not span[1] or not span[2] or int(span[1]) <= int(span[2])) for span in found
    )


def tar_response(store: Store, cid: str, name: str, headers: Mapping[str, str]) -> Response:
    """Answer with a folder or a file as a tar, the same bytes each time."""
    return StreamingResponse(_tar(store, cid, name or cid), headers=dict(headers), media_type="application/x-tar")


def _tar(store: Store, cid: str, name: str) -> Iterator[bytes]:
    found: Iterable[tuple[str, str | None]] = [(name, cid)]
    if store.is_directory(cid):
        yield _tar_header(name, 0, tarfile.DIRTYPE)
        found = ((f"{name}/{path}", file) for path, file in store.walk(cid))
    for path, file in found:
        if file is None:
            yield _tar_header(path, 0, tarfile.DIRTYPE)
        else:
            yield from _tar_file(store, path, file)
    yield bytes(2 * BLOCK)


def _tar_file(store: Store, path: str, cid: str) -> Iterator[bytes]:
    size = store.size(cid) or 0
    yield _tar_header(path, size, tarfile.REGTYPE)
    with store.dirs.open(cid) as opened:
        while part := opened.read(PIECE):
            yield part
    yield bytes(-size % BLOCK)


def _tar_header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode = size, kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def arrow_response(path: Path, headers: Mapping[str, str]) -> Response:
    """Answer with a table as an Arrow stream."""
    return StreamingResponse(_arrow(read_table(path)), headers=dict(headers), media_type=ARROW)


class _Pieces:
    """Takes what is written, to be taken away at once."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(self.parts[-1])

    def flush(self) -> None:
        return

    def taken(self) -> bytes:
        found, self.parts = b"".join(self.parts), []
        return found


def _arrow(table: Any) -> Iterator[bytes]:
    pa, pieces = arrow(), _Pieces()
    with pa.ipc.new_stream(pa.PythonFile(pieces, mode="w"), table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
            yield pieces.taken()
    yield pieces.taken()
