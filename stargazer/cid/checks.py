"""Verifying files and directories against a CID, and saying which part differs.

A CID alone names nothing but its root. Which bytes or names differ can be told where the nodes below it are known:
`load` gives them, from a store for instance. They also decide the case of a file that was cut into other chunks.
"""

from __future__ import annotations

import os
from hashlib import sha256
from posixpath import join

from stargazer.cid import dagpb
from stargazer.cid.cid import RAW, Value, format_cid, parse
from stargazer.cid.dagpb import file_links
from stargazer.cid.directory import is_directory, load_node, read_directory
from stargazer.cid.trees import Tree, cid_of_tree, is_tree
from stargazer.cid.unixfs import PROFILES, SPAN, cid_of_file, file_sha256, open_file
from stargazer.errors import CIDError, CIDMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.cid.directory import Load
    from stargazer.cid.trees import Symlinks
    from stargazer.cid.unixfs import CIDProfile, Progress, StrPath

__all__ = ["Check", "Comparison", "check", "differing_bytes", "verify"]


def verify(
    path: StrPath,
    cid: str,
    *,
    profile: CIDProfile | None = None,
    threads: int = 1,
    symlinks: Symlinks = "refuse",
    load: Load | None = None,
    progress: Progress | None = None,
) -> None:
    """Make sure that a file or directory is the one that a CID names.

    Parameters
    ----------
    path, cid, profile, threads, symlinks, load, progress
        As for `check`.

    Raises
    ------
    CIDMismatch
        If it is another; `parts` names what differs.
    CIDError, OSError
        As `check` does.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    result = check(path, cid, profile=profile, threads=threads, symlinks=symlinks, load=load, progress=progress)
    if not result.ok:
        raise CIDMismatch(result.reason, result.parts)


def check(
    path: StrPath,
    cid: str,
    *,
    profile: CIDProfile | None = None,
    threads: int = 1,
    symlinks: Symlinks = "refuse",
    load: Load | None = None,
    progress: Progress | None = None,
) -> Check:
    """Compare a file or directory with a CID and say which part differs.

    Parameters
    ----------
    path
        The file or directory.
    cid
        What it should be; version 0 is read too.
    profile
        The profile that the CID was made with; by default any that Stargazer knows.
    threads, symlinks, progress
        As for `cid_of_tree`; `progress` counts bytes read again, too.
    load
        Gives a dag-pb node below the CID by its own CID, and raises `LookupError` or `FileNotFoundError` if it does
        not have it. What it gives is checked.

    Returns
    -------
    Check
        Whether they agree, and what differs.

    Raises
    ------
    CIDError
        If the CID cannot be read, the path cannot be named, or a loaded node is corrupt.
    OSError
        If the path cannot be read.

    Notes
    -----
    Source: https://specs.ipfs.tech/unixfs/
    """
    profiles = (profile,) if profile else PROFILES
    comparison = Comparison(profiles, threads, symlinks, load, progress)
    return (
        comparison.tree(os.fsdecode(path), cid) if is_tree(path, symlinks) else comparison.file(os.fsdecode(path), cid)
    )


# Comparing what is on disk with what a CID names, as far down as its nodes are known.


WHOLE_FILE = "the whole file"
WHOLE_TREE = "the root directory"
NOT_A_DIRECTORY = "a file, not a directory"
NOT_A_FILE = "a directory, not a file"
SHOWN = 5


class Check(Value):
    """What comparing a path with a CID found.

    Parameters
    ----------
    expected
        The CID compared with, version 1.
    found
        The CID that the path has; `expected` if they agree.
    parts
        What differs, empty if they agree: ``bytes 0-262143`` of a file; ``b/c.bin: bytes 0-262143``, ``b/d: missing``
        or ``e: not in the expected tree`` in a directory; or the whole, where a CID alone tells no more.
    reason
        The same as a sentence, with what to do; empty if they agree.
    """

    __match_args__ = ("expected", "found", "parts", "reason")
    __slots__ = __match_args__
    expected: str
    found: str
    parts: tuple[str, ...]
    reason: str

    def __init__(self, expected: str, found: str, parts: tuple[str, ...] = (), reason: str = "") -> None:
        self._set(expected, found, parts, reason)

    @property
    def ok(self) -> bool:
        """Whether the path is what the CID names."""
        return not self.parts


class Comparison:
    """How to compare: profiles to try, threads, what to do with symlinks, and where nodes come from."""

    def __init__(
        self,
        profiles: tuple[CIDProfile, ...],
        threads: int,
        symlinks: Symlinks,
        load: Load | None,
        progress: Progress | None,
    ) -> None:
        self.profiles, self.threads, self.symlinks = profiles, threads, symlinks
        self.load, self.progress = _loading(load), progress

    def file(self, path: str, cid: str, found: str = "") -> Check:
        """Compare a file; `found` is its CID under the first profile, where it is known already."""
        name = parse(cid)
        if name.codec == RAW:
            return self._raw_file(path, name.text, found)
        found = found or self._file_cid(path, self.profiles[0])
        if found == name.text:
            return Check(name.text, found)
        if self._names_directory(name.text):
            return _differs(path, name.text, found, [NOT_A_DIRECTORY])
        parts = self._bytes(path, name.text)
        if parts is None and not any(self._file_cid(path, other) == name.text for other in self.profiles[1:]):
            return _differs(path, name.text, found, [WHOLE_FILE], self._only_root(path, name.version))
        return _differs(path, name.text, found, parts) if parts else Check(name.text, name.text)

    def _raw_file(self, path: str, cid: str, found: str) -> Check:
        """Compare a file with a CID that holds the SHA-256 of all its bytes, whatever its profile."""
        digest = file_sha256(path, self.progress)
        one_chunk = format_cid(RAW, digest)
        if digest == parse(cid).digest:
            return Check(cid, cid)
        size, first = os.stat(path).st_size, self.profiles[0]
        found = found or (one_chunk if size <= first.chunk else self._file_cid(path, first))
        chunk = max(profile.chunk for profile in self.profiles)
        why = f"that CID names one chunk of at most {chunk} bytes"
        why += f", and this file has {size}" if size > chunk else ", of which a CID tells no parts"
        return _differs(path, cid, found, [WHOLE_FILE], why)

    def _only_root(self, path: str, version: int) -> str:
        """Say what a dag-pb CID alone tells of a file that is another."""
        size, chunk = os.stat(path).st_size, min(profile.chunk for profile in self.profiles)
        if version == 0:
            return "a CID of version 0 is mostly made with leaves that Stargazer does not make: only its nodes can tell"
        if size <= chunk:
            return f"that CID names a directory or a file of more than {chunk} bytes, and this file has {size}"
        return "a CID alone does not tell where: compare with a store that has the expected file's nodes"

    def tree(self, path: str, cid: str) -> Check:
        """Compare a directory."""
        name = parse(cid)
        tree = self._tree(path, self.profiles[0])
        if tree.cid == name.text:
            return Check(name.text, tree.cid)
        parts = [NOT_A_FILE] if self._names_file(name.text) else self._names(path, name.text, tree)
        why = "a CID alone does not tell where: compare with a store that has the expected directory's nodes"
        if parts:
            return _differs(path, name.text, tree.cid, parts, why if parts == [WHOLE_TREE] else "")
        return Check(name.text, name.text)

    def _names(self, root: str, cid: str, tree: Tree) -> list[str]:
        """Walk the expected tree and the one on disk side by side, where they differ."""
        parts: list[str] = []
        waiting = [("", cid, tree.cid)]
        while waiting:
            below, wanted, found = waiting.pop()
            expected = self._entries(wanted)
            if expected is None:
                parts += self._unknown(root, below, wanted)
                continue
            actual = _entries(tree.blocks[found], tree.blocks.__getitem__)
            for name in sorted({*expected, *actual}, key=os.fsencode):
                full, one, other = join(below, name), expected.get(name), actual.get(name)
                if one and other and one != other and full not in tree.files and not self._names_file(one):
                    waiting.append((full, one, other))
                else:
                    parts += [f"{full}: {part}" for part in self._entry(root, full, one, other, full in tree.files)]
        return parts

    def _entry(self, root: str, full: str, expected: str | None, found: str | None, is_file: bool) -> list[str]:
        """Say what is wrong with a name, if anything is."""
        if expected == found:
            return []
        if expected is None or found is None:
            return ["missing" if expected else "not in the expected tree"]
        return list(self.file(os.path.join(root, full), expected, found).parts) if is_file else [NOT_A_FILE]

    def _unknown(self, root: str, below: str, cid: str) -> list[str]:
        """Compare a directory whose expected nodes are not known, with the other profiles."""
        path = os.path.join(root, below) if below else root
        if any(self._tree(path, other).cid == cid for other in self.profiles[1:]):
            return []
        return [f"{below}: somewhere in this directory" if below else WHOLE_TREE]

    def _known(self, cid: str) -> bytes | None:
        try:
            return load_node(cid, self.load) if parse(cid).codec != RAW else None
        except _Unknown:
            return None

    def _names_directory(self, cid: str) -> bool:
        block = self._known(cid)
        return block is not None and is_directory(block)

    def _names_file(self, cid: str) -> bool:
        block = self._known(cid)
        return parse(cid).codec == RAW or (block is not None and not is_directory(block))

    def _entries(self, cid: str) -> dict[str, str] | None:
        try:
            return _entries(load_node(cid, self.load), self.load)
        except _Unknown:
            return None

    def _bytes(self, path: str, cid: str) -> list[str] | None:
        """Say which bytes differ, or None if the nodes that would tell are not known."""
        try:
            return differing_bytes(path, cid, self.load)
        except _Unknown:
            return None

    def _file_cid(self, path: str, profile: CIDProfile) -> str:
        return cid_of_file(path, profile, self.threads, self.progress)

    def _tree(self, path: str, profile: CIDProfile) -> Tree:
        return cid_of_tree(path, profile, self.threads, self.symlinks, self.progress)


class _Unknown(Exception):
    """A node that the caller's `load` does not have."""


def _loading(load: Load | None) -> Load:
    def known(cid: str) -> bytes:
        try:
            if load:
                return load(cid)
        except (LookupError, FileNotFoundError):
            pass
        raise _Unknown(cid)

    return known


def _entries(block: bytes, load: Load) -> dict[str, str]:
    return {entry.name: entry.cid for entry in read_directory(block, load)}


def _differs(path: str, expected: str, found: str, parts: list[str], why: str = "") -> Check:
    shown = "; ".join(parts[:SHOWN]) + (f"; and {len(parts) - SHOWN} more" if len(parts) > SHOWN else "")
    return Check(expected, found, tuple(parts), f"{path!r} is {found}, not {expected}: {why or shown}")


# Finding which bytes of a file differ from those that a known file DAG names.


def differing_bytes(path: StrPath, cid: str, load: Load) -> list[str]:
    """Compare a file with the leaves that its CID stands for, whatever their sizes.

    Parameters
    ----------
    path
        The file.
    cid
        CID of the expected file, dag-pb.
    load
        Gives the inner nodes by CID; what it raises for one that it does not have is passed on.

    Returns
    -------
    list of str
        Ranges of bytes, ends included, as whole leaves; empty if the file is the expected one.
    """
    total = dagpb.decode(load_node(cid, load)).filesize
    ranges: list[tuple[int, int]] = []
    file, status = open_file(path)
    try:
        for start, size, digest in _leaves(cid, total, load):
            if start >= status.st_size:
                _extend(ranges, start, total)
                break
            if _sha256_of(file, start, size) != digest:
                _extend(ranges, start, start + size)
    finally:
        os.close(file)
    return [f"bytes {start}-{end - 1}" for start, end in ranges] + _length(status.st_size, total)


def _length(found: int, expected: int) -> list[str]:
    if found < expected:
        return [f"the file ends after {found} bytes, not {expected}"]
    return [f"bytes {expected}-{found - 1} beyond the expected end"] if found > expected else []


def _extend(ranges: list[tuple[int, int]], start: int, end: int) -> None:
    if ranges and ranges[-1][1] == start:
        start = ranges.pop()[0]
    ranges.append((start, end))


def _leaves(cid: str, size: int, load: Load) -> Iterator[tuple[int, int, bytes]]:
    """Yield offset, length and SHA-256 of each leaf, from left to right."""
    waiting, start = [(cid, size)], 0
    while waiting:
        cid, size = waiting.pop()
        name = parse(cid)
        if name.codec == RAW:
            yield start, size, name.digest
            start += size
            continue
        block = load_node(cid, load)
        node = dagpb.decode(block)
        if node.kind not in ("file", "raw") or node.filesize != size:
            raise CIDError(
                f"the node {cid} is a {node.kind} of {node.filesize} bytes; its parent says a file of {size}"
            )
        if node.data:
            yield start, len(node.data), sha256(node.data).digest()
            start += len(node.data)
        if node.links:
            waiting += reversed(file_links(block))


def _sha256_of(file: int, start: int, size: int) -> bytes:
    digest, end = sha256(), start + size
    while start < end and (part := os.pread(file, min(SPAN, end - start), start)):
        digest.update(part)
        start += len(part)
    return digest.digest()
