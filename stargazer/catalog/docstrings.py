"""What docstrings in numpy's style say."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Docstring", "explained", "read_docstring"]

HEAD = re.compile(r"^(?P<title>[A-Z][\w ]+)\n(?P<line>-{3,})\n", re.MULTILINE)


class Docstring(NamedTuple):
    """A docstring, taken apart.

    Parameters
    ----------
    summary
        Its first line.
    text
        All before the first section.
    parameters
        What stands of each parameter, on one line.
    returns
        What stands of the result.
    """

    summary: str
    text: str
    parameters: dict[str, str]
    returns: str


def read_docstring(owner: Any) -> Docstring:
    """Take the docstring of a function or class apart; an empty one where it has none of its own."""
    own = vars(owner).get("__doc__") if isinstance(owner, type) else owner.__doc__
    if not isinstance(own, str) or not own.strip():
        return Docstring("", "", {}, "")
    written = inspect.cleandoc(own)
    heads = list(HEAD.finditer(written))
    text = (written[: heads[0].start()] if heads else written).strip()
    ends = [*(head.start() for head in heads[1:]), len(written)]
    sections = {head["title"]: written[head.end() : end] for head, end in zip(heads, ends, strict=False)}
    named = sections.get("Parameters", "")
    parameters = {name: text for names, text in _items(named) for name in names}
    returns = " ".join(sections.get("Returns", "").split())
    return Docstring(" ".join(text.partition("\n\n")[0].split()), text, parameters, returns)


AS_FOR = re.compile(r"As (?:for|of) `(\w+)`\.?")


def explained(function: Any, names: Mapping[str, Any]) -> dict[str, str]:
    """Return what is said of each parameter; where that is "As for" another function, what is said there.

    Parameters
    ----------
    function
        The function.
    names
        What names in its module stand for.
    """
    found = read_docstring(function).parameters
    for name, text in list(found.items()):
        other = AS_FOR.fullmatch(text)
        there = names.get(other[1]) if other else None
        body = getattr(there, "body", there)
        if inspect.isfunction(body) and body is not function:
            found[name] = explained(body, body.__globals__).get(name, text)
    return found


def _items(section: str) -> Iterator[tuple[list[str], str]]:
    """Names, of which several may share a text, and the text."""
    names, lines = list[str](), list[str]()
    for line in section.splitlines():
        if line and not line[0].isspace():
            if names:
                yield names, " ".join(" ".join(lines).split())
            names, lines = [name.strip().lstrip("*") for name in line.partition(" : ")[0].split(",")], []
        else:
            lines.append(line)
    if names:
        yield names, " ".join(" ".join(lines).split())
