"""Answers that fit a context and tell no secret: pages, cut texts and values, errors in words."""

from __future__ import annotations

import base64
import json
import logging
import traceback
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from stargazer import config
from stargazer.bounded import is_count
from stargazer.errors import ArgumentError, StargazerError
from stargazer.remotes.redaction import cut
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import ValidationError

__all__ = ["BUDGET", "check_size", "clip", "fitted", "page", "told", "told_wrong", "without_secrets"]

BUDGET = 24_000
"""Characters of one answer: some 7,000 tokens."""

LARGEST_ARGUMENTS = 1 << 22
"""Characters of all arguments of one call; files are not sent as arguments."""

LONGEST_ERROR = 4_000
DEEPEST = 64

T = TypeVar("T")
logger = logging.getLogger("stargazer.mcp")


# Pages.


def page(
    items: Sequence[T], cursor: str | None, limit: int, of: Any, as_json: Callable[[T], Any],
    named: Callable[[T], str] | None = None,
) -> tuple[list[T], str | None]:  # fmt: skip
    """Return a page of some items, and the cursor of the next; None where there is none.

    A cursor says which item was the last: what is added or removed between two pages hides nothing.

    Parameters
    ----------
    items
        All of them, in an order that stays.
    cursor
        As it was given out with the page before.
    limit
        How many at most; fewer where they would not fit.
    of
        What was asked: a cursor holds for the same question only.
    as_json
        Gives an item as it is sent.
    named
        Names an item, whatever else of it changes; all that is sent of it by default.

    Raises
    ------
    ArgumentError
        The cursor is of another question, or was never given out; or the item with which the page before ended is gone.
    """
    asked = config_digest(of)

    def mark(item: T) -> str:
        return config_digest(named(item) if named is not None else as_json(item))

    start = _start(cursor, asked, items, mark)
    chosen: list[T] = []
    left = BUDGET
    for item in items[start : start + max(limit, 1)]:
        left -= len(json.dumps(as_json(item), default=str))
        if left < 0 and chosen:
            break
        chosen.append(item)
    end = start + len(chosen)
    return chosen, _cursor(end, asked, mark(chosen[-1])) if chosen and end < len(items) else None


def config_digest(of: Any) -> str:
    """A few digits of what was asked."""
    import hashlib

    return hashlib.sha256(json.dumps(of, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _cursor(end: int, asked: str, last: str) -> str:
    return base64.urlsafe_b64encode(f"{end}.{asked}.{last}".encode()).decode().rstrip("=")


def _start(cursor: str | None, asked: str, items: Sequence[T], mark: Callable[[T], str]) -> int:
    """Where the page begins: behind the item with which the one before ended, wherever that stands by now."""
    if not cursor:
        return 0
    start, last = _read(cursor, asked)
    if 0 < start <= len(items) and mark(items[start - 1]) == last:
        return start
    for number, item in enumerate(items, 1):
        if mark(item) == last:
            return number
    raise ArgumentError("cursor: the list has changed, and the last of the page before is gone; ask without one for "
                        "the first page")  # fmt: skip


def _read(cursor: str, asked: str) -> tuple[int, str]:
    try:
        text = base64.urlsafe_b64decode(cursor[:200] + "=" * (-len(cursor) % 4)).decode("ascii")
        start, digest, last = text.split(".")
        if digest == asked and is_count(start) and len(start) < 12:
            return int(start), last
    except ValueError:
        pass
    raise ArgumentError("cursor: it belongs to another question; ask without one for the first page")


# Texts and values that are too long.


def clip(text: str, start: int = 0, limit: int = BUDGET) -> tuple[str, int | None]:
    """Return a piece of a text, and where the next begins; None at its end."""
    end = start + max(limit, 1)
    return text[start:end], end if end < len(text) else None


def fitted(value: Any, budget: int = BUDGET) -> Any:
    """Return a JSON value with long lists cut: what stands in their place says how much was left out.

    Parameters
    ----------
    value
        A result, as `stargazer.catalog.marshal` gives it.
    budget
        Characters.
    """
    if len(json.dumps(value, default=str)) <= budget:
        return value
    if isinstance(value, dict):
        share = max(budget // max(len(value), 1), 200)
        most = max(budget // share, 1)
        kept_members = {name: fitted(each, share) for name, each in list(value.items())[:most]}
        return kept_members | ({"left_out": len(value) - most} if len(value) > most else {})
    if isinstance(value, list):
        kept: list[Any] = []
        left = budget
        for each in value:
            left -= len(json.dumps(each, default=str))
            if left < 0 and kept:
                break
            kept.append(fitted(each, budget))
        rest = len(value) - len(kept)
        return [*kept, {"left_out": rest, "how": "query_files finds the others; trace(cid) tells which run made them"}]
    text = str(value)
    return f"{text[:budget]}… ({len(text) - budget} characters left out)"


# What went wrong.


def without_secrets(text: str) -> str:
    """A text in which no secret of the environment stands, nor what a terminal would obey."""
    return cut(visible(text, lines=True), config.secret_values())


def told(error: BaseException, doing: str) -> str:
    """Return what a client is told of an error: our own words, never those of a library.

    Parameters
    ----------
    error
        What was raised.
    doing
        Which tool was asked for.
    """
    if isinstance(error, StargazerError):
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        text = f"{error}{notes}"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    else:
        number = uuid.uuid4().hex[:8]
        trace = "".join(traceback.format_exception(error))
        logger.error("%s failed (%s):\n%s", doing, number, without_secrets(trace))
        text = (
            f"{doing} failed in a way that nobody foresaw ({type(error).__name__}); the server's log has it as {number}"
        )
    shown = without_secrets(text[: 2 * LONGEST_ERROR])
    return shown if len(shown) <= LONGEST_ERROR else f"{shown[:LONGEST_ERROR]}… (cut)"


def told_wrong(error: ValidationError, tool: str, known: Iterable[str]) -> str:
    """Return what is wrong with the arguments of a tool, all of it, in our words."""
    wrong = []
    for each in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part)[:80] for part in each["loc"])
        wrong.append(f"{place}: {_said(each)}")
    return f"{tool}: {'; '.join(wrong[:20])}; it takes {', '.join(known)}"


def _said(problem: Any) -> str:
    kinds = {"missing": "must be given", "string_type": "must be a text", "bool_parsing": "must be true or false"}
    kinds |= {"dict_type": "must be an object", "list_type": "must be a list", "int_parsing": "must be a whole number"}
    return kinds.get(problem["type"]) or str(problem["msg"]).lower()[:200]


def check_size(arguments: Any) -> None:
    """Refuse arguments that are too large or too deep, before anything looks at them.

    Raises
    ------
    ArgumentError
        They are.
    """
    left, level = LARGEST_ARGUMENTS, [arguments]
    for _ in range(DEEPEST):
        following: list[Any] = []
        for value in level:
            left -= len(value) if isinstance(value, (str, dict, list)) else 1
            if left < 0:
                raise ArgumentError(f"the arguments are larger than {LARGEST_ARGUMENTS:,} characters; files go by "
                                    "upload_file or begin_upload")  # fmt: skip
            if isinstance(value, dict):
                following += [*value, *value.values()]
            elif isinstance(value, list):
                following += value
        level = following
        if not level:
            return
    raise ArgumentError(f"the arguments are nested more than {DEEPEST} deep")
