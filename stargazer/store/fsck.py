"""Checking a store: everything in it says what it should be, so everything can be checked."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import CIDError, StoreError, Unreadable
from stargazer.store import layout
from stargazer.store.assets import parse_asset
from stargazer.store.directories import links
from stargazer.store.index import asset_cids, marks
from stargazer.store.layout import asset_members, is_asset, is_whole_record, read_json
from stargazer.store.names import NAMES, name_of, place_of, read_version
from stargazer.store.pins import LONGEST_LEASE, is_lease
from stargazer.store.records import key_value, unseal
from stargazer.store.shapes import torn_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stargazer.store.blobs.base import Blobs
    from stargazer.store.context import StoreContext
    from stargazer.store.directories import Directories
    from stargazer.store.folders import Entry

__all__ = ["Checked", "Checker"]


class Checked(NamedTuple):
    """What a check of a store found.

    Parameters
    ----------
    files, bytes
        How many files were hashed, and their bytes.
    corrupt
        CIDs of files and directory nodes that were not what their names say. They went to quarantine.
    torn
        Places of records, keys, names, pins and leases that cannot be read, of versions of names that are gone, and of
        what is no regular file. They went to quarantine, but for names, pins and the leases of a week, which only their
        owner can replace.
    unknown
        Asset records that this installation cannot read: a type changed, or a newer Stargazer wrote them.
    missing
        CIDs of which the bytes are gone, each with the ids of the assets that need them.
    strays
        Places of files that no part of a store is called.
    unreadable
        CIDs of files that are there and cannot be read now, as in an archive. They are as they were.
    """

    files: int
    bytes: int
    corrupt: tuple[str, ...]
    torn: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]
    strays: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is corrupt, torn or missing, and all could be read."""
        return not (self.corrupt or self.torn or self.missing or self.unreadable)


class Checker:
    """Checks all that is in a store.

    Parameters
    ----------
    context
        Of the store.
    blobs, dirs
        Its files, and its directories of them.
    """

    def __init__(self, context: StoreContext, blobs: Blobs, dirs: Directories) -> None:
        self.context, self.backend, self.blobs, self.dirs = context, context.backend, blobs, dirs

    def check(self, *, progress: Callable[[int], object] | None = None, yes_as_root: bool = False) -> Checked:
        """Hash every file and read every record; what is corrupt goes to quarantine, so that it is made anew.

        Parameters
        ----------
        progress
            Called with the number of bytes just checked.
        yes_as_root
            Root may put aside what is in a store that belongs to somebody else.

        Returns
        -------
        Checked
            What was found.

        Raises
        ------
        StoreError
            A folder of the store is a link, or somebody else's.
        """
        if self.context.made:
            self.backend.check_owners(yes_as_root=yes_as_root)
        odd = self._odd()
        strays: list[str] = []
        files, size, corrupt, unreadable = 0, 0, [], list[str]()
        for entry, name in self._named("blobs", strays):
            files, size = files + 1, size + entry.size
            try:
                if not self.blobs.recheck(name):
                    corrupt.append(name)
            except Unreadable:
                unreadable.append(name)
            if progress:
                progress(entry.size)
        corrupt += [name for entry, name in self._named("trees", strays) if self._torn_node(name)]
        shapes = list(torn_shapes(self.backend, strays))
        for place in shapes:
            self._put_aside(place)
        torn = [*odd, *shapes] + [
            entry.place
            for kind, is_complete in self._tests().items()
            for entry in self._torn(kind, is_complete, strays)
        ]
        missing, unknown = self._missing()
        torn += self._names(missing, strays)
        found = (tuple(corrupt), tuple(torn), tuple(unknown), missing, tuple(strays), tuple(unreadable))
        return Checked(files, size, *found)

    def _named(self, kind: str, strays: list[str]) -> Iterator[tuple[Entry, str]]:
        """Files of a kind with their names; those that lie where none belongs are noted."""
        for entry in self.backend.entries(kind):
            name = entry.place.rpartition("/")[2]
            record, _, mark = name.partition(".")
            known = mark in _MARKS[kind] if kind in _MARKS else _KEY.fullmatch(mark)
            if entry.place.count("/") == 2 and entry.place.split("/")[1] == record[-3:-1] and known:
                if not mark or kind not in _MARKS:
                    yield entry, name
            else:
                strays.append(entry.place)

    def _odd(self) -> list[str]:
        """Put aside what is neither a regular file nor a folder of these: links, pipes, devices, folders too deep."""
        kinds = (*layout.SHARDED, "signatures", NAMES, *layout.FLAT)
        odd = [place for kind in kinds for place in self.backend.odd(kind, flat=kind in layout.FLAT)]
        for place in odd:
            self._put_aside(place)
        return odd

    def _put_aside(self, place: str) -> None:
        """Move something to quarantine; where nothing can be written, or it is another user's, it is told of only."""
        with suppress(OSError):
            self.backend.move(place, layout.quarantine(place.rpartition("/")[2]))

    def _tests(self) -> dict[str, Callable[[str, bytes], bool]]:
        return _TESTS | {"keys": lambda _, data: key_value(self.backend, data) is not None}

    def _torn_node(self, cid: str) -> bool:
        block = self.dirs.node(cid)
        with suppress(CIDError):
            if block is not None:
                links(block)
                return False
        self._put_aside(layout.tree(cid))
        return True

    def _torn(self, kind: str, is_complete: Callable[[str, bytes], bool], strays: list[str]) -> Iterator[Entry]:
        if kind in ("pins", "leases"):
            entries = [(entry, entry.place.rpartition("/")[2]) for entry in self._flat(kind, strays)]
        else:
            entries = list(self._named(kind, strays))
        for entry, name in entries:
            data = self.backend.read(entry.place)
            if data is not None and not is_complete(name, data):
                lasts = kind == "pins" or (kind == "leases" and entry.changed + LONGEST_LEASE > time.time())
                if not lasts:
                    self._put_aside(entry.place)
                yield entry

    def _flat(self, kind: str, strays: list[str]) -> Iterator[Entry]:
        """Files of pins or leases; those with names that none may have are noted."""
        for entry in self.backend.entries(kind):
            try:
                layout.check_name(entry.place.removeprefix(f"{kind}/"))
            except StoreError:
                strays.append(entry.place)
            else:
                yield entry

    def _names(self, missing: dict[str, tuple[str, ...]], strays: list[str]) -> list[str]:
        """Places of versions that are torn or gone; what others need and is gone is noted. They stay where they are."""
        torn, there = list[str](), dict[str, set[int]]()
        for entry in self.backend.entries(NAMES):
            named = name_of(entry.place)
            if named is None:
                strays.append(entry.place)
                continue
            there.setdefault(named[0], set()).add(named[1])
            content = self.backend.read(entry.place)
            members = read_version(content) if content is not None else {}
            if members is None:
                torn.append(entry.place)
            for cid in asset_cids(members["asset"]) if members else ():
                if gone := [each for each in sorted(self.dirs.closure([cid])) if not self.dirs.has(each)]:
                    missing |= {each: (*missing.get(each, ()), f"{named[0]}@{named[1]}") for each in gone}
        gaps = {name: set(range(1, max(numbers))) - numbers for name, numbers in there.items()}
        return torn + [place_of(name, number) for name, lacking in gaps.items() for number in sorted(lacking)]

    def _missing(self) -> tuple[dict[str, tuple[str, ...]], list[str]]:
        """CIDs that assets need and that are gone; ids of the records that cannot be understood here."""
        there = {entry.place.rpartition("/")[2] for kind in ("blobs", "trees") for entry in self.backend.entries(kind)}
        missing: dict[str, list[str]] = {}
        unknown, lacking = [], {}
        lent = marks((entry.place.rpartition("/")[2] for entry in self.backend.entries("assets")), ".elsewhere")
        for entry, identifier in self._named("assets", []):
            data = self.backend.read(entry.place)
            if data is None:
                continue
            members = asset_members(data, identifier)
            if members is None:
                continue  # torn, and told of already
            if parse_asset(data, identifier) is None:
                unknown.append(identifier)
            for cid in asset_cids(members) if identifier not in lent else ():
                if cid not in lacking:
                    lacking[cid] = sorted(self.dirs.closure([cid]) - there)
                for gone in lacking[cid]:
                    missing.setdefault(gone, []).append(identifier)
        return {cid: tuple(ids) for cid, ids in missing.items()}, unknown


def _sealed(data: bytes, fits: Callable[[Any], bool]) -> bool:
    """Whether what is sealed is whole and of the form that belongs there."""
    content = unseal(data)
    try:
        return content is not None and fits(read_json(content))
    except ValueError:
        return False


_RECORD_MARKS = ("", "added", "superseded", "elsewhere")
_MARKS = {"blobs": ("",), "trees": ("",), "assets": _RECORD_MARKS, "records": ("",), "keys": ("",)}
_KEY = re.compile("[0-9a-f]{64}")
_TESTS: dict[str, Callable[[str, bytes], bool]] = {
    "assets": lambda name, data: asset_members(data, name) is not None,
    "records": lambda name, data: is_whole_record(data, name),
    "signatures": lambda _, data: unseal(data) is not None,
    "pins": lambda _, data: _sealed(data, lambda pinned: isinstance(pinned, list) and all(map(is_asset, pinned))),
    "leases": lambda _, data: _sealed(data, is_lease),
}
