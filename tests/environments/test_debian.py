"""A real system with a real tool: Debian with samtools, as debootstrap makes it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from systems import system_of

import stargazer as sg

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("store")]

SAM = "@HD\tVN:1.6\tSO:unsorted\n@SQ\tSN:c\tLN:100\nr1\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII\n"


@pytest.fixture(scope="session")
def debian(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian with samtools. In the short form there are only this machine's samtools and its libraries in it."""
    tool("bwrap")
    root = tmp_path_factory.mktemp("debian") / "root"
    if os.environ.get("STARGAZER_SHORT"):
        tool("samtools")
        return system_of(root, ("sh", "cat", "samtools"))
    tool("debootstrap")
    subprocess.run(["debootstrap", "--variant=minbase", "--include=samtools", "bookworm", root], check=True)
    return root


def test_samtools_of_another_system_counts_reads(debian: Path, tmp_path: Path) -> None:
    (tmp_path / "reads.sam").write_text(SAM)
    reads = sg.add(tmp_path / "reads.sam")

    @sg.task(container=f"dir:{debian}", tools=["samtools"])
    def counted(work: sg.Workdir, reads: sg.Asset) -> sg.Asset:
        out = work.file("count.txt")
        work.pipe(
            ["samtools", "view", "--no-PG", "-b", "-o", "-", reads.path],
            ["samtools", "view", "-c", "-"],
            stdout=out,
        )
        return sg.Asset(path=out)

    made = sg.run(counted(reads)).result()
    assert made.fetch().read_text() == "1\n"
    (tool,) = sg.trace(made).records[0].tools
    assert tool["name"] == f"container:dir:{debian}"
