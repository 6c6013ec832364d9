"""What a worker may ask the home to look up or to write: only what its name proves to be right is written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from stargazer.errors import StoreError
from stargazer.store import layout
from stargazer.store.reading import is_node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.store import Store

__all__ = ["answer"]

READABLE = ("trees", "assets", "records", "keys")
WRITABLE = ("trees", "assets")


def answer(store: Store, do: str, values: Sequence[Any]) -> Any:
    """Do what a worker asked for, in the store that this process sees.

    Raises
    ------
    StoreError
        It is nothing that workers may ask for, or the bytes are not what their name says.
    """
    if do not in _ANSWERS:
        raise StoreError(f"a worker asked for {do!r}, which is done only where the store is")
    return _ANSWERS[do](store, *values)


def _read(store: Store, places: Sequence[str]) -> dict[str, bytes]:
    return store.backend.read_many([_allowed(place, READABLE) for place in places])


def _sizes(store: Store, places: Sequence[str]) -> list[int | None]:
    return [store.backend.size(_allowed(place, ("blobs", *READABLE))) for place in places]


def _has_all(store: Store, cids: Sequence[str]) -> bool:
    return store.has_all(cids)


def _records_behind(store: Store, keys: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    return store.records_behind(keys)


def _put(store: Store, contents: Mapping[str, bytes]) -> None:
    nodes: dict[str, bytes] = {}
    assets: dict[str, bytes] = {}
    for place, data in contents.items():
        kind, _, name = _allowed(place, WRITABLE).split("/")
        if not (is_node(data, name) if kind == "trees" else hashlib.sha256(data).hexdigest() == name):
            raise StoreError(f"what arrived as {place} is not what its name says: it was harmed on its way")
        (nodes if kind == "trees" else assets)[name] = data
    if nodes:
        store.put_nodes(nodes)
    if assets:
        store.put_assets(assets)


def _put_record(store: Store, identifier: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != identifier:
        raise StoreError(f"what arrived as record {identifier} is not what its name says: it was harmed on its way")
    store.put_record(data)


def _put_bytes(store: Store, data: bytes) -> str:
    return store.put_bytes(data)


def _lead(store: Store, keys: Sequence[str], identifier: str) -> None:
    if store.get_record(identifier) is None:
        raise StoreError(f"keys cannot lead to record {identifier}, which is not there")
    store.lead(keys, identifier)


def _allowed(place: str, kinds: tuple[str, ...]) -> str:
    """A place, if it is one of a kind that workers may use."""
    if place == layout.HEADER and kinds != WRITABLE:
        return place
    kind, _, rest = place.partition("/")
    name = rest.rpartition("/")[2]
    if kind not in kinds or _PLACES[kind](name) != place:
        raise StoreError(f"a worker asked for {place!r}, which is none of its affairs")
    return place


_PLACES = {
    "blobs": layout.blob,
    "trees": layout.tree,
    "assets": layout.asset,
    "records": layout.record,
    "keys": layout.key,
}
_ANSWERS: dict[str, Callable[..., Any]] = {
    "read": _read,
    "sizes": _sizes,
    "has_all": _has_all,
    "records_behind": _records_behind,
    "put": _put,
    "put_record": _put_record,
    "put_bytes": _put_bytes,
    "lead": _lead,
}
