"""Tars that were made to fill memory, and such as are cut off: one clear error; honest ones in each form are read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.errors import DataError
from stargazer.executors.tars import LONGEST_HEADER
from stargazer.mcp.archives import unpack
from stargazer.service import folders

PACKED = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def honest() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (("d/a", b"a"), ("d/" + "x" * 150 + "é", b"long"), ("d/e/f", bytes(3 << 20))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize("form", PACKED)
def test_honest_ones_are_read_in_every_form(form: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(PACKED[form](honest()))
    made = unpack(tmp_path / "t", tmp_path / "out", 4 << 20)
    assert made.name == "d"
    assert (made / "e/f").read_bytes() == bytes(3 << 20)
    assert (made / ("x" * 150 + "é")).read_bytes() == b"long"


@pytest.mark.parametrize("form", PACKED)
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_is_longer_than_any_is_not_read(kind: bytes, form: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(PACKED[form](header(kind, LONGEST_HEADER + 1) + bytes(2048)))
    with pytest.raises(DataError, match="a header of the tar says"):
        unpack(tmp_path / "t", tmp_path / "out", 1 << 20)
    if form == "plain":
        with pytest.raises(DataError, match="a header of the tar says"):
            folders.unpack(tmp_path / "t", tmp_path / "other", 100)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize("spoil", [cut, flipped])
@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz"])
def test_one_that_was_damaged_is_an_error_of_ours(form: str, spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    noise = bytes(at * at % 251 for at in range(50_000))
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("d/noise")
        info.size = len(noise)
        tar.addfile(info, io.BytesIO(noise))
    (tmp_path / "t").write_bytes(spoil(PACKED[form](made.getvalue())))
    with pytest.raises(DataError, match="no tar that can be read"):
        unpack(tmp_path / "t", tmp_path / "out", 1 << 20)
