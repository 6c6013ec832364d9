"""The verbs that act on the active store."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.cid import cid_of_path
from stargazer.errors import StargazerError, StoreError
from stargazer.store import Store, active_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.assets import Asset
    from stargazer.ledger import Record
    from stargazer.ledger.lineage import Direction, Lineage
    from stargazer.store.query import Missing

__all__ = ["add", "assemble", "fetch", "forget", "push", "put_down", "put_down_all", "trace"]


def add(path: str | os.PathLike[str], asset: Asset | None = None, *, companions: Iterable[Asset] = ()) -> Asset:
    """Make a file or directory an asset of the active store; see `stargazer.Store.add`.

    Examples
    --------
    >>> add("reads_R1.fq.gz", R1(sample_id="s1"))  # doctest: +SKIP
    """
    from stargazer.display import path_progress

    with path_progress("add", path) as progress:
        return active_store().add(path, asset, companions=tuple(companions), progress=progress)


def assemble(*, missing: Missing = "error", **filters: Any) -> list[Asset]:
    """Find assets of the active store by their facts, all that was asked for; see `stargazer.Store.assemble`.

    Examples
    --------
    >>> assemble(asset="r1", sample_id=["s1", "s2"])  # doctest: +SKIP
    """
    return active_store().assemble(missing=missing, **filters)


def fetch(asset: Asset | str, *, lineage: bool = False) -> Path:
    """Return a real path of an asset, its companions beside it, or of what a CID names.

    What the store lacks comes from the remotes of the settings, verified, and stays in the store.

    Parameters
    ----------
    asset
        A stored asset, or a CID, or ``<cid>/x/y`` for what lies in a directory; as the URL of a gateway too.
    lineage
        Take the records of all calls that led to it as well, from a store that the settings trust: `trace` works then,
        and the same call is known.

    Raises
    ------
    RemoteError
        Neither the store nor a remote gives it; the message says why, remote by remote.
    """
    from stargazer.errors import BlobLost

    store = active_store() if isinstance(asset, str) or asset.source is None else _home(asset)
    asset = _version_1(asset) if isinstance(asset, str) else asset
    found = _with_lineage(store, asset) if lineage else asset
    if isinstance(asset, str) and "/" in asset.strip("/"):
        found = store.resolve(asset) if store.has(asset.strip("/").partition("/")[0]) else _from_remotes(store, asset)
    try:
        return store.fetch(found)
    except BlobLost:
        _from_remotes(store, found)
        return store.fetch(found)


def _version_1(path: str) -> str:
    """A CID, or a path below one, as the store writes it."""
    from stargazer.cid import address

    return address(path)


def _home(asset: Asset) -> Store:
    url = getattr(asset.source, "url", None)
    return Store.open(url) if url else active_store()


def _with_lineage(store: Store, asset: Asset | str) -> Asset:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_lineage

    with byte_progress("fetch lineage") as progress:
        return fetch_lineage(store, asset, configured(), progress)


def _from_remotes(store: Store, wanted: Asset | str) -> str:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_asset, fetch_into

    name = wanted if isinstance(wanted, str) else wanted.name or str(wanted.cid)
    with byte_progress(f"fetch {name}") as progress:
        if isinstance(wanted, str):
            return fetch_into(store, wanted, configured(), progress)
        return str(fetch_asset(store, wanted, configured(), progress).cid)


def push(asset: Asset | str, *, to: str, lineage: bool = False, inputs: bool = False) -> None:
    """Send an asset and its companions to a remote, under the CIDs that they have.

    Parameters
    ----------
    asset
        A stored asset, or a CID.
    to
        Name of a remote of the settings, or path or URL of another store.
    lineage
        Send the records of all calls that led to it as well: there `trace` works, and the same call is known.
    inputs
        Send the files as well that the first of these calls read.

    Raises
    ------
    NotFound
        The store does not have it.
    RemoteError
        The remote takes nothing, failed, or gave it another CID.

    Examples
    --------
    >>> push(variants, to="lab")  # doctest: +SKIP
    """
    from stargazer.display import byte_progress
    from stargazer.remotes import named, push_lineage
    from stargazer.remotes import push as send

    store = active_store() if isinstance(asset, str) else _home(asset)
    found = store.get(asset) if isinstance(asset, str) else asset
    with byte_progress(f"push {found.name or found.cid}") as progress:
        if lineage or inputs:
            push_lineage(store, found, named(to), inputs=inputs, progress=progress)
        else:
            send(store, found, named(to), progress)


def trace(asset: Asset | str, *, direction: Direction = "up") -> Lineage:
    """Tell where an asset came from (``"up"``) or what was made of it (``"down"``).

    Parameters
    ----------
    asset
        A stored asset: the record that this handle came from is followed. Or a bare CID: all its producers are
        listed, newest first.
    direction
        ``"up"`` or ``"down"``.

    Raises
    ------
    NotFound
        The store knows nothing of that CID.
    ArgumentError
        It is neither, as a call that was not computed.
    """
    from stargazer.assets import Asset
    from stargazer.errors import ArgumentError
    from stargazer.ledger.lineage import trace as follow

    if not isinstance(asset, (str, Asset)):
        raise ArgumentError(f"trace takes a stored asset or a CID, not {asset!r}; compute a call, and trace its result")
    known = asset.source if not isinstance(asset, str) else None
    return follow(Store.open(known.url) if known is not None else active_store(), asset, direction)


def forget(what: Asset | str, *, down: bool = False) -> list[Record]:
    """Let calls run once more, whatever is known of them; their records stay, and later results are compared with them.

    Parameters
    ----------
    what
        A stored asset: the call that made it. A CID: all calls that made it. First digits of a record; or the name of a
        task: all its calls.
    down
        Forget as well what was made of their results.

    Returns
    -------
    list of Record
        The calls.

    Raises
    ------
    NotFound
        Nothing recorded goes by that name.
    """
    from stargazer.ledger import Ledger
    from stargazer.ledger.chosen import below, chosen

    store = active_store() if isinstance(what, str) or what.source is None else _home(what)
    ledger = Ledger(store)
    found = chosen(ledger, what)
    records = below(ledger, found) if down else found
    ledger.forget(records)
    return records


# Copies of assets in a user's directory.


def put_down(store: Store, asset: Asset, out: str | Path, *, force: bool = False) -> list[Path]:
    """Copy an asset and its companions out of a store, checked.

    Parameters
    ----------
    store
        Where they are.
    asset
        What is wanted.
    out
        A directory, there or (with a slash at its end) not; or the path that the copy shall have.
    force
        Replace files that are there already.

    Returns
    -------
    list of Path
        The copy, then its companions beside it.

    Raises
    ------
    StoreError
        A file is there already.
    """
    target = Path(out)
    whole = target.is_dir() or str(out).endswith(os.sep)
    directory = target if whole else target.parent
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=".stargazer-", dir=directory))
        first, *others = _paths(store.stage(asset, scratch, copy=True))
        moves = [(first, directory / first.name if whole else target), *((one, directory / one.name) for one in others)]
        _refuse_existing(moves, force)
        for made, to in moves:
            _replace(made, to)
    return [to for _, to in moves]


def put_down_all(store: Store, assets: Iterable[Asset], out: str, *, force: bool = False) -> list[Path]:
    """Copy results into a directory, each once; nothing is copied if two different files have one name.

    Parameters
    ----------
    store
        Where they are.
    assets
        What is wanted.
    out
        The directory, there or not.
    force
        Replace files that are there already.

    Returns
    -------
    list of Path
        The copies.

    Raises
    ------
    StoreError
        Another file is there already, or two results have the same name.
    """
    wanted: list[Asset] = []
    named: dict[str, Asset] = {}
    for asset in assets:
        files = list(_family(asset))
        for each in files:
            if (other := named.get(_name(each), each)).cid != each.cid:
                what = f"two results are named {_name(each)}: {other.cid} and {each.cid}"
                raise StoreError(f"{what}; both are in the store: stargazer get CID --out FILE puts one where you want")
        if any(_name(each) not in named for each in files):
            wanted.append(asset)
        named |= {_name(each): each for each in files}
    return [path for asset in wanted for path in put_down(store, asset, f"{out}/", force=force)]


def _name(asset: Asset) -> str:
    return asset.name or str(asset.cid)


def _family(asset: Asset) -> Iterator[Asset]:
    yield asset
    for companion in asset.companions:
        yield from _family(companion)


def _paths(staged: Asset) -> Iterator[Path]:
    """Each file once: companions may share one."""
    seen: dict[Path, None] = {}
    todo = [staged]
    while todo:
        asset = todo.pop(0)
        seen[asset.path] = None
        todo += asset.companions
    yield from seen


def _refuse_existing(moves: list[tuple[Path, Path]], force: bool) -> None:
    paths = [path for _, path in moves]
    there = [path for made, path in moves if not force and os.path.lexists(path) and not _are_alike(made, path)]
    if there:
        raise StoreError(f"{there[0]} is there already, with other content; --force replaces it")
    if len(set(paths)) < len(paths):
        raise StargazerError(f"two files would have the name {paths[0].name}; choose a directory with --out")


def _are_alike(made: Path, path: Path) -> bool:
    return not path.is_symlink() and made.is_dir() == path.is_dir() and cid_of_path(made) == cid_of_path(path)


def _replace(made: Path, target: Path) -> None:
    """Move a copy into place; it is new, whatever time the store gave its file."""
    os.utime(made)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    os.replace(made, target)
