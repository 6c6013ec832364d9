"""``notebook.yml`` as people wrote it, changed in place: comments and layout of what is there already stay."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import yaml

from stargazer.errors import NotebookError
from stargazer.notebook.flow.model import Entry, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BLANK", "with_entries", "with_paths"]

BLANK = """\
kernel: ""                      # a Jupyter kernelspec's name; an entry's own comes first
default_format: ""              # percent | marimo | "": found out
publish: {format: html, docs_dir: docs, prefix: "nb-"}
entries:
"""
"""What a new flow says."""

ALWAYS = ("path", "kind", "status")


def with_entries(text: str, entries: Sequence[Entry], path: str) -> str:
    """Add entries at the end of those that are there.

    Parameters
    ----------
    text
        Of the file; right already.
    entries
        What to add.
    path
        For messages.

    Raises
    ------
    NotebookError
        They are there already, or the file is laid out in a way that cannot be added to.
    """
    before = read_config(text, path)
    made = _added(text, entries, path)
    if read_config(made, path).entries != (*before.entries, *entries):
        raise NotebookError(f"{path}: entries cannot be added in its layout; write one `- path: …` a notebook")
    return made


def _added(text: str, entries: Sequence[Entry], path: str) -> str:
    node = _entries_node(text)
    if node is None:
        start = f"{text.rstrip()}\n" if text.strip() else ""
        return f"{start}entries:\n{_written(entries, 2)}"
    if isinstance(node, yaml.SequenceNode) and node.value:
        if node.flow_style:
            raise NotebookError(f"{path}: write entries as lines that begin with `- path: …`, not in brackets")
        head, rest = text[: node.end_mark.index], text[node.end_mark.index :]
        kept = head.rstrip()
        gap = head[len(kept) :].lstrip("\n")
        return f"{kept}\n{_written(entries, node.start_mark.column)}{gap}{rest}"
    head, rest = text[: node.start_mark.index].rstrip(), text[node.end_mark.index :]
    return f"{head}\n{_written(entries, 2)}{rest.lstrip()}"


def with_paths(text: str, moved: Mapping[str, str], path: str) -> str:
    """Give entries other paths, by those that they have."""
    node = _entries_node(text)
    marks = []
    for item in node.value if node is not None else ():
        value = {key.value: value for key, value in item.value}["path"]
        if value.value in moved:
            marks.append((value.start_mark.index, value.end_mark.index, moved[value.value]))
    for start, end, new in sorted(marks, reverse=True):
        text = f"{text[:start]}{_scalar(new)}{text[end:]}"
    read_config(text, path)
    return text


def _entries_node(text: str) -> Any:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    members = root.value if isinstance(root, yaml.MappingNode) else ()
    return next((value for key, value in members if key.value == "entries"), None)


def _written(entries: Sequence[Entry], indent: int) -> str:
    """Entries as lines; what is as by default is left out."""
    lines = []
    for entry in entries:
        plain = Entry(entry.path)
        named = [each.name for each in fields(Entry) if each.name != "line"]
        kept = [name for name in named if name in ALWAYS or getattr(entry, name) != getattr(plain, name)]
        rows = [f"{name}: {_scalar(getattr(entry, name))}" for name in kept]
        lines += [f"{' ' * indent}- {rows[0]}", *(f"{' ' * indent}  {row}" for row in rows[1:])]
    return "".join(f"{line}\n" for line in lines)


def _scalar(value: str | bool) -> str:
    return str(yaml.safe_dump(value, width=10_000, allow_unicode=True)).removesuffix("\n").removesuffix("\n...")
