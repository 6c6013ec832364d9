"""``stargazer push`` and ``remotes``: what is stored, to other places; and which those are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargazer.catalog.arguments import stored
from stargazer.cli.options import (
    JSON,
    STORE,
    asset_json,
    examples,
    open_made_store,
    open_store,
    print_json,
    say,
    show_progress,
)
from stargazer.visible import visible

if TYPE_CHECKING:
    from stargazer.assets import Asset
    from stargazer.store import Store

__all__ = ["app", "bundles", "push", "remotes"]


def push(
    names: Annotated[list[str], typer.Argument(metavar="CID-OR-ID…", help="CIDs, or ids of assets.")],
    to: Annotated[str, typer.Option("--to", metavar="REMOTE", help="Name of a remote, or path or URL of a store.")],
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Send the records of all calls that led there, too; to stores only.")
    ] = False,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="With the files that the first of these calls read.")
    ] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Send files and directories to a remote, with their companions, under the CIDs that they have."""
    from stargazer import api
    from stargazer.remotes import named

    opened, remote = open_made_store(store), named(to)
    assets = stored(opened, names)
    for asset in assets:
        api.push(asset, to=to, lineage=lineage, inputs=inputs, store=opened, progress=show_progress())
        if not json:
            say(f"{asset.cid}  {visible(asset.name)}".rstrip())
    if json:
        print_json({"pushed": [{"cid": asset.cid, "to": remote.name} for asset in assets]})


def remotes(json: JSON = False) -> None:
    """List the remotes of the settings, in the order in which they are asked, and what each offers."""
    from stargazer.remotes import configured

    found = configured()
    if json:
        members = ("name", "kind", "url")
        rows = [
            {each: getattr(r, each) for each in members} | {"offers": list(r.offers), "trust": r.trusted} for r in found
        ]
        print_json({"remotes": rows})
        return
    if not found:
        say("no remote is configured: see stargazer.remotes in the settings", err=True)
    for remote in found:
        say("\t".join((remote.name, remote.kind, remote.url, ", ".join(remote.offers))))


# ``stargazer bundles`` and ``bundle fetch · make``: files that belong together, by their CIDs.


app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Fetch or make a bundle of files, by their CIDs.")


def bundles(json: JSON = False) -> None:
    """List the bundles that come with Stargazer."""
    from stargazer.remotes import bundles as shipped

    found = shipped()
    if json:
        rows = [{"name": b.name, "description": b.description, "size": b.size, "cids": b.cids} for b in found]
        print_json({"bundles": rows})
        return
    for each in found:
        say("\t".join((each.name, f"{len(each.assets)} assets", each.description)))


@app.command(
    epilog=examples(
        "bundle fetch variant_calling_demo",
        "bundle fetch shared/cohort.yaml --from https://ipfs.io",
        "bundle fetch https://dweb.link/ipfs/bafy…/",
    )
)
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a bundle, path or URL of its .yaml file, or CID of that or of what was published.",
        ),
    ],
    gateways: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="URL", help="An IPFS gateway or a store to ask before those of the settings."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Believe its records of calls, whoever signed them, as of a trusted store.")
    ] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Have all files of a bundle in the store, verified, with their facts.

    Nothing is known to the store before all of it is there. What is there is not fetched again. Where it brings the
    records of the calls that made them, and they are believed, the same calls are known from then on.
    """
    from stargazer.display import byte_progress
    from stargazer.remotes import bundle_at, configured, for_a_person, read_remote

    kinds = [("gateway" if url.startswith(("http://", "https://")) else "store", url) for url in gateways or []]
    chosen = [read_remote({kind: url}, "--from") for kind, url in kinds]
    remotes = [*chosen, *configured()] if chosen else for_a_person(lambda told: say(told, err=True))
    opened = open_store(store)
    bundle = bundle_at(name, opened, remotes)
    with byte_progress(f"fetch {bundle.name}", bundle.size, shown=show_progress()) as progress:
        assets = bundle.fetch(opened, remotes, progress, trusted=trust)
    _print(assets, json)


@app.command(
    epilog=examples("bundle make cohort asset=variants cohort_id=family", "bundle make paper bafy… --out paper.yaml")
)
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the bundle.")],
    what: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE|CID…", help="Facts, as for ls; or CIDs and ids, such as a run's results."),
    ],
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="Where to; NAME.yaml by default.")] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="A sentence about it.")] = "",
    lineage: Annotated[
        bool,
        typer.Option("--lineage", help="With the records of the calls that made them, which are put into the store."),
    ] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Write a bundle of what a query finds, or of files named by CID."""
    from stargazer.remotes import make_bundle

    opened = open_store(store)
    chosen = _chosen(opened, what)
    target = Path(out or f"{name}.yaml")
    bundle = make_bundle(name, chosen, opened, description, lineage=lineage)
    target.write_text(bundle.to_yaml(), "utf-8")
    if bundle.lineage and not json:
        say(f"records of the calls: {bundle.lineage}; push it too, with the files", err=True)
    if json:
        _print(chosen, json)
    else:
        say(str(target))


def _chosen(store: Store, what: list[str]) -> list[Asset]:
    from stargazer.catalog.arguments import answered
    from stargazer.errors import NotFound

    filters = [each for each in what if "=" in each]
    found, missed = answered(store, filters) if filters else ([], "")
    if missed:
        raise NotFound(missed)
    return [*found, *stored(store, [each for each in what if "=" not in each])]


def _print(assets: list[Asset], json: bool) -> None:
    if json:
        print_json({"assets": [asset_json(asset) for asset in assets]})
    else:
        say("\n".join(f"{asset.cid}  {visible(asset.name)}" for asset in assets))
