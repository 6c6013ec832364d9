"""``stargazer tools``: which tools are here, and GATK in one command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stargazer.cli.options import JSON, examples, print_json, say

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
INSTALLED = ("gatk",)


@app.callback(epilog=examples("tools", "tools --json", "tools install gatk"))
def tools(context: typer.Context, json: JSON = False) -> None:
    """List the tools that tasks run: version, digest, whether they are here, and how to get them.

    Digests do not depend on where a tool lies; they are part of the identity of every call that runs it.
    """
    if context.invoked_subcommand is None:
        found = [_look(name) for name in _names()]
        print_json({"tools": found}) if json else say(_table(found))


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
    widths = [max(map(len, column)) for column in zip(names, *shown, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (names, *shown)]
    return "\n".join(lines)
