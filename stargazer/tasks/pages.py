"""Pages of HTML that need no other file."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["figures", "heading", "note", "page_of", "table"]

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
th{font-weight:600}th:first-child,td:first-child{text-align:left}"""


def heading(title: str, what: str) -> str:
    """A section's title, and what it is about."""
    return f"<h2>{html.escape(title)}</h2><p>{html.escape(what)}</p>"


def note(text: str) -> str:
    """A remark that must not be overlooked."""
    return f'<p class="note">{html.escape(text)}</p>'


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A row for each mapping; what one of them lacks is left empty."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{html.escape(key)}</th>" for key in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(row.get(key, ''))}</td>" for key in heads) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def figures(drawn: Mapping[str, str]) -> str:
    """Charts side by side, by their titles; empty ones are left out."""
    shown = (f"<figure><figcaption>{title}</figcaption>{chart}</figure>" for title, chart in drawn.items() if chart)
    return f'<div class="charts">{"".join(shown)}</div>'


def page_of(title: str, samples: Sequence[str], parts: Iterable[str]) -> str:
    """The whole page."""
    name = html.escape(title)
    count = f"{len(samples)} samples" if len(samples) != 1 else "one sample"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}: quality</title>'
    body = "\n".join([f"<h1>{name}</h1><p>Quality of {count}.</p>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n'
