"""``stargazer config`` and ``connect``: what is in force, and whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, chosen_profile, open_store, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.origins import Setting
    from stargazer.plugins import Plugin

__all__ = ["config", "connect"]

OPEN = ("stargazer.", "fsspec.specs", "dask.", "distributed.")
"""Groups of entry points that this package, or those below it, take code from."""


def config(
    prefix: Annotated[str, typer.Argument(metavar="[KEY]", help="Only this key, and those below it.")] = "",
    plugins: Annotated[
        bool, typer.Option("--plugins", help="What other installed packages add, none of which is loaded by that.")
    ] = False,
    json: JSON = False,
) -> None:
    """Show the settings in force, and where each comes from.

    Fails if one of them is wrong.
    """
    if plugins:
        found_plugins = _plugins()
        print_json({"plugins": [each._asdict() for each in found_plugins]}) if json else _print_plugins(found_plugins)
        return
    from stargazer.config import settings
    from stargazer.origins import in_force
    from stargazer.profiles.settings import check_settings

    wanted = prefix.removeprefix("stargazer.")
    found = [
        each
        for each in in_force(settings(), _unsaid())
        if f"{each.key}.".startswith(f"stargazer.{wanted}".rstrip(".") + ".")
    ]
    if not found:
        raise typer.BadParameter(f"there is no setting {prefix}")
    if json:
        check_settings()
        print_json({each.key: {"value": each.value, "origin": each.origin} for each in found})
    else:
        _print_table([(each.key, _text(each.value), each.origin) for each in found])
    check_settings()


def _unsaid() -> Iterator[Setting]:
    """What holds where the settings say nothing: the usual store, and what the original's variables name."""
    from stargazer import config as found
    from stargazer.origins import Setting

    if not found.setting("store", object):
        usual = found.store_url() == str(Path.home() / ".stargazer" / "store")
        yield Setting("stargazer.store", found.store_url(), "defaults" if usual else "STARGAZER_LOCAL")
    if not found.setting("remotes", object) and found.remotes():
        yield Setting("stargazer.remotes", found.remotes(), "PINATA_JWT")
    usual_gateways = found.settings()["default-gateways"]
    if found.setting("default-gateways", object) in (None, usual_gateways) and (
        found.default_gateways() != usual_gateways
    ):
        yield Setting("stargazer.default-gateways", found.default_gateways(), "PINATA_GATEWAY")


def _plugins() -> list[Plugin]:
    from stargazer.plugins import plugins

    return [each for each in plugins() if each.group.startswith(OPEN)]


def _print_plugins(found: list[Plugin]) -> None:
    if found:
        _print_table([tuple(each) for each in found])
    else:
        say("no installed package adds anything", err=True)


def connect(
    profile: Annotated[
        str | None, typer.Argument(metavar="[PROFILE]", help="A profile, or the address of a scheduler.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start a worker there, and see whether calls can run.")
    ] = False,
    tasks: Annotated[
        str | None, typer.Option("--for", metavar="WHAT", help="FILE.py or module whose tasks shall run there.")
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show what a profile says; with --check, try it.

    Shown is the batch script; checked are the store, versions and tools as workers see them, and what tasks need.
    """
    found = chosen_profile(profile)
    if not check:
        answers = _said(found)
        print_json(answers) if json else _print_table([(key, _text(value)) for key, value in answers.items()])
        return
    from stargazer.catalog.targets import find_tasks
    from stargazer.client.checks import check_profile

    with open_store(store) as opened:
        findings = check_profile(found, opened, find_tasks(tasks), strict=tasks is not None, named=profile)
    if json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        scripts = [finding.told for finding in findings if finding.what == "script"]
        say("".join(f"{text.rstrip()}\n\n" for text in scripts), nl=False)
        _print_table([(HOW[f.ok], f.what, f.told) for f in findings if f.what != "script"])
    if failed := [finding.what for finding in findings if finding.ok is False]:
        say(f"stargazer: {found.name} does not work: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


HOW = {True: "ok", False: "FAILED", None: "skipped"}
"""What stands before a finding."""


def _said(profile: Any) -> dict[str, Any]:
    import dataclasses

    said = dataclasses.asdict(profile)
    said["workers"] = str(profile.workers) if profile.workers else None
    return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items() if value}


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
