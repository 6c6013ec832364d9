"""Small tasks and functions that wire, which tests of growing graphs share; in a file, so that workers import them."""

from __future__ import annotations

from typing import NamedTuple

import stargazer as sg


class Count(NamedTuple):
    least: int
    most: int


@sg.task
def split(work: sg.Workdir, *, numbers: list[int]) -> list[sg.Asset]:
    made = []
    for place, number in enumerate(numbers):
        out = work.file(f"part{place}.txt")
        out.write_text(str(number))
        made.append(sg.Asset(path=out))
    return made


@sg.task
def grow(work: sg.Workdir, part: sg.Asset, *, by: int = 1) -> sg.Asset:
    number = int(part.path.read_text())
    if number == 13:
        raise ValueError("no thirteens here")
    out = work.file("grown.txt")
    out.write_text(str(number + by))
    return sg.Asset(path=out)


@sg.task
def value(work: sg.Workdir, part: sg.Asset) -> int:
    return int(part.path.read_text())


@sg.task
def count(work: sg.Workdir, parts: list[sg.Asset]) -> Count:
    numbers = [int(part.path.read_text()) for part in parts]
    return Count(min(numbers, default=0), max(numbers, default=0))


@sg.task
def total(work: sg.Workdir, parts: list[sg.Asset], *, more: list[int] = []) -> sg.Asset:  # noqa: B006
    out = work.file("total.txt")
    out.write_text(str(sum(int(part.path.read_text()) for part in parts) + sum(more)))
    return sg.Asset(path=out)


@sg.task
def add(work: sg.Workdir, left: sg.Asset, right: sg.Asset) -> sg.Asset:
    out = work.file("sum.txt")
    out.write_text(str(int(left.path.read_text()) + int(right.path.read_text())))
    return sg.Asset(path=out)


@sg.task(memory=lambda part: 100_000_000 + part.size)
def hungry(work: sg.Workdir, part: sg.Asset) -> int:
    return int(work.memory or 0)


@sg.dynamic
def feed(parts: list[sg.Asset]) -> list[int]:
    return [hungry(grow(part)) for part in parts]


@sg.dynamic
def per_part(parts: list[sg.Asset], by: int = 1) -> list[sg.Asset]:
    return [grow(part, by=by) for part in parts]


@sg.dynamic
def values(parts: list[sg.Asset]) -> list[int]:
    return [value(part) for part in parts]


@sg.dynamic
def wide_or_not(parts: list[sg.Asset], least: int, *, limit: int) -> sg.Asset:
    if least > limit:
        return total(parts)
    return total(per_part(parts, by=limit))


@sg.dynamic
def until(part: sg.Asset, now: int, *, goal: int, most: int) -> sg.Asset:
    """Grow a number until it is large enough: each round is a call."""
    if now >= goal or not most:
        return part
    bigger = grow(part)
    return until(bigger, value(bigger), goal=goal, most=most - 1)


def read(asset: sg.Asset) -> int:
    return int(asset.fetch().read_text())
