"""``stargazer tools``: which tools are here, GATK in one command, and the environments that tasks' tools run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, examples, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
INSTALLED = ("gatk",)


@app.callback(epilog=examples("tools", "tools --json", "tools install gatk", "tools build steps.py"))
def tools(context: typer.Context, json: JSON = False) -> None:
    """List the tools that tasks run: version, digest, whether they are here, and how to get them.

    Digests do not depend on where a tool lies; they are part of the identity of every call that runs it. Environments
    that tasks of the catalog name, containers and environments of conda, are listed below.
    """
    if context.invoked_subcommand is None:
        found = [_look(name) for name in _names()]
        places = [_look_at(name, tasks) for name, tasks in _environments(()).items()]
        if json:
            print_json({"tools": found, "environments": places})
        else:
            say(_table(found))
            say(f"\n{_table_of_environments(places)}") if places else None


@app.command(epilog=examples("tools install gatk"))
def install(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="gatk")],
    json: JSON = False,
) -> None:
    """Install a tool that no package manager has: GATK, from Maven Central.

    It goes to the user's cache (stargazer.cache), which wants Java 17, Maven, 1 GB while it is made and 0.5 GB then.
    Every jar is compared with the one that was tested. What is there already is left as it is.
    """
    if tool not in INSTALLED:
        raise typer.BadParameter(
            f"{tool!r} is not one of {', '.join(INSTALLED)}; `stargazer tools` tells how to get it"
        )
    from stargazer.display import waiting
    from stargazer.tools.install import install_gatk

    with waiting("install GATK: about two minutes, 424 MB"):
        path = install_gatk()
    found = _look(tool)
    print_json(found | {"jar": str(path)}) if json else say(f"{tool} {found['version']} is in {path}")


@app.command(epilog=examples("tools build", "tools build steps.py mypackage.steps"))
def build(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE|MODULE]...", help="Whose tasks name them; those of the catalog by default."),
    ] = None,
    json: JSON = False,
) -> None:
    """Make the environments that tasks run their tools in: pull images by digest, install locked packages of conda.

    What is there already is left as it is. Folders and .sif files are there, or not. Each machine that runs calls has
    its own, in the user's cache (stargazer.cache).
    """
    from stargazer.display import waiting
    from stargazer.tools.enclosure import build_all

    names = _environments(tuple(sources or ()))
    build_all(names, lambda name: waiting(f"build {name}"))
    found = [_look_at(name, tasks) for name, tasks in names.items()]
    if json:
        print_json({"environments": found})
    else:
        say(_table_of_environments(found) if found else "no task names an environment of its own")


def _environments(sources: tuple[str, ...]) -> dict[str, list[str]]:
    """Names of environments, with the tasks that name them."""
    from stargazer.calls import Task
    from stargazer.catalog.sources import all_entries, entries_of

    found: dict[str, list[str]] = {}
    for entry in entries_of(sources) if sources else all_entries():
        if isinstance(entry.function, Task) and entry.function.environment:
            found.setdefault(entry.function.environment, []).append(entry.name)
    return found


def _look_at(name: str, tasks: list[str]) -> dict[str, Any]:
    """What is known of one environment."""
    from stargazer.errors import StargazerError
    from stargazer.tools.enclosure import enclosed
    from stargazer.tools.identity import identify_tool

    row = {"environment": name, "tasks": tasks, "digest": "", "there": False, "runtime": "", "how": ""}
    try:
        identity = identify_tool(name)
        row["digest"] = identity.digest
        made = enclosed((identity,))
    except StargazerError as error:
        return row | {"how": str(error)}
    return row | {"there": True, "runtime": made.told()["runtime"] if made else ""}


def _names() -> list[str]:
    from stargazer.tools.identity import EMBEDDED_TOOLS, HOW_TO_GET

    return [*EMBEDDED_TOOLS, *HOW_TO_GET]


def _look(name: str) -> dict[str, Any]:
    """What is known of one tool."""
    from stargazer.errors import StargazerError
    from stargazer.tools.identity import EMBEDDED_TOOLS, HOW_TO_GET, identify_tool, locate_tool
    from stargazer.tools.programs import is_script, sha256_of

    how = f"pip install {name}" if name in EMBEDDED_TOOLS else HOW_TO_GET[name]
    row = {"tool": name, "there": False, "version": "", "digest": "", "path": "", "how": how}
    try:
        identity = identify_tool(name)
        path = "" if name in EMBEDDED_TOOLS else locate_tool(name)
        # What sha256sum says of a script is what people compare; it counts with all that it leads to.
        digest = sha256_of(path) if path and name != "gatk" and is_script(path) else identity.digest
        return row | {"there": True, "version": identity.version, "digest": digest, "path": path}
    except StargazerError as error:
        return row | {"problem": str(error)}


def _table(rows: list[dict[str, Any]]) -> str:
    names = ("tool", "version", "digest", "there", "how to get it")
    shown = [
        (row["tool"], row["version"] or "–", row["digest"][:12] or "–", "yes" if row["there"] else "no", row["how"])
        for row in rows
    ]
    return _aligned(names, shown)


def _table_of_environments(rows: list[dict[str, Any]]) -> str:
    names = ("environment", "digest", "there", "runs by", "tasks")
    shown = [
        (row["environment"], row["digest"][:12] or "–", "yes" if row["there"] else "no", row["runtime"] or row["how"],
         ", ".join(row["tasks"]))
        for row in rows
    ]  # fmt: skip
    return _aligned(names, shown)


def _aligned(names: Sequence[str], shown: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(names, *shown, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (names, *shown)]
    return "\n".join(lines)
