"""Options that many commands have, and how they answer."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.visible import finite, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.assets import Asset
    from stargazer.profiles.profile import Profile
    from stargazer.store import Store

__all__ = ["CODE", "JSON", "STORE", "asset_json", "examples", "open_store", "print_json", "say", "show_progress"]

STORE = Annotated[str | None, typer.Option("--store", metavar="URL", help="Path or URL of the store.")]
WITH_CODE = "--code FILE.py names the file of tasks that are in no installed module"
CODE = Annotated[
    list[str] | None,
    typer.Option("--code", metavar="FILE.py|MODULE", help="Where tasks are that cannot be imported from here."),
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def examples(*commands: str) -> str:
    """The end of a command's help; a backspace keeps its lines apart."""
    lines = "\n".join(f"  stargazer {command}" for command in commands)
    return f"\b\n{'Example' if len(commands) == 1 else 'Examples'}:\n{lines}"


def open_store(url: str | None) -> Store:
    """The store that was asked for, or the configured one."""
    from stargazer.store import Store, active_store

    return active_store() if url is None else Store.open(url)


def open_made_store(url: str | None) -> Store:
    """As `open_store`; one that was named must be there.

    Raises
    ------
    NotFound
        There is no store.
    """
    from stargazer.errors import NotFound

    opened = open_store(url)
    if url is not None and not opened.made:
        raise NotFound(f"there is no store at {opened.url}")
    return opened


def chosen_profile(name: str | None, **changes: Any) -> Profile:
    """The profile (of several the first) that was asked for; what is wrong in the settings is no wrong usage."""
    from stargazer.errors import ConfigError
    from stargazer.profiles.settings import find_profiles, profile_names

    try:
        found = find_profiles(name)[0]
    except ConfigError as error:
        if name is None or name in profile_names():
            raise
        raise typer.BadParameter(str(error)) from None
    try:
        return find_profiles(name, **changes)[0] if any(changes.values()) else found
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout; JSON has no number that is none, nor an infinite one: they are null."""
    say(json.dumps(finite(value), indent=2, allow_nan=False))


def say(text: Any = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, on stderr if need be; what a terminal would obey of it is shown. Bytes are for programs."""
    if isinstance(text, bytes) and not (sys.stdout is not None and sys.stdout.isatty()):
        typer.echo(text, err=err, nl=nl)
        return
    shown = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    typer.echo(visible(shown, lines=True), err=err, nl=nl)


def show_progress() -> bool | None:
    """Progress of one command is for people who watch it; logs of scripts stay clean."""
    return None if sys.stderr.isatty() else False


def asset_json(asset: Asset) -> dict[str, Any]:
    """An asset as all surfaces tell of it, with what lies beside it."""
    from stargazer import catalog

    return catalog.asset_json(asset, companions=True)
