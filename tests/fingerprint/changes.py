"""The table of changes in ``changes.txt``, and what this process makes of one of its sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^== (.*?) == (.*?) => (.*?) == (sharp|wide|warned)\n", re.MULTILINE)


class Change(NamedTuple):
    """A change of one line.

    Parameters
    ----------
    name
        What is changed, in words.
    before, after
        The files of both versions, by the names of their modules; ``pipeline`` has the body.
    expected
        What the key must be.
    """

    name: str
    before: dict[str, str]
    after: dict[str, str]
    expected: str


def changes() -> list[Change]:
    """Every change of the table."""
    parts = BLOCK.split(Path(__file__).with_name("changes.txt").read_text("utf-8"))[1:]
    return [_change(*parts[place : place + 5]) for place in range(0, len(parts), 5)]


def _change(name: str, old: str, new: str, expected: str, text: str) -> Change:
    main, *others = re.split(r"^-- (\S+)\n", text, flags=re.MULTILINE)
    files = {"pipeline": main, **dict(zip(others[::2], others[1::2], strict=True))}
    holders = [file for file, source in files.items() if old in source]
    assert len(holders) == 1, f"{name}: {old} stands in {holders}"
    return Change(name, files, {**files, holders[0]: files[holders[0]].replace(old, new, 1)}, expected)
