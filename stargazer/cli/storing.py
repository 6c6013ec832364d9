"""``stargazer add``, ``ls`` and ``get``: files into the store, what is there, and files out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, asset_json, open_store, print_json, show_progress, stored

if TYPE_CHECKING:
    from stargazer.assets import Asset
    from stargazer.store import Store

__all__ = ["add", "get", "ls"]

WIDE = 110
"""Columns of a terminal in which whole CIDs fit."""

CONTROLS = {code: repr(chr(code))[1:-1] for code in range(32)}


def add(
    path: Annotated[str, typer.Argument(metavar="PATH", help="File or directory; it is copied.")],
    kind: Annotated[
        str, typer.Option("--as", metavar="TYPE", help="Asset type: reference, r1, r2, alignment, variants, …")
    ] = "asset",
    facts: Annotated[
        list[str] | None, typer.Option("--fact", metavar="NAME=VALUE", help="A fact of the type; may be repeated.")
    ] = None,
    companions: Annotated[
        list[str] | None,
        typer.Option("--companion", metavar="[TYPE=]PATH", help="A file that must lie beside it, such as its index."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Real name, if it is not that of PATH.")] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Put a file or directory into the store."""
    from stargazer.cli.facts import draft, drafts_beside
    from stargazer.display import path_progress

    wanted, beside = draft(kind, facts or []), drafts_beside(companions or [])
    with path_progress("add", path, shown=show_progress()) as progress:
        asset = open_store(store).add(path, wanted, companions=beside, name=name, progress=progress)
    print_json(asset_json(asset)) if json else typer.echo(f"{asset.cid}  {asset.name}")


def ls(
    filters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Facts, or asset=TYPE, name=…, cid=…; repeated: alternatives."),
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """List assets by their facts."""
    from stargazer.cli.facts import read_filters

    opened = open_store(store)
    wanted = read_filters(filters or [])
    found = opened.assemble(**wanted) if opened.made else []
    if json:
        print_json([asset_json(asset) for asset in found])
    else:
        _print_assets(found, opened)


def get(
    name: Annotated[str, typer.Argument(metavar="CID-OR-ID", help="CID, CID/path, or id of an asset.")],
    out: Annotated[str, typer.Option("--out", metavar="PATH", help="Directory, or path of the copy.")] = ".",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Take the records of the calls that made it, too, from a trusted store.")
    ] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Copy a file out of the store; what it lacks comes from the remotes of the settings.

    It gets its real name, and its companions lie beside it; directories come whole.
    """
    from stargazer.cli.copies import put_down

    opened = open_store(store)
    asset = _with_lineage(opened, name) if lineage else _found(opened, name)
    paths = put_down(opened, asset, out, force=force)
    if json:
        print_json({"cid": asset.cid, "path": str(paths[0]), "companions": [str(path) for path in paths[1:]]})
    else:
        typer.echo("\n".join(map(str, paths)))


def _found(store: Store, name: str) -> Asset:
    """An asset of the store, or of the remotes if it is not there and there are any."""
    from stargazer.errors import BlobLost, NotFound
    from stargazer.remotes import configured

    asset = None
    try:
        asset = _in_directory(store, name, store.resolve(name)) if "/" in name else stored(store, [name])[0]
        if store.exists(asset) or not configured():
            return asset
    except (NotFound, BlobLost):
        if len(name) == 64 or not configured():
            raise
    return _from_remotes(store, name, asset)


def _with_lineage(store: Store, name: str) -> Asset:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_lineage

    with byte_progress(f"fetch {name}", shown=show_progress()) as progress:
        return fetch_lineage(store, name, configured(), progress)


def _in_directory(store: Store, path: str, cid: str) -> Asset:
    from stargazer.assets import Asset

    return store.handle(Asset(cid=cid, name=path.rstrip("/").rpartition("/")[2]))


def _from_remotes(store: Store, name: str, asset: Asset | None) -> Asset:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_asset, fetch_into

    with byte_progress(f"fetch {name}", shown=show_progress()) as progress:
        if asset is not None:
            return fetch_asset(store, asset, configured(), progress)
        cid = fetch_into(store, name, configured(), progress)
    return _in_directory(store, name, cid) if "/" in name else store.get(cid)


def _print_assets(assets: list[Asset], store: Store) -> None:
    """A table for people; for pipes, tabs and nothing cut short."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        for asset in assets:
            typer.echo("\t".join(_cells(asset)))
        return
    if not assets:
        typer.echo(f"nothing in {store.url} fits", err=True)
        return
    console.print(_table(assets, whole=console.width >= WIDE))


def _cells(asset: Asset) -> list[str]:
    from stargazer.display import facts_text

    return [cell.translate(CONTROLS) for cell in (str(asset.cid), asset.asset_key, asset.name, facts_text(asset))]


def _table(assets: list[Asset], *, whole: bool) -> Any:
    from rich.table import Table
    from rich.text import Text

    from stargazer.display import plural, short

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", caption_style="dim", caption_justify="left")
    table.caption = plural(len(assets), "asset") + ("" if whole else "; CIDs in full: a wider terminal, or --json")
    for head in ("cid", "type", "name", "facts"):
        table.add_column(head, no_wrap=head != "facts", overflow="fold")
    for asset in assets:
        cid, *cells = _cells(asset)
        table.add_row(Text(cid if whole else short(cid)), *map(Text, cells))
    return table
