"""Folders on their way in, as one file each: a tar, packed here and unpacked where the store is."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

from stargazer.errors import DataError
from stargazer.executors.tars import DAMAGED, opened_tar
from stargazer.executors.tasks import is_below

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["pack", "unpack", "write_member"]


def pack(folder: Path, place: Path) -> None:
    """Write the files and folders in a folder as a tar, whatever their owners, times and rights are.

    Raises
    ------
    DataError
        Something in it is neither, and no link to a file.
    """
    with tarfile.open(place, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            if path.is_dir() and not path.is_symlink():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif path.is_file():
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                raise DataError(f"{path} is neither a file nor a folder, or a link that leads to no file")


def unpack(tarball: Path, folder: Path, most: int) -> None:
    """Write what a tar holds into a folder that is made: plain files and folders, below it, and nothing else.

    Parameters
    ----------
    tarball
        From anybody.
    folder
        Where.
    most
        Entries that are taken.

    Raises
    ------
    DataError
        It is no tar, is cut off, or holds something else.
    """
    folder.mkdir()
    try:
        with opened_tar(tarball) as tar:
            for number, each in enumerate(tar):
                if number >= most or not is_below(each.name) or not (each.isreg() or each.isdir()):
                    told = f"at most {most:,} plain files and folders are taken"
                    raise DataError(f"{each.name!r:.200} is no part of a folder: {told}")
                write_member(tar, each, folder / each.name)
    except DAMAGED as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the folder was sent as a tar that cannot be read: {error}") from error


def write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Write a file or folder of a tar, whatever its owner, times and rights are; nothing that is there is replaced."""
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    opened = tar.extractfile(member)
    assert opened is not None
    with opened, place.open("xb") as file:
        shutil.copyfileobj(opened, file, 1 << 20)
