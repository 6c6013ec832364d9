"""Where somebody's published snapshot is, from what people pass on: a CID, the name of a bundle, or an address.

An address only says where to look. What comes from there is checked against the CID that it names, or that the bundle
names behind it, as all that comes from elsewhere.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from stargazer.errors import CIDError, NotebookError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from stargazer.remotes import Bundle, Remote

__all__ = ["Published", "read_address"]

LARGEST_BUNDLE = 4 << 20
"""Bytes of the text of a bundle."""


class Published(NamedTuple):
    """What an address leads to.

    Parameters
    ----------
    cid
        Of the snapshot; empty where a bundle names it.
    remote
        The gateway of the address, if it has one.
    bundle
        The bundle behind the address.
    """

    cid: str = ""
    remote: Remote | None = None
    bundle: Bundle | None = None


def read_address(what: str) -> Published | None:
    """Read an address: of a gateway (``https://…/ipfs/CID``), ``ipfs://CID``, or of a bundle (``https://….yaml``).

    Returns
    -------
    Published or None
        None of what is no address.

    Raises
    ------
    NotebookError
        It is an address that leads to no snapshot.
    RemoteError
        The bundle cannot be had.
    DataError
        What is there is no bundle.
    """
    parts = urlsplit(what)
    if parts.scheme == "ipfs":
        return Published(_cid(what))
    if parts.scheme not in ("http", "https"):
        return None
    if parts.username or parts.password:
        raise NotebookError("an address with a password in it is not asked; give the CID, or the address without it")
    before, path, _ = parts.path.partition("/ipfs/")
    if path:
        return Published(_cid(what), _gateway(parts, parts.netloc, before))
    _, within, host = parts.netloc.partition(".ipfs.")
    if within:
        return Published(_cid(what), _gateway(parts, host, ""))
    if parts.path.endswith((".yaml", ".yml")):
        return Published(bundle=_bundle(parts))
    raise NotebookError(f"{what} names no snapshot: an address has /ipfs/CID in it, or is that of a bundle (.yaml)")


def _cid(what: str) -> str:
    from stargazer.cid import address

    try:
        return address(what).partition("/")[0]
    except CIDError as error:
        raise NotebookError(f"{what} names no snapshot: {error}") from None


def _gateway(parts: SplitResult, host: str, path: str) -> Remote:
    from stargazer.remotes import read_remote

    return read_remote({"gateway": f"{parts.scheme}://{host}{path}"}, "the address")


def _bundle(parts: SplitResult) -> Bundle:
    from stargazer.remotes import read_bundle
    from stargazer.remotes.http import Web

    query = f"?{parts.query}" if parts.query else ""
    text = Web(parts.netloc, f"{parts.scheme}://{parts.netloc}").get(f"{parts.path}{query}", LARGEST_BUNDLE)
    with tempfile.TemporaryDirectory(prefix="stargazer-bundle-") as folder:
        path = Path(folder, Path(parts.path).name)
        path.write_bytes(text)
        return read_bundle(path)
