"""Charts as SVG, drawn without any library; colours come from the page that shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stargazer.display.html import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Series = Sequence[tuple[float, float]]

__all__ = ["bars", "figures", "good", "heading", "lines", "note", "page_of", "table"]

WIDTH, HEIGHT = 460.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 12.0, 10.0, 42.0
COLOURS = ("#2878bd", "#c9372c", "#2e8b57", "#b07a12", "#7b4fa3", "#4a9aa8", "#a34f7b", "#6b6b6b")
MOST_NAMED = len(COLOURS)
"""Lines with a colour and a name of their own; of more, none has."""


def _steps(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that span a range."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / wanted))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= wanted)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:.6g}"


class _Frame:
    """Axes, and where on them a point lies."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_label: str, y_label: str, *, x_numbers: bool = True) -> str:
        parts = []
        for value in _steps(*self.y):
            _, at = self.place(self.x[0], value)
            parts.append(f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6:g}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>')
        for value in _steps(*self.x) if x_numbers else ():
            at, _ = self.place(value, self.y[0])
            where = f'x="{at:.1f}" y="{HEIGHT - BOTTOM + 16:g}" text-anchor="middle"'
            parts.append(f"<text {where}>{_number(value)}</text>")
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle:g}" y="{HEIGHT - 6:g}" text-anchor="middle">{escape(x_label)}</text>')
        turned = f'transform="rotate(-90)" x="{-(HEIGHT - BOTTOM + TOP) / 2:g}" y="12" text-anchor="middle"'
        return "".join([*parts, f"<text {turned}>{escape(y_label)}</text>"])


def _svg(label: str, *parts: str) -> str:
    box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{"".join(parts)}</svg>'


def lines(series: Mapping[str, Series], x_label: str, y_label: str, *, from_zero: bool = True) -> str:
    """A line chart with a legend; empty if there is nothing to draw.

    Parameters
    ----------
    series
        Points of each line by its name, from left to right.
    x_label, y_label
        What the axes mean.
    from_zero
        Whether the upright axis begins at 0.
    """
    drawn = {name: points for name, points in series.items() if len(points) > 1}
    if not drawn:
        return ""
    xs, ys = ([point[axis] for points in drawn.values() for point in points] for axis in (0, 1))
    frame = _Frame((min(xs), max(xs)), (0 if from_zero else math.floor(min(ys)), 1.04 * max(ys) or 1))
    parts = [frame.axes(x_label, y_label)]
    for number, (name, points) in enumerate(drawn.items()):
        colour = COLOURS[number] if len(drawn) <= MOST_NAMED else COLOURS[0]
        thin = 1.6 if len(drawn) <= MOST_NAMED else 0.8
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (frame.place(*point) for point in points))
        title = f"<title>{escape(name)}</title>"
        line = f'fill="none" stroke="{colour}" stroke-width="{thin}"'
        parts.append(f'<polyline points="{path}" {line}>{title}</polyline>')
    return _svg(y_label, *parts) + _legend(list(drawn))


def bars(values: Mapping[str, float], x_label: str, y_label: str) -> str:
    """A bar chart; empty if there is nothing to draw.

    Parameters
    ----------
    values
        Height of each bar by its name.
    x_label, y_label
        What the axes mean.
    """
    if not any(values.values()):
        return ""
    frame = _Frame((0, len(values)), (0, 1.04 * max(values.values())))
    parts = [frame.axes(x_label, y_label, x_numbers=False)]
    for number, (name, value) in enumerate(values.items()):
        (left, top), (right, base) = frame.place(number + 0.12, value), frame.place(number + 0.88, 0)
        box = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{base - top:.1f}"'
        title = f"<title>{escape(name)}: {_number(value)}</title>"
        parts.append(f'<rect {box} fill="{COLOURS[0]}">{title}</rect>')
        middle = f'x="{(left + right) / 2:.1f}" y="{HEIGHT - BOTTOM + 16:g}" text-anchor="middle"'
        parts.append(f"<text {middle}>{escape(name)}</text>" if len(values) <= 12 or number % 5 == 0 else "")
    return _svg(y_label, *parts)


def _legend(names: Sequence[str]) -> str:
    if not 1 < len(names) <= MOST_NAMED:
        return ""
    keys = (
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in zip(names, COLOURS, strict=False)
    )
    return f'<div class="legend">{"".join(keys)}</div>'


# Pages of HTML that need no other file.


STYLE = """:root{--ink:#222;--dim:#666;--line:#ddd;--paper:#fff;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--dim:#999;--line:#444;--paper:#181818}}
body{font:15px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:var(--ink);
background:var(--paper)}h1{font-size:1.5em;margin-bottom:0}h2{font-size:1.15em;margin:2em 0 .3em}p{margin:.2em 0 .6em;
color:var(--dim)}.charts{margin-top:1.2em;display:grid;
grid-template-columns:repeat(auto-fill,minmax(26em,1fr));gap:1em 2em}
.note{border-left:3px solid #b07a12;padding-left:.7em;color:var(--ink)}
figure{margin:0}figcaption{font-weight:600;font-size:13px}svg{width:100%;height:auto}
svg text{font-size:11px;fill:var(--dim)}svg .grid{stroke:var(--line);stroke-width:1}
.legend span{font-size:12px;margin-right:1em}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.35em;
border-radius:2px}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.2em .9em .2em 0;border-bottom:1px solid var(--line);white-space:nowrap}
.good{border-color:#2e8b57}.marked th,.marked td{text-align:left;white-space:normal}
.marked td:first-child{font-weight:600;white-space:nowrap;border-left:3px solid #c9372c;padding-left:.7em}
th{font-weight:600}th:first-child,td:first-child{text-align:left}"""


def heading(title: str, what: str) -> str:
    """A section's title, and what it is about."""
    return f"<h2>{escape(title)}</h2><p>{escape(what)}</p>"


def note(text: str) -> str:
    """A remark that must not be overlooked."""
    return f'<p class="note">{escape(text)}</p>'


def good(text: str) -> str:
    """A remark that all is well."""
    return f'<p class="note good">{escape(text)}</p>'


def table(rows: Sequence[Mapping[str, str]], *, marked: bool = False) -> str:
    """A row for each mapping; what one of them lacks is left empty. Rows that are marked are texts of what is wrong."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{escape(key)}</th>" for key in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(row.get(key, ''))}</td>" for key in heads) + "</tr>" for row in rows)
    kind = ' class="marked"' if marked else ""
    return f'<div class="wide"><table{kind}><tr>{head}</tr>{body}</table></div>'


def figures(drawn: Mapping[str, str]) -> str:
    """Charts side by side, by their titles; empty ones are left out."""
    shown = (f"<figure><figcaption>{title}</figcaption>{chart}</figure>" for title, chart in drawn.items() if chart)
    return f'<div class="charts">{"".join(shown)}</div>'


def page_of(title: str, samples: Sequence[str], parts: Iterable[str]) -> str:
    """The whole page."""
    name = escape(title)
    count = f"{len(samples)} samples" if len(samples) != 1 else "one sample"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}: quality</title>'
    body = "\n".join([f"<h1>{name}</h1><p>Quality of {count}.</p>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n'
