"""Notebooks that come to a flow: new ones, and files that nobody registered yet."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from stargazer.errors import NotebookError
from stargazer.notebook.flow.checks import read_header
from stargazer.notebook.flow.edits import BLANK, with_entries
from stargazer.notebook.flow.files import read_file, write_all
from stargazer.notebook.flow.formats import detect, format_named, format_names, format_of
from stargazer.notebook.flow.model import BUILT_IN, Config, Entry
from stargazer.notebook.flow.place import (
    CONFIG,
    PIPELINES,
    SKIPPED,
    Book,
    Flow,
    find_flow,
    find_flows,
    flow_name,
    open_flow,
    project_of,
    relative,
)
from stargazer.notebook.flow.results import Draft
from stargazer.notebook.plaintext import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.notebook.flow.formats import NotebookFormat

__all__ = ["Mode", "Scanned", "new", "scan"]

Mode = Literal["explore", "demo", "interactive"]
NAME = re.compile(r"[A-Za-z0-9_][\w-]{0,79}")


class Scanned(NamedTuple):
    """A notebook that was found in a flow, and is not registered, or was not before.

    Parameters
    ----------
    flow, path
        Name of the flow, and path of the source from its folder.
    format
        That its text has.
    kind
        By its folder.
    registered
        Whether it is registered now.
    """

    flow: str
    path: str
    format: str
    kind: str
    registered: bool = False

    def to_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return self._asdict()


def scan(where: str | Path = ".", flow: str | None = None, register: bool = False) -> list[Scanned]:
    """Find notebooks of flows that ``notebook.yml`` does not name.

    Parameters
    ----------
    where, flow
        As for `stargazer.notebook.flow.find_flows`.
    register
        Add them, as drafts, by their full paths.

    Raises
    ------
    NotebookError
        A ``notebook.yml`` is wrong, or cannot be added to.
    """
    return [found for each in find_flows(where, flow) for found in _scanned(each, register)]


def _scanned(flow: Flow, register: bool) -> list[Scanned]:
    known = {path for book in flow.books for path in (book.source, book.ipynb, book.myst)}
    entries = list(_unknown(flow, known))
    if entries and register:
        text = read_plain(flow.file)
        write_all(flow, {flow.file: with_entries(text, entries, str(flow.file))}, {flow.file: text})
    found = []
    for entry in entries:
        name = format_of(Book(flow, entry)).name
        found.append(Scanned(flow.name, entry.path, name, entry.kind, register))
    return found


def _unknown(flow: Flow, known: set[Path]) -> Iterator[Entry]:
    seen = set[str]()
    for path in _files(flow.folder):
        if path in known:
            continue
        try:
            made = _entry(flow, path)
        except NotebookError as error:  # a link into nowhere, text that is no UTF-8: the others are found all the same
            logging.getLogger("stargazer").warning("passed over: %s", error)
            continue
        if made is not None and made.path not in seen:
            seen.add(made.path)
            yield made


def _files(folder: Path) -> Iterator[Path]:
    """Files that may be notebooks; of hidden folders only those of sources are looked into."""
    endings = (".ipynb", *(format_named(name).suffix for name in format_names()))
    for root, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name == ".src" or (name[:1] != "." and name not in SKIPPED))
        yield from (Path(root) / name for name in sorted(files) if name.endswith(endings))


def _entry(flow: Flow, path: Path) -> Entry | None:
    """What is said of a file; None of one that is no notebook."""
    if path.suffix == ".ipynb":
        sources = (path.with_suffix(".py"), path.parent / ".src" / f"{path.stem}.py")
        if any(source.exists() for source in sources):
            return None
        return Entry(relative(sources[1], flow.root), _kind(flow, path, True), "draft", pair_ipynb=True)
    text = read_file(path) or ""
    form = detect(text, path)
    if not (form.detect(text, path) or path.parent.name == ".src"):
        return None
    told = (read_header(text) or {}).get("Objective", "")
    shown = form.paired and (path.parent.name == ".src" or path.with_suffix(".ipynb").exists())
    kind = _kind(flow, path, form.paired)
    return Entry(relative(path, flow.root), kind, "draft", description=told, pair_ipynb=shown)


def _kind(flow: Flow, path: Path, paired: bool) -> str:
    if path.relative_to(flow.folder).parts[0] == "demo":
        return "demo"
    return "explore" if paired else "interactive"


def new(
    name: str,
    mode: Mode = "explore",
    where: str | Path = ".",
    flow: str | None = None,
    format: str | None = None,
    mod: str = "",
    objective: str = "",
) -> Book:
    """Write a new notebook that runs, and register it.

    Parameters
    ----------
    name
        Of the notebook: letters, digits, ``_`` and ``-``.
    mode
        ``explore``: a header and a beginning. ``demo``: to be published; it begins with a query of what its `mod` made.
        ``interactive``: a marimo notebook with a widget.
    where, flow
        The flow; one that is not there yet is made.
    format
        ``percent``, ``marimo`` or another that is installed; by default that of the flow or the mode.
    mod
        A task or workflow of the catalog.
    objective
        What it is for.

    Raises
    ------
    NotebookError
        The name is none, a file of that name is there, or the format does not fit the mode.
    UnknownName
        There is no such task or workflow.
    """
    if not NAME.fullmatch(name):
        raise NotebookError(f"{name[:80]!r} is no name of a notebook: letters, digits, _ and - are, 80 at most")
    if name in sys.stdlib_module_names:
        raise NotebookError(f"{name!r} is a module of Python's, which notebooks beside it could not import any more")
    place = _flow(Path(where), flow)
    chosen = format or ("marimo" if mode == "interactive" else place.config.default_format or "percent")
    form = format_named(chosen)
    if mode == "interactive" and form.paired:
        raise NotebookError(f"an interactive notebook is marimo's, not {chosen}: people turn its widgets")
    entry = _new_entry(name, mode, form, _stated(place, chosen), mod, objective)
    book = Book(place, entry)
    if taken := [path for path in (book.source, book.ipynb) if path.exists()]:
        raise NotebookError(f"{taken[0]} is there already; take another name")
    queries, of_task = _about(mod)
    draft = Draft(name, mode, entry.kind, entry.status, objective, mod, queries, of_task)
    stands = read_file(place.file)
    config = with_entries(stands or BLANK, [entry], str(place.file))
    write_all(place, {book.source: form.template(draft), place.file: config}, {place.file: stands, book.source: None})
    made = Book(open_flow(place.root), entry)
    form.sync(made)
    return made


def _stated(flow: Flow, format: str) -> str:
    """What an entry says of its format: nothing, where that is found out, or the flow says the same."""
    default = flow.config.default_format
    return "" if format == default or (not default and format in BUILT_IN) else format


def _new_entry(name: str, mode: Mode, form: NotebookFormat, stated: str, mod: str, objective: str) -> Entry:
    folder = "notebooks/demo" if mode == "demo" else "notebooks/explore"
    path = f"{folder}/.src/{name}{form.suffix}" if form.paired else f"{folder}/{name}{form.suffix}"
    status = "active" if mode == "interactive" else "draft"
    shown = mode == "demo"
    return Entry(path, mode, status, objective, stated, "", mod, pair_ipynb=form.paired, publish_html=shown)


def _flow(where: Path, flow: str | None) -> Flow:
    """The flow that was meant; one that is not there yet is begun, and made with its first notebook."""
    here = where.resolve()
    above = (here, *here.parents)
    if flow is None:
        there = any((folder / CONFIG).is_file() for folder in above[: above.index(project_of(here)) + 1])
        root = here.parent if here.name == "notebooks" else here
        return find_flow(here) if there else Flow(root, flow_name(root), Config())
    try:
        return find_flow(here, flow)
    except NotebookError:
        if any(part in ("", ".", "..") for part in flow.split("/")):
            raise
        project = project_of(here)
        pipelines = project.joinpath(*PIPELINES)
        root = (pipelines if pipelines.is_dir() else project) / flow
        if (root / CONFIG).exists():
            raise
        return Flow(root, flow_name(root), Config())


def _about(mod: str) -> tuple[tuple[str, ...], bool]:
    """Asset keys of what a task or workflow makes, and whether it is a task."""
    if not mod:
        return (), True
    from stargazer import catalog
    from stargazer.assets.fields import asset_types

    types = {kind.__name__: key for key, kind in asset_types().items()}
    entry = catalog.get(mod)
    found = [re.findall(r"\w+", output.type) for output in entry.outputs]
    keys = dict.fromkeys(types[word] for words in found for word in words if word in types)
    return tuple(keys), entry.category == "task"
