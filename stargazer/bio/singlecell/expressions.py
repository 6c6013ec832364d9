"""Which cells a person means: ``leiden in 0,3 and condition == 'ctrl'``, read without running any of it as code.

::

    which      = either ("or" either)*
    either     = one ("and" one)*
    one        = "not" one | "(" which ")" | column test | column
    test       = ("==" | "!=" | "<" | "<=" | ">" | ">=") value | ["not"] "in" value ("," value)*

A column or a value with blanks in it stands in quotes, a column in backticks too; a column of truth values is a test by
itself. Cells without a value pass no test, and no negated one either: ``not x == 1`` means what ``x != 1`` does.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stargazer.bio.singlecell.elements import Categories, Nullable
from stargazer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stargazer.bio.singlecell.tree import AnnDataTree

    Mask = NDArray[np.bool_]

__all__ = ["select_cells"]

TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>`[^`]*`|'[^']*'|"[^"]*")|(?P<mark>==|!=|<=|>=|[<>(),\[\]])|(?P<word>[^\s<>=!(),\[\]`'"]+))"""
)
WORDS = ("and", "or", "not", "in")
ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token: ``"mark"`` (also the four words), or ``"name"``."""
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise DataError(
                f"{text!r} cannot be read at {text[at:].strip()[:20]!r}; as in: leiden in 0,3 and n_genes > 500"
            )
        at = match.end()
        if match["quoted"] is not None:
            found.append(("name", match["quoted"][1:-1]))
        elif match["mark"] is not None or match["word"].lower() in WORDS:
            found.append(("mark", (match["mark"] or match["word"]).lower()))
        else:
            found.append(("name", match["word"]))
    return found


class _Told(NamedTuple):
    """Of which cells something is true, and of which false; of those without a value neither is."""

    true: Mask
    false: Mask


class _Reader:
    """Reads an expression from left to right, and tells which cells it means."""

    def __init__(self, text: str, tree: AnnDataTree) -> None:
        self.text, self.tree = text, tree
        self.tokens, self.at = _tokens(text), 0

    def read(self) -> Mask:
        found = self.which()
        if self.at < len(self.tokens):
            raise self.wrong()
        return found.true

    def wrong(self) -> DataError:
        rest = " ".join(token for _, token in self.tokens[self.at : self.at + 3]) or "its end"
        return DataError(f"{self.text!r} cannot be read at {rest}; as in: leiden in 0,3 and condition == 'ctrl'")

    def is_next(self, *marks: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][0] == "mark" and self.tokens[self.at][1] in marks

    def take(self, *marks: str) -> str:
        if not self.is_next(*marks):
            raise self.wrong()
        self.at += 1
        return self.tokens[self.at - 1][1]

    def name(self) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != "name":
            raise self.wrong()
        self.at += 1
        return self.tokens[self.at - 1][1]

    def which(self) -> _Told:
        found = self.either()
        while self.is_next("or"):
            self.at += 1
            other = self.either()
            found = _Told(found.true | other.true, found.false & other.false)
        return found

    def either(self) -> _Told:
        found = self.one()
        while self.is_next("and"):
            self.at += 1
            other = self.one()
            found = _Told(found.true & other.true, found.false | other.false)
        return found

    def one(self) -> _Told:
        if self.is_next("not"):
            self.at += 1
            return _Told(*reversed(self.one()))
        if self.is_next("("):
            self.at += 1
            found = self.which()
            self.take(")")
            return found
        return self.test()

    def test(self) -> _Told:
        column = self.name()
        if (self.at == len(self.tokens) or self.is_next("and", "or", ")")) and self.is_truth(column):
            return self.among(column, ["True"], False)
        mark = self.take("==", "!=", "in", "not", *ORDERED)
        if mark in ORDERED:
            return self.ordered(column, mark, self.name())
        if mark in ("==", "!="):
            return self.among(column, [self.name()], mark == "!=")
        if mark == "not":
            self.take("in")
        return self.among(column, self.values(), mark == "not")

    def is_truth(self, column: str) -> bool:
        values: Any = self.tree.column("obs", column) if column in self.tree.columns("obs") else None
        kind = values.values if isinstance(values, Nullable) else values
        return isinstance(kind, np.ndarray) and kind.dtype.kind == "b"

    def values(self) -> list[str]:
        opened = self.take("(", "[") if self.is_next("(", "[") else ""
        found = [self.name()]
        while self.is_next(","):
            self.at += 1
            found.append(self.name())
        if opened:
            self.take(")" if opened == "(" else "]")
        return found

    def among(self, column: str, values: list[str], inverted: bool) -> _Told:
        labels = self.tree.labels("obs", column)
        known = [str(name) for name in labels.names]
        if self.is_truth(column):
            values = [value.capitalize() if value.lower() in ("true", "false") else value for value in values]
            known = ["False", "True"]
            codes = np.where(labels.codes < 0, -1, labels.names.astype(str)[labels.codes] == "True")
        else:
            codes = labels.codes
        numbers = {_number(name): name for name in known}
        chosen = {value if value in known else numbers.get(_number(value), value) for value in values}
        if missing := sorted(chosen - set(known)):
            raise DataError(f"obs[{column!r}] has none of {', '.join(missing)}; it has: {', '.join(known[:20])}")
        there = np.array([name in chosen for name in known] + [False])[codes]
        absent = np.array([name not in chosen for name in known] + [False])[codes]
        return _Told(absent, there) if inverted else _Told(there, absent)

    def ordered(self, column: str, mark: str, value: str) -> _Told:
        limit = _number(value)
        values = _numbers(self.tree.column("obs", column))
        if values is None or isinstance(limit, str):
            raise DataError(f"obs[{column!r}] {mark} {value}: only numbers can be compared so")
        with np.errstate(invalid="ignore"):
            found = np.asarray(ORDERED[mark](values, limit), bool)
        return _Told(found, ~found & ~np.isnan(values))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _numbers(value: Any) -> NDArray[np.float64] | None:
    if isinstance(value, Nullable):
        return np.where(value.mask, np.nan, value.values.astype(float))
    if isinstance(value, Categories):
        if value.names.dtype.kind not in "biuf":
            return None
        return np.append(value.names.astype(float), np.nan)[value.codes]
    return np.asarray(value, float) if value.dtype.kind in "biuf" else None


def select_cells(tree: AnnDataTree, text: str) -> Mask:
    """Mask of all cells of a tree that an expression means.

    Parameters
    ----------
    tree
        The tree.
    text
        The expression.

    Raises
    ------
    DataError
        It cannot be read, names a column that is not there, or a value that no cell has.
    """
    return np.asarray(_Reader(text, tree).read(), bool)
