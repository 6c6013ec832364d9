"""``stargazer name``, ``names``, ``facts``, ``rm``, ``pin``, ``unpin``, ``pins``: what is known of assets, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, asset_json, open_made_store, print_json, say
from stargazer.visible import visible

if TYPE_CHECKING:
    from stargazer.names import Version

__all__ = ["facts", "name", "names", "pin", "pins", "rm", "unpin"]

ASSET = typer.Argument(metavar="ASSET", help="CID, id, their first digits, or NAME@3.")


def name(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as pbmc/clusters.")],
    asset: Annotated[str, ASSET],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Give an asset a name: the next version of it, which is kept.

    NAME@3 and NAME@latest then stand for it wherever an asset may be given.
    """
    from stargazer import names

    version = names.set(name.removesuffix("@latest"), asset, store=open_made_store(store))
    print_json(_version_json(version)) if json else say(
        f"{version}  {version.asset.cid}  {visible(version.asset.name)}"
    )


def names(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this one, with all its versions.")] = "",
    differences: Annotated[
        bool, typer.Option("--diff", help="What the newest version changed, or --from changed.")
    ] = False,
    older: Annotated[int | None, typer.Option("--from", metavar="N", help="The version to compare with.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """List the names that assets have, or the versions of one."""
    from stargazer import names as all_names

    opened = open_made_store(store)
    if name and differences:
        found = all_names.diff(name, older, store=opened)
        print_json(_difference_json(found)) if json else say(str(found))
        return
    if name:
        versions = all_names.history(name, store=opened)
    else:
        versions = [all_names.history(each, store=opened)[0] for each in all_names.list(store=opened)]
    if json:
        print_json({"versions": [_version_json(each) for each in versions]})
        return
    for each in versions:
        told = (str(each), str(each.asset.cid), each.asset.asset_key, each.asset.name, each.time[:19], each.user)
        say("\t".join(map(visible, told)))


def _version_json(version: Version) -> dict[str, Any]:
    members = {"name": version.name, "version": version.version, "time": version.time, "user": version.user}
    return members | {"asset": asset_json(version.asset)}


def _difference_json(found: Any) -> dict[str, Any]:
    changes = {name: {"older": old, "newer": new} for name, (old, new) in found.changes.items()}
    return {"name": found.newer.name, "older": found.older.version, "newer": found.newer.version, "changes": changes}


def facts(
    asset: Annotated[str, ASSET],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Facts that change; name= changes its real name."),
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Show the facts of an asset, or change them: the same bytes get a new record, and the older one is kept."""
    from stargazer import api
    from stargazer.catalog.arguments import split_pair
    from stargazer.store.references import find_asset

    opened = open_made_store(store)
    given = dict(split_pair(change) for change in changes or [])
    found = api.update(asset, store=opened, **given) if given else find_asset(opened, asset)
    if json:
        print_json(asset_json(found))
        return
    say(f"{found.id}  {found.cid}  {visible(found.name)}")
    for fact, value in found.declared.items():
        say(f"  {fact}={visible(str(value))}")


def rm(
    assets: Annotated[list[str], typer.Argument(metavar="ASSET…", help="CIDs, ids, or their first digits.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Forget assets and the companions that lie beside them.

    Their bytes go with the next `stargazer gc`, unless something else needs them.
    """
    from stargazer import api
    from stargazer.store.references import find_asset

    opened = open_made_store(store)
    found = [find_asset(opened, asset) for asset in assets]
    gone = [api.delete(asset, store=opened) for asset in found]
    if json:
        print_json({"removed": [asset_json(asset) for asset in gone]})
        return
    for asset in gone:
        say(f"{asset.cid}  {visible(asset.name)}")


def pin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the pin; one that is there is replaced.")],
    cids: Annotated[list[str], typer.Argument(metavar="CID…", help="CIDs, ids or names of what to keep.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Keep files through every garbage collection."""
    from stargazer import api

    _check_name(name)
    assets = api.pin(name, *cids, store=open_made_store(store))
    if json:
        print_json({"name": name, "assets": [asset_json(asset) for asset in assets]})
    else:
        say(f"{name}: {', '.join(asset.name or str(asset.cid) for asset in assets)}")


def unpin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the pin.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Let go of a pin."""
    from stargazer import api

    _check_name(name)
    api.unpin(name, store=open_made_store(store))
    if json:
        print_json({"name": name})


def pins(store: STORE = None, json: JSON = False) -> None:
    """List the pins."""
    pinned = open_made_store(store).pins()
    if json:
        print_json({name: [asset_json(asset) for asset in assets] for name, assets in pinned.items()})
        return
    for name, assets in pinned.items():
        for asset in assets:
            say(f"{name}\t{asset.cid}\t{visible(asset.name)}")


def _check_name(name: str) -> None:
    from stargazer.errors import StoreError
    from stargazer.store.layout import check_name

    try:
        check_name(name)
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
