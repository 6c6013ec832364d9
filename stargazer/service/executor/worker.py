"""An executor as an ASGI application: cells of others, each in a process of its own, with limits."""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import shutil
import sys
import tarfile
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stargazer.cid import cid_of_file
from stargazer.errors import Cancelled, MemoryExceeded, StargazerError, ToolFailed
from stargazer.service.executor.values import FORMATS, PICKLE
from stargazer.service.problems import Refusal, problem_of
from stargazer.tools import Scratch, Workdir

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from starlette.requests import Request

__all__ = ["WorkerLimits", "can_forbid_network", "worker_application"]

PROTOCOL = "x-strata-executor-protocol"
VERSION, CELL = "v1", "notebook_cell@v1"
HARNESS = "stargazer.service.executor.harness"
LOOK = 0.05
NO_NETWORK = ("unshare", "--user", "--map-root-user", "--net")
MOST_FIELD = 16 << 20


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
    token: str, limits: WorkerLimits | None = None, *, trust: bool = False, network: bool = False
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
    """
    worker = _Worker(token, limits or WorkerLimits(), trust, not network and can_forbid_network())
    return Starlette(routes=[Route("/health", worker.health), Route("/v1/execute", worker.execute, methods=["POST"])])


class _Worker:
    def __init__(self, token: str, limits: WorkerLimits, trust: bool, alone: bool) -> None:
        if not token:
            raise ValueError("an executor without a token would run anybody's code")
        self.limits, self.trust, self.alone = limits, trust, alone
        self._token, self._began, self._active = token.encode(), time.monotonic(), 0

    async def health(self, request: Request) -> Response:
        """Say what this executor takes; anybody may ask."""
        features = {"inputs": [form for form in FORMATS if self.trust or form != PICKLE], "pull": False}
        features |= {"network": not self.alone, "at_once": self.limits.at_once, "max_bytes": self.limits.bytes}
        told = {"protocol_versions": [VERSION], "transform_refs": [CELL], "features": features}
        seconds = round(time.monotonic() - self._began, 1)
        return JSONResponse(
            {"status": "ok", "capabilities": told, "uptime_seconds": seconds, "active_executions": self._active}
        )

    async def execute(self, request: Request) -> Response:
        """Run a cell, and answer with a tar of what it made."""
        try:
            self._check(request)
            self._active += 1
            try:
                return await self._executed(request)
            finally:
                self._active -= 1
        except (Refusal, StargazerError) as error:
            return problem_of(error, "POST /v1/execute")

    def _check(self, request: Request) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            told = {"WWW-Authenticate": 'Bearer realm="executor"'}
            raise Refusal(401, "Unauthorized", "say who you are: Authorization: Bearer TOKEN", headers=told)
        if request.headers.get(PROTOCOL) != VERSION:
            raise Refusal(400, "Protocol", f"this executor speaks version {VERSION}: send {PROTOCOL}: {VERSION}")
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.limits.bytes:
            raise Refusal(413, "TooLarge", f"at most {self.limits.bytes} bytes are taken")
        if self._active >= self.limits.at_once:
            raise Refusal(429, "Busy", f"{self._active} cells run already", headers={"Retry-After": "1"})

    async def _executed(self, request: Request) -> Response:
        async with request.form(max_part_size=MOST_FIELD) as form:
            metadata = await _metadata(form)
            params = metadata["transform"]["params"]
            gone = threading.Event()
            with Scratch(None) as scratch:
                folder = scratch.path()
                inputs = [
                    await self._input(folder, number, each, form) for number, each in enumerate(metadata["inputs"])
                ]
                asked = {"source": params["source"], "inputs": inputs, "trust": self.trust}
                (folder / "request.json").write_text(json.dumps(asked), "utf-8")
                body = await _beside(_watch(request, gone), lambda: self._run(folder, params, gone.is_set))
        return Response(body, media_type="application/x-tar")

    async def _input(self, folder: Path, number: int, told: Any, form: Any) -> dict[str, str]:
        """Put an input into the folder, checked."""
        part = form.get(told["name"])
        if not isinstance(part, UploadFile):
            raise Refusal(422, "ArgumentError", f"there is no part for the input {told['name']}", "inputs")
        place = folder / "inputs" / str(number)
        place.parent.mkdir(exist_ok=True)
        size = 0
        with place.open("wb") as file:
            while piece := await part.read(1 << 20):
                size += len(piece)
                if size > self.limits.bytes:
                    raise Refusal(413, "TooLarge", f"at most {self.limits.bytes} bytes are taken")
                file.write(piece)
        if "cid" in told and (found := cid_of_file(place)) != told["cid"]:
            raise Refusal(
                422, "CIDMismatch", f"the input {told['name']} came as {found}, and not {told['cid']}", "inputs"
            )
        return {"name": told["name"], "format": told["format"], "file": f"inputs/{number}"}

    def _run(self, folder: Path, params: dict[str, Any], is_gone: Callable[[], bool]) -> bytes:
        seconds = min(float(params.get("timeout_seconds") or self.limits.seconds), self.limits.seconds)
        deadline = time.monotonic() + seconds

        def late() -> bool:
            return time.monotonic() > deadline

        env = {str(name): str(value) for name, value in (params.get("env") or {}).items()}
        work = Workdir(folder, memory=self.limits.memory, cancelled=lambda: late() or is_gone(), env=env)
        command = [*(NO_NETWORK if self.alone else ()), sys.executable, "-m", HARNESS]
        try:
            work.run(command)
        except Cancelled:
            if late():
                raise Refusal(408, "Timeout", f"the cell took longer than {seconds:.0f} s, and was ended") from None
            raise Refusal(400, "Disconnected", "whoever asked is gone; the cell was ended") from None
        except (MemoryExceeded, ToolFailed) as error:
            return _bundle({"manifest.json": _ended(str(error)), "stdout.txt": b"", "stderr.txt": work.log()})
        return self._bundled(folder)

    def _bundled(self, folder: Path) -> bytes:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        files = {name: (folder / name).read_bytes() for name in ("stdout.txt", "stderr.txt")}
        for variable in manifest["variables"].values():
            if variable["file"]:
                variable["cid"] = cid_of_file(folder / variable["file"])
                files[variable["file"]] = (folder / variable["file"]).read_bytes()
        if sum(map(len, files.values())) > self.limits.bytes:
            raise Refusal(413, "TooLarge", f"the cell made more than the {self.limits.bytes} bytes that are sent back")
        return _bundle({"manifest.json": json.dumps(manifest, sort_keys=True).encode(), **files})


async def _metadata(form: Any) -> dict[str, Any]:
    """What is asked for, checked as far as it is used."""
    part = form.get("metadata")
    text = await part.read() if isinstance(part, UploadFile) else part
    try:
        told = json.loads(text)
        transform, inputs = told["transform"], told["inputs"]
        fits = isinstance(transform["params"]["source"], str) and all(
            isinstance(each["name"], str) and each["name"].isidentifier() and isinstance(each["format"], str)
            for each in inputs
        )
    except (ValueError, TypeError, KeyError):
        fits, transform, told = False, {}, {}
    if not fits:
        raise Refusal(422, "ArgumentError", "the part metadata is no request of version v1", "metadata")
    if told.get("protocol_version") != VERSION or transform.get("ref") != CELL:
        raise Refusal(422, "ArgumentError", f"only {CELL} of version {VERSION} is run here", "metadata.transform.ref")
    if transform["params"].get("mounts"):
        raise Refusal(
            422, "ArgumentError", "nothing is mounted here: send files as inputs", "metadata.transform.params"
        )
    found: dict[str, Any] = told
    return found


async def _beside(watch: Coroutine[Any, Any, None], do: Callable[[], bytes]) -> bytes:
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


def _ended(why: str) -> bytes:
    told: dict[str, Any] = {"success": False, "variables": {}, "mutation_warnings": [], "error": why, "traceback": None}
    return json.dumps({**told, "stdout_file": "stdout.txt", "stderr_file": "stderr.txt"}).encode()


def _bundle(files: dict[str, bytes]) -> bytes:
    """A tar of files, the same bytes each time."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()
