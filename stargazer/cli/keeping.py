"""``stargazer fsck``, ``gc``, ``pin``, ``unpin`` and ``pins``: a store in good order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from stargazer.cli.options import (
    JSON,
    STORE,
    asset_json,
    open_made_store,
    open_store,
    print_json,
    show_progress,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.store.check import Checked
    from stargazer.store.sweep import Swept

__all__ = ["fsck", "gc", "pin", "pins", "unpin"]

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SHOWN = 20


def fsck(store: STORE = None, json: JSON = False) -> None:
    """Check the store.

    Every file is hashed and every record read; what is corrupt goes to quarantine, and the exit code is 1.
    """
    from stargazer.display import byte_progress

    opened = open_made_store(store)
    with byte_progress(f"fsck {opened.url}", shown=show_progress()) as progress:
        checked = opened.fsck(progress=progress)
    if json:
        print_json({"ok": checked.ok, **checked._asdict()})
    else:
        typer.echo("\n".join(_check_lines(checked)))
    if not checked.ok:
        counts = {"corrupt": checked.corrupt, "torn": checked.torn, "missing": checked.missing}
        found = ", ".join(f"{len(names):,} {word}" for word, names in counts.items() if names)
        typer.echo(f"stargazer: {opened.url} is damaged: {found}", err=True)
        raise typer.Exit(1)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    grace: Annotated[str, typer.Option(metavar="TIME", help="What is younger stays: 30m, 12h, 7d.")] = "7d",
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Remove what nothing needs.

    What was added or pinned stays, and what recent calls made or read.
    """
    from stargazer.display import waiting

    seconds = _seconds(grace)
    opened = open_made_store(store)
    with waiting(f"gc {opened.url}", shown=show_progress()):
        swept = opened.gc(grace=seconds, dry_run=dry_run)
    print_json(swept._asdict()) if json else typer.echo(_sweep_line(swept))


def pin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the pin; one that is there is replaced.")],
    cids: Annotated[list[str], typer.Argument(metavar="CID…", help="CIDs or ids of what to keep.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Keep files through every garbage collection."""
    _check_name(name)
    opened = open_store(store)
    assets = stored(opened, cids)
    opened.pin(name, *assets)
    if json:
        print_json({"name": name, "assets": [asset_json(asset) for asset in assets]})
    else:
        typer.echo(f"{name}: {', '.join(asset.name or str(asset.cid) for asset in assets)}")


def unpin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the pin.")],
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Let go of a pin."""
    _check_name(name)
    open_store(store).unpin(name)
    if json:
        print_json({"name": name})


def pins(store: STORE = None, json: JSON = False) -> None:
    """List the pins."""
    pinned = open_store(store).pins()
    if json:
        print_json({name: [asset_json(asset) for asset in assets] for name, assets in pinned.items()})
        return
    for name, assets in pinned.items():
        for asset in assets:
            typer.echo(f"{name}\t{asset.cid}\t{asset.name}")


def _check_name(name: str) -> None:
    from stargazer.errors import StoreError
    from stargazer.store.layout import check_name

    try:
        check_name(name)
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no time; write for instance 30m, 12h or 7d", param_hint="--grace")
    return float(found[1]) * UNITS[found[2] or "s"]


def _check_lines(checked: Checked) -> Iterator[str]:
    from stargazer.display import plural, size_text

    bad = [("corrupt", checked.corrupt), ("torn", checked.torn), ("missing", tuple(checked.missing))]
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
    left = f" and {plural(len(swept.leftovers), 'leftover')}" if swept.leftovers else ""
    return (
        f"{verb} {plural(len(swept.removed), 'file')} ({size_text(swept.bytes)}){left}; "
        f"{plural(swept.kept, 'file')} ({size_text(swept.kept_bytes)}) {'stay' if swept.kept != 1 else 'stays'}"
    )
