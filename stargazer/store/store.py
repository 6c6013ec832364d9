"""The store: CID → bytes, asset records, ledger records. A facade: each verb is done by one of its parts."""

from __future__ import annotations

import os
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

from stargazer import config
from stargazer.assets import Asset
from stargazer.errors import BlobLost
from stargazer.store.assets import drafted
from stargazer.store.context import check_url, fallback, refuse_while_wiring
from stargazer.store.parts import Parts, parts_at
from stargazer.store.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import IO, Any, BinaryIO, Self, TypeVar

    from stargazer.cid.unixfs import Progress
    from stargazer.store.additions import Addition, Additions
    from stargazer.store.backends.base import Backend
    from stargazer.store.blobs.verified import Signature
    from stargazer.store.fsck import Checked, Checker
    from stargazer.store.gc import GarbageCollector, Swept
    from stargazer.store.names import Names
    from stargazer.store.pins import Lease, Leased, Pins
    from stargazer.store.query import Answer, Missing, Queries

    A = TypeVar("A", bound=Asset)

__all__ = ["Store", "StoreSource", "active_store", "open_store", "stand_in"]

DAY = 86400.0

_active: ContextVar[tuple[Store, ...]] = ContextVar("stargazer_store", default=())
_opened: dict[str, Store] = {}


class StoreSource(NamedTuple):
    """Where the bytes of a handle come from: a store, and the ledger record that the handle came from.

    Parameters
    ----------
    url
        URL of the store.
    record
        Id of the record of the call that made the asset; None if a person added it.
    named
        Name and version by which the asset was asked for, if it was.
    """

    url: str
    record: str | None = None
    named: str = ""

    def fetch(self, asset: Asset) -> Path:
        """Path of the asset's file on this host, its companions beside it; what the store lacks, remotes bring."""
        refuse_while_wiring(f"opens {asset.name}")
        store = open_store(self.url)
        try:
            return store.fetch(asset)
        except BlobLost:
            others = fallback()
            if others is None:
                raise
            others.fetch_assets(store, [asset], shown=True)
            return store.fetch(asset)

    def open(self, asset: Asset, mode: str = "rb") -> IO[Any]:
        """The asset's bytes (``"rb"``) or text (``"r"``), checked, as an open file."""
        return self.fetch(asset).open(mode)

    def size(self, asset: Asset) -> int:
        """Bytes of the asset as it is stored; of a directory those of all files in it."""
        store, cid = open_store(self.url), str(asset.cid)
        files = [file for _, file in store.walk(cid) if file] if store.is_directory(cid) else [cid]
        sizes = {file: store.size(file) for file in files}
        for file, size in sizes.items():
            if size is None:
                raise BlobLost(file)
        return sum(sizes[file] or 0 for file in files)


class _Open:
    """``Store.open(url)`` opens a store, ``store.open(cid)`` what lies in it."""

    @overload
    def __get__(self, store: None, kind: type[Store]) -> Callable[[str | os.PathLike[str]], Store]: ...
    @overload
    def __get__(self, store: Store, kind: type[Store]) -> Callable[..., BinaryIO]: ...

    def __get__(self, store: Store | None, kind: type[Store]) -> Callable[..., BinaryIO] | Callable[..., Store]:
        return open_store if store is None else store.dirs.open


class Store:
    """Files and directories by CID, and what is known of them.

    Any number of processes on any number of machines may use one store at once. It pickles by its URL.

    Parameters
    ----------
    url
        A path, or any URL that fsspec knows: ``s3://bucket/folder``, ``memory://name``.
    profile
        CID profile of a store that does not exist yet; ``stargazer.cid-profile`` by default.
    durable
        Sync every write to disk; ``stargazer.durable`` by default.
    parts
        What it is put together from, where that is not what stands at the URL.

    Attributes
    ----------
    context
        Its URL, header and CID profile, this host's cache of it, its scratch directory.
    blobs, dirs
        Files by CID, and directories of them.
    assets, records
        What is known of them; what calls did.
    index, staging
        Questions to all records; files for tasks.

    Raises
    ------
    StoreError
        The store was made by a newer version, or with another profile, or its ``store.json`` is damaged.

    Examples
    --------
    >>> import stargazer as sg
    >>> with sg.Store("other-store") as store:
    ...     reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> reads.source.url == store.url
    True
    """

    open = _Open()

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        profile: str | None = None,
        durable: bool | None = None,
        parts: Parts | None = None,
    ) -> None:
        parts = parts or parts_at(os.fspath(url), StoreSource, profile, durable)
        self.context, self.blobs, self.dirs = parts.context, parts.blobs, parts.dirs
        self.index, self.assets, self.records = parts.index, parts.assets, parts.records
        self.staging = Staging(self.context, self.blobs, self.dirs)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def _repr_html_(self) -> str:
        from stargazer.display import store_html

        return store_html(self)

    def __reduce__(self) -> tuple[object, ...]:
        return open_store, (self.url,)

    def __eq__(self, other: object) -> bool:
        return self.url == other.url if isinstance(other, Store) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.url)

    def __enter__(self) -> Self:
        _active.set((*_active.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        _active.set(_active.get()[:-1])

    @property
    def url(self) -> str:
        """Where it is."""
        return self.context.url

    @property
    def id(self) -> str:
        """Random identity of the store, made once."""
        return self.context.id

    @property
    def made(self) -> bool:
        """Whether it exists; looking does not make it."""
        return self.context.made

    @property
    def backend(self) -> Backend:
        """The place where it lies."""
        return self.context.backend

    @cached_property
    def additions(self) -> Additions:
        """Takes in what is converted first."""
        from stargazer.store.additions import Additions

        return Additions(self.context, self.assets, self.records)

    @cached_property
    def queries(self) -> Queries:
        """Finds assets."""
        from stargazer.store.query import Queries

        return Queries(self.context, self.index, self.assets)

    @cached_property
    def names(self) -> Names:
        """Names that people give to assets, with versions."""
        from stargazer.store.names import Names

        return Names(self.context, self.assets)

    @cached_property
    def roots(self) -> Pins:
        """Pins and leases."""
        from stargazer.store.pins import Pins

        return Pins(self.context, self.assets, self.names)

    @cached_property
    def collector(self) -> GarbageCollector:
        """Takes the garbage out."""
        from stargazer.store.gc import GarbageCollector

        return GarbageCollector(self.context, self.blobs, self.dirs, self.index, self.assets, self.roots)

    @cached_property
    def checker(self) -> Checker:
        """Checks all that is in it."""
        from stargazer.store.fsck import Checker

        return Checker(self.context, self.blobs, self.dirs)

    def add(
        self,
        path: str | os.PathLike[str],
        asset: Asset | None = None,
        *,
        companions: Iterable[Asset | str | os.PathLike[str]] = (),
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Asset:
        """Copy a file or a directory into the store.

        Parameters
        ----------
        path
            File or directory; it is left as it is.
        asset
            Type and facts; a bare `Asset` by default.
        companions
            Files that must lie beside it, such as an index: stored assets, drafts or paths.
        name
            Its real name; by default that of `path`.
        progress
            Called with the number of bytes just read, companions' too.

        Returns
        -------
        Asset
            A handle: `cid` set, `path` not.

        Raises
        ------
        NotFound
            There is no such file.
        StoreFull
            No space is left; nothing half-written is visible.
        """
        template = asset or Asset()
        if template.converts or not isinstance(path, (str, os.PathLike)):
            return self.additions.add(path, template, companions=companions, name=name, progress=progress)
        return self.assets.add(drafted(path, template, companions=companions, name=name), progress=progress)

    def save(self, draft: Asset, *, record: str | None = None, link: bool = True) -> Asset:
        """Move what a task made into the store, its companions too.

        Parameters
        ----------
        draft
            An asset whose `path` lies in the task's work directory.
        record
            Id of the ledger record of the call that made it, if that is known.
        link
            Leave links to the stored files in their place: needed where one file is saved twice.

        Returns
        -------
        Asset
            A handle.
        """
        return self.assets.save(draft, record=record, link=link)

    def addition(self, asset: Asset) -> Addition | None:
        """Say what an asset was converted from, and by which code, when it was added; see `Additions.addition_of`."""
        return self.additions.addition_of(asset)

    def put(self, asset: A, *, record: str | None = None) -> A:
        """Keep the record of an asset whose bytes are stored, and those of its companions; see `Assets.put`."""
        return self.assets.put(asset, record=record)

    def get(self, name: str) -> Asset:
        """The asset with an id or a CID.

        Parameters
        ----------
        name
            The id of an asset record, superseded or not; or the CID of a file or directory. Where several assets
            share the bytes, the first of ``find(cid=…)`` is given.

        Raises
        ------
        NotFound
            There is neither a record nor a file of that name.
        """
        return self.queries.get(name)

    def find(self, **facts: Any) -> list[Asset]:
        """Assets with these facts, as they were stored; of what `assemble` takes, what nothing has is left out."""
        return self.queries.find(**facts)

    def assemble(self, *, missing: Missing = "error", **filters: Any) -> list[Asset]:
        """Assets with these facts, one for each file, with the files that must lie beside them.

        Parameters
        ----------
        missing
            A ``cid``, a ``name``, a value of a fact or one of several types that none of them has is an error, lest
            half of what was asked for passes for the whole; ``"skip"`` leaves it out.
        **filters
            ``asset``: a type or its key. ``cid``, ``name`` and facts: a value or its text (``True``, ``"true"``).
            Each may be a list of alternatives; all filters must hold.

        Returns
        -------
        list of Asset
            Ordered by type, sample and name. Companions are those that an asset was stored with and those that name
            it (`reference_cid`, `alignment_cid`, …); of two sets whose file names clash, the later type and facts
            in alphabetical order are left out.

        Raises
        ------
        NotFound
            Nothing has one of the values; the message names all of these.
        AssetError
            There is no such asset type: no class has the key, and nothing in the store does.
        UnknownField
            The asset type has no such fact.
        InvalidField
            The value is none that the fact could have.
        """
        return self.queries.assemble(missing=missing, **filters)

    def answer(self, filters: Mapping[str, Any], *, each_type: bool = True) -> Answer:
        """What `assemble` finds, and what it misses, as two things: for those who show both; see `Queries.answer`."""
        return self.queries.answer(filters, each_type=each_type)

    def update(self, asset: A, **facts: Any) -> A:
        """Give the same bytes other facts.

        Parameters
        ----------
        asset
            A stored asset.
        **facts
            The facts that change, as values or as text (``"true"``); `name` may change too.

        Returns
        -------
        Asset
            A new handle. The older record is found no more by `find` and `assemble`, but by `get` and `history`.

        Raises
        ------
        UnknownField, InvalidField
            The asset type has no such fact, or the value is none of it.
        """
        return self.assets.update(asset, **facts)

    def history(self, asset: A) -> list[A]:
        """All that was known of an asset: the newest record, and those that it superseded, newest first."""
        return self.assets.history(asset)

    def delete(self, asset: Asset | str) -> None:
        """Forget an asset, what it superseded, and its companions that name it as the file that they lie beside.

        Bytes that nothing else needs go with the next garbage collection.

        Parameters
        ----------
        asset
            The asset, or the id of its record.

        Raises
        ------
        NotFound
            The store has no such record.
        """
        self.assets.delete(self.get(asset) if isinstance(asset, str) else asset)

    def exists(self, asset: Asset) -> bool:
        """Whether the bytes of an asset and of its companions are here, by looking at names and not at contents."""
        return self.assets.exists(asset)

    def has(self, cid: str) -> bool:
        """Whether the store has a file, or a directory and all that lies in it; see `Directories.has`."""
        return self.dirs.has(cid)

    def size(self, cid: str) -> int | None:
        """Bytes of a file, or None if the store does not have it."""
        return self.dirs.size(cid)

    def is_directory(self, cid: str) -> bool:
        """Whether a CID names a directory of this store."""
        return self.dirs.is_directory(cid)

    def walk(self, cid: str) -> Iterator[tuple[str, str | None]]:
        """Relative path and CID of everything below a directory, level by level; see `Directories.walk`."""
        return self.dirs.walk(cid)

    def resolve(self, path: str) -> str:
        """CID of what lies at ``<cid>/x/y``; see `Directories.resolve`."""
        return self.dirs.resolve(path)

    def read(self, cid: str) -> bytes:
        """All bytes of a CID, or of ``<cid>/x/y``."""
        return self.dirs.read(cid)

    def fetch(self, asset: Asset | str) -> Path:
        """Path of a stored file or directory on this host, under its name, companions beside it.

        Parameters
        ----------
        asset
            A stored asset, or a CID.

        Returns
        -------
        Path
            Read-only; it lies in this host's cache and lasts at least two days.
        """
        return self.staging.fetch(asset)

    def stage(
        self,
        asset: Asset,
        directory: str | os.PathLike[str],
        *,
        copy: bool = False,
        seen: dict[str, Signature] | None = None,
    ) -> Asset:
        """Lay an asset and its companions out in a directory, checked; see `Staging.stage`."""
        return self.staging.stage(asset, directory, copy=copy, seen=seen)

    def pin(self, name: str, *assets: Asset | str) -> None:
        """Keep assets, whatever garbage collection thinks of them.

        Parameters
        ----------
        name
            Of the pin; one that is there already is replaced.
        *assets
            Stored assets, or CIDs.

        Raises
        ------
        NotFound
            The store does not have one of them.
        """
        self.roots.pin(name, *assets)

    def unpin(self, name: str) -> None:
        """Let go of a pin; see `Pins.unpin`."""
        self.roots.unpin(name)

    def pins(self) -> dict[str, list[Asset]]:
        """Pinned assets by the name of their pin; see `Pins.all`."""
        return self.roots.all()

    def lease(self, name: str, roots: Iterable[Asset | str] = (), *, seconds: float = 3600.0) -> Lease:
        """Hold what a run relies on, for as long as it lives.

        Parameters
        ----------
        name
            Of the run.
        roots
            Assets or CIDs.
        seconds
            How long the lease holds unless it is renewed; a week at most.

        Returns
        -------
        Lease
            With `renew` and `release`; as a context it is released at the end.

        Raises
        ------
        StoreError
            It would hold for more than a week without a word: pin what must stay.
        """
        return self.roots.lease(name, roots, seconds=seconds)

    def leases(self) -> list[Leased]:
        """Leases that count, by name; see `Pins.leases`."""
        return self.roots.leases()

    def gc(
        self,
        *,
        grace: float = 7 * DAY,
        recent: float = 30 * DAY,
        budget: int | str | None = None,
        dry_run: bool = False,
        told: Callable[[Swept], None] = lambda _: None,
        yes_as_root: bool = False,
    ) -> Swept:
        """Remove what nothing needs.

        Parameters
        ----------
        grace
            Seconds for which everything stays that was written or relied on. Below an hour it is safe only while
            nobody writes.
        recent
            Seconds for which what a call made or read stays, since it ran or was of use last. Results of tasks that
            are declared to be ``temp`` do not wait for that.
        budget
            Bytes that files and directories may take, or text as ``"500GB"``. Where they take more, results of calls go
            that are cheap to make for what they take, and those that were of no use for longest; ``temp`` ones first.
            What is added, pinned, in use or within `grace` stays all the same.
        dry_run
            Only tell.
        told
            Called with what will be removed, before it is.
        yes_as_root
            Root may clean up a store that belongs to somebody else.

        Returns
        -------
        Swept
            What was removed, and how much.

        Raises
        ------
        ArgumentError
            The budget is no size.
        StoreError
            A pin or a lease is torn; or a folder of the store is a link, or somebody else's.
        """
        return self.collector.collect(
            grace=grace, recent=recent, budget=budget, dry_run=dry_run, told=told, yes_as_root=yes_as_root
        )

    def fsck(self, *, progress: Callable[[int], object] | None = None, yes_as_root: bool = False) -> Checked:
        """Hash every file and read every record; what is corrupt goes to quarantine; see `Checker.check`."""
        return self.checker.check(progress=progress, yes_as_root=yes_as_root)


def active_store() -> Store:
    """The store of the innermost ``with Store(…)``, or else the configured one.

    Examples
    --------
    >>> import stargazer as sg
    >>> with sg.Store("other-store") as store:
    ...     sg.active_store() is store
    True
    """
    stores = _active.get()
    return stores[-1] if stores else open_store(config.store_url())


def stand_in(url: str, store: Store) -> None:
    """Let a store be the one at a URL in this process, from which that place cannot be seen."""
    _opened[url] = _opened[store.url] = store


def open_store(url: str | os.PathLike[str]) -> Store:
    """The store at a URL; one instance a process."""
    name = os.fspath(url)
    if (opened := _opened.get(name)) is not None:
        return opened
    check_url(name)
    if "://" not in name and not name.startswith("/"):
        return open_store(os.path.abspath(os.path.expanduser(name)))
    store = Store(name)
    return _opened.setdefault(name, _opened.setdefault(store.url, store))
