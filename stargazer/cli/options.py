"""Options that many commands have, and how they answer."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.assets import Asset
    from stargazer.profiles.profile import Profile
    from stargazer.store import Store

__all__ = ["JSON", "STORE", "asset_json", "examples", "open_store", "print_json", "show_progress", "stored"]

STORE = Annotated[str | None, typer.Option("--store", metavar="URL", help="Path or URL of the store.")]
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


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    typer.echo(json.dumps(value, indent=2))


def show_progress() -> bool | None:
    """Progress of one command is for people who watch it; logs of scripts stay clean."""
    return None if sys.stderr.isatty() else False


def asset_json(asset: Asset) -> dict[str, Any]:
    """An asset as JSON, with its id."""
    return {"id": asset.id, **asset.to_dict()}


def stored(store: Store, names: Iterable[str]) -> list[Asset]:
    """Assets by CID or id, with the companions that belong beside them.

    Raises
    ------
    NotFound
        The store does not have one of them.
    """
    return [_one(store, name) for name in names]


def _one(store: Store, name: str) -> Asset:
    from stargazer.cid import parse
    from stargazer.errors import CIDError

    if len(name) == 64:
        return store.get(name)
    try:
        cid = parse(name).text
    except CIDError as error:
        raise typer.BadParameter(f"{name!r} is neither a CID nor the id of an asset: {error}") from None
    return next(iter(store.assemble(cid=cid)), None) or store.get(cid)
