"""The verbs: what people, and every surface, do with a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args, overload

from stargazer.assets import Asset
from stargazer.errors import AssetError, CIDError, InvalidField
from stargazer.store import Store, active_store
from stargazer.store.context import WIRING, refuse_while_wiring
from stargazer.store.query import Versions, one_version
from stargazer.store.references import find_asset, full_name, read_reference

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.assets.asset import Found
    from stargazer.ledger import Record
    from stargazer.ledger.lineage import Direction, Lineage
    from stargazer.remotes.publication import Published
    from stargazer.store.query import Missing

    A = TypeVar("A", bound=Asset)

__all__ = [
    "Progress",
    "StoreLike",
    "add",
    "assemble",
    "delete",
    "fetch",
    "forget",
    "pin",
    "publish",
    "push",
    "store_of",
    "trace",
    "unpin",
    "update",
]

StoreLike: TypeAlias = Store | str | os.PathLike[str] | None
"""A store, its URL, or None: that of the asset, else the active one."""

Progress: TypeAlias = Callable[[int], object] | bool | None
"""Called with the number of bytes just read or sent; False for silence; None shows it where somebody watches."""


def store_of(store: StoreLike, asset: object = None) -> Store:
    """Return the store that is meant: the one given, that of a handle, or the active one."""
    if WIRING.get():
        refuse_while_wiring("asks the store")
    if store is not None:
        return store if isinstance(store, Store) else Store.open(store)
    url = getattr(getattr(asset, "source", None), "url", None)
    return Store.open(url) if url else active_store()


def _named(store: Store, asset: Asset | str) -> Asset:
    return find_asset(store, asset) if isinstance(asset, str) else asset


@contextmanager
def _shown(
    progress: Progress, show: Callable[..., AbstractContextManager[Callable[[int], object]]], *what: Any
) -> Iterator[Callable[[int], object]]:
    if callable(progress):
        yield progress
        return
    with show(*what, shown=progress) as shown:
        yield shown


@overload
def add(
    path: str | os.PathLike[str],
    asset: A,
    *,
    companions: Iterable[Asset | str | os.PathLike[str]] = (),
    name: str | None = None,
    store: StoreLike = None,
    progress: Progress = None,
) -> A: ...
@overload
def add(
    path: str | os.PathLike[str],
    asset: None = None,
    *,
    companions: Iterable[Asset | str | os.PathLike[str]] = (),
    name: str | None = None,
    store: StoreLike = None,
    progress: Progress = None,
) -> Asset: ...
def add(
    path: str | os.PathLike[str],
    asset: Asset | None = None,
    *,
    companions: Iterable[Asset | str | os.PathLike[str]] = (),
    name: str | None = None,
    store: StoreLike = None,
    progress: Progress = None,
) -> Asset:
    """Make a file or directory an asset; it is copied.

    Parameters
    ----------
    path
        File or directory.
    asset
        Type and facts; a bare `Asset` by default.
    companions
        Files that must lie beside it, such as an index: stored assets, drafts or paths.
    name
        Its real name; by default that of `path`.
    store
        Where; the active store by default.
    progress
        Called with the number of bytes just read; False for silence.

    Raises
    ------
    NotFound
        There is no such file.

    Examples
    --------
    >>> import stargazer as sg
    >>> sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1")).sample_id
    's1'
    """
    from stargazer.display import path_progress

    if asset is not None and not isinstance(asset, Asset):
        raise AssetError(f'{asset!r:.80} is no draft of an asset: give one of its type, as sg.R1(sample_id="s1")')
    if not isinstance(path, (str, os.PathLike)):  # a value in memory, which the asset's type may know how to write
        return store_of(store).add(path, asset, companions=tuple(companions), name=name)
    with _shown(progress, path_progress, "add", path) as told:
        return store_of(store).add(path, asset, companions=tuple(companions), name=name, progress=told)


def assemble(
    *, missing: Missing = "error", versions: Versions = "error", store: StoreLike = None, **filters: Any
) -> list[Found]:
    """Find assets by their facts, all that was asked for, each with the companions that belong beside it.

    Parameters
    ----------
    missing
        ``"skip"`` leaves out values that no asset has; otherwise they are an error.
    versions
        What is done where a sample that was asked for has several files of one type, name and facts, which are
        versions of one another and no lanes: ``"newest"`` takes the one that was added last, ``"all"`` each of them.
    store
        Where; the active store by default.
    **filters
        Facts, or ``asset`` (the type), ``name``, ``cid``; a list holds alternatives.

    Raises
    ------
    NotFound
        Values that were asked for and that nothing has; all of them.
    AssetError
        A type or fact that there is not, or several versions of a sample's file; the message names them all.

    Examples
    --------
    >>> import stargazer as sg
    >>> reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> sg.assemble(asset="r1", sample_id="s1") == [reads]
    True
    """
    if versions not in get_args(Versions):
        raise InvalidField(f'versions={versions!r:.80}: choose "error", "newest" or "all"')
    where = store_of(store)
    found = where.assemble(missing=missing, **filters)
    if versions != "all" and "sample_id" in filters:
        found = one_version(found, versions, where.assets.added_at)
    return found  # type: ignore[return-value]


def fetch(asset: Asset | str, *, lineage: bool = False, store: StoreLike = None, progress: Progress = None) -> Path:
    """Return a real path of an asset, its companions beside it, or of what a CID names.

    What the store lacks comes from the remotes of the settings, verified, and stays in the store.

    Parameters
    ----------
    asset
        A stored asset; what names one, as ``pbmc/clusters@3``; a CID, or ``<cid>/x/y`` for what lies in a directory, as
        the URL of a gateway too.
    lineage
        Take the records of all calls that led to it as well, from a store that the settings trust: `trace` works then,
        and the same call is known.
    store
        Where; that of the asset, or the active one by default.
    progress
        Called with the number of bytes just received; False for silence.

    Raises
    ------
    RemoteError
        Neither the store nor a remote gives it; the message says why, remote by remote.

    Examples
    --------
    >>> import stargazer as sg
    >>> reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> sg.fetch(reads).name, sg.fetch(reads.cid[:20]).name
    ('s1_R1.fq.gz', 's1_R1.fq.gz')
    """
    from stargazer.errors import BlobLost

    where = store_of(store, asset)
    wanted = _known_or_version_1(where, asset) if isinstance(asset, str) else asset
    found = _with_lineage(where, wanted, progress) if lineage else wanted
    if isinstance(wanted, str) and "/" in wanted:
        there = where.has(wanted.partition("/")[0])
        found = where.resolve(wanted) if there else _from_remotes(where, wanted, progress)
    try:
        return where.fetch(found)
    except BlobLost:
        _from_remotes(where, found, progress)
        return where.fetch(found)


def _known_or_version_1(store: Store, text: str) -> Asset | str:
    """An asset by a name, id or part of one; else a CID, or a path below one, as the store writes it."""
    from stargazer.cid import address

    try:
        if read_reference(text).kind != "cid":
            return find_asset(store, text)
    except CIDError:
        pass
    return address(text.removeprefix("stargazer://asset/"))


def _with_lineage(store: Store, asset: Asset | str, progress: Progress) -> Asset:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_lineage

    with _shown(progress, byte_progress, "fetch lineage") as told:
        return fetch_lineage(store, asset, configured(), told)


def _from_remotes(store: Store, wanted: Asset | str, progress: Progress) -> str:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_asset, fetch_into

    name = wanted if isinstance(wanted, str) else wanted.name or str(wanted.cid)
    with _shown(progress, byte_progress, f"fetch {name}") as told:
        if isinstance(wanted, str):
            return fetch_into(store, wanted, configured(), told)
        return str(fetch_asset(store, wanted, configured(), told).cid)


def push(
    asset: Asset | str,
    *,
    to: str,
    lineage: bool = False,
    inputs: bool = False,
    store: StoreLike = None,
    progress: Progress = None,
) -> Asset:
    """Send an asset and its companions to a remote, under the CIDs that they have.

    Parameters
    ----------
    asset
        A stored asset, or what names one.
    to
        Name of a remote of the settings, or path or URL of another store.
    lineage
        Send the records of all calls that led to it as well: there `trace` works, and the same call is known.
    inputs
        Send the files as well that the first of these calls read.
    store
        Where it is; that of the asset, or the active one by default.
    progress
        Called with the number of bytes just sent; False for silence.

    Returns
    -------
    Asset
        What was sent.

    Raises
    ------
    NotFound
        The store does not have it.
    RemoteError
        The remote takes nothing, failed, or gave it another CID.

    Examples
    --------
    >>> import stargazer as sg
    >>> reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> sg.push(reads, to="./other-store").sample_id
    's1'
    """
    from stargazer.display import byte_progress
    from stargazer.remotes import named, push_lineage
    from stargazer.remotes import push as send

    where = store_of(store, asset)
    remote, found = named(to), _named(where, asset)
    with _shown(progress, byte_progress, f"push {found.name or found.cid}") as told:
        if lineage or inputs:
            push_lineage(where, found, remote, inputs=inputs, progress=told)
        else:
            send(where, found, remote, told)
    return found


def publish(
    asset: Asset | str,
    *,
    to: str,
    public: bool = False,
    title: str = "",
    license: str = "",
    store: StoreLike = None,
    progress: Progress = None,
) -> Published:
    """Send a result to a remote as one directory that explains itself: files, a page, bundle, RO-Crate, records.

    Parameters
    ----------
    asset
        A stored asset, or what names one; what the same call made beside it goes along.
    to
        Name of a remote of the settings, or path or URL of another store.
    public
        Whether reads (FASTQ, BAM, CRAM) may go where everybody sees them.
    title, license
        Heading of the page; URL or SPDX identifier of the licence of the data.
    store
        Where it is; that of the asset, or the active one by default.
    progress
        Called with the number of bytes just sent; False for silence.

    Returns
    -------
    Published
        The CID of the directory, links to it, and whether the remote keeps it.

    Raises
    ------
    NotPublic
        Reads would become public, and nothing says that they are of another species than ours.
    RemoteError
        The remote takes nothing, failed, or gave it another CID.

    Examples
    --------
    >>> import stargazer as sg
    >>> done = sg.publish(sg.add("words.txt"), to="./other-store", title="Some words")
    >>> sg.Store("./other-store").read(f"{done.cid}/result/words.txt") == open("words.txt", "rb").read()
    True
    """
    from stargazer.display import byte_progress
    from stargazer.remotes import named
    from stargazer.remotes.publication import publish as send

    where = store_of(store, asset)
    remote, found = named(to), _named(where, asset)
    with _shown(progress, byte_progress, f"publish {found.name or found.cid}") as told:
        return send(where, found, remote, public=public, title=title, licence=license, progress=told)


def trace(asset: Asset | str, *, direction: Direction = "up", store: StoreLike = None) -> Lineage:
    """Tell where an asset came from (``"up"``) or what was made of it (``"down"``).

    Parameters
    ----------
    asset
        A stored asset: the record that this handle came from is followed. Or what names one; of a CID all its producers
        are listed, newest first.
    direction
        ``"up"`` or ``"down"``.
    store
        Where; that of the asset, or the active one by default.

    Raises
    ------
    NotFound
        The store knows nothing of that CID.
    ArgumentError
        It is neither, as a call that was not computed.

    Examples
    --------
    >>> import stargazer as sg
    >>> reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> print(sg.trace(reads))
    s1_R1.fq.gz  bafkreid…xm3i  sample_id=s1  (added)
    """
    from stargazer.assets import Asset
    from stargazer.errors import ArgumentError
    from stargazer.ledger.lineage import trace as follow

    if not isinstance(asset, (str, Asset)):
        raise ArgumentError(f"trace takes a stored asset or a CID, not {asset!r}; compute a call, and trace its result")
    where = store_of(store, asset)
    return follow(where, _bare(where, asset) if isinstance(asset, str) else asset, direction)


def _bare(store: Store, text: str) -> Asset | str:
    """A CID as it is; the asset that anything else names."""
    reference = read_reference(text)
    if reference.kind == "cid":
        return reference.text
    found = find_asset(store, text)
    return found if reference.kind in ("id", "name") else str(found.cid)


@overload
def update(asset: A, *, store: StoreLike = None, **facts: Any) -> A: ...
@overload
def update(asset: str, *, store: StoreLike = None, **facts: Any) -> Asset: ...
def update(asset: Asset | str, *, store: StoreLike = None, **facts: Any) -> Asset:
    """Give the same bytes other facts; the older record is found no more by `assemble`, but by its id.

    Parameters
    ----------
    asset
        A stored asset, or what names one.
    store
        Where; that of the asset, or the active one by default.
    **facts
        The facts that change; `name` may change too.

    Returns
    -------
    Asset
        A new handle.

    Raises
    ------
    UnknownField, InvalidField
        The asset type has no such fact, or the value is none of it.

    Examples
    --------
    >>> import stargazer as sg
    >>> reads = sg.add("s1_R1.fq.gz", sg.R1(sample_id="s1"))
    >>> sg.update(reads, sample_id="s2").sample_id
    's2'
    """
    where = store_of(store, asset)
    return where.update(_named(where, asset), **facts)


def delete(asset: Asset | str, *, store: StoreLike = None) -> Asset:
    """Forget an asset and its companions; bytes that nothing else needs go with the next garbage collection.

    Parameters
    ----------
    asset
        A stored asset, or what names one.
    store
        Where; that of the asset, or the active one by default.

    Returns
    -------
    Asset
        What was forgotten.

    Raises
    ------
    NotFound
        The store has no such record.

    Examples
    --------
    >>> import stargazer as sg
    >>> words = sg.delete(sg.add("words.txt"))
    >>> sg.assemble(name="words.txt", missing="skip")
    []
    """
    where = store_of(store, asset)
    found = _named(where, asset)
    where.delete(found)
    return found


def pin(name: str, *assets: Asset | str, store: StoreLike = None) -> list[Asset]:
    """Keep assets through every garbage collection, under a name; one that is there is replaced.

    Parameters
    ----------
    name
        Of the pin.
    *assets
        Stored assets, or what names them.
    store
        Where; that of the first asset, or the active one by default.

    Returns
    -------
    list of Asset
        What is kept.

    Raises
    ------
    NotFound
        The store does not have one of them.

    Examples
    --------
    >>> import stargazer as sg
    >>> [asset.name for asset in sg.pin("paper-2026", sg.add("words.txt"))]
    ['words.txt']
    """
    where = store_of(store, assets[0] if assets else None)
    found = [_named(where, asset) for asset in assets]
    where.pin(name, *found)
    return found


def unpin(name: str, *, store: StoreLike = None) -> None:
    """Let go of a pin.

    Raises
    ------
    NotFound
        There is none of that name.

    Examples
    --------
    >>> import stargazer as sg
    >>> pinned = sg.pin("paper-2026", sg.add("words.txt"))
    >>> sg.unpin("paper-2026")
    """
    store_of(store).unpin(name)


def forget(what: Asset | str, *, down: bool = False, store: StoreLike = None) -> list[Record]:
    """Let calls run once more, whatever is known of them; their records stay, and later results are compared with them.

    Parameters
    ----------
    what
        A stored asset: the call that made it. A CID: all calls that made it. First digits of a record; or the name of a
        task: all its calls.
    down
        Forget as well what was made of their results.
    store
        Where; that of the asset, or the active one by default.

    Returns
    -------
    list of Record
        The calls.

    Raises
    ------
    NotFound
        Nothing recorded goes by that name.

    Examples
    --------
    >>> import stargazer as sg
    >>> @sg.task
    ... def letters(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    ...     out = work.file("letters.txt")
    ...     out.write_text("".join(sorted(words.path.read_text())))
    ...     return sg.Asset(path=out)
    >>> made = letters(sg.add("words.txt")).compute()
    >>> [record.task for record in sg.forget(made)]
    ['letters']
    """
    from stargazer.ledger import Ledger
    from stargazer.ledger.chosen import below, chosen

    where = store_of(store, what)
    ledger = Ledger(where.records)
    found = chosen(ledger, full_name(where, what) if isinstance(what, str) else what)
    records = below(ledger, found) if down else found
    ledger.forget(records)
    return records
