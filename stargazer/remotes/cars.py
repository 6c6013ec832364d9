"""CAR files: what a CID names as one file that any IPFS tool reads, and back into a store."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer.cid.unixfs import open_file
from stargazer.errors import DataError, NotFound, RemoteLacks
from stargazer.remotes.base import BlockRemote
from stargazer.remotes.blocks import RemoteWarning
from stargazer.remotes.car import MalformedCAR, car_header, car_section, locate_blocks
from stargazer.remotes.fetch import fetch_into
from stargazer.remotes.push import batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Self

    from stargazer.remotes.base import Progress
    from stargazer.store import Store

__all__ = ["CarFile", "export_car", "import_car"]

_PIECE = 1 << 20


def export_car(store: Store, cid: str, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Write everything below a CID to a CAR of version 1, blocks before those that link to them.

    Parameters
    ----------
    store
        Where it is.
    cid
        Of a file or directory.
    path
        The file; it appears when it is whole, over one that is there.
    progress
        Called with the number of bytes of files that were just written.

    Raises
    ------
    NotFound
        The store does not have it.
    """
    if not store.has(cid):
        raise NotFound(f"{store.url} does not have {cid}, of which a CAR was to be made")
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.urandom(5).hex()}")
    try:
        with unfinished.open("xb") as file:
            file.write(car_header(cid))
            for batch in batches(store, cid, lambda _: False):
                file.writelines(car_section(*block) for block in batch.blocks)
                if progress:
                    progress(batch.size)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def import_car(store: Store, path: str | os.PathLike[str], progress: Progress | None = None) -> list[str]:
    """Have what a CAR holds in a store, each block checked; the CIDs that it names as its roots.

    Parameters
    ----------
    store
        Where to.
    path
        A CAR of version 1 or 2.
    progress
        Called with the number of bytes that just came.

    Raises
    ------
    DataError
        It is no CAR, ends within a block, or names no root that we read.
    RemoteError
        A block that is needed is not in it, or is another one.
    """
    with CarFile(path) as car:
        if not car.roots:
            raise DataError(f"{path} names no root that is a file or directory: nothing of it can be kept by name")
        if car.others:
            told = f"{path} names {car.others} roots more that are neither files nor directories; these stay outside"
            warnings.warn(told, RemoteWarning, stacklevel=2)
        return [fetch_into(store, root, [car], progress) for root in dict.fromkeys(car.roots)]


class CarFile(BlockRemote):
    """A CAR on this host as a place from which blocks come; it is believed as little as any other.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    DataError
        It is no CAR, or ends within a block.
    CIDError
        It is no regular file.
    OSError
        It cannot be read.
    """

    kind = "CAR"
    offers = ("has", "fetch")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(os.path.basename(path), os.fspath(path))
        self._file: BinaryIO = os.fdopen(open_file(path)[0], "rb")  # closed by whoever opened it
        try:
            found = locate_blocks(iter(lambda: self._file.read(_PIECE), b""))
            self.roots, self.others = found.roots, found.others
            self._places: dict[str, tuple[int, int]] = {}
            for cid, start, size in found.places:
                self._places.setdefault(cid, (start, size))
        except MalformedCAR as error:
            self._file.close()
            raise DataError(f"{path}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has(self, cid: str) -> bool:
        """Whether it has a block of that CID."""
        return cid in self._places

    def block(self, cid: str) -> bytes:
        """A block, unchecked."""
        if cid not in self._places:
            raise RemoteLacks(f"{self.name} does not hold {cid}")
        start, size = self._places[cid]
        return os.pread(self._file.fileno(), size, start)

    def blocks(self, cid: str) -> Iterator[tuple[str, bytes]]:
        """Not offered: each block is found where it lies."""
        raise self._cannot("send blocks in another order")
