"""The page ``docs/catalog.md``, made of the catalog: ``python -m stargazer.catalog.page > docs/catalog.md``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stargazer.catalog.kinds import as_json
from stargazer.catalog.sources import OWN, all_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.catalog.entries import Entry, Tool

__all__ = ["page"]

HEAD = """# Catalog

Tasks and workflows that come along. This page is made by `python -m stargazer.catalog.page`. `stargazer tasks` lists
them, with those of installed packages and your own that the setting `stargazer.catalog` names; `stargazer describe`
shows one. [Calling what the catalog has](tasks.md#the-catalog) says how programs use it.
"""

TITLES = {
    "workflows": "Workflows", "general": "Tasks of many workflows", "gatk": "Tasks of GATK",
    "scrna": "Tasks of single cells",
}  # fmt: skip


def page() -> str:
    """Return the page; it says nothing of what happens to be installed here."""
    groups = dict.fromkeys(group for _, group, _, _ in OWN)
    entries = [entry for entry in all_entries() if entry.group in groups]
    lines = [HEAD]
    for group in sorted(groups, key=list(TITLES).index):
        lines.append(f"## {TITLES[group]}\n")
        for entry in entries:
            lines += _entry(entry) if entry.group == group else []
    return "\n".join(lines)


def _entry(entry: Entry) -> Iterator[str]:
    yield f"### {entry.name}\n"
    yield f"{_cell(entry.summary)}\n"
    if entry.params:
        yield "| parameter | type | default | |"
        yield "|---|---|---|---|"
    for param in entry.params:
        default = "" if param.required else f"`{as_json(param.default)!r}`"
        yield f"| `{param.name}` | {_code(param.type)} | {_code_of(default)} | {_cell(param.text)} |"
    gives = ", ".join(f"`{output.name}`: {_code(output.type)}" for output in entry.outputs)
    yield f"\nGives {gives}.{_tools(entry.tools)}\n"


def _tools(tools: list[Tool]) -> str:
    told = []
    for tool in tools:
        when = ", ".join(f"{name}={value}" for name, value in tool.when.items())
        told.append(f"{tool.name} (`{when}`)" if when else tool.name)
    return f" Runs {', '.join(told)}." if told else ""


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _code_of(text: str) -> str:
    return text.replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
