"""Tars that somebody else made, read so that no header of one fills the memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["DAMAGED", "LONGEST_HEADER", "BoundedReads", "opened_tar"]

LONGEST_HEADER = 16 << 20
"""Bytes of a tar that are asked for at once: names of ten thousand characters have fewer, contents come in pieces."""

DAMAGED = (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What reading a tar raises that is none, is cut off or is compressed wrongly."""


class BoundedReads:
    """A file of which nobody reads much at once: a header of a tar may say that its name has ten gigabytes.

    Parameters
    ----------
    file
        That can be sought in.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """So many bytes.

        Raises
        ------
        DataError
            These are more than anything honest needs.
        """
        if not 0 <= size <= LONGEST_HEADER:
            raise DataError(f"a header of the tar says that it has {size:,} bytes, more than {LONGEST_HEADER:,}")
        return self._file.read(size)


@contextlib.contextmanager
def opened_tar(path: Path, *, packed: bool = False) -> Iterator[tarfile.TarFile]:
    """A tar from anybody, of which only what is asked for comes into memory.

    Parameters
    ----------
    path
        The file.
    packed
        It may be compressed, by gzip, bzip2 or xz; where all members were read, so was its checksum at the end.

    Raises
    ------
    DataError
        A header has more bytes than anything honest needs, or much follows the end.
    """
    with path.open("rb") as plain:
        start = plain.read(6)
        plain.seek(0)
        unpacker = next((each for magic, each in _UNPACKERS.items() if packed and start.startswith(magic)), None)
        with (
            contextlib.nullcontext(plain) if unpacker is None else unpacker(plain) as file,
            tarfile.open(fileobj=cast("IO[bytes]", BoundedReads(file)), mode="r:") as tar,
        ):
            yield tar
            if unpacker is not None:
                _read_to_end(file)


def _read_to_end(file: BinaryIO) -> None:
    """Have the checksum behind the last byte compared, which a tar's own end comes before."""
    left = LONGEST_HEADER
    while data := file.read(1 << 20):
        left -= len(data)
        if left < 0:
            raise DataError(f"more than {LONGEST_HEADER:,} bytes follow the end of the tar")


_UNPACKERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
