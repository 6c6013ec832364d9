"""Tasks' bodies of every shape, for digests that must be equal on every Python and must never change unnoticed."""

from __future__ import annotations

import asyncio
import collections
import enum
import functools
import json
import math
import operator
import re
from collections import Counter, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, TypedDict

CONSTANT = 3
HUGE = 1 << 20_000
TABLE = {"a": [1, 2.5, None], "b": (True, b"\xff", 3j)}
BASES = frozenset("ACGT")
PATTERN = re.compile(r"^@(\S+)", re.MULTILINE)
PLACE = PurePosixPath("a/b")
TODAY = date(2026, 11, 21)
HALF = Fraction(1, 2)
PRICE = Decimal("1.50")
Point = namedtuple("Point", "x y")  # noqa: PYI024
Kind = Literal["a", "b"]
square = lambda x: x * x  # noqa: E731
twice = functools.partial(operator.mul, 2)


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2

    @property
    def short(self) -> str:
        return self.name[:CONSTANT]


class Flags(enum.IntFlag):
    FIRST = 1
    SECOND = enum.auto()


class Read(NamedTuple):
    """A read."""

    name: str
    length: int = CONSTANT

    def is_long(self) -> bool:
        return self.length > 10 * CONSTANT


class Options(TypedDict, total=False):
    depth: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings."""

    depth: int = 30
    names: tuple[str, ...] = ()
    extra: dict[str, float] = field(default_factory=dict)

    def deeper(self) -> Settings:
        return replace(self, depth=self.depth + CONSTANT)


@dataclass
class Base:
    limit: int = CONSTANT

    @classmethod
    def make(cls) -> Base:
        return cls(limit=math.floor(2.5))

    @staticmethod
    def rounded(x: float) -> int:
        return round(x)

    @functools.cached_property
    def doubled(self) -> int:
        return 2 * self.limit


class Derived(Base):
    shift: int = 1

    def doubled_more(self) -> int:
        return super().make().limit + self.shift


SETTINGS = Settings(names=("s1", "é", "日本"), extra={"x": 1e-300})


def add(x: int, y: int = CONSTANT, /, *rest: int, scale: float = 1.0, **more: Any) -> float:
    """Add."""
    return (x + y + sum(rest)) * scale + len(more)


@functools.lru_cache(maxsize=None)
def remembered(n: int) -> int:
    return n if n < 2 else remembered(n - 1) + remembered(n - 2)


def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n != 0 and even(n - 1)


def counter(start: int) -> Callable[[], int]:
    count = start

    def step() -> int:
        nonlocal count
        count += CONSTANT
        return count

    return step


step_from_ten = counter(10)


def plain(work: Any) -> str:
    # A comment.
    unused: dict[str, int]
    value: int = add(1, 2, scale=2.0)
    return f"{value:>{CONSTANT}} {value!r:^10} {'ab'} {{}} {value=} and more{square(2)}"


def strings(work: Any) -> list[Any]:
    return [
        "é",
        "日本",
        "\ud800",
        "\x00",
        b"\x00",
        r"\d",
        "kind",
        """three
    lines""",
        -1,
        -1.5,
        1e400,
        2j,
        ...,
        0x10,
        1_000,
        not True,
    ]


def control(work: Any) -> int:
    global CONSTANT_LATER
    total = 0
    for i, (a, *b) in enumerate(pairwise([1, 2, 3])):
        if (n := i + a) > 2 and b:
            total += n
        elif not n:
            continue
        else:
            break
    else:
        total = -total
    while total < 0:
        total += 1
    try:
        del a
        assert total, "nothing"
    except (ValueError, KeyError) as error:
        raise RuntimeError(str(error)) from error
    finally:
        total @= 1
    return total


def matching(work: Any, what: Any = None) -> Any:
    match what:
        case None | 0:
            return Colour.RED
        case {"a": [first, *rest], **others} if first:
            return rest, others
        case Read(name="x", length=int(n)) | Point(x=n, y=_):
            return n
        case Colour.BLUE:
            return Flags.FIRST | Flags.SECOND
        case str() as text:
            return text[::-1], text[1:2, ...]
        case _:
            return Derived.make()


def comprehensions(work: Any) -> Any:
    listed = [square(x) for x in range(CONSTANT) if x if x > 1]
    nested = {y: [z for z in listed for _ in BASES] for y in chain(listed)}
    return listed, nested, {*listed}, (twice(v) for v in TABLE), sorted(listed, key=lambda v: (v, SETTINGS.depth))


def libraries(work: Any) -> Any:
    folder = Path("x") / PLACE
    kinds = (
        Counter(json.loads("[]")),
        defaultdict(list),
        collections.OrderedDict(),
        datetime.fromisoformat("2026-01-01"),
    )
    return folder, kinds, math.pi, operator.itemgetter(1), PATTERN.findall("@x"), TODAY, HALF, PRICE, HUGE, TABLE


def imports_inside(work: Any) -> Any:
    import os.path as where
    from concurrent.futures import ThreadPoolExecutor
    from string import ascii_letters as letters

    return where.join("a", letters), ThreadPoolExecutor, where.sep


def classes(work: Any) -> Any:
    class Local(Base):
        """Here only."""

        names: list[str] = []  # noqa: RUF012

        def limit_of(self) -> int:
            return self.limit + CONSTANT

    return Local().limit_of(), Settings().deeper(), Read("a").is_long(), Colour("red").short, Options(depth=1)


def recursion(work: Any) -> Any:
    return even(10), remembered(10), step_from_ten()


def generators(work: Any) -> Iterator[int]:
    got = yield 1
    yield from (got, 2)
    return 3


async def asynchronous(work: Any) -> Any:
    async with asyncio.Lock() as lock, asyncio.timeout(1):
        return [await item async for item in lock]


def defaults(work: Any, *, settings: Settings = SETTINGS, colour: Colour = Colour.RED, table: Any = TABLE) -> Any:
    with open("x") as one, open("y") as two:
        return one, two, settings, colour, table


BODIES = [
    plain, strings, control, matching, comprehensions, libraries, imports_inside, classes, recursion, generators,
    asynchronous, defaults, step_from_ten, square, add,
]  # fmt: skip
