"""What a body made: checked as a whole, then saved."""

from __future__ import annotations

import functools
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from stargazer.errors import InputChanged, OutputError
from stargazer.ledger.record import check_plain, map_assets, walk_assets
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stargazer.assets import Asset
    from stargazer.store import Store
    from stargazer.tools import Workdir

__all__ = ["Aside", "Outputs"]

NO_PATH = cast("Path", None)


class Aside:
    """A store that takes the bytes of a result, and notes nothing of it: what differs can be looked at until `gc`.

    Parameters
    ----------
    store
        The store itself.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def save(self, draft: Asset, *, link: bool = True) -> Asset:
        """Take the bytes of what a task made."""
        return self._store.assets.take(draft, move=True, link=link)

    def put(self, asset: Asset) -> Asset:
        """An input that was passed on, perhaps with other facts: its bytes are there."""
        return self._store.assets.handle(asset)


class Outputs:
    """Checks and saves the result of one body.

    Parameters
    ----------
    task
        Name of the task, for messages.
    store
        Where to save it.
    work
        The work directory.
    staged
        The inputs as the body got them.
    copies
        Whether the body may write to its inputs.
    """

    def __init__(self, task: str, store: Store, work: Workdir, staged: Iterable[Asset], *, copies: bool) -> None:
        self.task, self.store, self.work, self.copies = task, store, work, copies
        self._staged = {str(member.path): member for asset in staged for member in members(asset)}

    @functools.cached_property
    def _work(self) -> str:
        return f"{self.work.path}{os.sep}"

    def save(self, made: Any) -> Any:
        """Return `made` with every draft stored; nothing is stored where one of them is wrong.

        Raises
        ------
        OutputError
            A draft has no file, or one elsewhere; or something in the result is no result.
        InputChanged
            An input is passed on that the body wrote to.
        """
        check_plain(made)
        ready = map_assets(made, self._ready)
        link = not _lie_apart(ready)
        return map_assets(ready, lambda asset: self._save(asset, link))

    def _save(self, asset: Asset, link: bool) -> Asset:
        if any(member.path is not None for member in members(asset)):
            return self.store.save(asset, link=link)
        return self.store.put(asset)

    def _ready(self, asset: Asset) -> Asset:
        """The asset as the store takes it: a draft with a path, or stored and without one; companions likewise."""
        if asset.cid is None and not asset.companions:
            self._check_place(asset)
            return asset
        companions = tuple(map(self._ready, asset.companions))
        if self._is_passed_on(asset):
            return replace(asset, path=NO_PATH, source=None, companions=companions)
        self._check_place(asset)
        return replace(asset, cid=None, source=None, companions=companions)

    def _is_passed_on(self, asset: Asset) -> bool:
        """Whether it is an input, perhaps with other facts. With another path it is a new file, whatever its CID."""
        if asset.cid is None or (asset.path is not None and str(asset.path) not in self._staged):
            return False
        if asset.path is None or self._staged[str(asset.path)].cid != asset.cid:
            if not self.store.exists(replace(asset, path=NO_PATH, companions=())):
                raise OutputError(f"{self.task} returned {asset!r}, but {self.store.url} has no such bytes")
            return asset.path is None
        return self._is_unchanged(asset)

    def _is_unchanged(self, asset: Asset) -> bool:
        if os.path.islink(asset.path) or self._holds(str(asset.cid), asset.path):
            return True
        if self.copies:
            return False
        raise InputChanged(
            f"{self.task} wrote to its input {asset.path.name} and returned it: write to work.file(…), "
            "or declare @sg.task(stage='copy')"
        )

    def _holds(self, cid: str, path: Path) -> bool:
        """Whether a staged file or directory still is what was staged."""
        if path.is_file():
            return path.is_symlink() or self.store.blobs.is_good(cid, str(path))
        files = {name: child for name, child in self.store.walk(cid) if child is not None}
        found = {str(each.relative_to(path)) for each in path.rglob("*") if not each.is_dir()}
        return found == files.keys() and all(self._holds(child, path / name) for name, child in files.items())

    def _check_place(self, draft: Asset) -> None:
        where = "which is not in its work directory; write it to work.file(…), or copy it there"
        if draft.path is None or not str(draft.path).startswith(self._work):
            raise OutputError(f"{self.task} returned {draft!r}, {where}")
        try:
            found = os.lstat(draft.path)
        except (OSError, ValueError):  # no name has a NUL byte in it
            raise OutputError(f"{self.task} returned {draft!r}, but wrote no file {draft.path.name}") from None
        if stat.S_ISREG(found.st_mode) and os.path.dirname(draft.path) == self._work[:-1]:
            return
        place = os.path.realpath(draft.path)
        if not os.path.exists(place):
            raise OutputError(f"{self.task} returned {draft!r}, a link to {place}, which does not exist")
        if not self._is_inside(place):
            raise OutputError(f"{self.task} returned {draft!r}, a link to {place}, {where}")
        if os.path.isdir(place):
            self._check_links(draft, place)

    def _is_inside(self, place: str) -> bool:
        return place.startswith((self._work, f"{os.path.realpath(self.store.blobs.root)}{os.sep}"))

    def _check_links(self, draft: Asset, directory: str) -> None:
        """What a link in a directory leads to is kept with it: it must be the body's own, or an input."""
        todo = [directory]
        while todo:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        self._check_link(draft, entry.path)
                    elif entry.is_dir():
                        todo.append(entry.path)

    def _check_link(self, draft: Asset, path: str) -> None:
        place, name = os.path.realpath(path), os.path.relpath(path, self._work)
        if not os.path.exists(place):
            raise OutputError(
                f"{self.task} returned {draft!r}, in which {name} is a link to {place}, which does not exist"
            )
        if not self._is_inside(place):
            raise OutputError(
                f"{self.task} returned {draft!r}, in which {name} is a link to {place}, outside of its work directory; "
                "copy what it needs of it there"
            )


def _lie_apart(ready: Any) -> bool:
    """Whether no path of a result leads to the file of another: then no links are needed where files lay."""
    paths = [each.path for asset in walk_assets(ready) for each in members(asset) if each.path is not None]
    try:
        found = [os.lstat(path) for path in paths]
    except OSError:
        return False
    return all(stat.S_ISREG(each.st_mode) for each in found) and len({each.st_ino for each in found}) == len(found)
