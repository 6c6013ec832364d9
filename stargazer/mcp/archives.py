"""A directory as one stream of bytes: a tar of plain files and folders, of which nothing is believed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from stargazer.errors import DataError
from stargazer.executors.tars import DAMAGED, opened_tar
from stargazer.service.folders import write_member

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

__all__ = ["unpack"]

MOST_FILES = 1_000_000
LONGEST_PATH = 1024


def unpack(archive: Path, folder: Path, largest: int) -> Path:
    """Unpack a directory that was sent as a tar, compressed or not, and return the one folder that it is.

    Owners, modes, times and what is neither a file nor a folder are not taken over: links and devices are refused.

    Parameters
    ----------
    archive
        The tar, as ``tar -c DIR`` makes it.
    folder
        Where to; it is made.
    largest
        Bytes that all files may have together.

    Raises
    ------
    DataError
        It is no tar, holds what is no file, a path that leads out of it, more than it may, or is not one directory.
    """
    folder.mkdir()
    left = largest
    try:
        with opened_tar(archive, packed=True) as opened:
            for number, (info, path) in enumerate(_members(opened)):
                left -= info.size
                if left < 0 or number >= MOST_FILES:
                    raise DataError(f"a directory may have {largest:,} bytes and {MOST_FILES:,} files at most")
                write_member(opened, info, folder / path)
    except DAMAGED as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"it is no tar that can be read ({type(error).__name__}); make it with: tar -c DIR") from None
    return _only_folder(folder)


def _members(opened: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    for info in opened:
        path = PurePosixPath(info.name)
        if not (info.isreg() or info.isdir()):
            raise DataError(f"{info.name[:80]!r} is neither a file nor a folder; links and devices are not taken")
        if path.is_absolute() or ".." in path.parts or "\0" in info.name or len(info.name) > LONGEST_PATH:
            raise DataError(f"{info.name[:80]!r} is no path within the directory")
        if path.parts:
            yield info, path


def _only_folder(folder: Path) -> Path:
    """The one folder in it; files at the top are a directory themselves, as ``tar -C DIR -c .`` makes it."""
    found = list(folder.iterdir())
    if not found:
        raise DataError("the tar is empty")
    return found[0] if len(found) == 1 and found[0].is_dir() else folder
