"""Asking an executor: a cell with its inputs, and what it made."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from stargazer.cid import cid_of_bytes
from stargazer.errors import CIDMismatch, RemoteError, RemoteRefused
from stargazer.service.executor.values import decode, encode
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Executed", "Executor"]

LARGEST = 1 << 30
GRACE = 30.0
"""Seconds beyond a cell's own time, for what is sent and received."""


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
    stdout, stderr
        What it printed.
    error, traceback
        What it raised.
    """

    success: bool
    variables: dict[str, Any] = field(default_factory=dict)
    unsent: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    error: str | None = None
    traceback: str | None = None


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
    """

    def __init__(self, url: str, token: str | None = None, *, trust: bool = False) -> None:
        self.url, self.trust = url.rstrip("/"), trust
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def health(self) -> dict[str, Any]:
        """Return what it says of itself."""
        found: dict[str, Any] = self._answer("GET", "/health", 10.0).json()
        return found

    def execute(self, source: str, inputs: Mapping[str, Any] | None = None, *, timeout: float = 600.0) -> Executed:
        """Run a cell there.

        Parameters
        ----------
        source
            Its text.
        inputs
            Values by the names that the cell knows them by.
        timeout
            Seconds that it may take.

        Raises
        ------
        TypeError
            An input has no bytes.
        RemoteError
            The executor cannot be asked, or refuses.
        CIDMismatch
            What came is not what it says that it made.
        """
        given = {name: encode(value, trust=self.trust) for name, value in (inputs or {}).items()}
        metadata = _metadata(source, given, timeout)
        parts: list[tuple[str, Any]] = [("metadata", ("metadata.json", json.dumps(metadata), "application/json"))]
        parts += [(name, (name, data, "application/octet-stream")) for name, (_, data) in given.items()]
        headers = {"X-Strata-Executor-Protocol": "v1"}
        answer = self._answer("POST", "/v1/execute", timeout + GRACE, files=parts, headers=headers)
        return self._read(answer.content)

    def _answer(self, method: str, path: str, timeout: float, **options: Any) -> httpx.Response:
        headers = {**self._headers, **options.pop("headers", {})}
        try:
            answer = httpx.request(method, f"{self.url}{path}", headers=headers, timeout=timeout, **options)
        except httpx.HTTPError as error:
            raise RemoteError(f"the executor {self.url} cannot be asked: {error or type(error).__name__}") from error
        if answer.is_error:
            raise RemoteError(f"the executor {self.url} answered {answer.status_code}: {visible(answer.text[:500])}")
        return answer

    def _read(self, body: bytes) -> Executed:
        files = _files(body, self.url)
        try:
            told = json.loads(files["manifest.json"])
            variables = dict(told["variables"])
        except (KeyError, ValueError, TypeError) as error:
            raise RemoteRefused(f"{self.url} sent no manifest: {error}") from error
        made, unsent = dict[str, Any](), dict[str, str]()
        for name, each in variables.items():
            data = files.get(str(each.get("file")))
            if data is None:
                unsent[name] = str(each.get("error") or "it was not sent")
                continue
            _check(name, data, each.get("cid"))
            made[name] = decode(str(each["content_type"]), data, trust=self.trust)
        printed = (files.get(str(told.get(each)), b"") for each in ("stdout_file", "stderr_file"))
        out, err = (text.decode("utf-8", "replace") for text in printed)
        return Executed(bool(told["success"]), made, unsent, out, err, told.get("error"), told.get("traceback"))


def _metadata(source: str, given: Mapping[str, tuple[str, bytes]], timeout: float) -> dict[str, Any]:
    code = hashlib.sha256(source.encode()).hexdigest()
    inputs = [
        {"name": name, "format": form, "uri": f"ipfs://{_cid(data)}", "cid": _cid(data), "byte_size": len(data)}
        for name, (form, data) in given.items()
    ]
    everything = hashlib.sha256(json.dumps([code, inputs]).encode()).hexdigest()
    params = {"source": source, "timeout_seconds": timeout, "env": {}, "mounts": []}
    return {
        "protocol_version": "v1",
        "build_id": uuid.uuid4().hex,
        "tenant": None,
        "principal": None,
        "provenance_hash": everything,
        "transform": {"ref": "notebook_cell@v1", "code_hash": code, "params": params},
        "inputs": inputs,
    }


def _cid(data: bytes) -> str:
    return cid_of_bytes(data)


def _check(name: str, data: bytes, cid: Any) -> None:
    if cid is not None and _cid(data) != cid:
        raise CIDMismatch(f"{name} came as {_cid(data)}, and not {cid}: it was changed on its way")


def _files(body: bytes, url: str) -> dict[str, bytes]:
    """Files of a bundle, by name; nothing is written anywhere."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as tar:
            for member in tar:
                if member.isfile() and member.size <= LARGEST:
                    opened = tar.extractfile(member)
                    found[member.name.removeprefix("./")] = opened.read() if opened else b""
    except tarfile.TarError as error:
        raise RemoteRefused(f"{url} sent something that is no tar: {error}") from error
    return found
