"""What a run has done so far: as HTML, as a terminal's table, as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.display.html import Markup, card, code, details, escape, note, plural, reason, seconds_text, state, table
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

__all__ = ["failures_html", "run_html", "status_html", "status_line", "status_table"]

ALWAYS = ("waiting", "running", "done", "failed")
SELDOM = ("skipped", "cancelled")
COLOURS = {"running": "blue", "done": "green", "failed": "red", "skipped": "yellow", "cancelled": "yellow"}
BAR = 16
SHOWN_LOST = 3
SHOWN_FAILURES = 5
SHOWN_LINES = 30
"""Last lines of a log that are shown with a failure."""

ENOUGH_ENDED = 3


def status_html(status: Any) -> str:
    """What a run had done at one moment, as a table with a row for each task.

    Parameters
    ----------
    status
        Of a run.
    """
    return card("Run", _rows_html(status), subtitle=_summary(status, 0))


def run_html(run: Any, *, failures: bool = True) -> str:
    """A run: its calls by task and state, and what failed.

    Parameters
    ----------
    run
        A run, in flight or ended.
    failures
        Whether what failed is shown with it.
    """
    status = run.status()
    failed = _failures_html(run) if failures else Markup("")
    notes = Markup("".join(f"<div>{escape(note)}</div>" for note in _notes(run)))
    return card("Run", _rows_html(status), failed, notes, subtitle=_summary(status, run.known))


def failures_html(run: Any) -> str:
    """What failed in a run, by itself; empty where nothing has.

    Parameters
    ----------
    run
        A run, in flight or ended.
    """
    number = len(run.failures)
    return card("Failed", _failures_html(run), subtitle=plural(number, "call")) if number else ""


def status_line(run: Any) -> str:
    """A run in one line."""
    status = run.status()
    counts = [(name, _total(status, name)) for name in (*ALWAYS, *SELDOM)]
    told = "".join(f"; {note}" for note in _notes(run))
    return (
        f"{_summary(status, run.known)}: {', '.join(f'{number:,} {name}' for name, number in counts if number)}{told}"
    )


def status_table(run: Any) -> RenderableType:
    """A run as a terminal shows it.

    Parameters
    ----------
    run
        A run, in flight or ended.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    status = run.status()
    names = _columns(status)
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    rows.add_column("task", no_wrap=True)
    rows.add_column("")
    for name in names:
        rows.add_column(name, justify="right")
    for task, counts in _by_name(status).items():
        rows.add_row(Text(visible(task)), _bar(counts), *(_count(counts.get(name, 0), name) for name in names))
    failed = [
        Text(visible(f"✗ {label}  {why}{_where_log(run, label)}", lines=True), style="red")
        for label, why in _failures(run)
    ]
    notes = [Text(visible(note), style="yellow") for note in _notes(run)]
    return Group(rows, *failed, *notes, Text(_summary(status, run.known), style="dim"))


def _by_name(status: Any) -> dict[str, dict[str, int]]:
    return {task: {each.value: number for each, number in counts.items()} for task, counts in status.tasks.items()}


def _total(status: Any, name: str) -> int:
    return sum(counts.get(name, 0) for counts in _by_name(status).values())


def _columns(status: Any) -> list[str]:
    return [*ALWAYS, *(name for name in SELDOM if _total(status, name))]


def _summary(status: Any, known: int) -> str:
    before = f", {known:,} known before" if known else ""
    calls = f"{status.ended:,} of {plural(status.count(), 'call')} ended" if status.count() else "nothing to run"
    return f"{calls}{before}, {seconds_text(status.seconds)}{_left(status)}"


def _left(status: Any) -> str:
    """How long it will take if it goes on like this; a guess, once some have ended."""
    left = status.count() - status.ended
    if not left or status.ended < ENOUGH_ENDED:
        return ""
    return f", about {seconds_text(status.seconds * left / status.ended)} left"


def _notes(run: Any) -> list[str]:
    """What somebody who watches should know beside the numbers."""
    waits = getattr(run, "notice", None)
    dashboard = getattr(run, "dashboard", None)
    lost = getattr(run, "lost_workers", [])[-SHOWN_LOST:]
    return (
        [f"nothing runs: {waits}"] * bool(waits)
        + [f"lost: {how}" for how in lost]
        + [f"Dask dashboard: {dashboard}"] * bool(dashboard)
    )


def _failures(run: Any) -> list[tuple[str, str]]:
    failures = list(run.failures.items())
    shown = [(label, reason(error)) for label, error in failures[:SHOWN_FAILURES]]
    more = len(failures) - SHOWN_FAILURES
    return [*shown, (f"and {more:,} more", "")] if more > 0 else shown


def _failures_html(run: Any) -> Markup:
    return Markup("".join(_failure_html(run, label, why) for label, why in _failures(run)))


def _failure_html(run: Any, label: str, why: str) -> Markup:
    """A failure, which opens to show the end of its log."""
    line = Markup(f"{state('failed', label)} {escape(why)}")
    log, command = (run.log(label), run.log_command(label)) if label in run.failures else ("", "")
    if not log:
        return Markup(f"<div>{line}</div>")
    whole = note(Markup(f"the whole log: {code(command)}")) if command else Markup("")
    return details(line, Markup(f"<pre>{escape(_end(log))}</pre>{whole}"))


def _end(log: str) -> str:
    lines = log.splitlines()
    left_out = len(lines) - SHOWN_LINES
    return "\n".join([f"… {plural(left_out, 'line')} before"] * (left_out > 0) + lines[-SHOWN_LINES:])


def _where_log(run: Any, label: str) -> str:
    command = run.log_command(label) if label in run.failures else ""
    return f"\n  the log: {command}" if command else ""


def _rows_html(status: Any) -> Markup:
    names = _columns(status)
    heads = ["task", "", *names]
    rows = [
        (task, _bar_html(counts), *(_count_html(counts.get(name, 0), name) for name in names))
        for task, counts in _by_name(status).items()
    ]
    return table(heads, rows, numbers=names) if rows else Markup("")


def _count_html(number: int, name: str) -> Markup:
    return Markup("") if not number else state(name, f"{number:,}")


def _shares(counts: Mapping[str, int]) -> list[tuple[str, float]]:
    total = sum(counts.values()) or 1
    return [(name, counts.get(name, 0) / total) for name in ("done", "failed", "running")]


def _bar_html(counts: Mapping[str, int]) -> Markup:
    parts = (f'<i class="sg-{name}" style="width:{100 * share:.1f}%"></i>' for name, share in _shares(counts) if share)
    return Markup(f'<span class="sg-bar">{"".join(parts)}</span>')


def _bar(counts: Mapping[str, int]) -> Any:
    from rich.text import Text

    bar = Text()
    for name, share in _shares(counts):
        bar.append("━" * max(round(BAR * share), 1 if share else 0), style=COLOURS[name])
    bar.truncate(BAR)
    bar.append("━" * (BAR - len(bar)), style="bright_black")
    return bar


def _count(number: int, name: str) -> Any:
    from rich.text import Text

    return Text(f"{number:,}" if number else "", style=COLOURS.get(name, ""))
