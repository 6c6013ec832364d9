"""``stargazer tasks`` and ``describe``: what can be run, what it takes and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stargazer.cli.options import JSON, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.catalog import Entry

__all__ = ["describe", "tasks"]

WIDTH = 88


def tasks(
    word: Annotated[
        str | None, typer.Argument(metavar="[WORD]", help="Only those that have it in names, types or tools.")
    ] = None,
    category: Annotated[Literal["task", "workflow"] | None, typer.Option(help="Only these.")] = None,
    json: JSON = False,
) -> None:
    """List tasks and workflows: those that come along, those of installed packages, and of the settings."""
    from stargazer import catalog

    found = catalog.list(category, word)
    if json:
        print_json({"entries": [_row(entry) for entry in found]})
        return
    width = max((len(entry.name) for entry in found), default=0)
    for kind in ("workflow", "task"):
        chosen = [entry for entry in found if entry.category == kind]
        if chosen:
            say(f"{kind}s")
        for entry in chosen:
            say(f"  {entry.name.ljust(width)}  {entry.summary if not entry.how else f'not here: {entry.how}'}".rstrip())
    if not found:
        say(f"no task or workflow has {word!r} in its name, types or tools", err=True)


def _row(entry: Entry) -> dict[str, object]:
    """An entry in a list; its parameters are told by `describe`."""
    members = entry.to_dict()
    return {name: members[name] for name in ("name", "category", "summary", "home", "outputs", "how")}


def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `stargazer tasks` lists it; or FILE.py:NAME.")],
    json: JSON = False,
) -> None:
    """Show what a task or workflow takes and gives, what it needs, and which tools it runs.

    With --json, its parameters as JSON Schema too.
    """
    from stargazer import catalog
    from stargazer.catalog.targets import find_entry

    entry = find_entry(name) if ":" in name or name.endswith(".py") else catalog.get(name)
    if json:
        print_json({**entry.to_dict(), "schema": entry.schema()})
    else:
        say("\n".join(_lines(entry)))


def _lines(entry: Entry) -> Iterator[str]:
    yield f"{entry.name}  ({entry.category} of {entry.group})"
    yield f"\n{entry.text}\n" if entry.text else ""
    yield "takes" if entry.params else "takes nothing"
    for param in entry.params:
        default = "" if param.required else f" = {_default(param.default)}"
        yield f"  {param.name}: {param.type}{default}"
        yield from _wrapped(param.text, "      ")
    yield "gives"
    yield from (f"  {output.name}: {output.type}" for output in entry.outputs)
    needs = {name: value for name, value in entry.needs.items() if value not in (None, 0)}
    if needs:
        yield "needs"
        yield f"  {', '.join(f'{name}: {_amount(name, value)}' for name, value in needs.items())}"
    if entry.tools:
        yield "runs"
    for tool in entry.tools:
        when = ", ".join(f"{name}={value}" for name, value in tool.when.items())
        there = "here" if tool.there else f"not here: {tool.how}"
        yield f"  {tool.name}{f' ({when})' if when else ''}: {there}"


def _default(value: object) -> str:
    from stargazer.catalog.kinds import as_json

    plain = as_json(value)
    return repr(plain)


def _amount(name: str, value: object) -> str:
    from stargazer.display import seconds_text, size_text

    if isinstance(value, str):
        return value
    return size_text(value) if name == "memory" else seconds_text(value) if name == "walltime" else str(value)  # type: ignore[arg-type]


def _wrapped(text: str, indent: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
