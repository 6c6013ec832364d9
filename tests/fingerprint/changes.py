"""The tables of changes in ``changes.txt`` and ``hostile.txt``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^== (.*?) == (.*?) => (.*?) == (sharp|wide|read|warned|unseen)\n", re.MULTILINE)

LINE = "⏎"
"""Stands for the end of a line in what is put in."""


class Change(NamedTuple):
    """A change of one line.

    Parameters
    ----------
    name
        What is changed, in words.
    before, after
        The files of both versions, by the names of their modules, or of the files where these are no modules;
        ``pipeline`` has the body.
    expected
        How it must be noticed.
    """

    name: str
    before: dict[str, str]
    after: dict[str, str]
    expected: str


def changes(table: str = "changes.txt") -> list[Change]:
    """Every change of a table."""
    parts = BLOCK.split(Path(__file__).with_name(table).read_text("utf-8"))[1:]
    return [_change(*parts[place : place + 5]) for place in range(0, len(parts), 5)]


def _change(name: str, old: str, new: str, expected: str, text: str) -> Change:
    new = new.replace(LINE, "\n")
    if old.startswith("-- "):
        return Change(name, _files(text), _files(text.replace(old, new, 1)), expected)
    files = _files(text)
    holders = [file for file, source in files.items() if old in source]
    assert len(holders) == 1, f"{name}: {old} stands in {holders}"
    return Change(name, files, {**files, holders[0]: files[holders[0]].replace(old, new, 1)}, expected)


def _files(text: str) -> dict[str, str]:
    main, *others = re.split(r"^-- (\S+)\n", text, flags=re.MULTILINE)
    return {"pipeline": main, **dict(zip(others[::2], others[1::2], strict=True))}
