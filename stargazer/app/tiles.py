"""A tile of the home page: what a notebook says of itself, read from its text; nothing of it runs."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import parse
from stargazer.notebook.header import find_block

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SECTIONS", "Facts", "Section", "Tile", "changed_header", "facts_of", "read_tile"]

TABLE = "[tool.stargazer]"
SHOWN = 400
HEAD = 1 << 16
"""Bytes of a notebook that are read for its tile."""


class Section(NamedTuple):
    """One of the four parts of the home page.

    Parameters
    ----------
    name
        Its folder.
    title, told
        What people read.
    modes
        How its notebooks are opened.
    """

    name: str
    title: str
    told: str
    modes: tuple[str, ...]


SECTIONS = {
    each.name: each
    for each in (
        Section("tutorials", "Tutorials", "Read once, change as you like: edits stay in a scratch copy.", ("edit",)),
        Section("workflows", "Workflows", "Whole analyses, to be run on your data.", ("run", "edit")),
        Section("workspace", "Workspace", "Your own notebooks.", ("edit", "run")),
        Section("snapshots", "Snapshots", "Frozen analyses: they never change.", ("run",)),
    )
}


class Facts(NamedTuple):
    """What the header of a notebook says.

    Parameters
    ----------
    title, description
        For people.
    order
        Where it stands among others; those without stand last.
    cpus, memory
        What its process may take: processors, and bytes; 0 for all.
    dependencies
        Packages that it wants.
    problem
        What is wrong with the header.
    """

    title: str = ""
    description: str = ""
    order: float = float("inf")
    cpus: int = 0
    memory: int = 0
    dependencies: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Tile:
    """A notebook on the home page.

    Parameters
    ----------
    section, name
        Where it is found.
    path
        Its file.
    is_own
        Whether it may be changed in place.
    facts
        What it says of itself.
    package
        Who brought it, if it came with an installed package.
    """

    section: str
    name: str
    path: Path
    is_own: bool
    facts: Facts
    package: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.section, self.name

    @property
    def modes(self) -> tuple[str, ...]:
        """How it may be opened."""
        return SECTIONS[self.section].modes

    @property
    def title(self) -> str:
        """What it is called, or its name."""
        return self.facts.title or self.name

    @property
    def cpus(self) -> int:
        """Processors that its process may use; 0 for all."""
        return self.facts.cpus

    @property
    def memory(self) -> int:
        """Bytes that its process may take; 0 for no limit."""
        return self.facts.memory

    @property
    def lacking(self) -> list[str]:
        """Packages that its header wants and that are not installed here."""
        return [each for each in self.facts.dependencies if not _is_installed(each)]


def read_tile(section: str, name: str, path: Path, *, is_own: bool, package: str = "") -> Tile:
    """Read a notebook's tile; what is wrong with its header, or with reading it, is told on it."""
    status = path.stat()
    try:
        facts = _facts_at(path, status.st_mtime_ns, status.st_size)
    except PermissionError as error:
        facts = Facts(problem=f"it cannot be read: {error.strerror}")
    return Tile(section, name, path, is_own, facts, package)


@functools.lru_cache(4096)
def _facts_at(path: Path, _modified: int, _size: int) -> Facts:
    with open(path, "rb") as file:
        return facts_of(file.read(HEAD).decode("utf-8", "replace"))


def facts_of(text: str) -> Facts:
    """Read the header of a notebook: ``[tool.stargazer]`` of its script metadata, and its docstring."""
    said = _docstring(text).strip().partition("\n")
    told = Facts(description=said[0][:SHOWN])
    try:
        script = _script(text)
        own = script.get("tool", {}).get("stargazer", {})
        wanted = tuple(str(each) for each in script.get("dependencies", ()))
        title, description = (str(own.get(name, "")) for name in ("title", "description"))
        order, cpus = float(own.get("order", "inf")), int(own.get("cpus", 0))
        memory = _bytes(own.get("memory", 0))
        if cpus < 0 or memory < 0 or order != order:
            raise ValueError("cpus and memory are not negative, and order is a number")
    except RecursionError:
        return told._replace(problem="its header cannot be read: it is nested too deep")
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        return told._replace(problem=f"its header cannot be read: {error}")
    shown = description or (said[0] if title else said[2].strip().partition("\n")[0] or said[0])
    return Facts(title[:SHOWN], shown[:SHOWN], order, cpus, memory, wanted)


def _script(text: str) -> dict[str, Any]:
    found = find_block(text)
    return tomllib.loads("\n".join(found.lines)) if found else {}


def _docstring(text: str) -> str:
    """The docstring of the module, or of a percent script's first text; only what stands before code is parsed."""
    head = re.split(r"(?m)^(?:import|from|with|@|def|class|app\s*=|# ?%%)", text, maxsplit=1)[0]
    try:
        return ast.get_docstring(parse(head)) or ""
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the parser's stack may be too small for it
        return ""


def _bytes(value: Any) -> int:
    from dask.utils import parse_bytes

    return int(parse_bytes(value)) if value else 0


@functools.lru_cache(1024)
def _is_installed(requirement: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement:
        return False
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    names = (wanted.name, "stargazer-dask") if wanted.name == "stargazer" else (wanted.name,)
    for name in names:
        try:
            return wanted.specifier.contains(version(name), prereleases=True)
        except PackageNotFoundError:
            continue
    return False


# What a person sets on a tile is written into the text of the header.


def changed_header(text: str, changes: dict[str, str | int | float]) -> str:
    """Return a notebook's text with other facts in its header.

    Parameters
    ----------
    text
        The whole notebook.
    changes
        Members of ``[tool.stargazer]``; an empty text takes one away.

    Raises
    ------
    NotebookError
        The header is written in a way that cannot be changed line by line.
    """
    found = find_block(text)
    block = "".join(f"{line}\n" for line in found.lines) if found else ""
    try:
        wanted = tomllib.loads(block)
        own = wanted.setdefault("tool", {}).setdefault("stargazer", {})
        for name, value in changes.items():
            own.pop(name, None) if value == "" else own.update({name: value})
        new = _with_lines(block, changes)
        if tomllib.loads(new) != wanted:
            raise ValueError("it is not written line by line")
    except (AttributeError, ValueError) as error:
        raise NotebookError(f"the header of the notebook must be changed in an editor: {error}") from None
    script = "# /// script\n" + "".join(f"# {line}".rstrip() + "\n" for line in new.splitlines()) + "# ///\n"
    return text[: found.start] + script + text[found.stop :] if found else script + text


def _with_lines(block: str, changes: dict[str, str | int | float]) -> str:
    lines = block.splitlines()
    if TABLE not in (line.strip() for line in lines):
        lines += [*([""] if lines else []), TABLE]
    start = next(number for number, line in enumerate(lines) if line.strip() == TABLE) + 1
    stop = next((number for number in range(start, len(lines)) if lines[number].lstrip().startswith("[")), len(lines))
    kept = [line for line in lines[start:stop] if line.partition("=")[0].strip() not in changes]
    added = [f"{name} = {_toml(value)}" for name, value in changes.items() if value != ""]
    return "\n".join([*lines[:start], *added, *kept, *lines[stop:]]) + "\n"


def _toml(value: str | float) -> str:
    import json

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
