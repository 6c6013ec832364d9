"""Logs of calls: the commands and what they wrote to stderr; of calls that failed, where in the body they did."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any

from stargazer.errors import NotFound, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.ledger.ledger import Ledger
    from stargazer.ledger.record import Record

__all__ = ["SHOWN_DIGITS", "find_record", "log_of", "origin_text", "record_of", "remember"]

SHOWN_DIGITS = 12
"""Digits of a record's id that tell it from others."""

NOTED = "stargazer_record"


def remember(error: BaseException, record: Record) -> None:
    """Note on an error, on its way to the user, which record tells of it."""
    with contextlib.suppress(AttributeError, TypeError):
        setattr(error, NOTED, record.id)


def record_of(error: BaseException) -> str | None:
    """Return the id of the record that tells of an error; None where there is none."""
    return getattr(error, NOTED, None)


def origin_text(error: BaseException, body: Callable[..., Any]) -> str:
    """Return the traceback of an error from the body on; nothing of a tool's, whose log tells more.

    Parameters
    ----------
    error
        As it was caught.
    body
        Of the task; of an error that was raised elsewhere there is nothing to tell.
    """
    place, code = None if isinstance(error, ToolError) else error.__traceback__, getattr(body, "__code__", None)
    while place is not None and place.tb_frame.f_code is not code:
        place = place.tb_next
    return "".join(traceback.format_exception(type(error), error, place)) if place is not None else ""


def find_record(ledger: Ledger, name: str) -> Record:
    """Return the record with an id that begins like `name`, or the newest that made the CID `name`.

    Raises
    ------
    NotFound
        There is none, or more than one.
    """
    found = ledger.starting(name) if name and set(name) <= set("0123456789abcdef") else ledger.producers(name)[:1]
    if not found:
        raise NotFound(f"no call is known by {name!r} in {ledger.url}")
    if len(found) > 1:
        raise NotFound(f"several calls are known by {name!r}: write more digits")
    return found[0]


def log_of(ledger: Ledger, record: Record) -> str:
    """Return the log of a call; empty where it ran no tool and did not fail.

    Raises
    ------
    BlobLost
        The log was removed.
    """
    if record.log is None:
        return ""
    return ledger.records.dirs.read(record.log).decode("utf-8", "replace")
