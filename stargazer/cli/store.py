"""``stargazer add``, ``ls``, ``get``: files into the store, what is there, files out of it; ``fsck`` and ``gc``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.catalog.arguments import stored
from stargazer.cli.options import (
    CODE,
    JSON,
    STORE,
    WITH_CODE,
    asset_json,
    open_made_store,
    open_store,
    print_json,
    say,
    show_progress,
)
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.assets import Asset
    from stargazer.calls import Task
    from stargazer.ledger import Record
    from stargazer.remotes import Remote
    from stargazer.store import Store
    from stargazer.store.fsck import Checked
    from stargazer.store.gc import Swept

__all__ = ["add", "fsck", "gc", "get", "ls"]

WIDE = 110
"""Columns of a terminal in which whole CIDs fit."""


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
    from stargazer import api
    from stargazer.catalog.arguments import draft, drafts_beside

    wanted, beside = draft(kind, facts or []), drafts_beside(companions or [])
    asset = api.add(path, wanted, companions=beside, name=name, store=open_store(store), progress=show_progress())
    print_json(asset_json(asset)) if json else say(f"{asset.cid}  {visible(asset.name)}")


def ls(
    filters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Facts, or asset=TYPE, name=…, cid=…; repeated: alternatives."),
    ] = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """List assets by their facts; a value that none has is told, and the exit code is 1."""
    from stargazer.catalog.arguments import answered

    opened = open_made_store(store)
    found, missed = answered(opened, filters or [])
    if json:
        print_json({"assets": [asset_json(asset) for asset in found]} | ({"missing": missed} if missed else {}))
    elif found or not missed:
        _print_assets(found, opened)
    if missed:
        say(f"stargazer: {missed}", err=True)
        raise typer.Exit(1)


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
    from stargazer.store.copies import put_down

    opened, name = open_store(store), _address(name)
    asset = _with_lineage(opened, name) if lineage else _found(opened, name)
    paths = put_down(opened, asset, out, force=force)
    if json:
        print_json({"cid": asset.cid, "path": str(paths[0]), "companions": [str(path) for path in paths[1:]]})
    else:
        say("\n".join(map(str, paths)))


def _address(name: str) -> str:
    """A name, an id or a part of one as it is; what people paste of a CID, as a gateway's URL, as ``<cid>/x/y``."""
    from stargazer.cid import address
    from stargazer.errors import CIDError
    from stargazer.store.references import is_reference

    try:
        return name if is_reference(name) else address(name)
    except CIDError as error:
        raise typer.BadParameter(f"{name!r} is neither a CID nor the id of an asset: {error}") from None


def _found(store: Store, name: str) -> Asset:
    """An asset of the store, or of the remotes if it is not there and there are any."""
    from stargazer.cid.parts import inline_of
    from stargazer.errors import BlobLost, NotFound, RemoteLacks
    from stargazer.remotes import for_a_person
    from stargazer.store.references import read_reference

    asset = None
    try:
        below = "/" in name and _is_cid(name)
        asset = _in_directory(store, name, store.resolve(name)) if below else stored(store, [name])[0]
        if store.exists(asset):
            return asset
    except (NotFound, BlobLost):
        if not _is_cid(name):
            raise
    inlined = "/" not in name and _is_cid(name) and inline_of(read_reference(name).text) is not None
    remotes = [] if inlined else for_a_person(lambda told: say(told, err=True))
    if not (remotes or inlined) and asset is None:
        raise RemoteLacks(f"{name} is not in {store.url}, and no remote is configured: see stargazer.remotes")
    return _from_remotes(store, name, asset, remotes) if remotes or inlined or asset is None else asset


def _is_cid(name: str) -> bool:
    """Whether remotes can be asked for it: a CID, or a path below one."""
    from stargazer.errors import CIDError
    from stargazer.store.references import read_reference

    try:
        return read_reference(name.partition("/")[0]).kind == "cid"
    except CIDError:
        return False


def _with_lineage(store: Store, name: str) -> Asset:
    from stargazer.display import byte_progress
    from stargazer.remotes import configured, fetch_lineage

    with byte_progress(f"fetch {name}", shown=show_progress()) as progress:
        return fetch_lineage(store, name, configured(), progress)


def _in_directory(store: Store, path: str, cid: str) -> Asset:
    from stargazer.assets import Asset

    return store.assets.handle(Asset(cid=cid, name=path.rstrip("/").rpartition("/")[2]))


def _from_remotes(store: Store, name: str, asset: Asset | None, remotes: list[Remote]) -> Asset:
    from stargazer.display import byte_progress
    from stargazer.remotes import fetch_asset, fetch_into

    with byte_progress(f"fetch {name}", shown=show_progress()) as progress:
        if asset is not None:
            return fetch_asset(store, asset, remotes, progress)
        cid = fetch_into(store, name, remotes, progress)
    return _in_directory(store, name, cid) if "/" in name else store.get(cid)


def _print_assets(assets: list[Asset], store: Store) -> None:
    """A table for people; for pipes, tabs and nothing cut short."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        for asset in assets:
            say("\t".join(_cells(asset)))
        return
    if not assets:
        say(f"nothing in {store.url} fits", err=True)
        return
    console.print(_table(assets, whole=console.width >= WIDE))


def _cells(asset: Asset) -> list[str]:
    from stargazer.display import facts_text

    return [visible(cell) for cell in (str(asset.cid), asset.asset_key, asset.name, facts_text(asset))]


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


# ``stargazer fsck`` and ``gc``: a store in good order.


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SHOWN = 20


YES_AS_ROOT = Annotated[
    bool, typer.Option("--yes-as-root", help="As root, clean up a store that belongs to somebody else.")
]


def fsck(yes_as_root: YES_AS_ROOT = False, store: STORE = None, json: JSON = False) -> None:
    """Check the store.

    Every file is hashed and every record read; what is corrupt goes to quarantine, and the exit code is 1.
    """
    from stargazer.display import byte_progress

    opened = open_made_store(store)
    with byte_progress(f"fsck {opened.url}", shown=show_progress()) as progress:
        checked = opened.fsck(progress=progress, yes_as_root=yes_as_root)
    if json:
        print_json({"ok": checked.ok, **checked._asdict()})
    else:
        say("\n".join(_check_lines(checked)))
    if not checked.ok:
        counts = {"corrupt": checked.corrupt, "torn": checked.torn, "missing": checked.missing}
        counts |= {"unreadable": checked.unreadable} if checked.unreadable else {}
        found = ", ".join(f"{len(names):,} {word}" for word, names in counts.items() if names)
        say(f"stargazer: {opened.url} is damaged: {found}", err=True)
        raise typer.Exit(1)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    grace: Annotated[str, typer.Option(metavar="TIME", help="What is younger stays: 30m, 12h, 7d.")] = "7d",
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Results go until files take no more than that: cheap and unused ones first."
        ),
    ] = None,
    code: CODE = None,
    yes_as_root: YES_AS_ROOT = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Remove what nothing needs.

    What was added or pinned stays, and what recent calls made or read, or was of use recently. Results that the code
    which is here could not make again are named before they go.
    """
    from stargazer.display import waiting

    seconds, size = _seconds(grace), _size(budget)
    opened = open_made_store(store)
    from stargazer.catalog.targets import named_tasks

    tasks = named_tasks(code or [])
    lost: list[Record] = []
    with waiting(f"gc {opened.url}", shown=show_progress()):
        swept = opened.gc(
            grace=seconds,
            budget=size,
            dry_run=dry_run,
            told=lambda plan: lost.extend(_named(opened, plan, tasks)),
            yes_as_root=yes_as_root,
        )
    if json:
        print_json(swept._asdict() | {"not_makeable": [record.id for record in lost]})
    else:
        say(_sweep_line(swept))
    if size is not None and swept.kept_bytes > size:
        say(f"stargazer: {_beyond(swept.kept_bytes - size)}", err=True)


def _beyond(excess: int) -> str:
    from stargazer.display import size_text

    return f"{size_text(excess)} above the budget: the rest was added or pinned, is in use, or is younger than --grace"


def _named(store: Store, plan: Swept, tasks: list[Task]) -> list[Record]:
    """Name the results that are about to go for good."""
    from stargazer.runs.makeable import not_makeable

    lost = not_makeable(store, plan.results, tasks)
    if lost:
        say(f"stargazer: no code that is here makes {len(lost):,} of these results again:", err=True)
        for record in lost[:SHOWN]:
            made = " ".join(record.output_cids[:1])
            say(f"  {record.task}  {record.id[:12]}  {record.started[:10]}  {made}".rstrip(), err=True)
        say(f"  and {len(lost) - SHOWN:,} more" if len(lost) > SHOWN else "", err=True, nl=len(lost) > SHOWN)
        say(f"  {WITH_CODE}", err=True)
    return lost


def _size(text: str | None) -> int | None:
    from stargazer.profiles.settings import bytes_of

    try:
        return None if text is None else bytes_of(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no size; write for instance 500GB", param_hint="--budget") from None


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no time; write for instance 30m, 12h or 7d", param_hint="--grace")
    return float(found[1]) * UNITS[found[2] or "s"]


def _check_lines(checked: Checked) -> Iterator[str]:
    from stargazer.display import plural, size_text

    bad = [("corrupt", checked.corrupt), ("torn", checked.torn), ("missing", tuple(checked.missing))]
    bad += [("cannot be read now", checked.unreadable)] if checked.unreadable else []
    bad += [("not readable by this version", checked.unknown), ("stray", checked.strays)]
    yield f"{plural(checked.files, 'file')}, {size_text(checked.bytes)}: " + ("all good" if checked.ok else "damaged")
    for word, names in bad:
        if names:
            yield f"{len(names):,} {word}:"
            yield from (f"  {name}" for name in names[:SHOWN])
            yield from [f"  and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    if checked.corrupt:
        yield "what is corrupt went to quarantine; run what made it, or add it again"


def _sweep_line(swept: Swept) -> str:
    from stargazer.display import plural, size_text

    verb = "would remove" if swept.dry_run else "removed"
    files = sum(place.startswith(("blobs/", "trees/")) for place in swept.removed)  # the rest are records
    left = f" and {plural(len(swept.leftovers), 'leftover')}" if swept.leftovers else ""
    return (
        f"{verb} {plural(files, 'file')} ({size_text(swept.bytes)}){left}; "
        f"{plural(swept.kept, 'file')} ({size_text(swept.kept_bytes)}) {'stay' if swept.kept != 1 else 'stays'}"
    )
