"""Files on their way in: streamed to the disk, continued where they were cut off, and checked by their CID.

Source: https://tus.io/protocols/resumable-upload, version 1.0.0, with creation, creation-with-upload, termination.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import secrets
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from stargazer.assets import Asset, asset_types, no_type
from stargazer.cid import cid_of_path, parse
from stargazer.errors import CIDError, CIDMismatch
from stargazer.service.answers import JSONAnswer
from stargazer.service.folders import unpack
from stargazer.service.problems import Refusal
from stargazer.service.shown import asset_json
from stargazer.service.visit import once
from stargazer.store.folders import private_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.service.visit import Visit
    from stargazer.store import Store

__all__ = ["Uploads", "add", "append", "drop", "offset"]

TUS = "1.0.0"
OFFSET, LENGTH, METADATA = "upload-offset", "upload-length", "upload-metadata"
PART = "application/offset+octet-stream"
KEPT = 2 * 86400.0
"""Seconds for which an upload that was cut off waits for the rest of it."""

NUMBER = re.compile(r"\d{1,18}")
IDENTIFIER = re.compile(r"[0-9a-f]{32}")
MOST_ENTRIES = 1_000_000
LONGEST_NAME = 255
"""Bytes, as file systems have them."""

NO_FACTS = {"", "asset", "name", "cid", "path", "companions", "facts"}
"""What every asset has."""

GATHERED = 4 << 20
"""Bytes that are written at once."""


@dataclass(frozen=True)
class Announced:
    """What a client says of a file before it sends it.

    Parameters
    ----------
    type, name, facts
        Key of its type, its real name, and what is known of it.
    cid
        That it must have; empty where the client does not know.
    folder
        Whether it is a folder, sent as a tar of what lies in it.
    """

    type: str = "asset"
    name: str = ""
    facts: Mapping[str, Any] | None = None
    cid: str = ""
    folder: bool = False

    def draft(self, path: Path) -> Asset:
        """The asset that the file becomes."""
        return Asset.from_dict({**self.members, "path": str(path)})

    def stored(self, cid: str) -> Asset:
        """The asset that it is, where its bytes have this CID."""
        return Asset.from_dict({**self.members, "cid": cid})

    @property
    def members(self) -> dict[str, Any]:
        """Of the asset, without its bytes."""
        return {"asset": self.type, "name": self.name, "facts": dict(self.facts or {})}


class Uploads:
    """Uploads that are under way, each a file and a note in the scratch directory of its tenant's store."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    @staticmethod
    def folder(store: Store) -> Path:
        """Where the files of a store's uploads are."""
        place = store.context.scratch / "uploads"
        private_folder(str(place))
        return place

    def begin(self, store: Store, principal: str, length: int, announced: Announced) -> str:
        """Begin an upload; return its name."""
        self._forget(store)
        name = secrets.token_hex(16)
        note = {"principal": principal, "length": length, "announced": announced.__dict__}
        (self.folder(store) / f"{name}.json").write_text(json.dumps(note))
        (self.folder(store) / f"{name}.part").touch(mode=0o600)
        return name

    def find(self, store: Store, principal: str, name: str) -> tuple[Path, int, Announced]:
        """The file, the whole length and the announcement of an upload.

        Raises
        ------
        Refusal
            404: there is none of that name, or it is somebody else's.
        """
        note = self.folder(store) / f"{name}.json"
        try:
            told = json.loads(note.read_text()) if IDENTIFIER.fullmatch(name) else {}
        except (OSError, ValueError):
            told = {}
        if told.get("principal") != principal:
            raise Refusal(404, "NotFound", "there is no upload of that name; begin it again")
        return note.with_suffix(".part"), told["length"], Announced(**told["announced"])

    @contextlib.contextmanager
    def alone(self, name: str) -> Any:
        """Let only one request at a time write to an upload."""
        if name in self._busy:
            raise Refusal(423, "Busy", "another request writes to this upload", headers={"Retry-After": "1"})
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

    def end(self, store: Store, name: str) -> None:
        """Forget an upload."""
        for suffix in (".json", ".part"):
            (self.folder(store) / f"{name}{suffix}").unlink(missing_ok=True)

    def _forget(self, store: Store) -> None:
        for path in self.folder(store).iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - KEPT and path.stem not in self._busy:
                    path.unlink()


async def add(visit: Visit) -> Response:
    """Take a file in: as the body of one request, or (with ``Tus-Resumable``) in parts that may be continued."""
    _check_version(visit)
    headers, uploads = visit.request.headers, visit.engine.uploads
    if "tus-resumable" not in headers:
        announced = _announced_in_query(visit)
        name = await visit.in_thread(lambda: uploads.begin(visit.store, visit.principal.name, -1, announced))
        try:
            path, _, _ = uploads.find(visit.store, visit.principal.name, name)
            await _receive(visit, path, None)
            return await _taken(visit, path, announced)
        finally:
            uploads.end(visit.store, name)
    length = _number(visit, LENGTH)
    announced = _announced_in_header(headers.get(METADATA, ""))
    there = await visit.in_thread(lambda: _there(visit.store, announced))
    if there is not None:
        return JSONAnswer(await visit.in_thread(lambda: asset_json(there)), 200, {"Tus-Resumable": TUS})
    name = await visit.in_thread(lambda: uploads.begin(visit.store, visit.principal.name, length, announced))
    if headers.get("content-type", "") == PART or not length:  # of an empty file there is no part to come
        return await _continue(visit, name, 0)
    return Response(status_code=201, headers={"Location": f"/v1/uploads/{name}", "Tus-Resumable": TUS, OFFSET: "0"})


def _there(store: Store, announced: Announced) -> Asset | None:
    """An asset of which the store has the bytes already: nothing need be sent."""
    if not announced.cid or not store.has(announced.cid):
        return None
    return _added(store, announced.stored(announced.cid))


async def offset(visit: Visit) -> Response:
    """Say how much of an upload is here; one that came whole, before the service was ended, is taken in now."""
    _check_version(visit)
    uploads, name = visit.engine.uploads, visit.path("upload")
    path, length, announced = uploads.find(visit.store, visit.principal.name, name)
    here = path.stat().st_size
    headers = {OFFSET: str(here), LENGTH: str(length), "Tus-Resumable": TUS, "Cache-Control": "no-store"}
    if here == length:
        with uploads.alone(name):
            taken = await _ended(visit, name, path, announced)
        headers |= {each: taken.headers[each] for each in ("Location", "ETag")}
    return Response(headers=headers)


async def append(visit: Visit) -> Response:
    """Take the next part of an upload; the last one makes it an asset."""
    _check_version(visit)
    if visit.request.headers.get("content-type", "") != PART:
        raise Refusal(415, "ArgumentError", f"a part of an upload is sent as {PART}", "header Content-Type")
    return await _continue(visit, visit.path("upload"), _number(visit, OFFSET))


async def drop(visit: Visit) -> Response:
    """Give an upload up."""
    _check_version(visit)
    name = visit.path("upload")
    visit.engine.uploads.find(visit.store, visit.principal.name, name)
    with visit.engine.uploads.alone(name):
        visit.engine.uploads.end(visit.store, name)
    return Response(status_code=204, headers={"Tus-Resumable": TUS})


async def _continue(visit: Visit, name: str, start: int) -> Response:
    uploads = visit.engine.uploads
    path, length, announced = uploads.find(visit.store, visit.principal.name, name)
    with uploads.alone(name):
        if (here := path.stat().st_size) != start:
            told = f"{here} bytes are here, so the next part does not begin at {start}"
            raise Refusal(409, "OffsetConflict", told, f"header {OFFSET}", {OFFSET: str(here)})
        await _receive(visit, path, length)
        if (here := path.stat().st_size) < length:
            return Response(status_code=204, headers={OFFSET: str(here), "Tus-Resumable": TUS})
        answer = await _ended(visit, name, path, announced)
    answer.headers.update({"Tus-Resumable": TUS, OFFSET: str(length)})
    return answer


async def _ended(visit: Visit, name: str, path: Path, announced: Announced) -> Response:
    """Make an asset of an upload that is whole."""
    try:
        return await _taken(visit, path, announced)
    finally:
        visit.engine.uploads.end(visit.store, name)


async def _receive(visit: Visit, path: Path, length: int | None) -> None:
    """Write what comes behind what is here; a connection that is cut leaves what came."""
    waiting, size = bytearray(), path.stat().st_size
    with path.open("ab") as file:
        try:
            async for part in visit.request.stream():
                size += len(part)
                if length is not None and size > length:
                    raise Refusal(413, "ArgumentError", f"more than the {length} bytes that were announced", "body")
                waiting += part
                if len(waiting) >= GATHERED:
                    await _write(visit, file, waiting)
        except ClientDisconnect:
            await _write(visit, file, waiting)
            raise Refusal(400, "Disconnected", "the connection was cut; go on from the offset that is here") from None
        await _write(visit, file, waiting)


async def _write(visit: Visit, file: Any, waiting: bytearray) -> None:
    """Write off the loop, and count what came."""
    visit.engine.meter.add(visit.principal, len(waiting))
    await anyio.to_thread.run_sync(file.write, bytes(waiting))
    waiting.clear()
    visit.engine.meter.check(visit.principal)


async def _taken(visit: Visit, path: Path, announced: Announced) -> Response:
    asset = await visit.in_thread(lambda: _kept(visit.store, path, announced))
    told = await visit.in_thread(lambda: asset_json(asset))
    return JSONAnswer(told, 201, {"Location": f"/v1/assets/{asset.id}", "ETag": f'"{asset.cid}"'})


def _kept(store: Store, path: Path, announced: Announced) -> Asset:
    """Have a file in the store under what was announced, if its bytes are those.

    Raises
    ------
    CIDMismatch
        They are others; nothing is kept.
    """
    if announced.folder:
        return _kept_folder(store, path, announced)
    draft = announced.draft(path)
    _ = store.context.header
    if not type(draft).converts:
        stored = store.blobs.hashed(os.fspath(path))
        _check(announced, stored.cid)
        store.blobs.adopt(os.fspath(path), stored)
        return _added(store, announced.stored(stored.cid))
    if announced.cid:
        _check(announced, store.blobs.hashed(os.fspath(path)).cid)
    return store.add(path, announced.draft(path), name=announced.name or None)


def _kept_folder(store: Store, path: Path, announced: Announced) -> Asset:
    """Have a folder in the store that came as a tar, if it is the one that was announced."""
    with tempfile.TemporaryDirectory(dir=Uploads.folder(store)) as place:
        folder = Path(place) / (announced.name or "folder")
        unpack(path, folder, MOST_ENTRIES)
        if announced.cid:
            _check(announced, cid_of_path(folder, store.context.profile))
        return store.add(folder, announced.draft(folder), name=announced.name or None)


def _added(store: Store, asset: Asset) -> Asset:
    """Keep what is known of bytes that are here, as of a file that somebody added: no garbage."""
    kept = store.put(asset)
    store.assets.mark_added(kept)
    return kept


def _check(announced: Announced, found: str) -> None:
    if announced.cid and announced.cid != found:
        told = "it was cut or changed on its way, or hashed with other options than this store's"
        raise CIDMismatch(f"what came is {found}, and not {announced.cid}: {told}; nothing was kept")


# What clients announce.


def _announced_in_query(visit: Visit) -> Announced:
    given = dict(visit.request.query_params)
    if len(given) < len(visit.request.query_params.multi_items()):
        raise Refusal(422, "ArgumentError", "something is said twice of the file", "query")
    facts = {name.removeprefix("fact."): given.pop(name) for name in list(given) if name.startswith("fact.")}
    if unknown := sorted(set(given) - {"type", "name", "cid", "folder"}):
        there = "type, name, cid, folder and fact.NAME"
        raise Refusal(422, "ArgumentError", f"no {', '.join(unknown)}; there are {there}", "query")
    members = given.get("type", "asset"), given.get("name", ""), facts, given.get("cid", ""), given.get("folder", "")
    return _checked(*members, texts=True)


def _announced_in_header(text: str) -> Announced:
    given: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, _, value = pair.partition(" ")
        if name in given:
            raise Refusal(422, "ArgumentError", f"{name} is said twice of the file", f"header {METADATA}")
        try:
            given[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Refusal(422, "ArgumentError", f"{name} is not Base64 of UTF-8", f"header {METADATA}") from None
    try:
        facts = json.loads(given.get("facts", "{}"), object_pairs_hook=partial(once, where=f"header {METADATA}"))
        json.dumps(facts, ensure_ascii=False).encode()  # a half of a surrogate pair is no text
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise Refusal(422, "ArgumentError", "facts is a JSON object", f"header {METADATA}")
    name = given.get("filename", given.get("name", ""))
    return _checked(given.get("type", "asset"), name, facts, given.get("cid", ""), given.get("folder", ""))


def _checked(kind: str, name: str, facts: dict[str, Any], cid: str, folder: str, *, texts: bool = False) -> Announced:
    """All that can be wrong is told before anything is sent."""
    if folder not in ("", "tar"):
        raise Refusal(422, "ArgumentError", f"folder is tar, or not there, and not {folder!r}", "folder")
    if kind not in asset_types():
        raise no_type(kind)
    if "/" in name or "\0" in name or name in (".", "..") or len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise Refusal(422, "ArgumentError", f"{name!r:.100} is no name of a file", "name")
    if wrong := sorted(NO_FACTS & facts.keys()):
        told = "is said by itself, and is no fact" if wrong[0] else "a fact without a name is none"
        raise Refusal(422, "ArgumentError", f"{wrong[0]}: {told}".removeprefix(": "), "facts")
    if cid:
        try:
            cid = parse(cid).text
        except CIDError as error:
            raise Refusal(422, "CIDError", str(error), "cid") from error
    if texts:
        facts = dict(Asset.from_keyvalues({"asset": kind, **facts}).declared)
    Asset.from_dict({"asset": kind, "name": name, "facts": facts})
    return Announced(kind, name, facts, cid, folder == "tar")


def _check_version(visit: Visit) -> None:
    """Refuse another version of tus, as its text says."""
    given = visit.request.headers.get("tus-resumable", TUS)
    if given != TUS:
        told = {"Tus-Version": TUS, "Tus-Resumable": TUS}
        raise Refusal(412, "Protocol", f"version {given!r:.40} of tus is not spoken here", "header Tus-Resumable", told)


def _number(visit: Visit, header: str) -> int:
    text = visit.request.headers.get(header, "")
    if not NUMBER.fullmatch(text):
        raise Refusal(422, "ArgumentError", f"{header} is a number of bytes", f"header {header}")
    return int(text)
