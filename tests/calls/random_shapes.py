"""Random programs over results of all shapes, wired as graphs that grow, and done with plain numbers by Python alone.

A program is a list: its name, then what it takes. A file stands for the number in it, so that lists, dictionaries and
tuples of files are lists, dictionaries and tuples of numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from growing import Count, add, count, grow, per_part, read, split, total, value

import stargazer as sg


class Ends(NamedTuple):
    first: sg.Asset
    last: sg.Asset
    size: int


class Wrong(Exception):
    """The program fails."""


# Tasks.


@sg.task
def keyed(work: sg.Workdir, *, numbers: list[int]) -> dict[str, sg.Asset]:
    made = {}
    for place, number in enumerate(numbers):
        out = work.file(f"key{place}.txt")
        out.write_text(str(number))
        made[f"k{place}"] = sg.Asset(path=out)
    return made


@sg.task
def both(work: sg.Workdir, part: sg.Asset) -> tuple[sg.Asset, int]:
    out = work.file("negative.txt")
    number = int(part.path.read_text())
    out.write_text(str(-number))
    return sg.Asset(path=out), number


@sg.task
def three(work: sg.Workdir, a: sg.Asset, b: sg.Asset, c: sg.Asset | None = None, *, by: int = 0) -> sg.Asset:
    out = work.file("three.txt")
    numbers = [int(each.path.read_text()) for each in (a, b, c) if each is not None]
    out.write_text(str(sum(numbers) * (by + 1)))
    return sg.Asset(path=out)


@sg.task
def total_of(work: sg.Workdir, parts: dict[str, sg.Asset]) -> sg.Asset:
    out = work.file("total.txt")
    out.write_text(str(sum(int(name[1:]) * int(part.path.read_text()) for name, part in parts.items())))
    return sg.Asset(path=out)


# Functions that wire.


@sg.dynamic
def ends(parts: list[sg.Asset]) -> Ends:
    return Ends(grow(parts[0]), parts[-1], len(parts))


@sg.dynamic
def named(parts: list[sg.Asset], numbers: list[int]) -> dict[str, sg.Asset]:
    return {f"k{place}": grow(part, by=number) for place, (part, number) in enumerate(zip(parts, numbers, strict=True))}


@sg.dynamic
def several(parts: list[sg.Asset], *, times: int):
    return [part for part in parts for _ in range(times)]


@sg.dynamic
def joined(left: list[sg.Asset], right: list[sg.Asset] | None = None) -> list[sg.Asset]:
    return [*left, *(right or [])]


@sg.dynamic
def rows(parts: list[sg.Asset], wide: int) -> list[list[sg.Asset]]:
    return [[grow(part) for part in parts[start : start + wide]] for start in range(0, len(parts), wide)]


@sg.dynamic
def of_dict(parts: dict[str, sg.Asset], *, least: int) -> list[sg.Asset]:
    return [grow(parts[name], by=2) for name in sorted(parts) if int(name[1:]) >= least]


@sg.dynamic
def over(parts: list[sg.Asset], numbers: list[int], least: int) -> list[sg.Asset]:
    return [part for part, number in zip(parts, numbers, strict=True) if number >= least]


@sg.dynamic
def or_none(parts: list[sg.Asset], *, place: int) -> sg.Asset | None:
    return parts[place] if place < len(parts) else None


@sg.dynamic
def pairs(parts: list[sg.Asset]):
    """Tuples, plain values and elements of calls, in a list."""
    return [(both(part)[0], both(part)[1], f"p{place}", None) for place, part in enumerate(parts)]


@sg.dynamic
def again(parts: list[sg.Asset], left: int) -> list[sg.Asset]:
    """Each round makes the list longer by its total."""
    return again([*parts, total(parts)], left - 1) if left else parts


@sg.dynamic
def chosen(numbers: Count, *, limit: int, then: list, other: list):
    """A branch: a part of the program that is wired only where it is taken."""
    return wired(then) if numbers.most >= limit else wired(other)


@sg.dynamic
def size(parts: list[sg.Asset]) -> int:
    return len(parts)


@sg.dynamic
def flat(grid: list[list[sg.Asset]], least: int = 0) -> list[sg.Asset]:
    return [total(row) for row in grid if len(row) >= least]


@sg.dynamic
def groups(parts: dict[str, list[sg.Asset]]) -> dict[str, sg.Asset]:
    return {name: total(each) for name, each in parts.items()}


@sg.dynamic
def refuse(parts: list[sg.Asset], *, at: int) -> list[sg.Asset]:
    if len(parts) == at:
        raise LookupError("refused: there are so many")
    return parts


# Wired.


def wired(program: list[Any]) -> Any:
    """The call of a program."""
    name, *rest = program
    return (
        WIRED[name](*[wired(each) if _is_program(each) else each for each in rest])
        if name != "chosen"
        else chosen(count(wired(rest[0])), limit=rest[1], then=rest[2], other=rest[3])
    )


def _is_program(each: Any) -> bool:
    return isinstance(each, list) and bool(each) and isinstance(each[0], str)


WIRED: dict[str, Any] = {
    "split": lambda numbers: split(numbers=numbers),
    "keyed": lambda numbers: keyed(numbers=numbers),
    "grow": lambda part, by: grow(part, by=by),
    "total": lambda parts: total(parts),
    "total+": lambda parts, more: total(parts, more=more),
    "total_of": lambda parts: total_of(parts),
    "at": lambda parts, place: parts[place],
    "key": lambda parts, place: parts[f"k{place}"],
    "first": lambda found: found.first,
    "last": lambda found: found[1],
    "ends_size": lambda found: found.size,
    "ends": lambda parts: ends(parts),
    "negative": lambda part: both(part)[0],
    "value": lambda part: value(part),
    "number": lambda part: both(part)[1],
    "number_at": lambda numbers, place: numbers[place],
    "row": lambda grid, place: grid[place],
    "map": lambda parts, by: grow.map(parts, by=by),
    "each": lambda parts, by: per_part(parts, by=by),
    "zip": lambda left, right: add.map(left, right),
    "zip3": lambda a, b, c, by: three.map(a, b, c, by=by),
    "with": lambda parts, part: add.map(parts, right=part),
    "values": lambda parts: value.map(parts),
    "named": lambda parts, numbers: named(parts, numbers),
    "several": lambda parts, times: several(parts, times=times),
    "joined": lambda left, right: joined(left, right),
    "alone": lambda left: joined(left),
    "rows": lambda parts, wide: rows(parts, wide),
    "of_dict": lambda parts, least: of_dict(parts, least=least),
    "over": lambda parts, numbers, least: over(parts, numbers, least),
    "or_none": lambda parts, place: or_none(parts, place=place),
    "pairs": lambda parts: pairs(parts),
    "again": lambda parts, left: again(parts, left),
    "size": lambda parts: size(parts),
    "flat": lambda grid, least: flat(grid, least),
    "refuse": lambda parts, at: refuse(parts, at=at),
    "flat_lists": lambda *lists: flat(list(lists)),
    "flat_files": lambda one, other: flat([[one, other], [], [one]]),
    "groups": lambda left, right: groups({"k1": left, "k2": right, "k3": []}),
    "list": lambda *parts: joined(list(parts)),
    "total_list": lambda *parts: total(list(parts)),
    "dict": lambda *parts: total_of({f"k{place}": part for place, part in enumerate(parts)}),
}


# By Python alone.


def plain(program: list[Any]) -> Any:
    """What a program gives, with numbers in place of files.

    Raises
    ------
    Wrong
        Some step of it fails.
    """
    name, *rest = program
    if name == "chosen":
        numbers = plain(rest[0])
        return plain(rest[2] if max(numbers, default=0) >= rest[1] else rest[3])
    try:
        return PLAIN[name](*[plain(each) if _is_program(each) else each for each in rest])
    except (LookupError, ValueError) as error:
        raise Wrong(str(error)) from error


def _grown(number: int, by: int = 1) -> int:
    if number == 13:
        raise Wrong("no thirteens")
    return number + by


def _again(parts: list[int], left: int) -> list[int]:
    for _ in range(left):
        parts = [*parts, sum(parts)]
    return parts


def _refuse(parts: list[int], at: int) -> list[int]:
    if len(parts) == at:
        raise Wrong("refused")
    return parts


PLAIN: dict[str, Any] = {
    "split": lambda numbers: numbers,
    "keyed": lambda numbers: {f"k{place}": number for place, number in enumerate(numbers)},
    "grow": _grown,
    "total": sum,
    "total+": lambda parts, more: sum(parts) + sum(more),
    "total_of": lambda parts: sum(int(name[1:]) * part for name, part in parts.items()),
    "at": lambda parts, place: parts[place],
    "key": lambda parts, place: parts[f"k{place}"],
    "first": lambda found: found[0],
    "last": lambda found: found[1],
    "ends_size": lambda found: found[2],
    "ends": lambda parts: (_grown(parts[0]), parts[-1], len(parts)),
    "negative": lambda part: -part,
    "value": lambda part: part,
    "number": lambda part: part,
    "number_at": lambda numbers, place: numbers[place],
    "row": lambda grid, place: grid[place],
    "map": lambda parts, by: [_grown(part, by) for part in parts],
    "each": lambda parts, by: [_grown(part, by) for part in parts],
    "zip": lambda left, right: [a + b for a, b in zip(left, right, strict=True)],
    "zip3": lambda a, b, c, by: [sum(row) * (by + 1) for row in zip(a, b, c, strict=True)],
    "with": lambda parts, part: [each + part for each in parts],
    "values": lambda parts: parts,
    "named": lambda parts, numbers: {
        f"k{place}": _grown(part, number) for place, (part, number) in enumerate(zip(parts, numbers, strict=True))
    },
    "several": lambda parts, times: [part for part in parts for _ in range(times)],
    "joined": lambda left, right: [*left, *right],
    "alone": lambda left: left,
    "rows": lambda parts, wide: [
        [_grown(part) for part in parts[start : start + wide]] for start in range(0, len(parts), wide)
    ],
    "of_dict": lambda parts, least: [_grown(parts[name], 2) for name in sorted(parts) if int(name[1:]) >= least],
    "over": lambda parts, numbers, least: [p for p, n in zip(parts, numbers, strict=True) if n >= least],
    "or_none": lambda parts, place: parts[place] if place < len(parts) else None,
    "pairs": lambda parts: [(-part, part, f"p{place}", None) for place, part in enumerate(parts)],
    "again": _again,
    "size": len,
    "flat": lambda grid, least: [sum(row) for row in grid if len(row) >= least],
    "refuse": _refuse,
    "flat_lists": lambda *lists: list(map(sum, lists)),
    "flat_files": lambda one, other: [one + other, 0, one],
    "groups": lambda left, right: {"k1": sum(left), "k2": sum(right), "k3": 0},
    "list": lambda *parts: list(parts),
    "total_list": lambda *parts: sum(parts),
    "dict": lambda *parts: sum(place * part for place, part in enumerate(parts)),
}


def seen(result: Any) -> Any:
    """A result with the numbers in place of the files; named tuples are compared as such elsewhere."""
    if isinstance(result, sg.Asset):
        return read(result)
    if isinstance(result, tuple):
        return tuple(map(seen, result))
    if isinstance(result, list):
        return list(map(seen, result))
    return {name: seen(item) for name, item in result.items()} if isinstance(result, dict) else result


def changed(program: list[Any], by: int) -> list[Any]:
    """The program with one more in its innermost first list, or one element of it changed, or one less."""
    name, first, *rest = program
    if name not in ("split", "keyed"):
        return [name, changed(first, by), *rest]
    if by % 3 == 0 or not first:
        return [name, [*first, by], *rest]
    place = by % len(first)
    return [name, first[:place] + ([by] if by % 3 == 1 else []) + first[place + 1 :], *rest]
