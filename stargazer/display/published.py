"""The page of a published result: what it is, how it was made and of what, and how to have it. It works offline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from stargazer.display.assets import facts_text
from stargazer.display.html import (
    STYLE,
    Markup,
    code,
    details,
    escape,
    facts_table,
    note,
    plural,
    seconds_text,
    short,
    size_text,
    table,
    value,
)
from stargazer.display.lineage import lineage_html

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["GATEWAY", "Page", "page_html"]

GATEWAY = "https://dweb.link/ipfs"
"""Gateway of the links on a page. It is none of the settings, for the page's bytes must not depend on whose it is."""

FRAME = """<style>
:root{color-scheme:light dark}
body{margin:0;background:#fff;color:#1b1f24;font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2.2rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid rgba(128,128,128,.35)}
p{margin:.4rem 0}
a{color:#0b62b0}
.lead{font-size:1.05rem;opacity:.8}
main .stargazer{border:0;padding:0;margin:0;max-width:none}
.wide{overflow-x:auto}
figure{margin:0;border:1px solid rgba(128,128,128,.35);border-radius:6px;padding:.6rem;background:#fff}
figure img{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption{font-size:.85rem;color:#444;margin-top:.4rem;overflow-wrap:anywhere}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1rem}
pre.take{background:rgba(128,128,128,.12);border-radius:6px;padding:.7rem .9rem;overflow-x:auto;font-size:.85rem}
@media (prefers-color-scheme:dark){body{background:#15181c;color:#e4e7eb}a{color:#7db8f0}}
</style>"""


@dataclass(frozen=True)
class Page:
    """What a page tells.

    Parameters
    ----------
    title
        Heading.
    files
        Each asset, its path in the directory, and its bytes; the result first.
    lineage
        How the result was made.
    pictures
        Path in the directory and name of each picture.
    crate, bundle, history
        Paths of the RO-Crate, the bundle and the records; empty where there is none.
    licence
        Of the data; empty where none is stated.
    """

    title: str
    files: Sequence[tuple[Any, str, int]]
    lineage: Any
    pictures: Sequence[tuple[str, str]]
    crate: str
    bundle: str
    history: str
    licence: str


def page_html(page: Page) -> str:
    """A page as HTML: no script, nothing from elsewhere, links relative to the directory it lies in."""
    sections = [
        _head(page),
        _section("Files", _files(page)),
        _section("Plots", _plots(page.pictures)),
        _section("How it was made", _made(page)),
        _section("Made from", _sources(page)),
        _section("Tools", _tools(page.lineage.records)),
        _section("Have it", _have(page)),
    ]
    body = "".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(page.title)}</title>{STYLE}{FRAME}</head>"
        f'<body><main class="stargazer-page">{body}</main></body></html>\n'
    )


def _section(title: str, inner: str) -> str:
    return f'<section><h2>{escape(title)}</h2><div class="stargazer wide">{inner}</div></section>' if inner else ""


def _head(page: Page) -> str:
    asset, _, size = page.files[0]
    records = page.lineage.records
    kind = type(asset).__name__ if asset.asset_key != "asset" else "File"
    how = f"made by {plural(len(records), 'recorded call')}" if records else "added by a person"
    lead = f'<p class="lead">{escape(f"{kind} of {size_text(size)}, {how}.")}</p>'
    rows = [
        (name.replace("_", " "), value(fact)) for name, fact in asset.declared.items() if fact not in ("", None, ())
    ]
    rows += [("name", asset.name), ("licence", page.licence or "none is stated")]
    told = facts_table([*rows, ("CID", code(asset.cid))])
    return f'<header><h1>{escape(page.title)}</h1>{lead}<div class="stargazer">{told}</div></header>'


def _link(address: str, text: Any) -> Markup:
    return Markup(f'<a href="{escape(address)}">{escape(text)}</a>')


def _files(page: Page) -> str:
    rows = [
        [
            _link(quote(path), asset.name or path.rpartition("/")[2]),
            type(asset).__name__,
            size_text(size),
            Markup(f"{_link(f'{GATEWAY}/{asset.cid}', 'gateway')} {code(f'cid://{asset.cid}')}"),
        ]
        for asset, path, size in page.files
    ]
    return table(["file", "type", "size", "by its CID, anywhere"], rows, ["size"])


def _plots(pictures: Sequence[tuple[str, str]]) -> str:
    shown = [
        f'<figure><a href="{escape(quote(path))}"><img src="{escape(quote(path))}" alt="{escape(name)}" loading="lazy">'
        f"</a><figcaption>{escape(name)}</figcaption></figure>"
        for path, name in pictures
    ]
    return f'<div class="plots">{"".join(shown)}</div>' if shown else ""


def _made(page: Page) -> str:
    records = sorted(page.lineage.records, key=lambda record: (record.started, record.id))
    if not records:
        return note("No call made it: a person added it.")
    total = seconds_text(sum(record.seconds for record in records))
    first = note(
        f"{plural(len(records), 'call')} of tasks, {total} in all, each recorded when it ran; the first first."
    )
    rows = [_call(number, record, page.lineage.whose) for number, record in enumerate(records, 1)]
    steps = table(["", "task", "parameters", "when", "took", "whose"], rows, ["took"])
    tree = details("What came from what", Markup(lineage_html(page.lineage)))
    return f"{first}{steps}{tree}"


def _call(number: int, record: Any, whose: Any) -> list[Any]:
    parameters = ", ".join(f"{name}={value(given)}" for name, given in record.parameters.items())
    when = str(record.started)[:16].replace("T", " ")
    said = " ".join(each for each in (record.user, f"({whose[record.id]})" if whose.get(record.id) else "") if each)
    return [number, record.task, parameters, when, seconds_text(record.seconds), said]


def _sources(page: Page) -> str:
    made = {str(asset.cid) for asset, _, _ in page.files}
    sources = [asset for asset in page.lineage.sources if str(asset.cid) not in made]
    rows = [
        [asset.name or short(str(asset.cid)), type(asset).__name__, facts_text(asset), code(f"cid://{asset.cid}")]
        for asset in {str(asset.cid): asset for asset in sources}.values()
    ]
    if not rows:
        return ""
    told = note("Files that were added, not computed. They are named here, and are not part of what was published.")
    return f"{told}{table(['file', 'type', 'facts', 'CID'], rows)}"


def _tools(records: Iterable[Any]) -> str:
    found: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for tool in record.tools:
            found.setdefault((tool["name"], tool.get("version", "")), set()).add(record.task)
        for name, version in record.libraries.items():
            found.setdefault((name, version), set()).add(record.task)
    rows = [[name, version, ", ".join(sorted(tasks))] for (name, version), tasks in sorted(found.items())]
    return table(["tool or library", "version", "used by"], rows) if rows else ""


def _have(page: Page) -> str:
    asset = page.files[0][0]
    lines = ["# all of it, checked, with its facts: ADDRESS is the address or CID of this page"]
    lines += ["stargazer bundle fetch ADDRESS", "", "# one file, in Python", f'fsspec.open("cid://{asset.cid}")']
    links = [("Bundle", page.bundle), ("RO-Crate", page.crate), ("Records of the calls", page.history)]
    shown = " · ".join(_link(quote(path), name) for name, path in links if path)
    known = (
        "Whoever trusts those who signed the records has the same call with the same inputs as known: it does not run."
    )
    take = f'<pre class="take">{escape(chr(10).join(lines))}</pre>'
    return f"{take}<p>{shown}</p>{note(known) if page.history else ''}"
