"""Tasks and workflows of a user's own, with parameters of every kind."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import stargazer as sg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.calls import Call


class Strand(enum.Enum):
    FORWARD = "+"
    REVERSE = "-"


@dataclass(frozen=True)
class Trimming:
    """How ends are cut.

    Parameters
    ----------
    quality
        Below it bases go.
    ends
        Which ends.
    """

    quality: int = 20
    ends: tuple[int, int] = (0, 0)
    adapters: Sequence[str] = field(default_factory=list)


class Sample(NamedTuple):
    reads: sg.R1 | Call
    name: str
    trimming: Trimming | None = None


class Counted(NamedTuple):
    table: sg.Asset
    total: int


@sg.task(tools=lambda engine: ["samtools"] if engine == "native" else [], memory="1 GiB", cpus=2)
def count(
    work: sg.Workdir,
    reads: sg.R1,
    masks: list[sg.Intervals],
    named: dict[str, sg.Asset] | None = None,
    *,
    k: int = 3,
    share: float = 0.5,
    strand: Strand = Strand.FORWARD,
    trimming: Trimming | None = None,
    weights: dict[str, float] | None = None,
    levels: set[int] | None = None,
    since: date | None = None,
    price: Decimal | None = None,
    engine: Literal["embedded", "native"] = "embedded",
    exact: bool = False,
) -> Counted:
    """Count the k-mers of reads.

    Parameters
    ----------
    reads
        What is counted.
    k, share
        How.
    """
    out = work.file("counts.txt")
    out.write_text(f"{k} {share} {strand} {trimming} {weights} {levels} {since} {price} {engine} {exact}")
    return Counted(sg.Asset(path=out), k)


def one(reads: sg.R1, place: Path = Path(), *, k: int | Literal["auto"] = "auto") -> Call:
    """Count one sample."""
    return count(reads, [], k=3 if k == "auto" else k)


def many(samples: Sequence[Sample], by_name: Mapping[str, Sequence[Sample]] = {}, sample: str | sg.R1 = "") -> Call:
    """Count several."""
    return [one(each.reads).table for each in samples]


def pair(reads: sg.R1, trimming: Trimming):  # no annotation: the code tells
    first = one(reads)
    table, total = count(reads, [], trimming=trimming)
    return {"first": first, "table": table, "total": total}


def no_workflow(text):
    return text.upper()


def plain(text: str) -> str:
    """No workflow either."""
    return text
