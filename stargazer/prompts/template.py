"""Texts with places for values: ``{{ name }}``, ``{{ frame.head() }}``."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LONGEST", "check_secrets", "expressions", "render", "text_of"]

PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
LONGEST = 1_000_000
"""Characters of one text: more than any model takes."""

ADDRESS = re.compile(r"<.* at 0x[0-9a-f]+>", re.DOTALL)


def expressions(template: str) -> Iterator[ast.Expression]:
    """What stands in the places of a text.

    Raises
    ------
    ArgumentError
        Something in one of them is no expression.
    """
    for found in PLACE.finditer(template):
        yield _parsed(found[1])


def _parsed(text: str) -> ast.Expression:
    try:
        return ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ArgumentError(f"{{{{{text}}}}} in a prompt is no expression: {error.msg}") from None


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill in a text.

    Parameters
    ----------
    template
        With expressions in double braces.
    values
        What their names mean.

    Raises
    ------
    ArgumentError
        An expression is none, is not closed, or fails; its value has no text that is always the same; or the text is
        too long, or holds a secret.
    """
    if "{{" in PLACE.sub("", template):
        raise ArgumentError('a prompt has {{ without }}: close it, or write {{ "{{" }} where braces are meant')
    text = PLACE.sub(lambda found: _filled(found[1], values), template)
    if len(text) > LONGEST:
        told = f"{len(text):,} characters, of at most {LONGEST:,}"
        raise ArgumentError(f"a prompt has {told}: give the beginning of what is large, as {{{{ frame.head() }}}}")
    check_secrets(text)
    return text


def check_secrets(*texts: str) -> None:
    """Refuse words for a model that hold the value of a secret of the environment.

    Raises
    ------
    ArgumentError
        They do.
    """
    if any(secret in text for secret in config.secret_values() for text in texts):
        raise ArgumentError("a prompt holds the value of a secret of the environment: it goes to no model")


def _filled(expression: str, values: Mapping[str, Any]) -> str:
    code = compile(_parsed(expression), "<prompt>", "eval")
    try:
        value = eval(code, {**values})
    except Exception as error:
        raise ArgumentError(f"{{{{{expression}}}}} in a prompt: {type(error).__name__}: {error}") from error
    return text_of(value, expression)


def text_of(value: Any, what: str) -> str:
    """Text of a value, which does not depend on the terminal, or on where in memory it lies.

    Raises
    ------
    ArgumentError
        It has none.
    """
    if isinstance(value, str):
        return value
    home = type(value).__module__.partition(".")[0]
    if home == "pandas" and hasattr(value, "to_string"):
        return str(value.to_string())
    if home == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple, dict, bool, type(None))):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            pass
    text = str(value)
    if ADDRESS.search(text) or isinstance(value, (set, frozenset)):
        raise ArgumentError(
            f"{{{{{what}}}}} in a prompt is a {type(value).__qualname__}, whose text differs from run to run: "
            "write what of it shall be sent"
        )
    return text
