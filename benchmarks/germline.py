"""What do the books cost? The embedded germline workflow beside the same tools in a shell pipeline by hand."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pysam

from benchmarks.rounds import PROGRAMS, Ended, Ratio, Spent, compare, in_turns, process, temporary
from stargazer.bio.simulate import simulate_cohort

__all__ = ["measure"]

SAMPLES = ("SIM1", "SIM2", "SIM3")


class Size(NamedTuple):
    """A genome that is simulated: its name in cases, its bases, how many rounds, and the aim beside the script."""

    name: str
    length: int
    rounds: int
    aim: float


QUICK = Size("60 kb", 60_000, 1, 1.1)
FULL = (Size("240 kb", 240_000, 5, 1.05), Size("2 Mb", 2_000_000, 3, 1.0))


def measure(*, quick: bool = False) -> list[Ratio]:
    """Compare whole runs, cold and again.

    Parameters
    ----------
    quick
        A small genome and one round; else two genomes.
    """
    return [ratio for size in ((QUICK,) if quick else FULL) for ratio in _measured(size)]


def _measured(size: Size) -> list[Ratio]:
    with temporary() as directory:
        reads = directory / "reads"
        reads.mkdir()
        cohort = simulate_cohort(reads, samples=SAMPLES, depth=30, length=size.length)
        for sample, lanes in cohort.reads.items():
            for mate, path in enumerate(lanes[0], 1):
                path.rename(reads / f"{sample}_R{mate}.fastq.gz")
        return list(_Folders(directory, reads).ratios(size))


class _Folders:
    """A new folder for each run, the same reads for all."""

    def __init__(self, directory: Path, reads: Path) -> None:
        self.directory, self.reads, self._serial = directory, reads, itertools.count()

    def ratios(self, size: Size) -> Iterator[Ratio]:
        rounds, of = size.rounds, f"3 × {size.name}, "
        found = in_turns({"ours": self.ours, "shell": self.shell}, rounds)
        ours, shell = ([ended.spent for ended in found[name]] for name in ("ours", "shell"))
        calls = [_calls(ended.printed["vcf"]) for ended in (found["ours"][-1], found["shell"][-1])]
        if calls[0] != calls[1]:
            raise RuntimeError("the workflow and the shell pipeline do not call the same variants")
        beside = "the same tools in a shell script"
        yield _ratio(f"{of}cold", beside, [s.wall for s in ours], [s.wall for s in shell], "s", aim=size.aim)
        yield _ratio(f"{of}cold, CPU", beside, [s.cpu for s in ours], [s.cpu for s in shell], "CPU s", aim=size.aim)
        store = self._new()
        self._stargazer(store)
        again = [self._stargazer(store) for _ in range(rounds)]
        if any(ended.printed["tasks"] for ended in again):
            raise RuntimeError("the second run ran tasks")
        yield _ratio(f"{of}again", beside, [ended.spent.wall for ended in again], [s.wall for s in shell], "s")

    def ours(self) -> Ended:
        return self._stargazer(self._new())

    def shell(self) -> Ended:
        folder = self._new()
        shutil.copy(self.reads / "reference.fa", folder)
        command = ["bash", PROGRAMS / "germline.sh", sys.executable, "reference.fa", self.reads, folder, *SAMPLES]
        start = time.perf_counter()
        child = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        spent = Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"the shell pipeline ended with {child.returncode}")
        return Ended(spent, {"vcf": str(folder / "cohort.vcf.gz")})

    def _stargazer(self, folder: Path) -> Ended:
        env = {"DASK_STARGAZER__STORE": f"{folder}/store"}
        return process(PROGRAMS / "germline_stargazer.py", self.reads, *SAMPLES, env=env)

    def _new(self) -> Path:
        folder = self.directory / f"run{next(self._serial)}"
        folder.mkdir()
        return folder


def _calls(vcf: str) -> list[str]:
    with pysam.VariantFile(vcf) as file:
        return [str(record) for record in file]


def _ratio(case: str, beside: str, ours: list[float], theirs: list[float], unit: str, **options: float) -> Ratio:
    return compare("germline", case, beside, ours, theirs, unit, **options)


def main() -> None:
    """Print the measurements as JSON."""
    print(json.dumps([ratio.to_dict() for ratio in measure()], indent=2))


if __name__ == "__main__":
    main()
