"""Finding which bytes of a file differ from those that a known file DAG names."""

from __future__ import annotations

import os
from hashlib import sha256

from stargazer.cid import dagpb
from stargazer.cid.dagpb import file_links
from stargazer.cid.directories import load_node
from stargazer.cid.files import SPAN, open_file
from stargazer.cid.text import RAW, parse
from stargazer.errors import CIDError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.cid.directories import Load
    from stargazer.cid.files import StrPath

__all__ = ["differing_bytes"]


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
