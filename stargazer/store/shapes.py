"""Nodes of files that no profile cuts as they are cut, beside their bytes, so that they can be checked and sent on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stargazer.errors import CIDError, StoreError
from stargazer.store import layout
from stargazer.store.layout import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.cid.shape import Shape
    from stargazer.store.backends.base import Backend

__all__ = ["fits_shape", "keep_shape", "orphaned_shapes", "shape_of", "torn_shapes"]


def shape_of(backend: Backend, cid: str) -> Shape | None:
    """The nodes of a file, or None where the store keeps none that can be read: a profile cuts it so."""
    if cid.startswith("bafkrei"):
        return None
    data = backend.read(layout.shape(cid))
    if data is None:
        return None
    from stargazer.cid.shape import Shape

    try:
        return Shape.from_bytes(data)
    except CIDError:
        return None


def keep_shape(backend: Backend, cid: str, shape: Shape) -> None:
    """Keep the nodes of a file, before its bytes.

    Raises
    ------
    StoreError
        There are more than a store reads at once: the file is cut into very many parts.
    """
    data = shape.to_bytes()
    if len(data) > LARGEST:
        raise StoreError(f"{cid} is cut into so many parts that its nodes alone have {len(data)} bytes: it is not kept")
    backend.create(layout.shape(cid), data)


def fits_shape(backend: Backend, cid: str, path: str) -> bool:
    """Whether a file's bytes are those of a CID of which the store keeps the nodes."""
    shape = shape_of(backend, cid)
    if shape is None:
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return shape.fits(cid, lambda start, size: os.pread(fd, size, start), os.fstat(fd).st_size)
    finally:
        os.close(fd)


def torn_shapes(backend: Backend, strays: list[str]) -> Iterator[str]:
    """Places of nodes that cannot be read; those that lie where none belong are noted."""
    for entry in backend.entries("shapes"):
        name = entry.place.rpartition("/")[2]
        try:
            belongs = entry.place == layout.shape(name)
        except StoreError:
            belongs = False
        if not belongs:
            strays.append(entry.place)
        elif backend.size(entry.place) is not None and shape_of(backend, name) is None:
            yield entry.place


def orphaned_shapes(backend: Backend, before: float) -> Iterator[str]:
    """Places of nodes of which nobody has touched the file since a time: it is gone."""
    for entry in backend.entries("shapes"):
        if entry.changed < before and backend.size(entry.place.replace("shapes/", "blobs/", 1)) is None:
            yield entry.place
