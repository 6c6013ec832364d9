"""Inner nodes of what a store has, so that a check can say which part of a file or directory differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.errors import StargazerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.store import Store

__all__ = ["nodes_of"]


def nodes_of(url: str | None) -> Callable[[str], bytes]:
    """Return what gives nodes of files and directories by CID, as far as a store has them; it is opened when asked.

    Parameters
    ----------
    url
        The store; None for the configured one, which may be out of reach.
    """
    nodes: dict[str, bytes] = {}

    def load(cid: str) -> bytes:
        if cid not in nodes:
            nodes.update(_nodes(url, cid))
        return nodes[cid]

    return load


def _nodes(url: str | None, cid: str) -> dict[str, bytes]:
    from stargazer.cli.options import open_store

    try:
        return _nodes_in(open_store(url), cid)
    except (StargazerError, OSError):
        if url is not None:
            raise
        return {}


def _nodes_in(store: Store, cid: str) -> dict[str, bytes]:
    """The nodes of a directory, or those of a file, which a store does not keep but can make again."""
    from stargazer.cid import file_node

    block = store.node(cid)
    if block is not None:
        return {cid: block}
    found: dict[str, bytes] = {}
    if store.size(cid) is not None:
        file_node(store.blobs.path(cid), store.profile, keep=found.__setitem__)
    return found
