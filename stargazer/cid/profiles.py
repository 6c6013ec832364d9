"""CID profiles: the parameters that decide which CID a file or a directory gets."""

from __future__ import annotations

from stargazer.cid.values import Value
from stargazer.errors import CIDError

__all__ = ["KUBO", "PROFILES", "UNIXFS_2025", "Profile", "profile"]


class Profile(Value):
    """How bytes are cut into chunks, and chunks and names put together to a tree.

    Leaves are raw and CIDs are version 1 in every profile.

    Parameters
    ----------
    name
        The profile's public name.
    chunk
        Size of a leaf, in bytes.
    max_links
        Most children of an inner node of a file.
    hamt_estimate
        How the size of a directory is estimated: ``"links"``, names and binary CIDs; ``"block"``, the serialised node.
    hamt_threshold
        Estimated size above which a directory is sharded, in bytes.

    Notes
    -----
    Source: IPIP-0499, https://github.com/ipfs/specs/pull/499, and Kubo's ``ipfs config profile``.
    """

    __match_args__ = ("name", "chunk", "max_links", "hamt_estimate", "hamt_threshold")
    __slots__ = __match_args__
    name: str
    chunk: int
    max_links: int
    hamt_estimate: str
    hamt_threshold: int

    def __init__(self, name: str, chunk: int, max_links: int, hamt_estimate: str, hamt_threshold: int) -> None:
        self._set(name, chunk, max_links, hamt_estimate, hamt_threshold)


KUBO = Profile("kubo-v1-256k-174", 256 * 1024, 174, "links", 256 * 1024)
UNIXFS_2025 = Profile("unixfs-v1-2025", 1024 * 1024, 1024, "block", 256 * 1024)
PROFILES = (KUBO, UNIXFS_2025)


def profile(name: str) -> Profile:
    """Find a profile by its name.

    Parameters
    ----------
    name
        ``"kubo-v1-256k-174"`` or ``"unixfs-v1-2025"``.

    Returns
    -------
    Profile
        The profile of that name.

    Raises
    ------
    CIDError
        If there is none; the message lists those there are.
    """
    for known in PROFILES:
        if known.name == name:
            return known
    raise CIDError(f"no CID profile is called {name!r}; there are {', '.join(p.name for p in PROFILES)}")
