"""What counts of the classes that a task reaches."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from stargazer.fingerprint import identify

SOURCE = '''
import enum, functools
from collections import namedtuple
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

LIMIT = 1
FIRST = date(2026, 1, 1)
PRICE = Decimal("1.0")
Pair = namedtuple("Pair", "a b", defaults=[1])

def noisy(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args) + LOUD
    return inner

LOUD = 1
SHIFT = 1
CACHED = 1
SET = 1
SCALE = 1

@dataclass
class Field:
    """A name that the dataclasses module has too."""

    size: int = LIMIT

    @functools.cached_property
    def cached(self):
        return CACHED

    @property
    def value(self):
        return 1

    @value.setter
    def value(self, new):
        self.size = new * SET

    @classmethod
    def make(cls):
        return cls(SHIFT)

    @noisy
    def loud(self):
        return 1

    @functools.lru_cache
    def scaled(self):
        return SCALE

def body(work):
    return Field(), FIRST, PRICE, Pair(1)
'''


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Digest of ``body`` in a module of the given source."""
    monkeypatch.syspath_prepend(tmp_path)

    def of(source: str) -> str:
        name = f"classes_{uuid.uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(source)
        return identify(importlib.import_module(name).body, "body").digest

    return of


def test_a_class_has_an_identity_without_doubt(digest: Callable[[str], str], recwarn: pytest.WarningsRecorder) -> None:
    assert digest(SOURCE) == digest(SOURCE.replace("A name that", "Another name that"))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("LIMIT = 1", "LIMIT = 2"),
        ("size: int", "size: float"),
        ("CACHED = 1", "CACHED = 2"),
        ("SET = 1", "SET = 2"),
        ("SHIFT = 1", "SHIFT = 2"),
        ("LOUD = 1", "LOUD = 2"),
        ("SCALE = 1", "SCALE = 2"),
        ("+ LOUD", "- LOUD"),
        ("date(2026, 1, 1)", "date(2026, 1, 2)"),
        ('Decimal("1.0")', 'Decimal("1.00")'),
        ('"a b"', '"a c"'),
        ("defaults=[1]", "defaults=[2]"),
    ],
    ids=lambda text: text.replace('"', ""),
)
def test_what_a_class_reaches_counts(digest: Callable[[str], str], before: str, after: str) -> None:
    assert SOURCE.count(before) == 1
    assert digest(SOURCE) != digest(SOURCE.replace(before, after))
