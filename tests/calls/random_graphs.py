"""Random programs, wired as a graph that grows, and done step by step by a plain loop over ``.compute()``.

A program is a list: its name, then what it takes. It gives a list of files with a number each, or one file.
"""

from __future__ import annotations

import sys
from typing import Any

from growing import count, grow, per_part, read, split, total, until, value, values

import stargazer as sg

# Wired.


def wired(program: list[Any]) -> Any:
    """The call of a program."""
    name, first, *rest = program
    if name == "split":
        return split(numbers=first)
    below = wired(first)
    if name == "each":
        return per_part(below, by=rest[0])
    if name == "map":
        return grow.map(below, by=rest[0])
    if name == "nest":
        return nest(below, values(below), inner=rest[0])
    if name == "total":
        return total(below, more=values(below))
    if name == "pick":
        return pick(below, place=rest[0])
    if name == "branch":
        return branch(below, count(below).least, limit=rest[0], then=rest[1], other=rest[2])
    return until(below, value(below), goal=rest[0], most=rest[1])


@sg.dynamic
def pick(parts: list[sg.Asset], *, place: int) -> sg.Asset:
    return parts[place] if place < len(parts) else total(parts)


@sg.dynamic
def branch(parts: list[sg.Asset], least: int, *, limit: int, then: list, other: list) -> sg.Asset:
    return total([*parts, wired(then)]) if least < limit else wired(other)


@sg.dynamic
def nest(parts: list[sg.Asset], numbers: list[int], *, inner: list) -> list[sg.Asset]:
    return [total([part, wired(inner)]) if number % 2 else part for part, number in zip(parts, numbers, strict=True)]


@sg.dynamic
def both(parts: list[sg.Asset], last: sg.Asset) -> sg.Asset:
    return total([*parts, last])


# Step by step.


def plain(program: list[Any]) -> Any:
    """The files of a program, each computed before the next is asked for."""
    name, first, *rest = program
    if name == "split":
        return split(numbers=first).compute()
    below = plain(first)
    if name in ("each", "map"):
        return [grow(part, by=rest[0]).compute() for part in below]
    if name == "nest":
        odd = [value(part).compute() % 2 for part in below]
        inner = [plain(rest[0]) for each in odd if each]
        return [total([part, inner[0]]).compute() if each else part for part, each in zip(below, odd, strict=True)]
    if name == "total":
        return total(below, more=[value(part).compute() for part in below]).compute()
    if name == "pick":
        return below[rest[0]] if rest[0] < len(below) else total(below).compute()
    if name == "branch":
        is_less = count(below).compute().least < rest[0]
        return total([*below, plain(rest[1])]).compute() if is_less else plain(rest[2])
    return _loop(below, *rest)


def _loop(part: Any, goal: int, most: int) -> Any:
    while most and value(part).compute() < goal:
        part, most = grow(part).compute(), most - 1
    return part


def changed(program: list[Any], by: int) -> list[Any]:
    """The program with one more in its innermost first list."""
    if program[0] == "split":
        return ["split", [*program[1], by]]
    return [program[0], changed(program[1], by), *program[2:]]


if __name__ == "__main__":  # a loop, to be killed and to go on
    with sg.Store(sys.argv[1]):
        rounds = int(sys.argv[2])
        start = split(numbers=[20])
        call = total(
            [*grow.map(split(numbers=list(range(20, 40)))).compute(), until(start[0], 0, goal=999, most=rounds)]
        )
        print(read(sg.run(call, progress=False).result()), flush=True)
