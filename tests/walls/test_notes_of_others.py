"""Caches that several people share: what somebody else noted there is not believed, nor is what he built run."""

from __future__ import annotations

import marshal
import os
from pathlib import Path

import dask.config
import pytest

from stargazer.bounded import read_own
from stargazer.fingerprint import wide
from stargazer.tools import programs

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.mark.parametrize("kind", ["a pipe", "a link", "a folder", "a large one"])
def test_a_note_is_a_small_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "note"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link":
        (tmp_path / "other").write_text("x")
        path.symlink_to("other")
    elif kind == "a folder":
        path.mkdir()
    else:
        path.write_bytes(bytes(100))
    with pytest.raises(OSError):
        read_own(path, 10)
    (tmp_path / "own").write_bytes(b"mine")
    assert read_own(tmp_path / "own") == b"mine"


@needs_root
def test_a_digest_that_somebody_else_noted_is_not_believed(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(os.urandom(programs.KEPT_ON_DISK + 1))
    with dask.config.set({"stargazer.cache": str(tmp_path / "cache")}):
        true = programs.sha256_of(str(tool))
        (note,) = (tmp_path / "cache" / "digests").iterdir()
        note.write_text("f" * 64)
        programs._sha256.cache_clear()
        assert programs.sha256_of(str(tool)) == "f" * 64, "one's own note is believed"
        os.chown(note, NOBODY, NOBODY)
        programs._sha256.cache_clear()
        assert programs.sha256_of(str(tool)) == true


@needs_root
def test_what_somebody_else_noted_of_code_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dask.config.set({"stargazer.cache": str(tmp_path / "cache")}):
        place = wide._place("/some/folder")
        place.parent.mkdir(parents=True)
        place.write_bytes(marshal.dumps({"x.py": (1, 2)}))
        wide._kept.cache_clear()
        assert wide._kept("/some/folder") == {"x.py": (1, 2)}
        os.chown(place, NOBODY, NOBODY)
        wide._kept.cache_clear()
        assert wide._kept("/some/folder") == {}
        wide._kept.cache_clear()
