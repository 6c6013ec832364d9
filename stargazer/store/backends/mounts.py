"""What file systems this host has mounted, and which of them other machines have too."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["is_on_network"]


def is_on_network(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies, or would lie, on a file system that other machines share."""
    place = os.path.realpath(path)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    return _kind_of(place).partition(".")[0] in NETWORK or _kind_of(place) in NETWORK


@functools.cache
def _kind_of(place: str) -> str:
    """Kind of the file system that a directory lies on; empty where the system does not say."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            found = dict(_mounts(mounts))
    except OSError:
        return ""
    while place not in found and place != "/":
        place = os.path.dirname(place)
    return found.get(place, "")


def _mounts(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield where each file system is mounted, and its kind; of several in one place the last is the one to be seen."""
    for line in lines:
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4]
        for code in ("040", "011", "012", "134"):
            place = place.replace(f"\\{code}", chr(int(code, 8)))
        yield place, after.split(" ")[0]


NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "glusterfs", "9p", "ncpfs",
    "panfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "virtiofs", "weka", "wekafs", "fuse.sshfs", "fuse.glusterfs",
    "fuse.ceph",
})  # fmt: skip
"""Kinds of file systems that several machines have mounted, as Linux calls them."""
