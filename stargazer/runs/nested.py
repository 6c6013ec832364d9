"""Calls in lists, tuples and dicts, and results in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.call import Call
from stargazer.calls.walk import check_no_call_lost
from stargazer.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["calls_in", "replaced"]


def calls_in(what: Any) -> list[Call]:
    """Return every call in `what`; refuse what was probably meant to be one.

    Raises
    ------
    ArgumentError
        Something else stands where a call should; or a list holds itself.
    """
    try:
        return list(_calls_in(what))
    except RecursionError:
        raise ArgumentError("a list of calls holds itself, or is nested too deeply") from None


def _calls_in(what: Any) -> Iterator[Call]:
    if isinstance(what, Call):
        yield what
    elif isinstance(what, (list, tuple)):
        for item in what:
            yield from _calls_in(item)
    elif isinstance(what, dict):
        for item in what.values():
            yield from _calls_in(item)
    else:
        check_no_call_lost(what)


def replaced(what: Any, result: Callable[[Call], Any]) -> Any:
    """Return `what` with each call replaced by its result."""
    if isinstance(what, Call):
        return result(what)
    if isinstance(what, (list, tuple)):
        items = [replaced(item, result) for item in what]
        return items if isinstance(what, list) else tuple(items)
    return {key: replaced(item, result) for key, item in what.items()} if isinstance(what, dict) else what
