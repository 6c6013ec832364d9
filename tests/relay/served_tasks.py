"""Tasks that tell where they ran and what they found."""

from __future__ import annotations

import os
import random

import stargazer as sg


@sg.task
def noise(work: sg.Workdir, *, seed: int, size: int) -> sg.Asset:
    """A file, a companion beside it."""
    out, index = work.file(f"{seed}.bin"), work.file(f"{seed}.bin.idx")
    draw = random.Random(seed)
    with out.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(draw.randbytes(min(1 << 20, size - start)))
    index.write_text(f"index of {seed}")
    return sg.Asset(path=out, companions=(sg.Asset(path=index),))


@sg.task
def many(work: sg.Workdir, given: sg.Asset, *, count: int) -> sg.Asset:
    """A directory, of the beginning of a file."""
    out = work.file("many")
    (out / "deep").mkdir(parents=True)
    with given.path.open("rb") as file:
        for number in range(count):
            (out / "deep" / f"{number:03}").write_bytes(file.read(1000 + number))
    return sg.Asset(path=out)


@sg.task
def report(work: sg.Workdir, given: sg.Asset, folder: sg.Asset) -> sg.Asset:
    """What was found where."""
    out = work.file("report.txt")
    beside = given.path.with_name(given.name + ".idx").read_text()
    sizes = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    work.run(["wc", "-c", given.path], stdout=out)
    out.write_text(f"{int(out.read_text().split()[0])} {beside} {sizes}")
    return sg.Asset(path=out)


@sg.task
def where(work: sg.Workdir, given: sg.Asset, *, turn: int) -> str:
    """Where the input lies."""
    return f"{os.getpid()} {os.path.realpath(given.path)}"


@sg.task
def both(work: sg.Workdir, one: sg.Asset, other: sg.Asset, *, turn: int) -> int:
    """Bytes of two files."""
    return one.path.stat().st_size + other.path.stat().st_size


@sg.task
def turned(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    """Every byte another one."""
    out = work.file("turned.bin")
    table = bytes(range(255, -1, -1))
    with given.path.open("rb") as source, out.open("wb") as target:
        while block := source.read(1 << 20):
            target.write(block.translate(table))
    return sg.Asset(path=out)
