"""What every part of a store is given: where it is, its identity and cache; who may ask it, and who is asked."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from stargazer import config
from stargazer.errors import BlobLost, ConfigError, RemoteError, StoreError, StoreReadOnly, WiringError
from stargazer.store import layout
from stargazer.store.backends.mounts import is_on_network
from stargazer.store.folders import private_folder
from stargazer.store.layout import read_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from stargazer.assets import Asset
    from stargazer.cid import CIDProfile
    from stargazer.ledger import Record
    from stargazer.store.backends.base import Backend
    from stargazer.store.store import Store

__all__ = [
    "WIRING",
    "Fallback",
    "Header",
    "Known",
    "StoreContext",
    "check_url",
    "fallback",
    "fetch_missing",
    "local_path",
    "mark_unavailable",
    "private_cache",
    "refuse_while_wiring",
]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(?!//)")
"""The beginning of a URL that lacks its slashes; one letter is a drive."""


class Header(NamedTuple):
    """What ``store.json`` says."""

    format: int
    profile: str
    id: str


def local_path(url: str) -> str | None:
    """Path of a store on a local file system, the same by whatever links it is reached; None if `url` is elsewhere."""
    for scheme in ("file://", "local://"):
        url = url.removeprefix(scheme)
    return None if "://" in url else os.path.realpath(os.path.expanduser(url))


_IDENTITY = re.compile(r"[0-9a-f]{32}")
"""What `_make_header` writes. It names folders of caches, so nothing else is believed."""


def private_cache(kind: str, identifier: str) -> Path:
    """Directory of what this host keeps of a store, below this user's caches; only this user can read or change it.

    On a disk of the network, as a home is that many machines share, each machine has its own. Where nothing can be
    written it is not made: what wants to write there says so.

    Raises
    ------
    StoreError
        It belongs to somebody else.
    """
    above = config.cache_dir() / kind
    parts = (os.uname().nodename, identifier) if is_on_network(above) else (identifier,)
    folders = list(itertools.accumulate(parts, Path.joinpath, initial=above))
    with suppress(OSError):
        for folder in folders:
            private_folder(str(folder))
    return folders[-1]


def _configured_profile() -> str:
    from stargazer import cid

    name = config.cid_profile()
    known = [each.name for each in cid.PROFILES]
    if name not in known:
        raise ConfigError(
            f"stargazer.cid-profile is {name!r} ({config.origin_of('cid-profile')}), but there are {', '.join(known)}"
        )
    return name


def check_url(url: str) -> None:
    """Refuse what would become a directory with the name of a URL."""
    if not url:
        raise StoreError("a store needs a path or a URL, and this is empty")
    if "\0" in url:
        raise StoreError(f"{url!r} is no place of a store: no path has a NUL byte in it")
    if found := _SCHEME.match(url):
        right = f"{found[1]}://{url[found.end() :].lstrip('/')}"
        raise StoreError(f"{url} is neither a path nor a URL; did you mean {right}? (A directory: ./{url})")


def _parse(data: bytes, where: str) -> Header:
    try:
        members = read_object(data)
        header = Header(int(members["format"]), str(members["profile"]), str(members["id"]))
        if header.format <= layout.FORMAT and not _IDENTITY.fullmatch(header.id):
            raise ValueError(f"its id is {header.id[:80]!r}, and not 32 hexadecimal digits")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise StoreError(f"{where}/{layout.HEADER} is damaged ({error}); restore it, the rest is intact") from error
    if header.format > layout.FORMAT:
        message = f"{where} has format {header.format}, made by a newer Stargazer; this one reads up to {layout.FORMAT}"
        raise StoreError(f"{message}: upgrade it (pip install -U stargazer-dask)")
    return header


class StoreContext:
    """Where a store is and what it is; every part of it is given this. Nothing is written until something is stored.

    Parameters
    ----------
    backend
        The place where it lies.
    profile
        CID profile of a store that does not exist yet; ``stargazer.cid-profile`` by default.
    durable
        Whether every write is synced to disk.
    identifier
        Its identity, where that is known already.
    caches
        Kind of the folder in which this host keeps what it knows of it.

    Attributes
    ----------
    url
        Where it is.
    threads
        With which files are hashed.

    Raises
    ------
    StoreError
        The store was made by a newer version, or with another profile, or its ``store.json`` is damaged.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        profile: str | None = None,
        durable: bool = False,
        identifier: str | None = None,
        caches: str = "stores",
    ) -> None:
        self.backend, self.url, self.durable, self.threads = backend, backend.url, durable, 1
        self._asked, self._identifier, self._caches = profile, identifier, caches
        self._header = self._read_header()

    def _read_header(self) -> Header | None:
        try:
            data = self.backend.read(layout.HEADER)
        except NotADirectoryError as error:
            raise StoreError(f"{self.url} is a file, or lies below one: a store is a directory") from error
        header = None if data is None else _parse(data, self.url)
        if header and self._asked and header.profile != self._asked:
            message = f"{self.url} was made with the CID profile {header.profile}, not {self._asked}"
            raise StoreError(f"{message}: leave the profile out, or make a new store elsewhere")
        return header

    @property
    def made(self) -> bool:
        """Whether it exists; looking does not make it."""
        self._header = self._header or self._read_header()
        return self._header is not None

    @property
    def header(self) -> Header:
        """Format, profile and identity; the store is made if it does not exist yet."""
        if self._header is None:
            self._header = self._read_header() or self._make_header()
        return self._header

    def _make_header(self) -> Header:
        from stargazer import cid

        name = cid.profile(self._asked).name if self._asked else _configured_profile()
        members = {"format": layout.FORMAT, "id": os.urandom(16).hex(), "profile": name}
        try:
            self.backend.create_once(layout.HEADER, json.dumps(members).encode() + b"\n")
        except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
            if isinstance(error, StoreError):
                raise
            told = f"no store can be made at {self.url}: {error.strerror}; name another place: DASK_STARGAZER__STORE=…"
            raise StoreReadOnly(error.errno, told) from error
        header = self._read_header()
        if header is None:
            raise StoreError(f"{self.url} vanished while it was made")
        return header

    @property
    def id(self) -> str:
        """Random identity of the store, made once."""
        return self._identifier or self.header.id

    @cached_property
    def profile(self) -> CIDProfile:
        """How files are cut into blocks, which decides their CIDs."""
        from stargazer import cid

        return cid.profile(self.header.profile)

    @cached_property
    def cache(self) -> Path:
        """Directory in which this host keeps what it knows about the store, this user's own; may be deleted."""
        return private_cache(self._caches, self.id)

    @property
    def scratch(self) -> Path:
        """Directory in which tasks may work, from which outputs are moved into the store for nothing."""
        own = self.backend.scratch()
        return self.cache / layout.TMP if own is None else Path(own)

    @cached_property
    def scratch_place(self) -> Path:
        """The same as a mere place: the disk is asked once."""
        return self.scratch

    def is_offline(self) -> bool:
        """Whether neither the store nor a remote is reached over a network."""
        return self.backend.quick and not config.remotes()

    def note_changes(self, kind: str, *names: str) -> None:
        """Note that records of a kind changed, where the times of folders don't tell that."""
        if self.backend.journal is not None:
            self.backend.journal.write([f"{kind}.{name}" for name in names])


# Who may ask: a function that wires calls decides by what it was given, and by nothing else.


WIRING: ContextVar[str] = ContextVar("wiring", default="")
"""Name of the function that wires calls on this thread now; empty where none does."""


def refuse_while_wiring(what: str) -> None:
    """Refuse what would make the calls that a function wires depend on more than it was given.

    Parameters
    ----------
    what
        What was asked for, in words.

    Raises
    ------
    WiringError
        Such a function runs here.
    """
    if name := WIRING.get():
        raise WiringError(
            f"{name} {what}: a function that wires decides by what it is given, and opens, asks and computes nothing "
            "itself; let a task do that, and pass its result"
        )


# Who is asked for what a store lacks: remotes, where the settings name some. They are written on top of the store and
# the ledger, and what notices that something is missing stands below them. So they are imported by name, here alone,
# and only where some are configured.


_REMOTES = "stargazer.remotes.fallback"


class Known(NamedTuple):
    """A record that another store has, and the name of that remote."""

    record: Record
    where: str


class Fallback(Protocol):
    """What remotes do for a store."""

    def find(self, store: Store, keys: Collection[str]) -> Mapping[str, Known]:
        """Believed records behind those of many keys that some remote knows, with their results; nothing is taken."""

    def take(self, store: Store, keys: Collection[str], *, with_outputs: bool) -> Mapping[str, Record]:
        """The same, and take them into the store with their lineages; results' bytes too if `with_outputs`."""

    def fetch_assets(self, store: Store, assets: Iterable[Asset], *, shown: bool) -> None:
        """Have the bytes of assets in the store; `RemoteError` if nobody gives them."""

    def mark_unavailable(self, cid: str) -> None:
        """Believe no more that anybody has some bytes: they were promised, and did not come."""


def fallback() -> Fallback | None:
    """The remotes; None where none is configured, which costs a look at the settings."""
    return cast("Fallback", importlib.import_module(_REMOTES)) if config.remotes() else None


def fetch_missing(store: Store, assets: Collection[Asset]) -> None:
    """Have assets in a store on which a task relies, if remotes have them.

    Raises
    ------
    BlobLost
        None gives some of it.
    """
    others = fallback() if assets else None
    if others is None:
        return
    for asset in store.assets.missing(assets):
        try:
            others.fetch_assets(store, [asset], shown=False)
        except RemoteError as error:
            raise BlobLost(str(asset.cid), f"missing, and did not come from elsewhere either ({error}),") from error


def mark_unavailable(lost: BlobLost) -> None:
    """Note that bytes which a plan relied on could not be had, so that the next plan does not."""
    others = fallback()
    if others is not None:
        others.mark_unavailable(lost.cid)
