"""Tasks as people write them, of every shape: the golden store holds what version 0.1.0 made of them.

The text of this file is part of what is tested: an edit renews keys. New shapes go below what is there.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import stargazer as sg

OFFSET = 1
WORDS = {"a": ("adenine", 1), "c": ("cytosine", 2)}
RECORD = re.compile(r"^>(\S+)", re.MULTILINE)


class Strand(enum.Enum):
    FORWARD = "+"
    REVERSE = "-"


@dataclass(frozen=True)
class Window:
    start: int
    end: int = 10
    name: str = ""


class Split(NamedTuple):
    head: sg.Asset
    tail: sg.Asset


class Summits(sg.Asset, key="golden_summits"):
    sample_id: str = ""
    count: int = 0
    scores: tuple[float, ...] = ()
    reads_cid: str = ""


class Counter:
    step = 2

    def __init__(self) -> None:
        self.seen = 0

    def add(self, text: str) -> None:
        self.seen += self.step * len(text)


def double(number: int) -> int:
    return 2 * number


def shifted(number: int, by: int = OFFSET) -> int:
    return double(number) + by


def written(work: sg.Workdir, name: str, text: str) -> sg.Asset:
    out = work.file(name)
    out.write_text(text, "utf-8")
    return sg.Asset(path=out)


@sg.task
def text(work: sg.Workdir, *, words: str) -> sg.Asset:
    """A body that reaches nothing."""
    out = work.file("text.txt")
    out.write_text(words, "utf-8")
    return sg.Asset(path=out)


@sg.task
def scalars(
    work: sg.Workdir, *, whole: int, real: float, flag: bool, nothing: str | None = None, far: float = 0.0
) -> sg.Asset:
    out = work.file("scalars.txt")
    out.write_text(f"{whole} {real!r} {flag} {nothing} {far!r}")
    return sg.Asset(path=out)


@sg.task
def containers(
    work: sg.Workdir, *, numbers: list[int], names: dict[str, float], deep: list[dict[str, int]]
) -> sg.Asset:
    out = work.file("containers.txt")
    out.write_text(f"{numbers} {names} {deep}")
    return sg.Asset(path=out)


@sg.task
def chosen(work: sg.Workdir, *, strand: Strand) -> sg.Asset:
    out = work.file("strand.txt")
    out.write_text(strand.value)
    return sg.Asset(path=out)


@sg.task
def windowed(work: sg.Workdir, *, window: Window) -> sg.Asset:
    out = work.file("window.txt")
    out.write_text(f"{window.name}:{window.start}-{window.end}")
    return sg.Asset(path=out)


@sg.task
def helped(work: sg.Workdir, *, number: int) -> sg.Asset:
    """A body with helpers, their defaults and a constant."""
    return written(work, "number.txt", str(shifted(number) + OFFSET))


@sg.task
def tabled(work: sg.Workdir, fasta: sg.Asset) -> sg.Asset:
    """A body with a table, a pattern and a library."""
    names = RECORD.findall(fasta.path.read_text())
    return written(work, "table.txt", f"{names} {WORDS['c'][1]} {math.sqrt(4)}")


@sg.task
def counted(work: sg.Workdir, reads: sg.Asset) -> int:
    """A body with a class; a plain value."""
    counter = Counter()
    counter.add(reads.path.read_text())
    return counter.seen


@sg.task
def measured(work: sg.Workdir, reads: sg.Asset) -> dict[str, float]:
    return {"length": float(len(reads.path.read_text())), "far": math.inf}


@sg.task
def repeated(work: sg.Workdir, *, times: int) -> sg.Asset:
    """A parameter that another call gives."""
    out = work.file("repeated.txt")
    out.write_text("x" * (times % 7))
    return sg.Asset(path=out)


@sg.task
def pair(work: sg.Workdir, whole: sg.Asset) -> tuple[sg.Asset, sg.Asset]:
    lines = whole.path.read_text().splitlines(keepends=True)
    head, tail = work.file("head.txt"), work.file("tail.txt")
    head.write_text(lines[0])
    tail.write_text("".join(lines[1:]))
    return sg.Asset(path=head), sg.Asset(path=tail)


@sg.task
def split(work: sg.Workdir, whole: sg.Asset) -> Split:
    lines = whole.path.read_text().splitlines(keepends=True)
    head, tail = work.file("head.txt"), work.file("tail.txt")
    head.write_text(lines[0])
    tail.write_text("".join(lines[1:]))
    return Split(sg.Asset(path=head), sg.Asset(path=tail))


@sg.task
def lines(work: sg.Workdir, whole: sg.Asset) -> list[sg.Asset]:
    made = []
    for number, line in enumerate(whole.path.read_text().splitlines()):
        out = work.file(f"line{number}.txt")
        out.write_text(line)
        made.append(sg.Asset(path=out))
    return made


@sg.task
def by_name(work: sg.Workdir, whole: sg.Asset) -> dict[str, sg.Asset]:
    made = {}
    for name in ("first", "second"):
        out = work.file(f"{name}.txt")
        out.write_text(name + whole.path.read_text()[:1])
        made[name] = sg.Asset(path=out)
    return made


@sg.task
def joined(
    work: sg.Workdir, first: sg.Asset, rest: list[sg.Asset], named: dict[str, sg.Asset], more: sg.Asset | None = None
) -> sg.Asset:
    """Inputs of every shape."""
    parts = [first, *rest, *named.values(), *([more] if more else [])]
    out = work.file("joined.txt")
    out.write_text("|".join(part.path.read_text() for part in parts))
    return sg.Asset(path=out)


@sg.task
def stripped(work: sg.Workdir, whole: sg.Asset, *, marks: str) -> sg.Asset:
    """Different parameters may give the same bytes: what follows is cut off."""
    out = work.file("stripped.txt")
    out.write_text(whole.path.read_text().rstrip(marks))
    return sg.Asset(path=out)


@sg.task
def upper(work: sg.Workdir, whole: sg.Asset) -> sg.Asset:
    out = work.file("upper.txt")
    out.write_text(whole.path.read_text().upper())
    return sg.Asset(path=out)


@sg.task
def beside(work: sg.Workdir, reference: sg.Reference) -> sg.Asset:
    """An input with a companion."""
    index = reference.companion(sg.ReferenceIndex)
    out = work.file("beside.txt")
    out.write_text(f"{index.path.name} {reference.path.name} {index.path.parent == reference.path.parent}")
    return sg.Asset(path=out)


@sg.task
def folder(work: sg.Workdir, whole: sg.Asset) -> sg.Asset:
    """A directory."""
    out = work.directory("folder.zarr")
    (out / "inner").mkdir()
    (out / ".zattrs").write_text("{}")
    (out / "inner" / "0.0").write_bytes(whole.path.read_bytes())
    return sg.Asset(path=out)


@sg.task
def summits(work: sg.Workdir, reads: sg.R1) -> Summits:
    """A type of one's own."""
    out = work.file("summits.bed")
    out.write_text("chr1\t1\t2\n")
    return Summits(path=out, sample_id=reads.sample_id, count=1, scores=(0.5, 2.0), reads_cid=reads.cid or "")


@sg.task(version="1")
def versioned(work: sg.Workdir, *, number: int) -> sg.Asset:
    """A version in place of the code."""
    return written(work, "versioned.txt", str(double(number)))


@sg.task(cpus=2, memory="1 GiB", walltime="1 h", stage="copy")
def optioned(work: sg.Workdir, whole: sg.Asset) -> sg.Asset:
    """Options that are in no key."""
    out = work.file("optioned.txt")
    out.write_text(whole.path.read_text()[::-1])
    return sg.Asset(path=out)


@sg.task
def failing(work: sg.Workdir, whole: sg.Asset) -> sg.Asset:
    raise ValueError("no summits in " + whole.name)


def wire(inputs: Mapping[str, sg.Asset]) -> dict[str, sg.Call]:
    """Every call of the golden store that a user's tasks made, by name; `failing` alone is left out.

    Parameters
    ----------
    inputs
        Stored assets: ``words``, ``fasta``, ``reads``, ``reference``.
    """
    words, fasta = inputs["words"], inputs["fasta"]
    parts, halves = pair(words), split(words)
    first, second = stripped(words, marks="\n"), stripped(words, marks="\n ")
    return {
        "text": text(words="Grüße, 世界"),
        "scalars": scalars(whole=3, real=0.1, flag=True),
        "scalars, infinite": scalars(whole=-(1 << 70), real=1e300, flag=False, nothing="x", far=math.inf),
        "containers": containers(numbers=[1, 2], names={"b": 1.5, "a": 2.0}, deep=[{"x": 1}, {}]),
        "enum": chosen(strand=Strand.REVERSE),
        "dataclass": windowed(window=Window(5, name="tp53")),
        "helpers and constants": helped(number=20),
        "table and pattern": tabled(fasta),
        "class": counted(words),
        "plain values": measured(words),
        "value of a call": repeated(times=counted(words)),
        "tuple": parts,
        "named tuple": halves,
        "list": lines(words),
        "dict": by_name(words),
        "inputs of every shape": joined(words, [parts[0], parts[1]], {"z": halves.head, "a": words}, None),
        "optional input": joined(words, lines(words), by_name(words), fasta),
        "cut off, first": first,
        "cut off, second": second,
        "after the first": upper(first),
        "after the second": upper(second),
        "element of a tuple": upper(parts[1]),
        "companion": beside(inputs["reference"]),
        "directory": folder(words),
        "own type": summits(inputs["reads"]),
        "version": versioned(number=4),
        "options": optioned(words),
    }
