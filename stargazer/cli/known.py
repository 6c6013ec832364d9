"""An unchanged notebook is answered before the command line is built, which would cost more than the answer.

What is read here is the plain form of ``stargazer nb run``; whatever else is typed, and whatever is wrong with it, is
for `stargazer.cli.notebook.run`, which answers the same.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import StargazerError
from stargazer.visible import finite, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stargazer.notebook.whole import Whole

__all__ = ["FLAGS", "VALUES", "Asked", "answer_known", "read_plain", "read_value", "told"]

VALUES = ("--target", "--set", "--on", "--store")
"""Options with a value that are understood here; the answer is the same wherever it would have run."""

FLAGS = ("--json",)


class Asked(NamedTuple):
    """What was typed after ``stargazer nb run``.

    Parameters
    ----------
    file
        The notebook.
    target
        Of ``--target``.
    given
        Of ``--set``.
    store
        Of ``--store``.
    as_json
        Whether ``--json`` was there.
    on
        Of ``--on``; it must be a profile, though nothing runs there.
    """

    file: Path
    target: str | None
    given: dict[str, Any]
    store: str | None
    as_json: bool
    on: str | None


def answer_known(argv: Sequence[str]) -> bool:
    """Answer ``nb run`` where the whole notebook is known; whether that was so.

    Parameters
    ----------
    argv
        What follows ``stargazer``.
    """
    asked = read_plain(argv)
    if asked is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            whole = _find(asked)
        except (StargazerError, OSError, Warning):  # told by the command itself
            return False
    if whole is not None:
        _write(told(asked.file, whole, asked.as_json))
    return whole is not None


def _find(asked: Asked) -> Whole | None:
    from stargazer.notebook.whole import find_whole, whole_key
    from stargazer.store import Store, active_store

    if asked.on is not None:
        from stargazer.profiles.settings import find_profiles

        find_profiles(asked.on)
    store = active_store() if asked.store is None else Store.open(asked.store)
    key = whole_key(asked.file.read_bytes(), asked.file, asked.target, asked.given)
    return find_whole(store, key) if key else None


def read_plain(argv: Sequence[str]) -> Asked | None:
    """Read the plain form of the command; None where anything else was typed."""
    if list(argv[:2]) != ["nb", "run"]:
        return None
    files: list[str] = []
    values: dict[str, list[str]] = {name: [] for name in VALUES}
    flags: set[str] = set()
    words = iter(argv[2:])
    for word in words:
        if word in FLAGS:
            flags.add(word)
        elif word in VALUES:
            values[word].append(next(words, "-"))
        else:
            files.append(word)
    plain = not any(each.startswith("-") for each in (*files, *(v for found in values.values() for v in found)))
    named = all(pair.partition("=")[0].isidentifier() and "=" in pair for pair in values["--set"])
    if len(files) != 1 or not plain or not named:
        return None
    target, store, on = (values[name][-1] if values[name] else None for name in ("--target", "--store", "--on"))
    return Asked(Path(files[0]), target, _given(values["--set"]), store, "--json" in flags, on)


def _given(pairs: Iterable[str]) -> dict[str, Any]:
    split = (pair.partition("=") for pair in pairs)
    return {name: read_value(text) for name, _, text in split}


def read_value(text: str) -> Any:
    """The value of ``--set``: JSON where it can be, else a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def told(file: Path, whole: Whole, as_json: bool) -> str:
    """What is said of a notebook of which all is known."""
    if as_json:
        answer = {"notebook": os.fspath(file), "success": True, "seconds": 0.0, "cells": whole.rows}
        return json.dumps(finite(answer), indent=2, allow_nan=False)
    known = sum(row["state"] == "known" for row in whole.rows)
    return f"✓ all of {file.name} is known since {whole.started[:10]}: {known} cells"


def _write(text: str) -> None:
    try:
        print(visible(text, lines=True), flush=True)
    except BrokenPipeError:  # nobody reads any more, and nothing more is said when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
