"""Conditions on rows: what they name, which numbers they may hold, and what may be told without reading a row."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from stargazer.errors import ArgumentError
from stargazer.tables.arrow import arrow

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_numbers", "check_unsigned", "exact", "fields_of", "parsed_filter", "prunable"]


def parsed_filter(where: str) -> Any:
    """Return a condition as Iceberg knows it; all rows where it is empty."""
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.expressions.parser import parse

    return parse(where) if where else AlwaysTrue()


def _predicates(condition: Any) -> Iterator[Any]:
    """The comparisons of a condition."""
    todo = [condition]
    while todo:
        each = todo.pop()
        inner = [getattr(each, name) for name in ("left", "right", "child") if hasattr(each, name)]
        if hasattr(each, "term"):
            yield each
        todo += inner


def _field(predicate: Any, schema: Any) -> Any:
    return schema.find_field(predicate.term.name)


def fields_of(condition: Any, schema: Any) -> set[int]:
    """Ids of the fields that a condition names, also where it holds of all rows or of none whatever is in them.

    Parameters
    ----------
    condition
        Of Iceberg, not bound to a schema.
    schema
        Of the table.
    """
    return {_field(each, schema).field_id for each in _predicates(condition)}


def check_numbers(condition: Any, schema: Any) -> None:
    """Refuse numbers that a column cannot hold, where pyiceberg takes others for them, or holds them for no matter.

    Raises
    ------
    ArgumentError
        Whole numbers are compared with what is none (pyiceberg takes 2 for 2.5), or others than those with more than
        their type holds (all rows would fit, or none, NULL and NaN included).
    """
    for each in _predicates(condition):
        name, kind = each.term.name, _field(each, schema).field_type
        for literal in _literals(each):
            if _is_integer(kind) and not _is_whole(literal.value):
                raise ArgumentError(f"{name} holds whole numbers, and {literal.value} is none: compare it with one")
            if not _is_integer(kind) and _beyond(literal, kind):
                raise ArgumentError(f"{name} is of type {kind}, which has no {literal.value}: compare it with less")


def check_unsigned(condition: Any, physical: Any) -> None:
    """Refuse to compare a column without signs with more than Iceberg's type of that width holds.

    Parameters
    ----------
    condition
        Of Iceberg, not bound to a schema.
    physical
        Schema of Arrow.

    Raises
    ------
    ArgumentError
        Such a comparison would hold of no row, or of all.
    """
    pa = arrow()
    for each in _predicates(condition):
        name = each.term.name
        kind = physical.field(name).type if name in physical.names else None
        if kind not in (pa.uint32(), pa.uint64()):
            continue
        most = 2 ** (kind.bit_width - 1) - 1
        if any(Decimal(str(literal.value)) > most for literal in _literals(each)):
            raise ArgumentError(f"{name} is of type {kind}, and is compared with numbers up to {most:,} only")


def _literals(predicate: Any) -> list[Any]:
    """What a predicate compares with."""
    return [predicate.literal] if hasattr(predicate, "literal") else list(getattr(predicate, "literals", ()))


def _is_integer(kind: Any) -> bool:
    from pyiceberg.types import IntegerType, LongType

    return isinstance(kind, (IntegerType, LongType))


def _beyond(literal: Any, kind: Any) -> int:
    """Whether a number is more (1) or less (-1) than a type holds."""
    from pyiceberg.expressions.literals import AboveMax, BelowMin

    held = literal.to(kind)
    return isinstance(held, AboveMax) - isinstance(held, BelowMin)


def exact(condition: Any, schema: Any) -> Any:
    """Return a condition that passes over NULL in whole numbers also where they are compared with more than they hold.

    pyiceberg takes ``n < 3000000000`` to hold of all rows of a column of 32 bits, also of those that have no number.

    Parameters
    ----------
    condition
        Of Iceberg, not bound to a schema.
    schema
        Of the table.
    """
    from pyiceberg.expressions import And, Not, Or

    if isinstance(condition, (And, Or)):
        return type(condition)(exact(condition.left, schema), exact(condition.right, schema))
    if isinstance(condition, Not):
        return Not(exact(condition.child, schema))
    return _within(condition, _field(condition, schema).field_type) if hasattr(condition, "literal") else condition


def _within(predicate: Any, kind: Any) -> Any:
    """A comparison with a number that the type holds, which says the same of every other number that it holds."""
    from pyiceberg.expressions import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual, NotEqualTo

    side = _beyond(predicate.literal, kind) if _is_integer(kind) else 0
    made: Any
    if side > 0:
        holds = isinstance(predicate, (LessThan, LessThanOrEqual, NotEqualTo))
        made = LessThanOrEqual if holds else GreaterThan
        return made(predicate.term, kind.max)
    if side < 0:
        holds = isinstance(predicate, (GreaterThan, GreaterThanOrEqual, NotEqualTo))
        made = GreaterThanOrEqual if holds else LessThan
        return made(predicate.term, kind.min)
    return predicate


def _is_whole(value: Any) -> bool:
    try:
        number = Decimal(str(value))
    except InvalidOperation:  # binding says what is wrong with it
        return True
    return number == number.to_integral_value()


def prunable(condition: Any, schema: Any) -> Any:
    """Return a condition that holds of all rows of which another one does, and of which statistics may tell.

    The least and the greatest number of a row group or file leave out NaN: where both are 9, a row may still hold
    something else than 9.

    Parameters
    ----------
    condition
        Of Iceberg, not bound to a schema.
    schema
        Of the table.
    """
    from pyiceberg.expressions import AlwaysTrue, And, IsNaN, Not, NotEqualTo, NotIn, Or

    if isinstance(condition, (And, Or)):
        return type(condition)(prunable(condition.left, schema), prunable(condition.right, schema))
    may_be_nan = any(map(_is_float, (_field(each, schema) for each in _predicates(condition))))
    return AlwaysTrue() if may_be_nan and isinstance(condition, (Not, IsNaN, NotEqualTo, NotIn)) else condition


def _is_float(field: Any) -> bool:
    from pyiceberg.types import DoubleType, FloatType

    return isinstance(field.field_type, (DoubleType, FloatType))
