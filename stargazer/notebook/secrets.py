"""Secrets that cells ask for (``# @env TOKEN``): what holds one is not kept, and what shows one is masked."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import pickle
import urllib.parse
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import NotKept

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from stargazer.notebook.document import Cell

__all__ = ["masked", "secret_in", "secret_names"]

SHORTEST = 8
"""Characters of base64 below which it may be anything."""


def secret_names(cells: Iterable[Cell]) -> list[str]:
    """Names of the secrets that some cells ask for."""
    return sorted({name for cell in cells for name, value in cell.notes.env.items() if value is None})


def masked(text: str, names: Iterable[str]) -> str:
    """A text without secrets, however they are written.

    Parameters
    ----------
    text
        What was shown.
    names
        Of the secrets.
    """
    data = text.encode("utf-8", "surrogatepass")
    for form in sorted({form for each in _secrets(names).values() for form in each}, key=len, reverse=True):
        data = data.replace(form, config.MASK.encode())
    return data.decode("utf-8", "surrogatepass")


def secret_in(value: Any, path: Path | None, names: Iterable[str]) -> str:
    """Name of the secret that a value holds; empty where it holds none.

    Parameters
    ----------
    value
        It, where it is at hand: packed files and paths do not tell.
    path
        File or folder that was written of it.
    names
        Of secrets.

    Raises
    ------
    NotKept
        Nobody can tell.
    """
    if not (forms := _secrets(names)) or path is None:
        return ""
    files = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
    found = next(filter(None, (_found(each.read_bytes(), forms) for each in files)), "")
    if found or value is None:
        return found
    return _found(os.fsencode(value), forms) if isinstance(value, PurePath) else _packed(value, path, forms)


def _packed(value: Any, path: Path, forms: Mapping[str, set[bytes]]) -> str:
    """What files of a tree do not tell, as they are packed."""
    if not path.is_dir():
        return ""
    told = io.BytesIO()
    try:
        pickle.dump(value, told, protocol=5)
    except Exception as error:  # whatever the classes of a value raise
        kind, told_of = type(value).__qualname__, f"{type(error).__name__}: {error}"
        raise NotKept(f"{kind} in which nobody can look for the secrets that were asked for: {told_of}") from error
    return _found(told.getvalue(), forms)


def _secrets(names: Iterable[str]) -> dict[str, set[bytes]]:
    return {name: _written(value) for name, value in config.secrets(names).items() if value}


def _found(data: bytes, forms: Mapping[str, set[bytes]]) -> str:
    return next((name for name, each in forms.items() if any(form in data for form in each)), "")


def _written(value: str) -> set[bytes]:
    """How a text stands in others: as it is, in JSON, a URL or a page, and in base64 whatever stands before it."""
    once = json.dumps(value)[1:-1]
    forms = {value, once, json.dumps(once)[1:-1], html.escape(value)}  # JSON is kept as JSON's text
    forms |= {urllib.parse.quote(value, safe=""), urllib.parse.quote(value), urllib.parse.quote_plus(value)}
    for before in range(3):
        data = bytes(before) + value.encode()
        text = base64.b64encode(data).decode().rstrip("=")
        core = text[(0, 2, 3)[before] : len(text) - bool(len(data) % 3)]
        forms |= {core, core.translate(str.maketrans("+/", "-_"))} if len(core) >= SHORTEST else set()
    data = value.encode()
    return {
        *(form.encode() for form in forms),
        data.hex().encode(),
        *(value.encode(coding) for coding in ("utf-16-le", "utf-32-le")),  # of NumPy's texts, and of other systems
    }
