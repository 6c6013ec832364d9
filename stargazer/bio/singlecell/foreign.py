"""What a file of cells may not do that somebody else wrote: reach beyond itself, run code, grow without end.

HDF5 and zarr are formats of places as much as of data. An HDF5 file may say that its bytes lie in another file of
whoever reads it (external storage, external links, virtual datasets), or that a group holds itself; a zarr folder may
hold links, and may name a codec that runs what a chunk says. All of it is looked for, and refused by name, before
anything is read.

References
----------
HDF5 file format 3.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html (external file list, links,
virtual datasets); zarr v3, https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html
"""

from __future__ import annotations

import math
import os
import re
import stat
from typing import TYPE_CHECKING, Any

from stargazer.bounded import parse_json, read_text
from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_archive", "check_folder", "check_hdf5"]

MOST_OBJECTS = 200_000
"""Groups and arrays of a file; an analysed AnnData has some hundred."""

MOST_LEVELS = 64
"""Groups in groups."""

FREE_BYTES, MOST_EXPANSION = 1 << 30, 4000
"""Bytes that arrays may have however small the file is, and how much larger than the file they may be beyond."""

LARGEST_METADATA = 16 << 20

CODECS = frozenset(
    (
        *("blosc", "zstd", "zlib", "gzip", "bz2", "lzma", "lz4", "shuffle", "delta", "fixedscaleoffset", "quantize"),
        *("packbits", "astype", "categorize", "bitround", "crc32", "crc32c", "adler32", "fletcher32", "pcodec", "zfpy"),
        *("jenkins_lookup3", "vlen-utf8", "vlen-bytes", "vlen-array", "json2", "msgpack2", "bytes", "transpose"),
        *("sharding_indexed", "vlen_utf8", "vlen_bytes", "base64", "n5_wrapper"),
    )
)
"""Codecs of numcodecs and zarr that compute and no more; ``pickle`` runs what a chunk says."""

STEPS = ("codecs", "index_codecs", "filters", "compressor", "serializer", "compressors")
METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")

BLOB = re.compile(r"/blobs/(?P<shard>[a-z0-9]{2})/b[a-z2-7]{50,}$")
"""Where the files of a store lie; a tree that a store gave consists of links to them."""


def check_hdf5(file: Any, path: Path) -> None:
    """Refuse an HDF5 file that reaches beyond itself or claims more than it can hold.

    Parameters
    ----------
    file
        The open file.
    path
        For messages.

    Raises
    ------
    DataError
        Names the place in it, and what is there.
    """
    allowed = FREE_BYTES + MOST_EXPANSION * path.stat().st_size
    claimed = 0
    for place, element in _objects(file, path):
        if not hasattr(element, "shape"):
            continue
        _check_dataset(element, place, path)
        claimed += _bytes_of(element.shape, element.dtype.itemsize)
        if claimed > allowed:
            raise _too_large(path, place, claimed)


def _objects(file: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Every group and array with its place, each once; nothing is followed that leads elsewhere."""
    todo, seen = [("", file)], {_address(file)}
    while todo:
        above, group = todo.pop()
        for name in group:
            place = f"{above}/{name}"
            element = _member(group, name, place, path)
            address = _address(element)
            if address in seen and hasattr(element, "keys"):
                raise DataError(f"{path}: {place} is a group that stands elsewhere in the file too; copy what it holds")
            seen.add(address)
            yield place, element
            if hasattr(element, "keys"):
                todo.append((place, element))
            if len(seen) > MOST_OBJECTS or place.count("/") > MOST_LEVELS:
                raise DataError(f"{path} has more than {MOST_OBJECTS:,} members, or more than {MOST_LEVELS} levels")


def _member(group: Any, name: str, place: str, path: Path) -> Any:
    import h5py

    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise DataError(f"{path}: {place} is an external link to {link.filename!r}; give a file that holds its data")
    if isinstance(link, h5py.SoftLink):
        raise DataError(f"{path}: {place} is a soft link to {link.path!r}; give a file that holds its data there")
    return group[name]


def _address(element: Any) -> Any:
    import h5py

    found = h5py.h5o.get_info(element.id)
    return found.fileno, found.addr


def _check_dataset(dataset: Any, place: str, path: Path) -> None:
    if dataset.is_virtual:
        files = ", ".join(sorted({repr(source.file_name) for source in dataset.virtual_sources()})[:3])
        raise DataError(f"{path}: {place} is a virtual dataset of {files}; give a file that holds its data")
    if dataset.external:
        files = ", ".join(repr(name) for name, *_ in dataset.external[:3])
        raise DataError(f"{path}: the bytes of {place} lie outside, in {files}; give a file that holds its data")


def check_folder(path: Path) -> None:
    """Refuse a folder that reaches beyond itself, holds what is no file, or names codecs that run code.

    Parameters
    ----------
    path
        A zarr or a 10x folder. Links within it stand for what they point at, as do those to files of a store.

    Raises
    ------
    DataError
        Names the place in it, and what is there.
    """
    root, size, claimed = os.path.realpath(path), 0, 0
    for place, status in _files(root, path):
        size += status.st_size
        if os.path.basename(place) in METADATA:
            claimed += _claimed(path / place, place, path)
    if claimed > FREE_BYTES + MOST_EXPANSION * size:
        raise _too_large(path, "it", claimed)


def check_archive(archive: Any, path: Path) -> None:
    """Refuse a zip file whose members claim more than it can hold, are too many, or would lie elsewhere.

    Parameters
    ----------
    archive
        The open file.
    path
        For messages.

    Raises
    ------
    DataError
        Names the member, and what is wrong.
    """
    members = archive.infolist()
    if len(members) > MOST_OBJECTS:
        raise DataError(f"{path} has {len(members):,} members, more than {MOST_OBJECTS:,}")
    claimed = sum(member.file_size for member in members)
    if claimed > FREE_BYTES + MOST_EXPANSION * path.stat().st_size:
        raise _too_large(path, "it", claimed)
    for member in members:
        parts = member.filename.replace("\\", "/").split("/")
        if member.filename.startswith("/") or ".." in parts or stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{path}: {member.filename} is a link, or lies outside of it")


def _files(root: str, path: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, below, names in os.walk(root):
        for name in (*below, *names):
            there = os.path.join(folder, name)
            place = os.path.relpath(there, root)
            _check_inside(there, root, place, path)
            status = os.stat(there)
            if stat.S_ISREG(status.st_mode):
                yield place, status
            elif not stat.S_ISDIR(status.st_mode):
                raise DataError(f"{path}: {place} is no regular file")


def _check_inside(there: str, root: str, place: str, path: Path) -> None:
    if not os.path.islink(there):
        return
    target = os.path.realpath(there)
    if not os.path.exists(target) or not (target.startswith(f"{root}{os.sep}") or BLOB.search(target)):
        raise DataError(f"{path}: {place} is a link to {os.readlink(there)!r}, outside of the folder; copy what it is")


def _claimed(file: Path, place: str, path: Path) -> int:
    """Bytes of the arrays that metadata of zarr describe; their codecs are looked at."""
    told = parse_json(read_text(file, LARGEST_METADATA), f"{path}/{place}")
    return sum(_array_bytes(each) for each in _checked_parts(told, place, path))


def _checked_parts(told: Any, place: str, path: Path) -> Iterator[dict[str, Any]]:
    """Every mapping within metadata; consolidated ones hold those of all arrays below."""
    todo = [told]
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += part
        elif isinstance(part, dict):
            for step in STEPS:
                _check_codecs(part.get(step), place, path)
            yield part
            todo += [value for name, value in part.items() if name not in ("attributes", *STEPS)]


def _check_codecs(steps: Any, place: str, path: Path) -> None:
    for step in steps if isinstance(steps, list) else [steps]:
        if not isinstance(step, dict):
            continue
        name = str(step.get("id") or step.get("name") or "")
        if name.removeprefix("numcodecs.") not in CODECS:
            raise DataError(f"{path}: {place} names the codec {name!r}, which is none that is known to be harmless")
        inner: Any = step.get("configuration")
        for each in STEPS if isinstance(inner, dict) else ():
            _check_codecs(inner.get(each, None), place, path)


def _array_bytes(part: dict[str, Any]) -> int:
    shape = part.get("shape")
    if not isinstance(shape, list) or not all(isinstance(length, int) for length in shape):
        return 0
    kind = str(part.get("dtype") or part.get("data_type") or "")
    bits = re.search(r"(\d{1,3})$", kind)
    width = int(bits[1]) if bits else 8
    return _bytes_of(shape, width if "dtype" in part else max(width // 8, 1))


def _bytes_of(shape: Any, width: int) -> int:
    return math.prod(shape or ()) * max(width, 1)


def _too_large(path: Path, place: str, claimed: int) -> DataError:
    return DataError(
        f"{path} claims {claimed / 2**30:,.0f} GiB of arrays ({place}), far more than a file of its size holds: it is "
        "damaged, or made to fill the memory"
    )
