"""Tasks that hang on chance or the clock, and some that only look like it; they stand in no file of tests.

pytest writes the code of tests anew, so that what runs is not what their file says.
"""

from __future__ import annotations

import datetime
import os
import random
import secrets
import tempfile
import threading
import time
import uuid
from random import choice
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd

import stargazer as sg


@sg.task
def sample_of_table(work: sg.Workdir) -> list[int]:
    return [int(each) for each in pd.DataFrame({"a": range(100)}).sample(5)["a"]]


def split(values: Any) -> Any:
    """Stands for a library that draws from the state of NumPy unless it is given a seed."""
    return np.random.mtrand._rand.bytes(2)


@sg.task
def drawn_by_a_helper(work: sg.Workdir) -> str:
    return str(split([1]))


@sg.task
def drawn_by_numpy(work: sg.Workdir) -> int:
    import numpy

    return int(numpy.random.choice([1, 2, 3]))


@sg.task
def drawn_by_an_alias(work: sg.Workdir) -> int:
    return choice([1, 2, 3])


@sg.task
def shuffled(work: sg.Workdir) -> list[int]:
    values = list(range(2_000))
    random.shuffle(values)
    return values[:2]


@sg.task
def generator(work: sg.Workdir) -> float:
    return float(np.random.default_rng().random())


@sg.task
def generator_with_none(work: sg.Workdir) -> float:
    return float(np.random.default_rng(seed=None).random())


@sg.task
def generator_of_python(work: sg.Workdir) -> float:
    return random.Random().random()


@sg.task
def identifier(work: sg.Workdir) -> str:
    return str(uuid4())


@sg.task
def secret(work: sg.Workdir) -> str:
    return secrets.token_hex(4) + os.urandom(2).hex()


def stamp() -> str:
    from datetime import datetime as clock

    return clock.now(datetime.UTC).isoformat()


@sg.task
def stamped(work: sg.Workdir) -> str:
    return stamp()


@sg.task
def year(work: sg.Workdir) -> str:
    return time.strftime("%Y")


@sg.task
def seeded(work: sg.Workdir, *, seed: int) -> list[float]:
    table = pd.DataFrame({"a": range(100)}).sample(5, random_state=seed)
    drawn = float(np.random.default_rng(seed).random()) + random.Random(seed).random()
    return [*map(float, table["a"]), drawn, float(np.random.RandomState(seed).rand())]


@sg.task
def seeded_by_a_library(work: sg.Workdir, *, n: int) -> str:
    return str(start_over(n))


START = getattr(np.random, "se" + "ed")
"""Named so that no name in the code says that the library does it, as in libraries."""


def start_over(n: int) -> Any:
    START(0)
    return np.random.mtrand._rand.bytes(n)


@sg.task
def measured(work: sg.Workdir) -> str:
    began = time.time()
    path = tempfile.mkstemp(dir=work.path)[1]
    os.remove(path)
    return "done" if time.perf_counter() and time.time() >= began else "never"


@sg.task
def dated(work: sg.Workdir, *, seconds: int) -> str:
    return time.strftime("%Y", time.gmtime(seconds)) + str(uuid.uuid5(uuid.NAMESPACE_DNS, "a"))


class Deck:
    """Has methods that are called as those of generators are."""

    def sample(self) -> int:
        return 1

    def now(self) -> int:
        return 2


@sg.task
def named_alike(work: sg.Workdir) -> int:
    return Deck().sample() + Deck().now()


@sg.task
def waits(work: sg.Workdir, *, i: int) -> int:
    BESIDE.wait(60)
    return i


@sg.task
def draws_beside(work: sg.Workdir) -> float:
    drawn = float(np.random.random())
    BESIDE.wait(60)
    return drawn


BESIDE = threading.Barrier(2)


@sg.task
def number(work: sg.Workdir, *, i: int) -> int:
    return i


@sg.dynamic
def by_chance(n: int) -> list[int]:
    return [number(i=i) for i in range(random.randint(1, n))]


@sg.dynamic
def by_the_clock(n: int) -> list[int]:
    return [number(i=i) for i in range(n)] if time.time() > 0 else []


@sg.dynamic
def by_neither(n: int) -> list[int]:
    return [number(i=i) for i in random.Random(n).sample(range(9), n)]


@sg.task
def one_normal_number(work: sg.Workdir, *, i: int) -> float:
    return float(np.random.standard_normal())
