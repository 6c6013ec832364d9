"""What a terminal or a page would obey, and what readers of JSON could not take, shown instead.

It stands here, below everything, because errors are printed by whoever catches them; `stargazer.display` offers it to
all others.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["cell", "finite", "visible"]

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""First characters of a formula, in both widths."""

KEPT = "\n\t"
"""Of texts with several lines, such as logs."""


def visible(text: Any, *, lines: bool = False) -> str:
    r"""Return a text of which nothing is obeyed: controls, escapes and marks of direction stand as in source code.

    Everything that is printed or drawn and came from a file, a fact, a log or an error goes through here. A name could
    set the title of a terminal, hide a line, or show ``exe.jpg`` for ``gpj.exe``.

    Parameters
    ----------
    text
        Anything; its ``str`` is taken.
    lines
        Whether ends of lines and tabs stay what they are; otherwise a name could look like another row.

    Examples
    --------
    >>> visible("a\x1b]0;title\x07.txt")
    'a\\x1b]0;title\\x07.txt'
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(each if _is_plain(each, lines) else _code(each) for each in shown)


def cell(value: Any) -> Any:
    """Return a cell of a table that is exported: a spreadsheet must not take a text for a formula, and run it.

    Numbers stay numbers, and a text that is one stays what it is.

    Parameters
    ----------
    value
        Of the cell. A text of which the first character is ``=``, ``+``, ``-`` or ``@`` gets an apostrophe before it,
        and what a terminal would obey is shown.
    """
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if shown.lstrip()[:1] in FORMULA and not _is_number(shown) else shown


def finite(value: Any) -> Any:
    """Return values for JSON, which has no number that is none, nor an infinite one: they are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_plain(character: str, lines: bool) -> bool:
    return character.isprintable() or (lines and character in KEPT) or (character >= "\xa0" and _is_blank(character))


def _is_blank(character: str) -> bool:
    """A blank of another width; ends of lines and paragraphs are none."""
    return character.isspace() and character not in "\u2028\u2029"


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
