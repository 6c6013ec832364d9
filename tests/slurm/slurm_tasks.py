"""Tasks that write down that they ran."""

from __future__ import annotations

import os

import stargazer as sg


@sg.task
def part(work: sg.Workdir, *, i: int, log: str, script: str = "true") -> sg.Asset:
    with open(log, "a") as file:
        file.write(f"{i} {os.environ.get('SLURM_JOB_ID', '')}\n")
    out = work.file(f"{i}.txt")
    work.run(["sh", "-c", f"{script}; echo {i}"], stdout=out)
    return sg.Asset(path=out)


@sg.task
def whole(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
    out = work.file("whole.txt")
    work.pipe(["cat", *(part.path for part in parts)], ["sort", "-n"], stdout=out)
    return sg.Asset(path=out)


@sg.task
def copied(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    out = work.file("copied.bin")
    work.run(["sh", "-c", 'cat "$0"; printf x', given.path], stdout=out)
    return sg.Asset(path=out)


@sg.task(walltime="1 h")
def endless(work: sg.Workdir) -> sg.Asset:
    raise NotImplementedError


@sg.task(cpus=1, memory="900 MiB")
def wide(work: sg.Workdir, *, i: int, log: str) -> sg.Asset:
    return noted(work, i, log, "sleep 8")


@sg.task(memory="500 MB")
def large(work: sg.Workdir, *, log: str, used: int) -> sg.Asset:
    return noted(work, 0, log, f"python3 -c 'x = bytearray({used}); import time; time.sleep(5)'")


def noted(work: sg.Workdir, i: int, log: str, script: str) -> sg.Asset:
    with open(log, "a") as file:
        file.write(f"{i} {os.environ.get('SLURM_JOB_ID', '')}\n")
    out = work.file(f"{i}.txt")
    work.run(["sh", "-c", f"{script}; echo {i}"], stdout=out)
    return sg.Asset(path=out)


def place(work: sg.Workdir, i: int) -> sg.Asset:
    """Write down the pool of the worker that runs this."""
    from distributed import get_worker

    out = work.file("place.txt")
    resources = get_worker().state.total_resources
    out.write_text(" " * i + "/" + next(name.partition(":")[2] for name in resources if name.startswith("pool:")))
    return sg.Asset(path=out)


@sg.task
def placed(work: sg.Workdir, *, i: int) -> sg.Asset:
    return place(work, i)


@sg.task(memory=lambda memory: int(memory * (1 << 30)) + 1, gpus=lambda gpus: gpus)
def of_size(work: sg.Workdir, *, i: int, memory: float = 0.0, gpus: int = 0) -> sg.Asset:
    return place(work, i)


@sg.task(memory=lambda given: (1 << 20) * given.size)
def sized(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    return place(work, 0)
