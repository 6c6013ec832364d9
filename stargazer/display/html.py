"""The look of everything that notebooks show: sober, in the notebook's own colours, light or dark; works offline."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Markup",
    "card",
    "code",
    "details",
    "escape",
    "facts_table",
    "note",
    "plural",
    "reason",
    "seconds_text",
    "short",
    "size_text",
    "state",
    "table",
    "value",
]

LONGEST = 400
"""Characters of a value that are shown."""

STYLE = """<style>
.stargazer{font:13px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:60em;margin:.3em 0;
 border:1px solid rgba(128,128,128,.35);border-radius:6px;padding:.5em .8em .6em;text-align:left}
.stargazer .sg-title{font-weight:600;margin-right:.6em}
.stargazer .sg-dim{opacity:.65}
.stargazer code{font:12px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:none;color:inherit;
 padding:0;overflow-wrap:anywhere}
.stargazer table{border-collapse:collapse;margin:.4em 0 0;font-size:13px;border:0}
.stargazer th,.stargazer td{text-align:left;vertical-align:top;padding:.1em 1.2em .1em 0;border:0;background:none;
 white-space:normal;max-width:44em}
.stargazer tr{background:none!important;border:0}
.stargazer th{font-weight:400;opacity:.65;white-space:nowrap}
.stargazer thead th{border-bottom:1px solid rgba(128,128,128,.35)}
.stargazer .sg-number{text-align:right;font-variant-numeric:tabular-nums}
.stargazer .sg-done,.stargazer .sg-known{color:#2e8b57}
.stargazer .sg-running,.stargazer .sg-run{color:#2878bd}
.stargazer .sg-failed{color:#c9372c}
.stargazer .sg-maybe,.stargazer .sg-skipped,.stargazer .sg-cancelled{color:#b07a12}
.stargazer .sg-bar{display:inline-block;width:9em;height:.6em;border-radius:.3em;background:rgba(128,128,128,.22);
 overflow:hidden;vertical-align:middle;position:relative;top:.12em}
.stargazer .sg-bar i{display:block;float:left;height:100%}
.stargazer .sg-bar .sg-done{background:#2e8b57}
.stargazer .sg-bar .sg-running{background:#2878bd}
.stargazer .sg-bar .sg-failed{background:#c9372c}
.stargazer details{margin:.3em 0 0}
.stargazer summary{cursor:pointer}
.stargazer ul{list-style:none;margin:0;padding:0 0 0 1.1em;border-left:1px solid rgba(128,128,128,.3)}
.stargazer ul.sg-roots{padding-left:0;border-left:0}
.stargazer li{margin:.1em 0}
.stargazer pre{white-space:pre-wrap;margin:.3em 0 0;background:none;color:inherit;font-size:12px}
</style>"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: Any) -> Markup:
    """`text` as HTML of which nothing is obeyed, unless it is HTML already."""
    return text if isinstance(text, Markup) else Markup(html.escape(visible(text, lines=True)))


def card(title: Any, *parts: Markup, subtitle: Any = "") -> str:
    """The frame of everything: a title, what it is about, and what there is to say."""
    head = f'<span class="sg-title">{escape(title)}</span><span class="sg-dim">{escape(subtitle)}</span>'
    return f'{STYLE}<div class="stargazer"><div>{head}</div>{"".join(parts)}</div>'


def facts_table(facts: Iterable[tuple[str, Any]]) -> Markup:
    """A name and its value a row; empty values are left out."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(shown)}</td></tr>" for name, shown in facts if shown != "")
    return Markup(f"<table><tbody>{rows}</tbody></table>" if rows else "")


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> Markup:
    """A table; the columns whose heads are in `numbers` are set flush right."""
    classes = [' class="sg-number"' if head in numbers else "" for head in heads]
    head = "".join(f"<th{kind}>{escape(each)}</th>" for each, kind in zip(heads, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    return Markup(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def code(text: Any) -> Markup:
    """Fixed-width text, such as a CID."""
    return Markup(f"<code>{escape(text)}</code>")


def state(name: str, text: Any = None) -> Markup:
    """A word in the colour of a state."""
    return Markup(f'<span class="sg-{escape(name)}">{escape(name if text is None else text)}</span>')


def note(text: Any) -> Markup:
    """A remark below the rest."""
    return Markup(f'<div class="sg-dim">{escape(text)}</div>')


def details(summary: Any, inner: Markup, *, shown: bool = False) -> Markup:
    """What opens when it is clicked."""
    return Markup(f"<details{' open' if shown else ''}><summary>{escape(summary)}</summary>{inner}</details>")


def value(fact: Any) -> str:
    """A fact or parameter as it is written in code, if it is not too long; strings without their quotes."""
    text = fact if isinstance(fact, str) else repr(fact)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


# Times, sizes and names as people read them.


LONGEST_REASON = 200


def short(name: str, head: int = 8, tail: int = 4) -> str:
    """A CID or digest cut down to its ends."""
    return name if len(name) <= head + tail + 1 else f"{name[:head]}…{name[-tail:]}"


def size_text(size: float) -> str:
    """A number of bytes: ``999 B``, ``1.5 kB``, ``3.0 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError(size)


def seconds_text(seconds: float) -> str:
    """A time in seconds: ``32 ms``, ``0.4 s``, ``12 s``, ``3 min 07 s``, ``2 h 05 min``."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def hours_text(hours: float) -> str:
    """Hours of processors: ``0.003``, ``0.2``, ``1,204.5``."""
    return f"{hours:,.1f}" if hours >= 0.1 else f"{hours:.3f}"


def plural(number: int, noun: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def reason(error: BaseException) -> str:
    """An error in one line: of a tool that failed, its command, how it ended, and the last that it said."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 2:
        lines = [*lines[:2], lines[-1]]
    shown = " · ".join(line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…" for line in lines)
    return visible(f"{type(error).__name__}: {shown}" if shown else type(error).__name__)
