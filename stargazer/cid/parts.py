"""Parts of files: which bytes lie in a node itself, and which below each of its links; with bounds on all of it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from stargazer.cid.cid import RAW, parse, text_of
from stargazer.cid.dagpb import FILE, Node, decode
from stargazer.errors import CIDError

__all__ = ["MOST_DEPTH", "MOST_LINKS", "Leaf", "Part", "inline_of", "is_raw", "node_of", "parts_of", "size_of"]

MOST_LINKS = 1 << 15
"""Links of one node; a block of 2 MiB could hold more, and no tool makes it."""
MOST_DEPTH = 32
"""Nodes above a leaf of one file: of balanced trees 16 would be beyond any file, trickling ones are deeper."""


_REMEMBERED = 16


class Part(NamedTuple):
    """A part of a file: the CID of its node, and which bytes of the file it has."""

    cid: str
    start: int
    size: int
    depth: int


class Leaf(NamedTuple):
    """Bytes of a file that lie in a node itself."""

    start: int
    data: bytes


def is_raw(cid: str) -> bool:
    """Whether a CID names bytes, not a node."""
    return cid.startswith("bafkrei") or (not cid.startswith("bafybei") and parse(cid).codec == RAW)


def inline_of(cid: str) -> bytes | None:
    """The block of a CID that holds it itself; None of one that holds a hash."""
    return None if cid.startswith(("bafkrei", "bafybei")) else parse(cid).inline


def node_of(cid: str, block: bytes) -> Node:
    """Decode a node.

    Raises
    ------
    CIDError
        It is none, or has more links than any tool makes.
    """
    node = _decoded(block)
    if len(node.links) > MOST_LINKS:
        raise CIDError(f"{cid} has {len(node.links)} links; a node has {MOST_LINKS} at most")
    return node


_decoded = lru_cache(_REMEMBERED)(decode)
"""Nodes are met again and again while a file is read; nobody changes them."""


def size_of(cid: str, block: bytes) -> int:
    """Length of the file of which this is the root, in bytes."""
    if is_raw(cid):
        return len(block)
    node = _file_node(cid, block)
    return len(node.data) + sum(node.blocksizes)


def parts_of(part: Part, block: bytes) -> tuple[Leaf, list[Part]]:
    """Bytes that lie in a node itself, and the parts that it links to.

    Raises
    ------
    CIDError
        It is no part of a file, is too deep, or has another length than the node above it says.
    """
    if is_raw(part.cid):
        _check_size(part, len(block))
        return Leaf(part.start, block), []
    node = _file_node(part.cid, block)
    _check_size(part, len(node.data) + sum(node.blocksizes))
    if part.depth >= MOST_DEPTH and node.links:
        raise CIDError(f"{part.cid} lies {part.depth} nodes deep in its file; {MOST_DEPTH} is the most")
    names = {cid: text_of(cid) for cid in {cid for cid, _, _ in node.links}}
    parts, at = [], part.start + len(node.data)
    for (cid, _, _), size in zip(node.links, node.blocksizes, strict=True):
        parts.append(Part(names[cid], at, size, part.depth + 1))
        at += size
    return Leaf(part.start, node.data), parts


def _file_node(cid: str, block: bytes) -> Node:
    node = node_of(cid, block)
    if node.kind not in (FILE, "raw"):
        raise CIDError(f"{cid} is a {node.kind}, not a file")
    if len(node.blocksizes) != len(node.links) or node.filesize not in (0, len(node.data) + sum(node.blocksizes)):
        raise CIDError(f"{cid} is malformed: the sizes of its parts do not add up")
    return node


def _check_size(part: Part, found: int) -> None:
    if part.size != found:
        raise CIDError(f"{part.cid} has {found} bytes where the node above it says {part.size}")
