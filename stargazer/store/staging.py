"""Inputs of a task, laid out under their real names: a clone, a link to the read-only blob, or a copy."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.assets import Asset, placed
from stargazer.errors import AssetError, BlobLost, InputChanged, NotFound
from stargazer.store.assets import members
from stargazer.store.backends.local import as_store_error
from stargazer.store.blobs.local import lay_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.store.blobs.base import Blobs
    from stargazer.store.blobs.verified import Signature
    from stargazer.store.context import StoreContext
    from stargazer.store.directories import Directories

__all__ = ["Staging", "members"]

COPIED = 4096
"""Files of at most one block are copied for a call: a link to a CID takes a block too, and guards the blob less."""


class Staging:
    """Gives the files of a store their names back.

    Parameters
    ----------
    context
        Of the store.
    blobs, dirs
        Its files, and its directories of them.
    """

    def __init__(self, context: StoreContext, blobs: Blobs, dirs: Directories) -> None:
        self.context, self.blobs, self.dirs = context, blobs, dirs

    def stage(
        self,
        asset: Asset,
        directory: str | os.PathLike[str],
        *,
        copy: bool = False,
        seen: dict[str, Signature] | None = None,
    ) -> Asset:
        """Lay an asset and its companions out in a directory, checked.

        Parameters
        ----------
        asset
            A stored asset.
        directory
            Where to; made if need be. Two assets whose files have one name need two directories.
        copy
            Make private copies that a tool may write to, even where links would do.
        seen
            Takes up, by path, the state in which each file was found, for `Staging.check`.

        Returns
        -------
        Asset
            The same asset with `path` set, and its companions' too.

        Raises
        ------
        BlobLost
            Bytes are missing, or were corrupt and went to quarantine.
        AssetError
            Two of the files have the same name, or a name is no file name.
        """
        place = str(directory if isinstance(directory, Path) else Path(directory))
        if not os.path.isdir(place):  # the inputs of one call lie in one: it is made once, and looked for
            os.makedirs(place, exist_ok=True)
        cids = [self._cid(member) for member in members(asset)]
        folders = self.dirs.load_nodes(cids)
        self.blobs.prefetch(cid for cid in cids if cid not in folders)
        taken: dict[str, str] = {}
        if seen is not None:
            self._note_states(asset, place, folders, seen)
        return self._stage(asset, place, copy, taken, replacing=False)

    def _note_states(self, asset: Asset, directory: str, folders: set[str], seen: dict[str, Signature]) -> None:
        """Note the states of files after they were checked and before they are laid out."""
        for member in members(asset):
            cid, path = self._cid(member), f"{directory}/{file_name(member)}"
            files = (
                ((f"{path}/{name}", child) for name, child in self.dirs.walk(cid)) if cid in folders else [(path, cid)]
            )
            for where, child in files:
                if child is not None:
                    self.blobs.checked_file(child)
                    seen[where] = self.blobs.state(child)

    def _stage(self, asset: Asset, directory: str, copy: bool, taken: dict[str, str], replacing: bool) -> Asset:
        cid, name = self._cid(asset), file_name(asset)
        path = f"{directory}/{name}"
        if name not in taken:
            self._lay(cid, path, copy, replacing)
        if taken.setdefault(name, cid) != cid:
            raise AssetError(f"{name} is the name of two different files of {asset}: they cannot lie side by side")
        companions = tuple(self._stage(each, directory, copy, taken, replacing) for each in asset.companions)
        return placed(asset, Path(path), asset.source, companions)

    def _cid(self, asset: Asset) -> str:
        if asset.cid is None:
            raise NotFound(f"{asset} is a draft: save it first, then it can be fetched")
        return asset.cid

    def _lay(self, cid: str, path: str, copy: bool, replacing: bool) -> None:
        if not self.dirs.load_nodes([cid]):
            self._lay_file(cid, path, copy, replacing)
            return
        found = list(self.dirs.walk(cid))
        self.blobs.prefetch(child for _, child in found if child is not None)
        _make_folder(path)
        for name, child in found:
            if child is None:
                _make_folder(f"{path}/{name}")
            else:
                self._lay_file(child, f"{path}/{name}", copy, replacing)

    def _lay_file(self, cid: str, path: str, copy: bool, replacing: bool) -> None:
        source = self.blobs.checked_file(cid)
        try:
            lay(source, path, copy, replacing)
        except OSError as error:
            raise _told(error, path) from error
        if not copy:
            self.blobs.note_laid(path, cid)
        if replacing:
            self.blobs.lend(cid)

    def check(self, staged: Asset, seen: Mapping[str, Signature] | None = None) -> None:
        """Make sure that nobody wrote to the inputs of a call while it ran; a few stat calls a file.

        Parameters
        ----------
        staged
            As `stage` gave it.
        seen
            The states that `stage` found: what was written to meanwhile counts, though its bytes be right again.

        Raises
        ------
        InputChanged
            Somebody did. Harmed bytes went to quarantine.
        BlobLost
            Bytes are gone that were there when they were staged.
        """
        for member in members(staged):
            cid, path = self._cid(member), str(member.path)
            if not self.dirs.load_nodes([cid]):
                self._check(path, cid, seen)
                continue
            for name, child in self.dirs.walk(cid):
                if child is not None:
                    self._check(f"{path}/{name}", child, seen)

    def _check(self, path: str, cid: str, seen: Mapping[str, Signature] | None) -> None:
        try:
            self.blobs.check_unharmed(cid)
        except BlobLost as error:
            if error.reason == "missing":
                raise
            message = f"{path} was written to, but it is an input and may be read only"
            raise InputChanged(
                f"{message} (stage='copy' gives a tool its own copy): {cid} is {error.reason}"
            ) from error
        if seen and path in seen and self.blobs.state(cid) != seen[path]:
            message = f"{path} was written to or replaced while the call read it, and has its old bytes again"
            raise InputChanged(
                f"{message}: nobody can tell what was read; run it again, and find out who writes to {cid}"
            )

    def fetch(self, asset: Asset | str) -> Path:
        """Path of a stored file or directory on this host, under its name, companions beside it: `Store.fetch`."""
        found = Asset(cid=asset, name=asset) if isinstance(asset, str) else asset
        directory = self.context.cache / "fetched" / (asset if isinstance(asset, str) else found.id)
        directory.mkdir(parents=True, exist_ok=True)
        page = found.name.endswith((".html", ".htm"))  # browsers go by the name of what a link leads to
        with self.blobs.in_use():
            return self._stage(found, str(directory), page, {}, replacing=True).path


def _make_folder(path: str) -> None:
    try:
        Path(path).mkdir(exist_ok=True)
    except OSError as error:
        raise _told(error, path) from error


def _told(error: OSError, path: str) -> Exception:
    """Say what a person can do about an input file that could not be staged."""
    if error.errno != errno.ENAMETOOLONG:
        return as_store_error(error, path)
    return AssetError(f"{path[:200]}… has a name, or lies so deep, that no file of this disk can be called so")


def file_name(asset: Asset) -> str:
    """Name of an asset's file: its real one, or else its CID."""
    return plain_name(asset.name or str(asset.cid))


def plain_name(name: str) -> str:
    """`name`, if it is one and no path that leads elsewhere."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise AssetError(f"{name!r} cannot be the name of a file")
    return name


def lay(source: str, path: str, copy: bool, replacing: bool) -> None:
    """Lay a blob at a path, over what lies there only if `replacing`."""
    try:
        lay_file(source, path, copy=copy, copy_below=0 if replacing else COPIED)
    except FileExistsError:
        if _lies_there(source, path):
            return
        if not replacing:
            raise AssetError(f"{path} is there already: stage each asset into a directory of its own") from None
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
        lay_file(source, temporary, copy=copy)
        os.replace(temporary, path)


def _lies_there(source: str, path: str) -> bool:
    """Whether a link to a blob lies at a path, or a copy of it."""
    if os.path.islink(path):
        return os.readlink(path) == source
    small = os.path.isfile(path) and os.path.getsize(path) <= COPIED
    return small and Path(path).read_bytes() == Path(source).read_bytes()
