"""Copies of assets in a user's directory: checked, and each in place whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.cid import cid_of_path
from stargazer.errors import StargazerError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stargazer.assets import Asset
    from stargazer.store.store import Store

__all__ = ["check_folder", "put_down", "put_down_all"]


def check_folder(out: str) -> None:
    """Refuse, before anything runs, a directory in which nothing could be put.

    Parameters
    ----------
    out
        The directory, there or not.

    Raises
    ------
    StoreError
        A file stands in its place or above it, or it may not be written to.
    """
    place = Path(out).absolute()
    try:
        there = next(each for each in (place, *place.parents) if os.path.lexists(each))
        fits = there.is_dir()
    except OSError as error:
        raise StoreError(f"{out!r} cannot be a folder for results: {error.strerror}") from None
    if not fits:
        raise StoreError(f"results cannot be put into {out!r}: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise StoreError(f"results cannot be put into {out!r}: {there} may not be written to")


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
