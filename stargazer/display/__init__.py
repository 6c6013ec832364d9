"""What notebooks and terminals show of assets, calls, plans, runs and lineages.

Takes everything by its shape, and imports nothing of the engine: any object of the engine may ask for its picture.
"""

from __future__ import annotations

from stargazer.display.assets import asset_html, asset_line, facts_text, store_html, table_html
from stargazer.display.calls import call_html, record_html
from stargazer.display.html import hours_text, plural, seconds_text, short, size_text
from stargazer.display.lineage import lineage_html, lineage_mermaid, lineage_text
from stargazer.display.plans import plan_html, plan_text
from stargazer.display.progress import byte_progress, path_progress, show_run, waiting
from stargazer.display.status import run_html, status_html, status_line, status_table
from stargazer.visible import cell, visible

__all__ = [
    "asset_html",
    "asset_line",
    "byte_progress",
    "call_html",
    "cell",
    "facts_text",
    "hours_text",
    "lineage_html",
    "lineage_mermaid",
    "lineage_text",
    "path_progress",
    "plan_html",
    "plan_text",
    "plural",
    "record_html",
    "run_html",
    "seconds_text",
    "short",
    "show_run",
    "size_text",
    "status_html",
    "status_line",
    "status_table",
    "store_html",
    "table_html",
    "visible",
    "waiting",
]
