"""One result of a call that gives several."""

from __future__ import annotations

from typing import Any

from stargazer.errors import OutputError

__all__ = ["element", "place"]


def element(whole: Any, index: Any, label: str = "the result") -> Any:
    """Take one element of a result.

    Parameters
    ----------
    whole, index
        The result, and which element.
    label
        Of the call that gave it, for messages.

    Raises
    ------
    OutputError
        The result has no such element.
    """
    try:
        return whole[index]
    except (LookupError, TypeError):
        size = f" of {len(whole)}" if hasattr(whole, "__len__") else ""
        raise OutputError(f"{label} has no element {index!r}: it is a {type(whole).__name__}{size}") from None


def place(task: str, index: Any, length: int) -> int:
    """Return the place in a tuple of `length`, counted from its beginning.

    Raises
    ------
    TypeError, IndexError
        It is no number, or there is no such place.
    """
    if not isinstance(index, int) or isinstance(index, bool):
        raise TypeError(f"{task} returns {length} results, chosen by number, not by {index!r}")
    if not -length <= index < length:
        raise IndexError(f"{task} returns {length} results; there is no [{index}]")
    return index % length
