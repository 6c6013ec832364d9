"""An executor as an ASGI application: cells of others, each in a process of its own, with limits."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import io
import json
import math
import os
import re
import shutil
import tarfile
import threading
import time
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stargazer.bounded import is_count
from stargazer.cid import cid_of_file
from stargazer.errors import Cancelled, MemoryExceeded, StargazerError, ToolFailed
from stargazer.executors.asking import CELL, PROTOCOL, VERSION
from stargazer.executors.tasks import FILE, FOLDER, TASK, is_below
from stargazer.executors.values import FORMATS, PICKLE
from stargazer.service.executor.processes import Process, Processes
from stargazer.service.executor.pulling import BUNDLE_FORMAT, MANIFEST, read_manifest
from stargazer.service.problems import Refusal, problem_of
from stargazer.tools import Scratch, Workdir

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
    from pathlib import Path

__all__ = ["WorkerLimits", "can_forbid_network", "worker_application"]

BUNDLE = "bundle.tar"
LOOK = 0.05
NO_NETWORK = ("unshare", "--user", "--map-root-user", "--net")
MOST_WAITING = 2
"""Processes that wait for cells: what one of a notebook after the other needs, also where they are short."""

MOST_FIELD, MOST_FILES = 16 << 20, 100_000
PIECE = 1 << 20
NAME_OF_VARIABLE = re.compile(r"[^=\0]+")


class WorkerLimits(NamedTuple):
    """What one execution may take.

    Parameters
    ----------
    seconds
        At most, whatever it asks for.
    memory
        Bytes.
    bytes
        Of all that is sent, and of all that comes back.
    at_once
        Executions side by side.
    """

    seconds: float = 3600.0
    memory: int = 4 << 30
    bytes: int = 1 << 30
    at_once: int = 2


def can_forbid_network() -> bool:
    """Whether this system lets a process be started without a network."""
    if shutil.which(NO_NETWORK[0]) is None:
        return False
    with Scratch(None) as scratch:
        try:
            Workdir(scratch.path).run([*NO_NETWORK, "true"])
        except StargazerError:
            return False
    return True


def worker_application(
    token: str,
    limits: WorkerLimits | None = None,
    *,
    trust: bool = False,
    network: bool = False,
    allowed: Collection[str] = (),
) -> Starlette:
    """Return an executor.

    Parameters
    ----------
    token
        That whoever asks must have: what is sent is code, and runs.
    limits
        Of one execution.
    trust
        Whether pickles are read and written.
    network
        Whether cells may use the network; without, it is forbidden where the system can do that.
    allowed
        Hosts of private networks that manifests may name; public ones always may.
    """
    worker = _Worker(token, limits or WorkerLimits(), trust, not network and can_forbid_network(), frozenset(allowed))

    @contextlib.asynccontextmanager
    async def alive(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(worker.processes.close)

    return Starlette(
        lifespan=alive,
        routes=[
            Route("/health", worker.health),
            Route("/v1/execute", worker.execute, methods=["POST"]),
            Route("/v1/execute-manifest", worker.execute_manifest, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _unrouted},
    )


async def _unrouted(request: Request, error: Exception) -> Response:
    """A path or method that there is not, in the shape of all problems."""
    status, told = getattr(error, "status_code", 500), str(getattr(error, "detail", error))
    return problem_of(Refusal(status, "HTTPError", told), f"{request.method} {request.url.path}")


class _Worker:
    def __init__(self, token: str, limits: WorkerLimits, trust: bool, alone: bool, allowed: frozenset[str]) -> None:
        if not token:
            raise ValueError("an executor without a token would run anybody's code")
        self.limits, self.trust, self.alone, self.allowed = limits, trust, alone, allowed
        self._token, self._began, self._active = token.encode(), time.monotonic(), 0
        self.processes = Processes(NO_NETWORK if alone else (), limits.memory, min(limits.at_once, MOST_WAITING))

    async def health(self, request: Request) -> Response:
        """Say what this executor takes; anybody may ask."""
        forms = [form for form in (*FORMATS, FILE, FOLDER) if self.trust or form != PICKLE]
        features: dict[str, Any] = {"inputs": forms, "pull_model": True, "cancel": False, "languages": ["python"]}
        features |= {"network": not self.alone, "max_bytes": self.limits.bytes, "output_format": BUNDLE_FORMAT}
        told = {"protocol_versions": [VERSION], "transform_refs": [CELL, TASK], "features": features}
        seconds = round(time.monotonic() - self._began, 1)
        now = {"uptime_seconds": seconds, "active_executions": self._active, "max_concurrent": self.limits.at_once}
        return JSONResponse({"status": "healthy", "capabilities": told, **now})

    async def execute(self, request: Request) -> Response:
        """Run a cell, or the body of a task, and answer with a tar of what it made."""
        return await self._counted(request, "POST /v1/execute", self._pushed)

    async def execute_manifest(self, request: Request) -> Response:
        """Fetch what a cell takes, run it, and upload what it made; answer what that was answered with."""
        return await self._counted(request, "POST /v1/execute-manifest", self._pulled)

    async def _counted(
        self, request: Request, where: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        try:
            pushed = where.endswith("/execute")
            self._check(request, pushed=pushed)
            self._active += 1
            try:
                return await answer(_measured(request, self.limits.bytes if pushed else MOST_FIELD))
            finally:
                self._active -= 1
        except (Refusal, StargazerError) as error:
            return problem_of(error, where)
        except HTTPException as error:  # of a form that is none
            return problem_of(Refusal(error.status_code, "ArgumentError", str(error.detail), "body"), where)

    def _check(self, request: Request, *, pushed: bool) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            told = {"WWW-Authenticate": 'Bearer realm="executor"'}
            raise Refusal(401, "Unauthorized", "say who you are: Authorization: Bearer TOKEN", headers=told)
        if pushed and request.headers.get(PROTOCOL) != VERSION:
            raise Refusal(400, "Protocol", f"this executor speaks version {VERSION}: send {PROTOCOL}: {VERSION}")
        length = request.headers.get("content-length", "0")
        if not is_count(length) or int(length) > (self.limits.bytes if pushed else MOST_FIELD):
            raise Refusal(413, "TooLarge", f"at most {self.limits.bytes} bytes are taken")
        if self._active >= self.limits.at_once:
            raise Refusal(503, "Busy", f"{self._active} cells run already", headers={"Retry-After": "1"})

    async def _pushed(self, request: Request) -> Response:
        async with request.form(max_files=MOST_FILES, max_part_size=MOST_FIELD) as form:
            part = form.get("metadata")
            metadata = _metadata(await part.read() if isinstance(part, UploadFile) else part)

            async def put(told: Mapping[str, Any], place: Path) -> None:
                found = form.getlist(told["name"])
                if len(found) > 1:
                    raise Refusal(400, "ArgumentError", f"there are two parts for the input {told['name']}", "inputs")
                await self._put(found[0] if found else None, told, place)

            bundle = await self._performed(request, metadata, put)
        headers = {PROTOCOL: VERSION, "X-Strata-Notebook-Executor-Protocol": "notebook-cell-v1"}
        headers["Content-Length"] = str(_size(bundle))
        return StreamingResponse(_pieces(bundle), media_type="application/x-tar", headers=headers)

    async def _pulled(self, request: Request) -> Response:
        try:
            told = json.loads(await request.body())
        except (ValueError, RecursionError):
            told = None
        async with read_manifest(told, self.limits.bytes, self.allowed) as manifest:
            metadata = _metadata(json.dumps(manifest.metadata))
            bundle = await self._performed(request, metadata, manifest.fetch)
            with bundle:
                ended = await manifest.publish(bundle, _size(bundle))
                size = _size(bundle)
        answer = {"success": True, "build_id": told["build_id"], "byte_size": size, "protocol_version": MANIFEST}
        return JSONResponse({**answer, "finalize": ended}, headers={PROTOCOL: VERSION})

    async def _performed(
        self,
        request: Request,
        metadata: dict[str, Any],
        put: Callable[[Mapping[str, Any], Path], Awaitable[None]],
    ) -> IO[bytes]:
        """Run what is asked for in a process and folder of its own; what is open can be sent when that is gone."""
        params, ref = metadata["transform"]["params"], metadata["transform"]["ref"]
        env = {str(name): str(value) for name, value in (params.get("env") or {}).items()}
        gone = threading.Event()
        async with self.processes.taken(ref, env) as process:
            folder = process.folder
            (folder / "inputs").mkdir()
            inputs = []
            for number, told in enumerate(metadata["inputs"]):
                place = folder / "inputs" / str(number)
                await put(told, place)
                _check_input(told, place)
                known = {"name": told["name"], "format": told["format"], "path": str(told.get("path", ""))}
                inputs.append({**known, "file": f"inputs/{number}"})
            asked = {"ref": ref, "source": params["source"], "inputs": inputs, "params": params, "trust": self.trust}
            (folder / "request.json").write_text(json.dumps(asked), "utf-8")
            return await _beside(_watch(request, gone), lambda: self._run(process, ref, params, gone.is_set))

    async def _put(self, part: Any, told: Mapping[str, Any], place: Path) -> None:
        """Put a part of a request into a file."""
        if not isinstance(part, UploadFile):
            raise Refusal(400, "ArgumentError", f"there is no part for the input {told['name']}", "inputs")
        size = 0
        with place.open("wb") as file:
            while piece := await part.read(PIECE):
                size += len(piece)
                if size > self.limits.bytes:
                    raise Refusal(413, "TooLarge", f"at most {self.limits.bytes} bytes are taken")
                file.write(piece)

    def _run(self, process: Process, ref: str, params: dict[str, Any], is_gone: Callable[[], bool]) -> IO[bytes]:
        seconds = min(params.get("timeout_seconds") or self.limits.seconds, self.limits.seconds)
        folder = process.folder
        try:
            process.begin(seconds, is_gone)
            self.processes.fill(ref)
            process.wait()
        except Cancelled:
            if process.is_late:
                raise Refusal(408, "Timeout", f"the cell took longer than {seconds:.0f} s, and was ended") from None
            raise Refusal(400, "Disconnected", "whoever asked is gone; the cell was ended") from None
        except (MemoryExceeded, ToolFailed) as error:
            return _gone(folder, str(error), process.work.log())
        try:
            return self._bundled(folder)
        except (OSError, ValueError, LookupError, TypeError):
            told = "the cell ended its process, or spoiled what was written of its result"
            return _gone(folder, told, process.work.log())

    def _bundled(self, folder: Path) -> IO[bytes]:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        files: dict[str, bytes | Path] = {name: folder / name for name in ("stdout.txt", "stderr.txt")}
        sent = [*manifest["variables"].values(), *(manifest.get("files") or {}).values()]
        for number, each in enumerate(each for each in sent if each["file"]):
            if not is_below(each["file"]):
                raise ValueError(each["file"])
            place = folder / each["file"]
            each |= {"cid": cid_of_file(place), "byte_size": place.stat().st_size, "file": f"files/{number}"}
            files[each["file"]] = place
        if sum(place.stat().st_size for place in files.values() if not isinstance(place, bytes)) > self.limits.bytes:
            raise Refusal(413, "TooLarge", f"more was made than the {self.limits.bytes} bytes that are sent back")
        text = json.dumps(manifest, sort_keys=True).encode()
        return _bundle(folder / BUNDLE, {"manifest.json": text, **files})


def _check_input(told: Mapping[str, Any], place: Path) -> None:
    """Refuse what is not what was announced: cut off, or changed on its way."""
    size, announced = place.stat().st_size, told.get("byte_size")
    if isinstance(announced, int) and announced > 0 and size != announced:
        what = f"the input {told['name']} came with {size} bytes, and not with {announced}"
        raise Refusal(400, "ArgumentError", what, "inputs")
    if "cid" in told and (found := cid_of_file(place)) != told["cid"]:
        what = f"the input {told['name']} came as {found}, and not {told['cid']}"
        raise Refusal(422, "CIDMismatch", what, "inputs")


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _measured(request: Request, most: int) -> Request:
    """The same request, of which no more than so many bytes are taken, announced or not."""
    taken = 0

    async def receive() -> Any:
        nonlocal taken
        message = await request.receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise Refusal(413, "TooLarge", f"at most {most} bytes are taken")
        return message

    return Request(request.scope, receive)


def _check_params(params: Mapping[str, Any]) -> None:
    """Refuse options that say nothing: a time that is no number would be no limit."""
    seconds, env = params.get("timeout_seconds"), params.get("env") or {}
    if seconds is not None and not (_is_number(seconds) and 0 <= seconds < math.inf):
        raise Refusal(400, "ArgumentError", "timeout_seconds is a number of seconds", "metadata.transform.params")
    if not isinstance(env, dict) or not all(
        NAME_OF_VARIABLE.fullmatch(name) and (isinstance(value, str) or _is_number(value)) and "\0" not in str(value)
        for name, value in env.items()
    ):
        raise Refusal(400, "ArgumentError", "env is an object of texts by names", "metadata.transform.params")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _metadata(text: Any) -> dict[str, Any]:
    """What is asked for, checked as far as it is used."""
    try:
        told = json.loads(text)
        transform, inputs = told["transform"], told["inputs"]
        fits = isinstance(transform["params"]["source"], str) and all(
            isinstance(each["name"], str) and each["name"].isidentifier() and isinstance(each["format"], str)
            for each in inputs
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        fits, transform, told = False, {}, {}
    if not fits:
        raise Refusal(400, "ArgumentError", "the part metadata is no request of version v1", "metadata")
    if told.get("protocol_version") != VERSION or transform.get("ref") not in (CELL, TASK):
        what = f"only {CELL} and {TASK} of version {VERSION} are run here"
        raise Refusal(400, "ArgumentError", what, "metadata.transform.ref")
    if transform["params"].get("mounts"):
        what = "nothing is mounted here: send files as inputs"
        raise Refusal(400, "ArgumentError", what, "metadata.transform.params")
    _check_params(transform["params"])
    names = [each["name"] for each in inputs]
    if len(set(names)) < len(names):
        raise Refusal(400, "ArgumentError", "two inputs have one name", "metadata.inputs")
    found: dict[str, Any] = told
    return found


async def _beside(watch: Coroutine[Any, Any, None], do: Callable[[], IO[bytes]]) -> IO[bytes]:
    """Do something in a thread, and let a coroutine watch meanwhile."""
    watching = asyncio.ensure_future(watch)
    try:
        return await anyio.to_thread.run_sync(do)
    finally:
        watching.cancel()


async def _watch(request: Request, gone: threading.Event) -> None:
    """Note that whoever asked is gone: closing the connection cancels."""
    while not await request.is_disconnected():
        await anyio.sleep(LOOK)
    gone.set()


def _gone(folder: Path, why: str, log: bytes) -> IO[bytes]:
    """The bundle of a cell that left no result."""
    told: dict[str, Any] = {"success": False, "variables": {}, "mutation_warnings": [], "error": why, "traceback": None}
    manifest = json.dumps({**told, "stdout_file": "stdout.txt", "stderr_file": "stderr.txt"}).encode()
    return _bundle(folder / BUNDLE, {"manifest.json": manifest, "stdout.txt": b"", "stderr.txt": log})


def _bundle(place: Path, files: Mapping[str, bytes | Path]) -> IO[bytes]:
    """A tar of files, the same bytes each time, open to be read."""
    with tarfile.open(place, mode="w") as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                continue
            info.size = data.stat().st_size
            with data.open("rb") as file:
                tar.addfile(info, file)
    return place.open("rb")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
