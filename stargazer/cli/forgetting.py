"""``stargazer forget`` and ``verify``: recorded calls run once more, for good or only to compare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import CODE, JSON, STORE, WITH_CODE, open_made_store, print_json, say

if TYPE_CHECKING:
    from stargazer.ledger import Record
    from stargazer.runs.verify import Verified

__all__ = ["forget", "verify"]

WHAT = "CID, id of an asset, first digits of a record, or the name of a task."


def forget(
    what: Annotated[str, typer.Argument(metavar="RESULT|TASK", help=WHAT)],
    down: Annotated[bool, typer.Option("--down", help="What was made of it as well.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which calls.")] = False,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Let calls run once more, whatever is known of them.

    Their records and files stay; a later result that differs is told.
    """
    from stargazer.ledger import Ledger
    from stargazer.ledger.chosen import below, chosen
    from stargazer.store.references import full_name

    opened = open_made_store(store)
    ledger = Ledger(opened.records)
    found = chosen(ledger, full_name(opened, what))
    records = below(ledger, found) if down else found
    if not dry_run:
        ledger.forget(records)
    if json:
        print_json({"dry_run": dry_run, "forgotten": [_record_json(record) for record in records]})
        return
    for record in records:
        say(f"{record.id[:12]}  {record.task}  {record.started[:19]}  {' '.join(record.output_cids[:1])}".rstrip())
    say(f"{len(records)} {'would be ' if dry_run else ''}forgotten", err=True)


def verify(
    result: Annotated[
        str | None, typer.Argument(metavar="[RESULT]", help=f"{WHAT} Without it, all that the store has.")
    ] = None,
    down: Annotated[bool, typer.Option("--down", help="What was made of it, not what it was made of.")] = False,
    sample: Annotated[str, typer.Option(metavar="PART", help="Check a part, chosen at random: 5%, or 0.05.")] = "100%",
    seed: Annotated[int | None, typer.Option(help="Of the choice; another each time without it.")] = None,
    code: CODE = None,
    store: STORE = None,
    json: JSON = False,
) -> None:
    """Run recorded calls once more, and compare the results.

    Nothing is recorded. A call that the code or the tools which are here cannot make is told, and passed over. The exit
    code is 1 where a result differs, or a call fails that did not then.
    """
    from stargazer.cli.run import _stdout_kept_clean
    from stargazer.runs.verify import WRONG
    from stargazer.runs.verify import verify as check
    from stargazer.store.references import full_name

    part = _part(sample)
    opened = open_made_store(store)
    with _stdout_kept_clean():
        from stargazer.catalog.targets import named_tasks

        tasks = named_tasks(code or [])
        named = None if result is None else full_name(opened, result)
        report = check(named, down=down, sample=part, seed=seed, store=opened, tasks=tasks, told=_told)
    print_json(report.to_dict()) if json else say(str(report))
    if not report.ok:
        wrong = sum(call.outcome in WRONG for call in report.calls)
        say(f"stargazer: {wrong:,} of {report.checked:,} calls do not give what is recorded of them", err=True)
        raise typer.Exit(1)
    if report.calls and not report.checked:
        say(f"stargazer: nothing could be checked with the code and tools that are here; {WITH_CODE}", err=True)


def _told(call: Verified) -> None:
    import sys

    if sys.stderr.isatty():
        say(f"{call.outcome}: {call.record.task} {call.record.id[:12]}", err=True)


def _part(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    part = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < part <= 1:
        raise typer.BadParameter(f"{text!r} is no part of a whole; write 5% or 0.05", param_hint="--sample")
    return part


def _record_json(record: Record) -> dict[str, Any]:
    names = ("id", "task", "started", "parameters")
    return {name: getattr(record, name) for name in names} | {"outputs": list(record.output_cids)}
