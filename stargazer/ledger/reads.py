"""What a body read beside its inputs: found out while it ran, and asked for at every later look-up.

A record holds names and what stood behind them: files by their path with their CID, folders (the path ends in ``/``)
with a digest of the names in them, folders that a program was given whole (``//``), variables of the environment
(``$NAME``) with a digest of their value, programs that no task declared (``!name``) with a digest of what runs under
that name, files that it wrote (``>path``) with their CID, what it may only have looked for (``?path``, ``??path`` with
its size); and what begins with ``@``: see `ALWAYS`, `UNTIL`, `LIBRARY` and `TOOL`. The record is an answer only while
all of that is as it was.

References
----------
https://ccache.dev/manual/latest.html#_the_direct_mode
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING

from stargazer import config
from stargazer.cid import cid_of_file
from stargazer.errors import CIDError, DefinitionError, ToolMissing
from stargazer.store.blobs.verified import Memo
from stargazer.tools import identify_tool, library_version
from stargazer.tools.programs import program_digest, signature_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALWAYS",
    "CHANGED",
    "LIBRARY",
    "LOOKED_FOR",
    "MISSING",
    "TOOL",
    "TREE",
    "UNSET",
    "UNTIL",
    "WROTE",
    "Present",
    "asks_much",
    "file_value",
    "folder_value",
    "looked_value",
    "read_name",
    "tool_value",
    "tree_value",
    "variable_value",
]

MISSING = "missing"
"""Stands for a file or folder that a body looked for, and that was not there."""

CHANGED = "changed while it was read"
"""Stands for what nobody can tell any more; nothing equals it, so its record is never an answer."""

TREE = "//"
"""How the name of a folder ends that was read with all that lies in it."""

UNSET = "unset"
"""Stands for a variable that was not set."""

ALWAYS = "@always"
"""Names what is another thing each time it is asked: the network. Its value is `CHANGED`."""

UNTIL = "@until"
"""Names the time up to which a result is good; its value are the seconds since 1970."""

LIBRARY = "@library "
"""How the name of an installed distribution begins; its value is the version."""

TOOL = "@tool "
"""How the name of a tool begins that a call declares which was wired; its value are version and digest."""

WROTE = ">"
"""How the name of a file begins that a body wrote where others read it: its result stands for that, too."""

LOOKED_FOR = "?"
"""How the name of a path begins of which code may ask whether it is there; twice, if it may ask for the size."""

_MEMO = Memo(lambda: config.cache_dir() / "reads")


MOST_TO_READ = 8 << 30
"""Bytes of a file that is read because a record names it, whoever wrote that."""


def asks_much(reads: Mapping[str, str]) -> bool:
    """Whether telling what stands behind some names runs programs, or reads what has no end.

    Whoever wrote a record chose the names, and they are asked for whenever its call is looked up.
    """
    return any(name.startswith(TOOL) or name.endswith(TREE) or _is_endless(name.lstrip(f"{WROTE}!")) for name in reads)


def _is_endless(path: str) -> bool:
    """Whether a file is larger than most, or none of a disk: its bytes are made while they are read.

    Also one that is named from the current folder (``../../proc/kcore``): it would be read as well.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    return found.st_size > MOST_TO_READ or _is_made_while_read(os.path.realpath(path))


def _is_made_while_read(place: str) -> bool:
    """In ``/dev/shm`` people keep files as on a disk."""
    return place.startswith(("/proc/", "/sys/", "/dev/")) and not place.startswith("/dev/shm/")


_WORDS = {ALWAYS: "what the network answers", UNTIL: "the time until which it is good"}


def read_name(name: str) -> str:
    """What a record names as read, in words."""
    if name in _WORDS:
        return _WORDS[name]
    if name.startswith((TOOL, LIBRARY)):
        return name[1:]
    kinds = {"$": "variable ", "!": "program "}
    return f"{kinds[name[0]]}{name[1:]}" if name[0] in kinds else name.lstrip(f"{WROTE}{LOOKED_FOR}")


class Present:
    """What stands behind names now; each is looked at once, for the records of one look-up name many alike."""

    def __init__(self) -> None:
        self._holds: dict[tuple[str, str], bool] = {}

    def holds(self, reads: Mapping[str, str]) -> bool:
        """Whether everything that was read is as it was."""
        return all(self._is(name, value) for name, value in reads.items())

    def differences(self, reads: Mapping[str, str]) -> list[str]:
        """Names of what is not as it was."""
        return [name for name, value in reads.items() if not self._is(name, value)]

    def _is(self, name: str, value: str) -> bool:
        known = self._holds.get((name, value))
        if known is None:
            known = self._holds[name, value] = value != CHANGED and present_value(name, value) == value
        return known


def present_value(name: str, expected: str = "") -> str:
    """Return what stands behind a name now.

    Parameters
    ----------
    name
        As in a record: a path, a folder, ``$NAME`` or ``!name``.
    expected
        A CID: a file that is known to have it is not read again.
    """
    if name == UNTIL:
        return expected if time.time() < _seconds(expected) else CHANGED
    if name.startswith(LIBRARY):
        return _version(name.removeprefix(LIBRARY))
    if name.startswith(TOOL):
        return tool_value(name.removeprefix(TOOL))
    if name.startswith(WROTE):
        return file_value(name.removeprefix(WROTE), expected)
    if name.startswith(LOOKED_FOR):
        return looked_value(name)
    if name.startswith("$"):
        return variable_value(name[1:])
    if name.startswith("!"):
        return program_digest(name[1:])
    if name.endswith(TREE):
        return tree_value(name.removesuffix(TREE))
    return folder_value(name) if name.endswith("/") else file_value(name, expected)


def _seconds(text: str) -> float:
    """A time; long ago, where it is none."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _version(distribution: str) -> str:
    try:
        return library_version(distribution)
    except ToolMissing:
        return MISSING


def tool_value(name: str) -> str:
    """Version and digest of a tool; `MISSING` where it is not installed, or no lock file says what it is."""
    try:
        found = identify_tool(name)
    except (ToolMissing, DefinitionError):
        return MISSING
    return f"{found.version} {found.digest}".strip()


def file_value(path: str, expected: str = "") -> str:
    """CID of a file; `MISSING` where there is none that can be read."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return f"no file, but of mode {stat.S_IFMT(found.st_mode):o}"
        if expected and _MEMO.knows(expected, found):
            return expected
        cid = cid_of_file(path)
    except (OSError, CIDError):
        return MISSING
    _MEMO.note(cid, found)
    return cid


def looked_value(name: str) -> str:
    """Return what is at a path: a file, with its size if that is asked for, a folder, or nothing."""
    try:
        found = os.stat(name.lstrip(LOOKED_FOR))
    except (OSError, ValueError):
        return MISSING
    if stat.S_ISDIR(found.st_mode):
        return "a folder"
    return f"a file of {found.st_size} bytes" if name.startswith(2 * LOOKED_FOR) else "a file"


def folder_value(path: str) -> str:
    """Digest of the names in a folder; `MISSING` where it cannot be listed."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return MISSING
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def tree_value(path: str) -> str:
    """Digest of all files in a folder, by what changes whenever they change: they may be too many to be read."""
    found = hashlib.sha256()
    for base, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            place = os.path.join(base, name)
            found.update(f"{place}\0{signature_of(place)}\0".encode("utf-8", "surrogateescape"))
    return found.hexdigest() if os.path.isdir(path) else MISSING


def variable_value(name: str) -> str:
    """Digest of a variable of the environment, which may be a secret; `UNSET` where there is none."""
    value = config.variable(name)
    return UNSET if value is None else hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
