"""The catalog at a glance: names and first lines, without importing the libraries of what comes along.

To import every task of single cells takes seconds, and a page that lists names has no use for them. So what is told of
the package's own entries is kept in the cache of this host, for as long as nothing of the package changed, and nothing
was installed or removed where Python looks.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config

if TYPE_CHECKING:
    from stargazer.catalog.entries import Category, Entry

__all__ = ["Line", "outline"]

FORMAT = 1
INSTALLED = ("site-packages", "dist-packages")
"""How folders end in which packages are installed; each such change changes their mtime."""


class Line(NamedTuple):
    """What a list tells of an entry.

    Parameters
    ----------
    name, category, group, summary, home, how
        As `Entry` has them.
    bare
        Its name without a group.
    words
        What a search looks in.
    """

    name: str
    category: Category
    group: str
    summary: str
    home: str
    how: str
    bare: str
    words: str


def outline(category: Category | None = None, word: str | None = None) -> list[Line]:
    """List tasks and workflows as `stargazer.catalog.list` does, by what a list tells of them.

    Parameters
    ----------
    category, word
        As there.

    Raises
    ------
    ConfigError
        ``stargazer.catalog`` names what is not there.
    """
    found = [line for line in _lines(tuple(config.catalog())) if category in (None, line.category)]
    return found if not word else [line for line in found if word.lower() in line.words]


@functools.lru_cache(maxsize=8)
def _lines(configured: tuple[str, ...]) -> list[Line]:
    from stargazer.catalog.sources import all_entries, entries_elsewhere

    own = _own_lines()
    others = [line_of(entry) for entry in entries_elsewhere(configured)]
    if {line.bare for line in own} & {line.bare for line in others}:  # their groups tell them apart
        return [line_of(entry) for entry in all_entries()]
    return sorted([*own, *others], key=lambda line: (line.category, line.name))


def line_of(entry: Entry) -> Line:
    """What a list tells of an entry."""
    from stargazer.catalog.catalog import words_of

    told = (entry.name, entry.category, entry.group, entry.summary, entry.home, entry.how)
    return Line(*told, entry.bare, words_of(entry))


def _own_lines() -> list[Line]:
    """Entries that come along, from the cache where it has them."""
    from stargazer.catalog.sources import entries_here

    place = config.cache_dir() / "catalog" / f"{_state()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return [Line(**each) for each in json.loads(place.read_text("utf-8"))]
    lines = [line_of(entry) for entry in entries_here()]
    _keep(place, json.dumps([line._asdict() for line in lines]))
    return lines


def _state() -> str:
    """Digest of what the entries hang on: the package's files, and what is installed where Python looks."""
    package = Path(__file__).parents[1]
    found: list[Any] = [FORMAT, sys.version, sorted(_signature(each) for each in package.rglob("*.py"))]
    found.append([_signature(Path(each)) for each in sys.path if each.endswith(INSTALLED)])
    return hashlib.sha256(json.dumps(found, default=str).encode()).hexdigest()


def _signature(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_size, found.st_mtime_ns


def _keep(place: Path, text: str) -> None:
    """Write what was found, whole or not at all; a cache that cannot be written is none."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        for old in place.parent.glob("*.json"):
            old.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, suffix=".part", delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(place)
