"""What tools get, what screens get, what neighbours and workers reach."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.display.html import card, code, table
from stargazer.errors import StoreError
from stargazer.relay import server
from stargazer.store import Store, layout
from stargazer.tools import Workdir
from stargazer.visible import cell, visible

LOADED = {
    "OMP_TOOL_LIBRARIES": "/x.so",
    "OMP_TOOL": "enabled",
    "CUDA_INJECTION64_PATH": "/x.so",
    "NVIDIA_PRELOAD": "/x.so",
    "SLURM_SPANK_PLUGIN": "/x.so",
    "MKL_LIBRARY": "/x.so",
}


def test_variables_of_the_machine_that_load_code_do_not_come_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LOADED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_PLACES", "cores")
    (tmp_path / "work").mkdir()
    found = Workdir(tmp_path / "work").output(["env"])
    assert not [name for name in LOADED if f"{name}=" in found]
    assert "OMP_PLACES=cores" in found


EVIL = [
    "<script>alert(1)</script>",
    '"]; click a0 "javascript:alert(1)"',
    "%%{init: {'securityLevel': 'loose'}}%%",
    "</svg><img src=x onerror=alert(1)>",
    "a\nend\nsubgraph x",
    "&lt;b&gt; `x` $(touch x) {{7*7}}",
    "'><b onmouseover=alert(1)>",
    "\u202egpj.exe\u2066",
    "\x1b]8;;http://evil\x07click\x1b]8;;\x07",
    "#60;script#62;",
]


@pytest.mark.parametrize("text", EVIL)
def test_no_text_of_a_file_is_obeyed_by_a_page_or_a_drawing(store: Store, tmp_path: Path, text: str) -> None:
    from stargazer.tasks.html import bars, heading, lines, note, page_of
    from stargazer.tasks.html import table as page_table

    path = tmp_path / "in"
    path.write_text(text)
    asset = sg.add(path, sg.R1(sample_id=text, name=text.replace("/", "_")))
    lineage = sg.trace(asset)
    pages = [lineage._repr_html_(), asset._repr_html_(), card(text, code(text)), table([text], [[text]])]
    series = {text: [(0.0, 1.0), (1.0, 2.0)], "other": [(0.0, 1.0), (1.0, 3.0)]}
    pages += [lines(series, text, text), bars({text: 1.0, "o": 2.0}, text, text)]
    pages += [heading(text, text), note(text), page_table([{text: text}]), page_of(text, [text], [note(text)])]
    for page in pages:
        for tag in ("<script>alert", "<img", "<b onmouse", "\x1b", "\u202e", "\u2066"):
            assert tag not in page, page[-400:]
    first, *boxes = lineage.to_mermaid().splitlines()
    assert first == "flowchart TD"
    assert len(boxes) == 1
    assert boxes[0].count('"') == 2
    assert all(each.isprintable() for each in boxes[0])
    assert "\x1b" not in repr(lineage) + repr(asset)


@pytest.mark.parametrize("text", ["=1+1", "\t=1+1", "\r=1", " @SUM(1)", "\uff1dcmd", "-1+cmd|' /C calc'!A0", "+1e5x"])
def test_no_exported_cell_is_a_formula(text: str) -> None:
    shown = cell(text)
    assert shown[0] == "'" or shown.startswith(("\\t", "\\r"))
    assert shown.isprintable()


@pytest.mark.parametrize(
    "text", ["\ufeffx", "a\u200bb", "a\u00adb", "\U000e0041", "a\u2028b", "\x00", "a\x7f", "\ud800"]
)
def test_what_cannot_be_seen_is_shown(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(text) != text


class Line:
    """A worker at the other end of a line: what it says, and what it is told."""

    def __init__(self, *said: Any, silent: bool = False) -> None:
        self.said, self.silent, self.told = list(said), silent, list[Any]()
        self.gone = False

    async def read(self) -> Any:
        if self.said:
            return self.said.pop(0)
        if self.silent:
            await asyncio.sleep(3600)
        raise OSError("hung up")

    async def write(self, msg: Any) -> None:
        self.told.append(msg)

    def abort(self) -> None:
        self.gone = True

    def closed(self) -> bool:
        return self.gone


ODD = [
    {"do": "read", "with": [["../../etc/passwd"]]},
    {"do": "read", "with": [["pins/mine"]]},
    {"do": "changed", "with": ["blobs/../../x"]},
    {"do": "put", "with": [{"keys/aa/x": b""}]},
    {"do": "put_record", "with": ["a" * 64, b"{}"]},
    {"do": "lead", "with": [["a" * 64], "b" * 64]},
    {"do": "sign", "with": ["a" * 64]},
    {"do": "__class__", "with": []},
    {"do": ["read"], "with": []},
    {"do": "put_files", "with": [[["../../x", 5]]]},
    {"do": "get", "with": [["../../etc/passwd"]]},
    {"do": "has_all"},
    ["do"],
    None,
    7,
]


@pytest.mark.parametrize("asked", ODD, ids=str)
def test_a_worker_that_asks_for_anything_is_told_no_and_others_go_on(
    store: Store, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LINGER", 0.05)
    _ = store.context.header

    async def talk() -> list[Any]:
        home = server.RelayServer()
        line = Line(asked)
        await home.serve(line, store.url)
        good = Line({"do": "has_all", "with": [[]]})
        await home.serve(good, store.url)
        home.close()
        assert good.told[-1] == {"gave": True}
        return line.told

    told = asyncio.run(talk())
    assert "error" in told[-1]


def test_workers_that_were_stopped_in_the_midst_do_not_hold_up_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight stopped workers took all places for large transfers, for ever."""
    monkeypatch.setattr(server, "STALLED", 0.3)
    monkeypatch.setattr(server, "LINGER", 0.05)
    path = tmp_path / "big"
    path.write_bytes(os.urandom(5 << 20))
    cid = str(sg.add(path).cid)

    async def talk() -> None:
        home = server.RelayServer()
        stopped = [Line({"do": "get", "with": [[cid]]}, silent=True) for _ in range(server.STREAMS + 2)]
        talks = [asyncio.create_task(home.serve(line, store.url)) for line in stopped]
        await asyncio.sleep(0.1)
        good = Line({"do": "get", "with": [[cid]]}, *[{"more": True}] * 3, {"end": True})
        await asyncio.wait_for(home.serve(good, store.url), 60)
        assert good.told[-1] == {"end": True}
        await asyncio.gather(*talks)
        assert all(line.gone for line in stopped)
        home.close()

    asyncio.run(talk())


def test_a_flood_of_questions_is_answered(store: Store) -> None:
    _ = store.context.header

    async def talk() -> None:
        home = server.RelayServer()
        lines = [Line(*[{"do": "has_all", "with": [[]]}] * 5) for _ in range(300)]
        await asyncio.gather(*(home.serve(line, store.url) for line in lines))
        assert all(line.told.count({"gave": True}) == 5 for line in lines)
        home.close()

    asyncio.run(talk())


def test_a_place_that_no_worker_may_read_is_refused_before_the_disk_is_asked(store: Store) -> None:
    for place in ("store.json/..", "tmp/x", "quarantine/x", "records/aa/../../x", "signatures/aa/x", "blobs"):
        with pytest.raises(StoreError):
            server.answer(store, "changed", [place])
    assert server.answer(store, "changed", [layout.record("a" * 64)]) is None


STRANGER = """
import os, sys
from distributed import Client, LocalCluster
def ask():
    try:
        print('RUNS AS', Client(sys.argv[1], timeout=3, set_as_default=False).run(os.getuid))
    except Exception as error:
        print('REFUSED', type(error).__name__)
ask()  # what is imported late may lie where another user cannot read
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(os.getuid())
ask()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_runs_nothing() -> None:
    with sg.connect("local", workers=1) as client:
        address = client.scheduler.address
        for told in (address, address.replace("tls://", "tcp://"), next(iter(client.scheduler_info()["workers"]))):
            done = subprocess.run(
                [sys.executable, "-c", STRANGER, told], capture_output=True, text=True, check=False, timeout=120
            )
            assert "RUNS AS" not in done.stdout
            assert "65534\nREFUSED" in done.stdout, done.stderr[-300:]
        host, port = address.partition("//")[2].split(":")
        lines = [socket.create_connection((host, int(port))) for _ in range(200)]
        lines[0].sendall(b"GET / HTTP/1.0\r\n\r\n" + b"x" * 100_000)
        assert client.submit(sum, [1, 2], pure=False).result(timeout=60) == 3
        for line in lines:
            line.close()
