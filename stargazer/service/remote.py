"""A service elsewhere, by HTTP: questions, files in and out, lineages."""

from __future__ import annotations

import base64
import json
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from stargazer import config, errors
from stargazer.assets import Asset
from stargazer.cid import cid_of_path
from stargazer.errors import AssetError, NotFound, RemoteError, StargazerError
from stargazer.hosts import certificates
from stargazer.ledger import Record
from stargazer.ledger.lineage import Direction, Lineage, Node
from stargazer.remotes.gateway import Gateway
from stargazer.remotes.http import Web
from stargazer.remotes.patience import PASSING, Passing, growing, wait_read
from stargazer.remotes.push import fetch_asset
from stargazer.remotes.tus import read_offset
from stargazer.service.folders import pack
from stargazer.service.shown import asset_of
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stargazer.store import Store

__all__ = ["Remote"]

TIMEOUT = 90.0
PART = 64 << 20
PIECE = 1 << 20
ATTEMPTS, PAUSE = 5, 1.0
HASHED = 10_000_000
"""Bytes of a file that even a busy service hashes in a second."""
TUS = {"Tus-Resumable": "1.0.0"}


class Remote:
    """A service elsewhere.

    Parameters
    ----------
    url
        Of the service.
    token
        That lets in, if it wants one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise errors.ArgumentError(f"{url!r} is no address of a service: write http://HOST:PORT")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @cached_property
    def _client(self) -> httpx.Client:
        limit = httpx.Timeout(TIMEOUT, connect=10.0)
        return httpx.Client(base_url=self.url, headers=self._headers, timeout=limit, verify=certificates())

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Return what a request is answered with; a service that is busy is asked again when it says so.

        Raises
        ------
        StargazerError
            The error that the service tells of, as its own process raised it where that is known here.
        RemoteError
            It cannot be reached, or says something else.
        """
        found: dict[str, Any] = _read(self.asked(method, path, **options), self.url)
        return found

    def asked(self, method: str, path: str, passing: frozenset[int] = frozenset(), **options: Any) -> httpx.Response:
        """Return an answer that is none of a failure; failures of these statuses are such as may pass."""
        for attempt in range(ATTEMPTS):
            try:
                answer = self._client.request(method, path, **options)
            except httpx.HTTPError as error:
                raise Passing(f"the service {self.url} cannot be asked: {error or type(error).__name__}") from error
            if answer.status_code in passing:
                raise Passing(f"the service {self.url} {_problem(answer)['detail']}")
            if answer.status_code not in (429, 423) or attempt == ATTEMPTS - 1:
                break
            wait = wait_read(answer.headers.get("Retry-After", ""))
            time.sleep(min(PAUSE if wait is None else wait, 30.0))
        if answer.is_error:
            self.refuse({"problem": _problem(answer)})
        return answer

    def refuse(self, told: dict[str, Any]) -> None:
        """Raise what a service says went wrong, if something did."""
        if told.get("state") == "cancelled":
            raise errors.Cancelled("the build was cancelled")
        problem = told.get("problem")
        if problem is None:
            return
        name, detail = (
            str(problem.get("type", "")).rpartition(":")[2],
            visible(str(problem.get("detail", "")), lines=True),
        )
        kind: type[StargazerError] = getattr(errors, name) if name in PLAIN else RemoteError
        where = f" ({problem['where']} of {self.url})" if problem.get("where") else ""
        raise kind(f"{detail}{where}")

    # Files.

    def fetched(self, store: Store, asset: Asset) -> Path:
        """Return a path of an asset, brought into a store of this process and checked there."""
        gateway = Gateway(self.url, self.url)
        gateway.web = Web(self.url, self.url, TIMEOUT, lambda: self._headers)
        return store.fetch(fetch_asset(store, asset, [gateway]))

    def sent(self, path: Path, asset: Asset | None) -> Asset:
        """Send a file, or a folder, in parts; it goes on where it was cut off, and is what it was here."""
        if not path.exists():
            raise NotFound(f"there is no file or folder {path}")
        if not path.is_dir():
            return self._sent(path, path, asset)
        with tempfile.TemporaryDirectory(prefix="stargazer-upload-") as place:
            packed = Path(place) / "folder.tar"
            pack(path, packed)
            return self._sent(path, packed, asset)

    def _sent(self, path: Path, packed: Path, asset: Asset | None) -> Asset:
        draft = asset or Asset()
        if draft.companions:
            raise AssetError("companions are sent by themselves: add each, then give their CIDs as inputs")
        members = {
            "type": draft.asset_key,
            "filename": draft.name or path.name,
            "facts": json.dumps(dict(draft.declared)),
        }
        if path.is_dir():
            members["folder"] = "tar"
        if not draft.converts:
            members["cid"] = cid_of_path(path)
        metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in members.items())
        size = packed.stat().st_size
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
        return self._uploaded(lambda: self.asked("POST", "/v1/assets", headers=headers), packed, size)

    def _uploaded(self, announce: Callable[[], httpx.Response], path: Path, size: int) -> Asset:
        """Announce a file and send it; one that came whole, and of which the last answer was lost, is there by then."""
        for _ in range(ATTEMPTS):
            begun = announce()
            if begun.status_code == 200 or not size:
                return asset_of(_read(begun, self.url))
            place = begun.headers.get("Location")
            if place is None:
                raise RemoteError(f"{self.url} took the announcement of an upload and does not say where it goes")
            if (told := self._parts(place, path, size)) is not None:
                return asset_of(told)
        raise RemoteError(f"{self.url} took {path.name} {ATTEMPTS} times and did not keep it")

    def _parts(self, place: str, path: Path, size: int) -> dict[str, Any] | None:
        """Send what is not there yet, and go on where it was cut off; None where the service has done with it."""
        start: int | None = 0
        furthest, failures, failing = 0, 0, 0.0
        patience = config.remote_patience() + size / HASHED  # what came whole is hashed before it is answered
        while start is None or start < size:
            try:
                if start is None:
                    start = self._reached(self.asked("HEAD", place, headers=TUS, passing=PASSING | {423}), size)
                else:
                    answer = self._part(place, path, start, min(PART, size - start))
                    if answer.status_code == 201:
                        found: dict[str, Any] = _read(answer, self.url)
                        return found
                    start = self._reached(answer, size)
            except NotFound:
                return None
            except Passing:
                start, failures = None, failures + 1
                failing = time.monotonic() if failures == 1 else failing
                if failures >= ATTEMPTS and time.monotonic() - failing > patience:  # to send a part may take longer
                    raise
                time.sleep(growing(failures))
            if (start or 0) > furthest:
                furthest, failures = start or 0, 0
        return None

    def _part(self, place: str, path: Path, start: int, length: int) -> httpx.Response:
        headers = {**TUS, "Upload-Offset": str(start), "Content-Length": str(length)}
        headers["Content-Type"] = "application/offset+octet-stream"
        passing = PASSING | {409, 423}  # what is there is asked then
        return self.asked("PATCH", place, content=_part(path, start, length), headers=headers, passing=passing)

    def _reached(self, answer: httpx.Response, size: int) -> int:
        """Bytes that the service has of an upload, as it says."""
        return read_offset(self.url, answer.headers.get("Upload-Offset", ""), size)

    def traced(self, asset: Asset, direction: Direction) -> Lineage:
        """Return the lineage of an asset, as the service knows it."""
        told = self.json("GET", f"/v1/assets/{asset.id}/{'lineage' if direction == 'up' else 'dependents'}")
        known = {name: _record(members) for name, members in told["records"].items()}
        return Lineage(tuple(_node(root, known) for root in told["roots"]), direction)


PLAIN = {
    "ArgumentError", "AssetError", "BlobLost", "CIDError", "Cancelled", "ConfigError", "DataError", "InvalidField",
    "NotAReference", "NotFound", "OutputError", "RunFailed", "StoreError", "ToolMissing", "UnknownField", "UnknownName",
}  # fmt: skip
"""Errors that are made of a message."""


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, dict) and "detail" in found:
        return found
    told = {"detail": f"it answered {answer.status_code} {answer.reason_phrase}", "where": str(answer.url.path)}
    return {**told, "type": ":NotFound"} if answer.request.method == "HEAD" and answer.status_code == 404 else told


def _read(answer: httpx.Response, url: str) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise RemoteError(f"{url} answered with something that is no JSON: is it a Stargazer service?") from None


def _part(path: Path, start: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while length > 0 and (piece := file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece


def _record(members: dict[str, Any]) -> Record:
    return Record(**{name: members[name] for name in Record._fields if name in members})


def _node(told: dict[str, Any], known: dict[str, Record]) -> Node:
    """A tree of a lineage; iterative, for chains may be deeper than the interpreter's stack."""
    made: dict[int, Node] = {}
    todo = [told]
    for each in todo:
        todo.extend(each["next"])
    for each in reversed(todo):
        members = Asset.from_dict(each["asset"])
        following = tuple(made[id(child)] for child in each["next"])
        made[id(each)] = Node(members, known.get(each["record"] or ""), each["parameter"], following)
    return made[id(told)]
