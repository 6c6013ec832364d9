"""Modes of files are not kept: what is setuid or runs elsewhere is read-only bytes here."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import CIDError, StargazerError


@sg.task
def odd(work: sg.Workdir, *, mode: int) -> sg.Asset:
    out = work.file("out")
    out.write_bytes(b"#!/bin/sh\n")
    out.chmod(mode)
    return sg.Asset(path=out)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6777, 0o1777, 0o777])
def test_nothing_in_a_store_is_setuid_or_runs(store: sg.Store, tmp_path: Path, mode: int) -> None:
    added = tmp_path / "x"
    added.write_bytes(b"#!/bin/sh\ntrue\n")
    added.chmod(mode)
    for asset in (sg.add(added), odd(mode=mode).compute()):
        found = stat.S_IMODE(os.stat(asset.fetch()).st_mode)
        assert not found & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | 0o022 | 0o111), oct(found)


def test_an_added_file_does_not_change_with_its_hard_link(store: sg.Store, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("as added")
    os.link(first, second)
    asset = sg.add(first)
    second.write_text("changed")
    assert asset.fetch().read_text() == "as added"


@pytest.mark.parametrize("to", ["/etc/passwd", "../../outside", "missing"])
def test_a_folder_with_links_is_refused(store: sg.Store, tmp_path: Path, to: str) -> None:
    (tmp_path / "outside").write_text("private")
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(to)
    with pytest.raises(CIDError, match="symbolic link"):
        sg.add(folder)


@pytest.mark.parametrize("kind", ["fifo", "device", "socket"])
def test_what_is_no_file_is_refused_at_once(
    store: sg.Store, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "odd"
    if kind == "fifo":
        os.mkfifo(path)
    path = Path("/dev/zero") if kind == "device" else path
    if kind == "socket":
        import socket

        monkeypatch.chdir(tmp_path)
        socket.socket(socket.AF_UNIX).bind("odd")
    with pytest.raises(StargazerError):
        sg.add(path)
