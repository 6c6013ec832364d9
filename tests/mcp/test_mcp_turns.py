"""Two servers of one machine, asked for the same thing at one moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import Cancelled
from stargazer.mcp.flights import Flights
from stargazer.mcp.turns import Waiting


def _task(folder: Path) -> Callable[[], sg.Call]:
    """A call that notes that it runs, and ends when it may."""
    log, gate = folder / "log", folder / "gate"

    @sg.task(version="1")
    def gated(work: sg.Workdir, *, n: int) -> sg.Asset:
        """Wait."""
        import time

        with log.open("a") as file:
            file.write("ran\n")
        while not gate.exists():
            time.sleep(0.01)
        out = work.file("out.txt")
        out.write_text(str(n))
        return sg.Asset(path=out)

    return lambda: gated(n=1)


def test_one_runs_it_and_the_other_waits_and_knows(store: sg.Store, tmp_path: Path) -> None:
    made = _task(tmp_path)
    first, second = Flights(store), Flights(store)
    one = first.start(made(), "gated")
    other = second.start(made(), "gated")
    assert isinstance(other.run, Waiting)
    assert "another server" in other.progress()[2]
    (tmp_path / "gate").touch()
    assert one.run.wait(60)
    assert other.run.wait(60)
    assert other.run.result().cid == one.run.result().cid
    assert (tmp_path / "log").read_text() == "ran\n"
    third = second.start(made(), "gated")
    assert third.run.wait(60)
    assert third.run.result().cid == one.run.result().cid
    assert (tmp_path / "log").read_text() == "ran\n"


def test_who_waits_can_be_cancelled_and_takes_over_when_the_first_one_ends(store: sg.Store, tmp_path: Path) -> None:
    made = _task(tmp_path)
    servers = [Flights(store) for _ in range(3)]
    one, other, last = (server.start(made(), "gated") for server in servers)
    other.run.cancel()
    assert other.run.wait(60)
    with pytest.raises(Cancelled):
        other.run.result()
    one.run.cancel()
    assert one.run.wait(60)
    assert not last.run.wait(0.3)
    (tmp_path / "gate").touch()
    assert last.run.wait(60)
    assert last.run.result().cid
