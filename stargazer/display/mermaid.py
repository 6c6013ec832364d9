"""Lineages as Mermaid flow charts."""

from __future__ import annotations

from typing import Any

from stargazer.display.assets import asset_line
from stargazer.display.measure import short

__all__ = ["lineage_mermaid"]


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
    return "".join(each if each.isalnum() or each in " .-_/+:[]()=" else f"#{ord(each)};" for each in text)
