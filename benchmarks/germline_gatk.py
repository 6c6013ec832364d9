"""What does the GATK workflow cost, and what does it save? Beside the same tools in a shell script by hand.

The script starts GATK as GATK's own does; we start it with a class archive and, for steps of seconds, Java's first
compiler alone. It has no memory: a sample more, another filter or a kill means that it starts again.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import dask.config

from benchmarks.rounds import PROGRAMS, Ended, Ratio, Spent, compare, in_turns, process, temporary
from stargazer.bio.simulate import simulate_cohort
from stargazer.config import search_path
from stargazer.tools.install import find_gatk

__all__ = ["measure"]

SAMPLES = ("SIM1", "SIM2", "SIM3")
MORE = (*SAMPLES, "SIM4")
BESIDE = "the same tools in a shell script"
STARTED_AGAIN = "the shell script, from its start"
SMALL_STEPS, LONG_STEPS = 0.7, 1.05


def measure(*, quick: bool = False) -> list[Ratio]:
    """Compare whole runs: cold, again, with a sample more, with another filter, and after a kill.

    Parameters
    ----------
    quick
        A small genome and one round.
    """
    jar = find_gatk(search_path())
    if not jar.endswith(".jar"):
        raise RuntimeError("GATK is wanted as a jar: stargazer tools install gatk")
    with temporary() as directory, dask.config.set({"stargazer.gatk-jar": jar}):
        reads = directory / "reads"
        reads.mkdir()
        _make_reads(reads, length=12_000 if quick else 120_000)
        return list(_Runs(directory, reads, jar).ratios(1 if quick else 3))


def _make_reads(folder: Path, length: int) -> None:
    cohort = simulate_cohort(folder, samples=MORE, depth=30, length=length)
    for sample, lanes in cohort.reads.items():
        for mate, path in enumerate(lanes[0], 1):
            path.rename(folder / f"{sample}_R{mate}.fastq.gz")
    with cohort.truth.open() as lines, (folder / "known.vcf").open("w") as known:
        known.writelines(
            "\t".join(line.rstrip("\n").split("\t")[:8]) + "\n" if line[1] != "#" else line for line in lines
        )


class _Runs:
    """A new folder for each run, the same reads for all."""

    def __init__(self, directory: Path, reads: Path, jar: str) -> None:
        self.directory, self.reads, self.jar, self._serial = directory, reads, jar, itertools.count()

    def ratios(self, rounds: int) -> Iterator[Ratio]:
        found = in_turns({"ours": lambda: self.ours(self._new()), "shell": self.shell}, rounds, warm_up=False)
        ours, shell = found["ours"], [ended.spent for ended in found["shell"]]
        if _calls(ours[-1].printed["vcf"]) != _calls(found["shell"][-1].printed["vcf"]):
            raise RuntimeError("the workflow and the shell script do not call the same variants")
        yield _ratio("cold", BESIDE, [one.spent.wall for one in ours], [one.wall for one in shell], "s", LONG_STEPS)
        yield _ratio(
            "cold, CPU", BESIDE, [one.spent.cpu for one in ours], [one.cpu for one in shell], "CPU s", SMALL_STEPS
        )
        for case, spent in self._changes(rounds):
            yield _ratio(f"{case}, CPU", STARTED_AGAIN, [one.cpu for one in spent], [one.cpu for one in shell], "CPU s")

    def _changes(self, rounds: int) -> Iterator[tuple[str, list[Spent]]]:
        """What is left to be done after a change; each time in a store that holds the rest."""
        changed: dict[str, list[Ended]] = {"again": [], "a sample more": [], "another filter": [], "after a kill": []}
        total = 0
        for _ in range(rounds):
            folder = self._new()
            total = self.ours(folder).printed["tasks"]
            changed["again"].append(self.ours(folder))
            changed["another filter"].append(self.ours(folder, how="none"))
            changed["a sample more"].append(self.ours(folder, MORE))
            changed["after a kill"].append(self.killed(total))
        for case, ended in changed.items():
            ran = ended[-1].printed["tasks"]
            yield f"{case} ({ran} of {total + 6 * (case == 'a sample more')} tasks)", [one.spent for one in ended]

    def ours(self, folder: Path, samples: Sequence[str] = SAMPLES, how: str = "auto") -> Ended:
        return process(*self._program(samples, how), env=self._env(folder))

    def killed(self, total: int) -> Ended:
        """A run that is killed, with all its tools, when half of its tasks have ended; and what it takes to end it."""
        folder = self._new()
        command = [sys.executable, *map(str, self._program(SAMPLES, "auto"))]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        child = subprocess.Popen(command, env={**os.environ, **self._env(folder)}, **silent)  # type: ignore[call-overload]
        while child.poll() is None and len(list(folder.glob("store/records/*/*"))) < total // 2:
            time.sleep(0.05)
        if child.poll() is not None:
            raise RuntimeError("the run ended before it could be killed")
        child.send_signal(signal.SIGKILL)
        child.wait()
        return self.ours(folder)

    def shell(self) -> Ended:
        folder = self._new()
        cores = os.cpu_count() or 1
        command = ["bash", PROGRAMS / "germline_gatk.sh", self.jar, self.reads, folder, cores, *SAMPLES]
        start = time.perf_counter()
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(list(map(str, command)), stderr=log, stdout=log)
            _, status, usage = os.wait4(child.pid, 0)
        spent = Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(
                f"the shell script ended with {child.returncode}:\n{(folder / 'log').read_text()[-2000:]}"
            )
        return Ended(spent, {"vcf": str(folder / "cohort.vcf.gz")})

    def _program(self, samples: Sequence[str], how: str) -> list[str | Path]:
        return [PROGRAMS / "germline_gatk_stargazer.py", self.reads, how, *samples]

    def _env(self, folder: Path) -> dict[str, str]:
        return {"DASK_STARGAZER__STORE": f"{folder}/store", "DASK_STARGAZER__GATK_JAR": self.jar}

    def _new(self) -> Path:
        folder = self.directory / f"run{next(self._serial)}"
        folder.mkdir()
        return folder


def _calls(vcf: str) -> list[str]:
    """Records without INFO, where QD is jittered."""
    with gzip.open(vcf, "rt") as lines:
        fields = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    return ["\t".join([*one[:7], *one[8:]]) for one in fields]


def _ratio(
    case: str, beside: str, ours: list[float], theirs: list[float], unit: str, aim: float | None = None
) -> Ratio:
    return compare("germline_gatk", case, beside, ours, theirs, unit, aim=aim)


def main() -> None:
    """Print the measurements as JSON."""
    print(json.dumps([ratio.to_dict() for ratio in measure()], indent=2))


if __name__ == "__main__":
    main()
