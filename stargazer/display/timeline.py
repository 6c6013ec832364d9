"""What ran when: a picture of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.display.html import escape, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Bar", "timeline_svg"]

WIDTH, ROW, LEFT, TOP = 900, 16, 130, 24
COLOURS = ("#4878a8", "#d1803c", "#57965c", "#b85450", "#8a6fb0", "#8c6b5a", "#c97fb0", "#7f7f7f", "#a8a13a", "#46a3ad")


class Bar(NamedTuple):
    """One call.

    Parameters
    ----------
    host
        On which it ran.
    task
        Its name.
    start
        Seconds after the run began.
    seconds
        That it took.
    """

    host: str
    task: str
    start: float
    seconds: float


def timeline_svg(bars: Iterable[Bar]) -> str:
    """Draw calls as bars, those of a host below each other, as many rows as ran side by side.

    Parameters
    ----------
    bars
        The calls.
    """
    rows = [(host, row) for host, rows in sorted(_by_host(bars).items()) for row in rows]
    tasks = list(dict.fromkeys(bar.task for _, row in rows for bar in row))
    end = max((bar.start + bar.seconds for _, row in rows for bar in row), default=0.0) or 1.0
    scale = (WIDTH - LEFT - 10) / end
    parts = [_axis(end, scale, len(rows)), *_hosts(rows)]
    for number, (_, row) in enumerate(rows):
        parts += [_bar(bar, number, scale, COLOURS[tasks.index(bar.task) % len(COLOURS)]) for bar in row]
    height = TOP + ROW * (len(rows) + 1) + 18 * ((len(tasks) + 3) // 4)
    parts += [_legend(task, number, TOP + ROW * (len(rows) + 1)) for number, task in enumerate(tasks)]
    style = 'font-family="system-ui,sans-serif" font-size="11" fill="currentColor"'
    box = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style}>{"".join(parts)}</svg>'


def _by_host(bars: Iterable[Bar]) -> dict[str, list[list[Bar]]]:
    """Bars of each host in rows, in which none overlaps another."""
    hosts: dict[str, list[list[Bar]]] = {}
    for bar in sorted(bars, key=lambda bar: bar.start):
        rows = hosts.setdefault(bar.host, [])
        for row in rows:
            if row[-1].start + row[-1].seconds <= bar.start:
                row.append(bar)
                break
        else:
            rows.append([bar])
    return hosts


def _bar(bar: Bar, row: int, scale: float, colour: str) -> str:
    x, y, width = LEFT + bar.start * scale, TOP + ROW * row + 2, max(bar.seconds * scale, 0.5)
    title = escape(f"{bar.task}: {seconds_text(bar.seconds)}, from {seconds_text(bar.start)}")
    shape = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}" rx="2" fill="{colour}"'
    return f"<rect {shape}><title>{title}</title></rect>"


def _axis(end: float, scale: float, rows: int) -> str:
    marks = []
    for part in range(5):
        at = end * part / 4
        x = LEFT + at * scale
        anchor = "end" if part == 4 else "middle"
        place = f'x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + ROW * rows}"'
        marks.append(f'<line {place} stroke="currentColor" opacity=".2"/>')
        marks.append(f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="{anchor}">{escape(seconds_text(at))}</text>')
    return "".join(marks)


def _hosts(rows: Sequence[tuple[str, Any]]) -> list[str]:
    first = {host: number for number, (host, _) in reversed(list(enumerate(rows)))}
    return [f'<text x="4" y="{TOP + ROW * row + 12}">{escape(host[:18])}</text>' for host, row in first.items()]


def _legend(task: str, number: int, top: int) -> str:
    x, y = LEFT + 190 * (number % 4), top + 18 * (number // 4)
    colour = COLOURS[number % len(COLOURS)]
    mark = f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>'
    return f'{mark}<text x="{x + 15}" y="{y + 9}">{escape(task[:28])}</text>'
