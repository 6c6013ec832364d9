"""Sharded directories: a hash array mapped trie of names, as Kubo makes it.

Source: https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory and Austin Appleby's MurmurHash3 (public domain).
"""

from __future__ import annotations

from stargazer.cid.dagpb import Link, Node, encode, name_block, shard_data
from stargazer.errors import CIDError

__all__ = ["check_shard", "murmur3", "shard"]

FANOUT = 256
MURMUR3_X64_64 = 0x22

_MASK = 0xFFFFFFFFFFFFFFFF
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def murmur3(data: bytes) -> bytes:
    """Hash a name: the first half of MurmurHash3 x64 128, seed 0, big-endian.

    Parameters
    ----------
    data
        The name, UTF-8.

    Returns
    -------
    bytes
        Eight bytes: the name's place at each level of the trie.
    """
    h1 = h2 = 0
    whole = len(data) & ~15
    for at in range(0, whole, 16):
        h1 ^= _mix1(int.from_bytes(data[at : at + 8], "little"))
        h1 = (_rotate(h1, 27) + h2) * 5 + 0x52DCE729 & _MASK
        h2 ^= _mix2(int.from_bytes(data[at + 8 : at + 16], "little"))
        h2 = (_rotate(h2, 31) + h1) * 5 + 0x38495AB5 & _MASK
    h2 ^= _mix2(int.from_bytes(data[whole + 8 :], "little")) ^ len(data)
    h1 ^= _mix1(int.from_bytes(data[whole : whole + 8], "little")) ^ len(data)
    h1 = h1 + h2 & _MASK
    h2 = h1 + h2 & _MASK
    return (_finish(h1) + _finish(h2) & _MASK).to_bytes(8, "big")


def _rotate(x: int, by: int) -> int:
    return (x << by | x >> 64 - by) & _MASK


def _mix1(k: int) -> int:
    return _rotate(k * _C1 & _MASK, 31) * _C2 & _MASK


def _mix2(k: int) -> int:
    return _rotate(k * _C2 & _MASK, 33) * _C1 & _MASK


def _finish(k: int) -> int:
    k = (k ^ k >> 33) * 0xFF51AFD7ED558CCD & _MASK
    k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return k ^ k >> 33


def shard(links: list[Link], blocks: dict[bytes, bytes]) -> tuple[bytes, int]:
    """Make the shards of a directory.

    Parameters
    ----------
    links
        Binary CID, name and Tsize of each entry, in any order.
    blocks
        Where the serialised shards go, by their binary CIDs.

    Returns
    -------
    bytes, int
        Binary CID and Tsize of the root shard.
    """
    return _shard([(murmur3(link[1]), link) for link in links], 0, blocks)


def _shard(hashed: list[tuple[bytes, Link]], depth: int, blocks: dict[bytes, bytes]) -> tuple[bytes, int]:
    if depth == 8:
        raise CIDError(
            f"the names {[link[1].decode() for _, link in hashed[:2]]} have one hash: no directory can hold both"
        )
    slots: dict[int, list[tuple[bytes, Link]]] = {}
    for item in hashed:
        slots.setdefault(item[0][depth], []).append(item)
    links = [_slot(index, slots[index], depth, blocks) for index in sorted(slots)]
    block = encode(links, shard_data(sum(1 << index for index in slots)))
    cid = name_block(block)
    blocks[cid] = block
    return cid, len(block) + sum(size for _, _, size in links)


def _slot(index: int, hashed: list[tuple[bytes, Link]], depth: int, blocks: dict[bytes, bytes]) -> Link:
    prefix = b"%02X" % index
    if len(hashed) > 1:
        cid, size = _shard(hashed, depth + 1, blocks)
        return cid, prefix, size
    cid, name, size = hashed[0][1]
    return cid, prefix + name, size


def check_shard(node: Node) -> None:
    """Refuse a shard that `shard` would not make: another hash or fanout, or links that do not fit its bit field."""
    if node.hash_type != MURMUR3_X64_64 or node.fanout != FANOUT:
        raise CIDError(
            f"a directory shard has hash 0x{node.hash_type:x} and fanout {node.fanout}; "
            f"Stargazer reads murmur3-x64-64 (0x22) and {FANOUT}, as Kubo makes them"
        )
    field = int.from_bytes(node.data, "big")
    if [name[:2] for _, name, _ in node.links] != [b"%02X" % index for index in range(FANOUT) if field >> index & 1]:
        raise CIDError("a directory shard is malformed: its links are not those of its bit field")
