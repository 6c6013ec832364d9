"""Asking an executor: a cell or a task with its inputs, and what it made."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import hashlib
import json
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Self

import httpx

from stargazer.bounded import is_count, parse_json
from stargazer.cid import cid_of_bytes, cid_of_file
from stargazer.encodings import ENCODINGS, Body, Malformed
from stargazer.errors import CIDMismatch, RemoteError, RemoteRefused, StargazerError
from stargazer.executors.desk import Desk
from stargazer.executors.tars import DAMAGED, opened_tar
from stargazer.executors.values import FORMATS, MODULE, Unsendable, decode, encode
from stargazer.executors.waiting import awaited
from stargazer.hosts import certificates
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Mapping

__all__ = ["CELL", "PROTOCOL", "UNCHANGED", "VERSION", "Executed", "Executor", "Sent", "pieces_of"]

PROTOCOL, VERSION, CELL = "X-Strata-Executor-Protocol", "v1", "notebook_cell@v1"
LARGEST = 1 << 30
GRACE = 30.0
"""Seconds beyond a cell's own time, for what is sent and received."""

CONNECTS_WITHIN, STALLED = 10.0, 120.0
"""Seconds: for a connection; and without a byte, beyond the time that the work itself may take."""

MOST_AMOUNT = 1 << 62
"""Of seconds and bytes that are told of a body."""

BUSY, LONGEST_PAUSE = (429, 503), 30.0
PIECE = 1 << 20
SHOWN = 500
"""Bytes of what an error says."""
MOST_TEXT = 64 << 20
"""Bytes of a manifest or of printed text."""


@dataclass(frozen=True)
class Executed:
    """What became of a cell elsewhere.

    Parameters
    ----------
    success
        Whether it ended well.
    variables
        What it made, by name; ``_`` is what its last line showed.
    unsent
        Variables that have no bytes, each with the reason.
    changed
        Inputs that it changed, as far as the executor tells.
    stdout, stderr
        What it printed.
    shown
        Text of what its last line showed, where that has no bytes.
    display
        What it showed as a picture or page: the kind of content, and the bytes.
    error, traceback
        What it raised.
    """

    success: bool
    variables: dict[str, Any] = field(default_factory=dict)
    unsent: dict[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    stdout: str = ""
    stderr: str = ""
    shown: str = ""
    display: tuple[str, bytes] | None = None
    error: str | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Sent:
    """A part of a request.

    Parameters
    ----------
    name
        Of the input.
    form
        How its bytes are to be read.
    data
        The bytes, or the file that holds them.
    more
        What else the request says of it.
    """

    name: str
    form: str
    data: bytes | Path
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)

    def described(self) -> dict[str, Any]:
        """What a request says of it."""
        cid = cid_of_file(self.data) if isinstance(self.data, Path) else cid_of_bytes(self.data)
        told = {"name": self.name, "format": self.form, "uri": f"ipfs://{cid}", "cid": cid, "byte_size": self.size}
        return {**told, **self.more}


class Executor:
    """An executor elsewhere.

    Parameters
    ----------
    url
        Of the executor.
    token
        That it wants; None for one that wants none.
    trust
        Whether pickles are sent, and read: whoever answers could run code here.
    largest
        Bytes that may be sent, and received, at once.
    pull
        ``http://HOST:PORT`` by which the executor reaches this machine: it then fetches its inputs there, and puts what
        it made there, by signed URLs. None for: they are sent with the request.
    told
        Called with ``"sent"`` or ``"received"``, the bytes so far, and all of them (0 where nobody knows).
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        trust: bool = False,
        largest: int = LARGEST,
        pull: str | None = None,
        told: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.url, self.trust, self.largest, self.pull = url.rstrip("/"), trust, largest, pull
        self._told = told or (lambda what, done, total: None)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def health(self) -> dict[str, Any]:
        """Return what it says of itself.

        Raises
        ------
        RemoteError
            It cannot be asked, or is no executor.
        """
        try:
            answer = httpx.get(f"{self.url}/health", timeout=CONNECTS_WITHIN, verify=certificates())
            found = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise RemoteError(f"the executor {self.url} cannot be asked: {error or type(error).__name__}") from error
        if not isinstance(found, dict):
            raise RemoteError(f"{self.url} is no executor: its health is {found!r:.80}")
        return found

    def execute(
        self,
        source: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        timeout: float = 600.0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Executed:
        """Run a cell there.

        Parameters
        ----------
        source
            Its text.
        inputs
            Values by the names that the cell knows them by.
        timeout
            Seconds that it may take.
        cancelled
            Asked now and then: once it says so, the connection is closed, which ends the cell.

        Raises
        ------
        TypeError
            An input has no bytes.
        RemoteError
            The executor cannot be asked, or refuses.
        CIDMismatch
            What came is not what it says that it made.
        Cancelled
            It was wanted no more.
        """
        given = [Sent(name, *encode(value, trust=self.trust)) for name, value in (inputs or {}).items()]
        params: dict[str, Any] = {"source": source, "timeout_seconds": timeout, "env": {}, "mounts": []}
        # Executors send back only what a cell binds, unless they are told what it may change.
        params["mutation_defines"] = [each.name for each in given if each.form != MODULE]
        with tempfile.TemporaryDirectory(prefix="stargazer-executor-") as folder:
            answer = self.answered(CELL, params, given, Path(folder), timeout=timeout, cancelled=cancelled)
            with Bundle(answer, self.url) as bundle:
                return self._read(bundle, None if self.trust else _modules_of(source, (inputs or {}).values()))

    def answered(
        self,
        ref: str,
        params: Mapping[str, Any],
        given: list[Sent],
        folder: Path,
        *,
        timeout: float,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Path:
        """Ask for a transform, and return the bundle that was answered, as a file in a folder; errors as `execute`."""
        described = [each.described() for each in given]
        size = sum(each.size for each in given)
        if size > self.largest:
            raise RemoteError(f"{size:,} bytes would go to {self.url}, of at most {self.largest:,}: option largest")
        metadata = _metadata(ref, params, described)
        what, place = f"the work of {self.url}", folder / "answer.tar"
        if self.pull is None:
            return awaited(_Asked(self, metadata, given, size, place, timeout).ask, cancelled, what)
        with Desk(self.pull, metadata["build_id"], given, place, self.largest, timeout + GRACE) as desk:
            asked = _Asked(self, desk.manifest(metadata), [], size, folder / "answer.json", timeout, pulled=True)
            awaited(asked.ask, cancelled, what)
            return desk.taken()

    def _read(self, bundle: Bundle, modules: Container[str] | None) -> Executed:
        told = bundle.manifest
        made, unsent = dict[str, Any](), dict[str, str]()
        display: tuple[str, bytes] | None = None
        for name, each in told["variables"].items():
            data = bundle.read(str(each.get("file")), self.largest)
            if data is None:
                unsent[name] = str(each.get("error") or "it was not sent")
                continue
            _check(name, data, each.get("cid"))
            form = str(each.get("content_type"))
            if name == "_" and form not in FORMATS:
                display = form, data
                continue
            try:
                made[name] = decode(form, data, trust=self.trust, modules=modules)
            except Unsendable as error:
                unsent[name] = str(error)
            except (ValueError, OSError, LookupError, TypeError, StargazerError) as error:  # Arrow's are of these kinds
                raise RemoteRefused(f"{self.url} sent {name}, which is no {form}: {visible(str(error))}") from error
        printed = (bundle.read(str(told.get(each)), MOST_TEXT) or b"" for each in ("stdout_file", "stderr_file"))
        out, err = (text.decode("utf-8", "replace") for text in printed)
        changed = tuple(_changed(told.get("mutation_warnings")))
        shown = str(told["variables"].get("_", {}).get("text") or "")
        raised = told.get("error"), told.get("traceback")
        return Executed(bool(told["success"]), made, unsent, changed, out, err, shown, display, *raised)


def _modules_of(source: str, given: Iterable[Any]) -> set[str]:
    """Modules that a cell may bind: those that it was given, and those that it imports; importing another runs it."""
    found = {each.__name__ for each in given if isinstance(each, ModuleType)}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # what cannot be read here imports nothing here
        return found
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        found |= {".".join(name.split(".")[:number]) for name in names for number in range(1, name.count(".") + 2)}
    return found


def _changed(warned: Any) -> Iterator[str]:
    """Names in warnings of changed inputs: as texts, or as objects that have one."""
    for each in warned if isinstance(warned, list) else ():
        name = each.get("variable") or each.get("name") or each.get("var_name") if isinstance(each, dict) else each
        if isinstance(name, str):
            yield name


def _metadata(ref: str, params: Mapping[str, Any], inputs: list[dict[str, Any]]) -> dict[str, Any]:
    code = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    if ref == CELL:
        code = hashlib.sha256(str(params["source"]).encode()).hexdigest()
    everything = hashlib.sha256(json.dumps([code, inputs]).encode()).hexdigest()
    return {
        "protocol_version": VERSION,
        "build_id": uuid.uuid4().hex,
        "tenant": None,
        "principal": None,
        "provenance_hash": everything,
        "transform": {"ref": ref, "code_hash": code, "params": dict(params)},
        "inputs": inputs,
    }


def _check(name: str, data: bytes, cid: Any) -> None:
    if cid is not None and cid_of_bytes(data) != cid:
        raise CIDMismatch(f"{name} came as {cid_of_bytes(data)}, and not {cid}: it was changed on its way")


class _Asked:
    """One request, and its answer as a file; where the executor is busy, asked again."""

    def __init__(
        self,
        executor: Executor,
        metadata: dict[str, Any],
        given: list[Sent],
        size: int,
        place: Path,
        timeout: float,
        *,
        pulled: bool = False,
    ) -> None:
        self._executor, self._metadata, self._given, self._size = executor, metadata, given, size
        self._place, self._seconds, self._pulled = place, timeout, pulled

    async def ask(self) -> Path:
        """Ask until there is an answer.

        Raises
        ------
        RemoteError
            The executor cannot be asked, or refuses.
        """
        limit = httpx.Timeout(STALLED, connect=CONNECTS_WITHIN, read=self._seconds + GRACE)
        url = self._executor.url
        try:
            async with httpx.AsyncClient(timeout=limit, verify=certificates()) as client:
                deadline = asyncio.get_running_loop().time() + self._seconds
                while not await self._once(client, deadline):
                    pass
            return self._place
        except httpx.HTTPError as error:
            raise RemoteError(f"the executor {url} cannot be asked: {error or type(error).__name__}") from error

    async def _once(self, client: httpx.AsyncClient, deadline: float) -> bool:
        """Ask once; whether there is an answer, and not the word that it is busy."""
        headers = {**self._executor._headers, **UNCHANGED, PROTOCOL: VERSION}
        with contextlib.ExitStack() as files:
            parts: list[tuple[str, Any]] = [
                ("metadata", ("metadata.json", json.dumps(self._metadata), "application/json"))
            ]
            for each in self._given:
                content = each.data if isinstance(each.data, bytes) else files.enter_context(each.data.open("rb"))
                parts.append((each.name, (each.name, content, "application/octet-stream")))
            url = f"{self._executor.url}/v1/execute{'-manifest' if self._pulled else ''}"
            body: dict[str, Any] = {"json": self._metadata} if self._pulled else {"files": parts}
            async with client.stream("POST", url, headers=headers, **body) as answer:
                if answer.status_code in BUSY and asyncio.get_running_loop().time() < deadline:
                    await asyncio.sleep(_pause(answer))
                    return False
                if answer.is_error:
                    said = await _beginning(answer)
                    text = visible(said.decode("utf-8", "replace"))
                    raise RemoteError(f"the executor {self._executor.url} answered {answer.status_code}: {text}")
                await self._receive(answer)
        return True

    async def _receive(self, answer: httpx.Response) -> None:
        length, done = answer.headers.get("content-length", "0"), 0
        total = int(length) if is_count(length) else 0
        self._executor._told("sent", self._size, self._size)
        with self._place.open("wb") as file:
            async for piece in pieces_of(answer):
                done += len(piece)
                if done > self._executor.largest:
                    told = f"more than {self._executor.largest:,} bytes came from {self._executor.url}"
                    raise RemoteRefused(f"{told}: option largest")
                file.write(piece)
                self._executor._told("received", done, total)


UNCHANGED = {"Accept-Encoding": "identity"}
"""What asks for bodies as they are: a kilobyte of a compressed one may stand for gigabytes."""


async def pieces_of(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The pieces of a body, none of them large; of one that is compressed unasked too.

    Raises
    ------
    RemoteRefused
        It is compressed in a way that cannot be read, or not as it says.
    """
    encoding = str(answer.headers.get("content-encoding", "")).strip().lower()
    if encoding not in ENCODINGS:
        raise RemoteRefused(f"{answer.url.host} encodes what it sends in a way that we cannot read")
    body = Body(encoding)
    try:
        async for came in answer.aiter_raw(PIECE):
            for piece in body.decode(came):
                yield piece
    except Malformed as error:
        raise RemoteRefused(f"{answer.url.host} sends what cannot be read: {error}") from None
    if not body.ended:
        raise RemoteRefused(f"{answer.url.host} sends what cannot be read: its {encoding} ends early")


async def _beginning(answer: httpx.Response) -> bytes:
    """As much of a body as is shown of what went wrong."""
    found = b""
    async for piece in pieces_of(answer):
        found += piece[:SHOWN]
        if len(found) >= SHOWN:
            break
    return found[:SHOWN]


def _pause(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "1")
    return min(float(text), LONGEST_PAUSE) if is_count(text) else 1.0


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _is_amount(value: Any) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (known and 0 <= value < MOST_AMOUNT)  # NaN neither


def _are_objects(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())


SHAPES: dict[str, Callable[[Any], bool]] = {
    "success": lambda value: isinstance(value, bool),
    "variables": _are_objects,
    "files": lambda value: value is None or _are_objects(value),
    "folders": lambda value: value is None or isinstance(value, list),
    "warnings": lambda value: value is None or isinstance(value, list),
    "cpu_seconds": _is_amount,
    "peak_bytes": _is_amount,
}
"""What the members of a manifest must be."""


class Bundle:
    """A bundle that came: files by name, of which nothing is written anywhere by itself.

    Parameters
    ----------
    path
        Of the tar.
    url
        From where it came.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._path, self._url = path, url
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._tar = self._opened.enter_context(opened_tar(self._path))
            found = {each.name.removeprefix("./"): each for each in self._tar if each.isfile()}
        except DAMAGED as error:
            self._opened.close()
            raise RemoteRefused(f"{self._url} sent something that is no tar: {error}") from error
        self._members = found
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def manifest(self) -> dict[str, Any]:
        """What it says that it holds, in the shapes that it must have; what raised is text, whatever it was.

        Raises
        ------
        RemoteRefused
            It says nothing of the kind.
        """
        try:
            told = parse_json(self.read("manifest.json", MOST_TEXT) or b"", "manifest.json")
        except ValueError as error:
            raise RemoteRefused(f"{self._url} sent no manifest: {error}") from error
        if not isinstance(told, dict):
            raise RemoteRefused(f"{self._url} sent no manifest: it is no object")
        if wrong := [name for name, fits in SHAPES.items() if not fits(told.get(name))]:
            raise RemoteRefused(f"{self._url} sent no manifest: its {', '.join(wrong)} cannot be read")
        raised = {name: _as_text(told.get(name)) for name in ("error", "traceback")}
        return {**told, **raised}

    def read(self, name: str, most: int) -> bytes | None:
        """A file of it; None where it is not there."""
        opened = self._open(name, most)
        return opened.read() if opened else None

    def take(self, name: str, place: Path, cid: str, most: int) -> None:
        """Put a file of it in a place, checked.

        Raises
        ------
        RemoteRefused
            It is not there.
        CIDMismatch
            It is another one.
        """
        opened = self._open(name, most)
        if opened is None:
            raise RemoteRefused(f"{self._url} sent no {name}, which its manifest names")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                shutil.copyfileobj(opened, file, PIECE)
        except (FileExistsError, NotADirectoryError) as error:
            raise RemoteRefused(f"{self._url} sent {name} for {place.name}, where something is already") from error
        if (found := cid_of_file(place)) != cid:
            raise CIDMismatch(f"{place.name} came as {found}, and not {cid}: it was changed on its way")

    def _open(self, name: str, most: int) -> IO[bytes] | None:
        member = self._members.get(name)
        if member is None or member.size > most:
            return None
        return self._tar.extractfile(member)
