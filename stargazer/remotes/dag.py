"""Walking files and directories block by block, with bounds on how wide and how deep they may be."""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import TYPE_CHECKING

from stargazer.cid import parse
from stargazer.cid.cid import RAW_PREFIX, binary, is_read, text_of
from stargazer.cid.dagpb import DIRECTORY, SHARD
from stargazer.cid.directory import check_shard, digit, first_digit, murmur3, width
from stargazer.cid.parts import Leaf, Part, is_raw, node_of, parts_of, size_of
from stargazer.errors import CIDError, NotFound
from stargazer.remotes.car import car_header, car_section, read_car

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.cid.dagpb import Node

    Get = Callable[[str], bytes]

__all__ = [
    "Leaf",
    "Part",
    "car_header",
    "car_section",
    "find",
    "following",
    "is_raw",
    "node_of",
    "parts_of",
    "read_car",
    "resolve",
    "size_of",
]


def resolve(path: str, get: Get) -> str:
    """CID of what lies at ``<cid>/x/y``, from as few blocks as lead there.

    Raises
    ------
    NotFound
        There is no such name.
    """
    cid, *names = [each for each in path.strip("/").split("/") if each]
    cid = parse(cid).text
    for name in names:
        found = None if is_raw(cid) else find(name, cid, get)
        if found is None:
            raise NotFound(f"there is no {name!r} in {cid}, on the way to {path}")
        cid = found
    return cid


def find(name: str, cid: str, get: Get) -> str | None:
    """CID of a name in a directory, or None; of one that is sharded only the shards on the way are read."""
    wanted = name.encode("utf-8", "surrogateescape")
    node = node_of(cid, get(cid))
    if node.kind == DIRECTORY:
        return next((text_of(link) for link, entry, _ in node.links if entry == wanted), None)
    if node.kind != SHARD:
        return None
    check_shard(node)
    hashed, depth = murmur3(wanted), first_digit(node)
    while (slot := digit(hashed, depth, node.fanout)) is not None:
        check_shard(node)
        wide = width(node)
        prefix = b"%0*X" % (wide, slot)
        link, entry = next(((link, entry) for link, entry, _ in node.links if entry[:wide] == prefix), (b"", b""))
        if len(entry) != wide:
            return text_of(link) if entry[wide:] == wanted and entry else None
        node, depth = node_of(text_of(link), get(text_of(link))), depth + 1
        if node.kind != SHARD:
            raise CIDError(f"a shard of {cid} leads to a {node.kind}, not a shard")
    return None


def following(node: Node, cid: str, most: int) -> list[str]:
    """CIDs of the nodes that follow one in a directory, so many at most; raw blocks and odd links are passed over."""
    here = binary(cid)
    after = dropwhile(lambda link: link not in (here, here[2:]), (link for link, _, _ in node.links))  # or as version 0
    nodes = (link for link in after if not link.startswith(RAW_PREFIX) and is_read(link))
    found = dict.fromkeys(islice(map(text_of, nodes), most + 1))
    return [each for each in found if each != cid][:most]
