"""Inputs that an executor fetches itself, and results that it uploads: by URLs that somebody signed."""

from __future__ import annotations

import asyncio
import time
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

import httpx

from stargazer.errors import RemoteRefused
from stargazer.executors.asking import UNCHANGED, VERSION, pieces_of
from stargazer.hosts import addresses_of, certificates, is_public
from stargazer.service.problems import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from pathlib import Path

__all__ = ["BUNDLE_FORMAT", "MANIFEST", "Manifest", "read_manifest"]

BUNDLE_FORMAT, MANIFEST = "notebook-output-bundle@v1", "notebook-build-manifest@v1"
PIECE = 1 << 20
CONNECTS_WITHIN, STALLED = 10.0, 120.0
LAST_PORT = 65535


class Checked(NamedTuple):
    """What may be asked: of the address that was looked at, for a name server may have another for the next who asks.

    Parameters
    ----------
    url
        With that address in place of the host.
    headers, extensions
        Of a request, by which the host, and its certificate, are still asked for.
    """

    url: str
    headers: dict[str, str]
    extensions: dict[str, str]


class Manifest:
    """A build, as a manifest describes it.

    Parameters
    ----------
    told
        The manifest.
    largest
        Bytes that are taken of all inputs.
    allowed
        Hosts that may be asked although they lie in a private network.
    """

    def __init__(self, told: Mapping[str, Any], largest: int, allowed: Collection[str]) -> None:
        self._told, self._largest, self._allowed, self._taken = told, largest, allowed, 0
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(STALLED, connect=CONNECTS_WITHIN), verify=certificates())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def metadata(self) -> dict[str, Any]:
        """The request, as one would have been sent with its inputs."""
        metadata = self._told["metadata"]
        params = {name: value for name, value in metadata["params"].items() if name != "input_specs"}
        inputs = [{**each, "name": name} for name, each in metadata["params"].get("input_specs", {}).items()]
        ref = {"ref": metadata["executor_ref"], "params": params}
        return {"protocol_version": VERSION, "transform": ref, "inputs": inputs}

    async def fetch(self, told: Mapping[str, Any], place: Path) -> None:
        """Put an input into a file.

        Raises
        ------
        Refusal
            No URL stands for it, it may not be asked, has expired, fails, or is too large.
        """
        found = next((each for each in self._told["inputs"] if told["uri"] in (each.get("uri"), _uri(each))), None)
        if found is None:
            raise Refusal(400, "ArgumentError", f"no URL stands for the input {told['name']}", "inputs")
        url, headers, extensions = await self.checked(found)
        try:
            asked = self._client.stream("GET", url, headers={**headers, **UNCHANGED}, extensions=extensions)
            async with asked as answer:
                answer.raise_for_status()
                with place.open("wb") as file:
                    async for piece in pieces_of(answer):
                        self._taken += len(piece)
                        if self._taken > self._largest:
                            raise Refusal(413, "TooLarge", f"at most {self._largest} bytes are taken of all inputs")
                        file.write(piece)
        except (httpx.HTTPError, httpx.InvalidURL, RemoteRefused) as error:
            raise Refusal(502, "Download", f"an input cannot be fetched: {_told(error)}") from None

    async def publish(self, bundle: IO[bytes], size: int) -> dict[str, Any]:
        """Upload a bundle, and say that it is there; return what that is answered with."""
        output = self._told["output"]
        most = self._largest if output.get("max_bytes") is None else output["max_bytes"]
        if size > most:
            raise Refusal(413, "TooLarge", f"the bundle has {size} bytes, of at most {most}")
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        try:
            if fields := output.get("fields"):
                answer = await self._post(output, data=fields, files={"file": ("bundle.tar", bundle)})
            else:
                answer = await self._post(output, content=_pieces(bundle), headers=headers)
            answer.raise_for_status()
            ended = await self._post({"url": self._told["finalize_url"]}, json={"output_format": BUNDLE_FORMAT})
            found = ended.raise_for_status().json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Refusal(502, "Upload", f"the bundle cannot be uploaded: {_told(error)}") from None
        return dict(found) if isinstance(found, dict) else {"answer": found}

    async def _post(self, entry: Mapping[str, Any], **body: Any) -> httpx.Response:
        url, headers, extensions = await self.checked(entry)
        headers |= body.pop("headers", {})
        return await self._client.post(url, headers=headers, extensions=extensions, **body)

    async def checked(self, entry: Mapping[str, Any]) -> Checked:
        """Return what may be asked: a public host, or one that is allowed.

        Raises
        ------
        Refusal
            It may not, or has expired.
        """
        url, expires = str(entry.get("url", "")), entry.get("expires_at")
        try:
            parts = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise Refusal(400, "ArgumentError", "what stands for an input or an output is no URL", "url") from None
        if parts.scheme not in ("http", "https") or not parts.host or (parts.port or 0) > LAST_PORT:
            raise Refusal(400, "ArgumentError", f"{url.partition('?')[0][:100]!r} is no URL that is asked here", "url")
        if isinstance(expires, (int, float)) and expires < time.time():
            raise Refusal(400, "ArgumentError", f"the URL of {parts.host} has expired", "expires_at")
        if parts.host in self._allowed:
            return Checked(url, {}, {})
        try:
            found = await asyncio.to_thread(addresses_of, parts.host)
        except OSError as error:
            why = error.strerror or "it is no name of one"
            raise Refusal(400, "ArgumentError", f"there is no host {parts.host:.100}: {why}", "url") from None
        if not all(map(is_public, found)):
            told = f"{parts.host} lies in a private network, which is not asked: start with --allow-host"
            raise Refusal(400, "ArgumentError", told, "url")
        named = {"Host": parts.netloc.decode("ascii")}, {"sni_hostname": parts.raw_host.decode("ascii")}
        return Checked(str(parts.copy_with(host=found[0])), *named)


def _told(error: Exception) -> str:
    """What went wrong, without the URL: whoever has that may do what it was signed for."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.request.url.host} answered {error.response.status_code}"
    return str(error) or type(error).__name__


def _is_size(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _uri(entry: Mapping[str, Any]) -> str:
    return f"strata://artifact/{entry.get('artifact_id')}@v={entry.get('version')}"


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def read_manifest(told: Any, largest: int, allowed: Collection[str]) -> Manifest:
    """Read a manifest, as far as it is used.

    Raises
    ------
    Refusal
        It is none.
    """
    try:
        metadata, output = told["metadata"], told["output"]
        specs = metadata["params"].get("input_specs", {})
        fits = isinstance(told["build_id"], str) and isinstance(metadata["executor_ref"], str)
        fits = fits and isinstance(told["finalize_url"], str) and isinstance(output["url"], str)
        fits = fits and _is_size(output.get("max_bytes"))
        fits = fits and all(isinstance(each["uri"], str) for each in specs.values())
        fits = fits and all(isinstance(each["url"], str) for each in told.get("inputs", ()))
    except (LookupError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise Refusal(400, "ArgumentError", f"this is no manifest of {MANIFEST}", "body")
    return Manifest({"inputs": [], **told}, largest, allowed)
