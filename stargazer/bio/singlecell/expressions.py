"""Which cells a person means: ``leiden in 0,3 and condition == 'ctrl'``, read without running any of it as code.

::

    which      = either ("or" either)*
    either     = one ("and" one)*
    one        = "not" one | "(" which ")" | column test
    test       = ("==" | "!=" | "<" | "<=" | ">" | ">=") value | ["not"] "in" value ("," value)*

A column or a value with blanks in it stands in quotes, a column in backticks too; cells without a value pass no test.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

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


class _Reader:
    """Reads an expression from left to right, and tells which cells it means."""

    def __init__(self, text: str, tree: AnnDataTree) -> None:
        self.text, self.tree = text, tree
        self.tokens, self.at = _tokens(text), 0

    def read(self) -> Any:
        found = self.which()
        if self.at < len(self.tokens):
            raise self.wrong()
        return found

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

    def which(self) -> Any:
        found = self.either()
        while self.is_next("or"):
            self.at += 1
            found = found | self.either()
        return found

    def either(self) -> Any:
        found = self.one()
        while self.is_next("and"):
            self.at += 1
            found = found & self.one()
        return found

    def one(self) -> Any:
        if self.is_next("not"):
            self.at += 1
            return ~self.one()
        if self.is_next("("):
            self.at += 1
            found = self.which()
            self.take(")")
            return found
        return self.test()

    def test(self) -> Any:
        column = self.name()
        mark = self.take("==", "!=", "in", "not", *ORDERED)
        if mark in ORDERED:
            return self.ordered(column, mark, self.name())
        if mark in ("==", "!="):
            return self.among(column, [self.name()], mark == "!=")
        if mark == "not":
            self.take("in")
        return self.among(column, self.values(), mark == "not")

    def values(self) -> list[str]:
        opened = self.take("(", "[") if self.is_next("(", "[") else ""
        found = [self.name()]
        while self.is_next(","):
            self.at += 1
            found.append(self.name())
        if opened:
            self.take(")" if opened == "(" else "]")
        return found

    def among(self, column: str, values: list[str], inverted: bool) -> Any:
        labels = self.tree.labels("obs", column)
        known = [str(name) for name in labels.names]
        wanted = [value for value in values if value not in known]
        numbers = {_number(name): name for name in known}
        chosen = {numbers.get(_number(value), value) if value in wanted else value for value in values}
        if not chosen & set(known):
            raise DataError(f"obs[{column!r}] has none of {', '.join(values)}; it has: {', '.join(known[:20])}")
        mask = np.array([(name in chosen) != inverted for name in known] + [False])
        return mask[labels.codes]

    def ordered(self, column: str, mark: str, value: str) -> Any:
        limit = _number(value)
        values = _numbers(self.tree.column("obs", column))
        if values is None or isinstance(limit, str):
            raise DataError(f"obs[{column!r}] {mark} {value}: only numbers can be compared so")
        with np.errstate(invalid="ignore"):
            return np.asarray(ORDERED[mark](values, limit), bool)


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
