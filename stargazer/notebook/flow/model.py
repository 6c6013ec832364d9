"""What a flow says of its notebooks, ``notebooks/notebook.yml``: read whole, with all that is wrong in it at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from stargazer.errors import NotebookError
from stargazer.notebook.annotations import Problem
from stargazer.plugins import NOTEBOOK_FORMATS, plugins

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BUILT_IN", "KINDS", "STATUSES", "Config", "Entry", "Publish", "read_config"]

KINDS = ("investigate", "explore", "demo", "validate", "interactive")
STATUSES = ("draft", "active", "stale", "promoted", "archived")
PAGES = ("html", "markdown", "myst", "ipynb")
BUILT_IN = ("percent", "marimo")

STRING, BOOLEAN, NULL = (f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "null"))


@dataclass(frozen=True)
class Entry:
    """What is said of one notebook.

    Parameters
    ----------
    path
        Of its source, from the flow's folder: ``notebooks/explore/.src/noise.py``.
    kind
        One of `KINDS`, or nothing yet.
    status
        One of `STATUSES`.
    description
        In a few words.
    format, kernel
        In place of those of the flow; nothing by default.
    mod
        The task or workflow that it is about.
    pair_ipynb, pair_myst
        Whether an ``.ipynb`` and a MyST file stand beside a percent script.
    publish_myst, publish_html
        Whether pages are made of it.
    line
        Where it begins in the file.
    """

    path: str
    kind: str = ""
    status: str = "active"
    description: str = ""
    format: str = ""
    kernel: str = ""
    mod: str = ""
    pair_ipynb: bool = False
    pair_myst: bool = False
    publish_myst: bool = False
    publish_html: bool = False
    line: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """Its file without folders and ending."""
        return PurePosixPath(self.path).stem

    @property
    def published(self) -> bool:
        """Whether any page is made of it."""
        return self.publish_html or self.publish_myst


@dataclass(frozen=True)
class Publish:
    """Where pages go: ``{docs_dir}/{prefix}{name}.{ext}``.

    Parameters
    ----------
    format
        Of the pages that ``publish_html`` asks for: ``html``, ``markdown`` or ``ipynb``.
    docs_dir
        A folder; from that of the flow, unless it is absolute.
    prefix
        Before each name.
    """

    format: str = "html"
    docs_dir: str = ""
    prefix: str = "nb-"


@dataclass(frozen=True)
class Config:
    """The notebooks of a flow and how they are run and published, as its configuration file says it.

    Parameters
    ----------
    kernel, default_format
        Of the notebooks that say nothing else.
    publish
        Where pages go.
    entries
        The notebooks, in the order of the file.
    """

    kernel: str = ""
    default_format: str = ""
    publish: Publish = field(default_factory=Publish)
    entries: tuple[Entry, ...] = ()


def read_config(text: str, path: str) -> Config:
    """Read what a flow says of its notebooks.

    Parameters
    ----------
    text
        Of ``notebook.yml``.
    path
        For messages.

    Raises
    ------
    NotebookError
        It is no YAML, or something in it is wrong: names every mistake, each with its line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise NotebookError(f"{path}{where}: it is no YAML: {getattr(error, 'problem', None) or error}") from None
    reader = _Reader()
    config = reader.config(root) if root is not None and root.tag != NULL else Config()
    if reader.problems:
        told = [f"{path}, line {problem.line}: {problem.message}" for problem in sorted(reader.problems)]
        raise NotebookError("\n".join(told))
    return config


class _Reader:
    """Reads nodes of YAML, and goes on after a mistake."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.formats = (*BUILT_IN, *(each.name for each in plugins(NOTEBOOK_FORMATS)))

    def wrong(self, node: Any, message: str) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, message))

    def config(self, root: Any) -> Config:
        given = self._members(root, "the file", [each.name for each in fields(Config)])
        made: dict[str, Any] = {name: self._text(given[name], name) for name in ("kernel",) if name in given}
        if "default_format" in given:
            made["default_format"] = self._choice(given["default_format"], "default_format", self.formats, empty=True)
        if "publish" in given and given["publish"].tag != NULL:
            made["publish"] = self._publish(given["publish"])
        if "entries" in given and given["entries"].tag != NULL:
            made["entries"] = self._entries(given["entries"])
        return Config(**made)

    def _publish(self, node: Any) -> Publish:
        given = self._members(node, "publish", [each.name for each in fields(Publish)])
        made = {name: self._text(value, f"publish.{name}") for name, value in given.items() if name != "format"}
        if "format" in given:
            made["format"] = self._choice(given["format"], "publish.format", PAGES)
        return Publish(**made)

    def _entries(self, node: Any) -> tuple[Entry, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(node, "entries: a list is wanted, with a `- path: …` for each notebook")
            return ()
        found = [(each, entry) for each in node.value if (entry := self._entry(each)) is not None]
        self._twice(found, "path", lambda entry: str(PurePosixPath(entry.path)))
        pages = [(each, entry) for each, entry in found if entry.published]
        self._twice(pages, "the page of", lambda entry: entry.name)
        return tuple(entry for _, entry in found)

    def _twice(self, found: Iterable[tuple[Any, Entry]], what: str, key: Any) -> None:
        seen: dict[str, Entry] = {}
        for node, entry in found:
            if (first := seen.setdefault(key(entry), entry)) is not entry:
                self.wrong(node, f"{what} {key(entry)} is there already, at line {first.line}")

    def _entry(self, node: Any) -> Entry | None:
        names = [each.name for each in fields(Entry) if each.name != "line"]
        given = self._members(node, "an entry", names)
        if "path" not in given:
            if isinstance(node, yaml.MappingNode):
                self.wrong(node, "an entry has no path; write `path: notebooks/explore/.src/NAME.py`")
            return None
        made: dict[str, Any] = {"line": node.start_mark.line + 1}
        choices = {"kind": KINDS, "status": STATUSES, "format": self.formats}
        for name, value in given.items():
            if name in choices:
                made[name] = self._choice(value, name, choices[name], empty=name != "status")
            elif name.startswith(("pair_", "publish_")):
                made[name] = self._boolean(value, name)
            else:
                made[name] = self._text(value, name)
        entry = Entry(**made)
        self._check(given, entry)
        return entry

    def _check(self, given: dict[str, Any], entry: Entry) -> None:
        path = PurePosixPath(entry.path)
        node = given["path"]
        if not entry.path or path.is_absolute() or ".." in path.parts or "\\" in entry.path:
            self.wrong(
                node, f"path: {entry.path!r}: write it from the flow's folder, as notebooks/explore/.src/NAME.py"
            )
        elif path.parts[0] != "notebooks":
            self.wrong(node, f"path: {entry.path}: notebooks of a flow stand below notebooks/")
        elif path.suffix in (".ipynb", ""):
            where = (path.parent if path.parent.name == ".src" else path.parent / ".src") / f"{path.stem}.py"
            self.wrong(node, f"path: {entry.path}: the source is meant, as {where}; the .ipynb is made of it")
        for name in ("pair_ipynb", "pair_myst"):
            if getattr(entry, name) and entry.format == "marimo":
                self.wrong(given[name], f"{name}: a marimo notebook is one file; pairs are of percent scripts")

    def _members(self, node: Any, what: str, known: list[str]) -> dict[str, Any]:
        """Values of a mapping by name; what is unknown, or there twice, is wrong."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{what}: `name: value` lines are wanted; there may be {', '.join(known)}")
            return {}
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(getattr(key, "value", ""))
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                guess = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                self.wrong(key, f"{what} has no {name!r}{guess}")
            elif name in found:
                self.wrong(key, f"{name} is there twice")
            else:
                found[name] = value
        return found

    def _text(self, node: Any, name: str) -> str:
        if node.tag == NULL:
            return ""
        if not isinstance(node, yaml.ScalarNode) or node.tag != STRING:
            told = f": {node.value}" if isinstance(node, yaml.ScalarNode) else ""
            self.wrong(node, f"{name}{told} is no text; put it into quotes")
            return ""
        return str(node.value)

    def _boolean(self, node: Any, name: str) -> bool:
        if node.tag != BOOLEAN:
            self.wrong(node, f"{name}: {getattr(node, 'value', '')!s} is neither true nor false")
            return False
        return str(node.value).lower() in ("true", "yes", "on")

    def _choice(self, node: Any, name: str, choices: tuple[str, ...], *, empty: bool = False) -> str:
        text = self._text(node, name)
        if text in choices or (empty and not text):
            return text
        near = difflib.get_close_matches(text, choices, 1)
        guess = f"; did you mean {near[0]}?" if near else ""
        self.wrong(node, f"{name}: {text!r} is not one of {', '.join(choices)}{guess}")
        return "active" if name == "status" else ""
