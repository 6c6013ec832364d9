"""Lineages as text and as an HTML tree that opens and closes without any script."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from stargazer.display.assets import asset_line, facts_text
from stargazer.display.html import Markup, card, code, escape, note, plural, seconds_text, short
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lineage_html", "lineage_mermaid", "lineage_text"]

OPEN_TO = 4
"""Levels of the tree that are open at first."""

DEEPEST = 200
"""Levels of the tree that browsers can be trusted with."""

MOST = 2000
"""Nodes of the tree that are shown in a notebook."""


def lineage_text(lineage: Any) -> str:
    """A lineage as a tree of text.

    Parameters
    ----------
    lineage
        A lineage, up or down.
    """
    lines = []
    for root in lineage.roots:
        for node, before, _ in _walk(root):
            told = _told(node, lineage)
            lines.append(before + visible(f"{_parameter(node)}{asset_line(node.asset)}  {told}".rstrip()))
    return "\n".join(lines) or "nothing"


def lineage_html(lineage: Any) -> str:
    """A lineage as a tree.

    Parameters
    ----------
    lineage
        A lineage, up or down.
    """
    total = sum(1 for _ in lineage.walk())
    trees = Markup("".join(_tree(root, lineage) for root in lineage.roots))
    cut = f"the first {MOST:,} of {total:,} are shown; lineage.to_dict() has them all" if total > MOST else ""
    title = asset_line(lineage.roots[0].asset) if lineage.roots else "nothing"
    what = "what it came from" if lineage.direction == "up" else "what was made of it"
    parts = [Markup(f'<ul class="sg-roots">{trees}</ul>'), note(cut) if cut else Markup("")]
    return card(title, *parts, subtitle=f"{what}: {plural(len(lineage.records), 'call')}")


def _walk(root: Any) -> Iterator[tuple[Any, str, int]]:
    """Every node with what stands before it in the line, and its depth; chains may be deeper than the stack."""
    todo = [(root, "", "", 0)]
    while todo:
        node, before, below, depth = todo.pop()
        yield node, before, depth
        for place in range(len(node.next) - 1, -1, -1):
            last = place == len(node.next) - 1
            branch, further = ("└─ ", "   ") if last else ("├─ ", "│  ")
            todo.append((node.next[place], below + branch, below + further, depth + 1))


def _parameter(node: Any) -> str:
    return f"{node.parameter}: " if node.parameter else ""


def _told(node: Any, lineage: Any) -> str:
    """Which call made the asset; or that a person added it."""
    cid = short(node.asset.cid or "")
    if node.repeated:
        return f"{cid}  (see above)"
    if node.record is None:
        return f"{cid}  {facts_text(node.asset) or node.asset.asset_key}" + (
            "  (added)" if lineage.direction == "up" else ""
        )
    record = node.record
    whose = lineage.whose.get(record.id, "")
    told = f"{cid}  ← {record.task}({_parameters(record)})  {seconds_text(record.seconds)}"
    return f"{told}  {whose}" if whose else told


def _parameters(record: Any) -> str:
    texts = [f"{name}={given!r}" for name, given in record.parameters.items() if given not in ("", None)]
    return ", ".join(text if len(text) <= 40 else f"{text[:39]}…" for text in texts)


def _tree(root: Any, lineage: Any) -> Markup:
    """Nested lists; written out in one walk, for the tree may be deep."""
    pieces: list[str] = []
    opened: list[int] = []
    for node, _, depth in itertools.islice(_walk(root), MOST):
        if depth > DEEPEST:
            continue
        while opened and opened[-1] >= depth:
            pieces.append(_closed(opened))
        line = _line(node, lineage)
        if node.next and depth < DEEPEST:
            opened.append(depth)
            pieces.append(f"<li><details{' open' if depth < OPEN_TO else ''}><summary>{line}</summary><ul>")
        else:
            pieces.append(f"<li>{line}{' …' if node.next else ''}</li>")
    while opened:
        pieces.append(_closed(opened))
    return Markup("".join(pieces))


def _closed(opened: list[int]) -> str:
    opened.pop()
    return "</ul></details></li>"


def _line(node: Any, lineage: Any) -> Markup:
    dim = f'<span class="sg-dim">{escape(_parameter(node))}</span>'
    return Markup(f"{dim}{escape(asset_line(node.asset))} {_told_html(node, lineage)}")


def _told_html(node: Any, lineage: Any) -> Markup:
    cid, _, rest = _told(node, lineage).partition("  ")
    return Markup(f'{code(cid)} <span class="sg-dim">{escape(rest)}</span>')


# Lineages as Mermaid flow charts.


def lineage_mermaid(lineage: Any) -> str:
    """A lineage as a Mermaid flow chart, in the direction in which things were made.

    Assets are boxes, calls are rounded; each stands there once.

    Parameters
    ----------
    lineage
        A lineage, up or down.
    """
    drawing, upwards = _Drawing(), lineage.direction == "up"
    for node in lineage.walk():
        drawing.asset(node.asset)
        if upwards and node.record is not None:
            drawing.made(node.record, node.asset)
        for following in node.next:
            drawing.asset(following.asset)
            if upwards:
                drawing.used(following.asset, node.record, following.parameter)
            else:
                drawing.used(node.asset, following.record, following.parameter)
                drawing.made(following.record, following.asset)
    return "\n".join(["flowchart TD", *drawing.lines])


class _Drawing:
    """Boxes and arrows, each once, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._names: dict[str, str] = {}

    @property
    def lines(self) -> list[str]:
        return [f"  {line}" for line in self._lines]

    def asset(self, asset: Any) -> None:
        if asset.id not in self._names:
            label = f"{_quoted(asset_line(asset))}<br/>{_quoted(asset.asset_key)} {short(asset.cid or '')}"
            self._lines[f'{self._name("a", asset.id)}["{label}"]'] = None

    def used(self, asset: Any, record: Any, parameter: str) -> None:
        call = self._call(record)
        word = f'|"{_quoted(parameter)}"|' if parameter else ""
        self._lines[f"{self._name('a', asset.id)} -->{word} {call}"] = None

    def made(self, record: Any, asset: Any) -> None:
        self._lines[f"{self._call(record)} --> {self._name('a', asset.id)}"] = None

    def _call(self, record: Any) -> str:
        known = record.id in self._names
        name = self._name("c", record.id)
        if not known:
            self._lines[f'{name}("{_quoted(record.task)}")'] = None
        return name

    def _name(self, kind: str, identifier: str) -> str:
        return self._names.setdefault(identifier, f"{kind}{len(self._names)}")


def _quoted(text: str) -> str:
    """Text within a Mermaid label: what has a meaning there, by its number."""
    return "".join(each if each.isalnum() or each in " .-_/+:[]()=" else f"#{ord(each)};" for each in visible(text))
