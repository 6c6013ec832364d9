"""The life of notebooks: written, paired, brought in step, run, checked, published, as ``notebook.yml`` has them.

Every verb takes ``where``, a folder, and ``flow``, a name; it gives typed results.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer.notebook.flow.adding import Scanned as Scanned
    from stargazer.notebook.flow.adding import new as new
    from stargazer.notebook.flow.adding import scan as scan
    from stargazer.notebook.flow.auditing import Found as Found
    from stargazer.notebook.flow.auditing import audit as audit
    from stargazer.notebook.flow.auditing import check as check
    from stargazer.notebook.flow.executing import Publication as Publication
    from stargazer.notebook.flow.executing import execute as execute
    from stargazer.notebook.flow.executing import publish as publish
    from stargazer.notebook.flow.formats import NotebookFormat as NotebookFormat
    from stargazer.notebook.flow.formats import format_names as format_names
    from stargazer.notebook.flow.linking import Lab as Lab
    from stargazer.notebook.flow.linking import lab as lab
    from stargazer.notebook.flow.migrating import Migrated as Migrated
    from stargazer.notebook.flow.migrating import migrate as migrate
    from stargazer.notebook.flow.model import Config as Config
    from stargazer.notebook.flow.model import Entry as Entry
    from stargazer.notebook.flow.model import read_config as read_config
    from stargazer.notebook.flow.pairing import Difference as Difference
    from stargazer.notebook.flow.pairing import diff as diff
    from stargazer.notebook.flow.pairing import pair as pair
    from stargazer.notebook.flow.pairing import sync as sync
    from stargazer.notebook.flow.place import Book as Book
    from stargazer.notebook.flow.place import Flow as Flow
    from stargazer.notebook.flow.place import find_flow as find_flow
    from stargazer.notebook.flow.place import find_flows as find_flows
    from stargazer.notebook.flow.results import Draft as Draft
    from stargazer.notebook.flow.results import Executed as Executed
    from stargazer.notebook.flow.results import Finding as Finding
    from stargazer.notebook.flow.statuses import FlowStatus as FlowStatus
    from stargazer.notebook.flow.statuses import status as status
    from stargazer.notebook.flow.syncing import Synced as Synced

_HOMES = {
    "adding": ("Scanned", "new", "scan"),
    "auditing": ("Found", "audit", "check"),
    "executing": ("Publication", "execute", "publish"),
    "formats": ("NotebookFormat", "format_names"),
    "linking": ("Lab", "lab"),
    "migrating": ("Migrated", "migrate"),
    "model": ("Config", "Entry", "read_config"),
    "pairing": ("Difference", "diff", "pair", "sync"),
    "place": ("Book", "Flow", "find_flow", "find_flows"),
    "results": ("Draft", "Executed", "Finding"),
    "statuses": ("FlowStatus", "status"),
    "syncing": ("Synced",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Book", "Config", "Difference", "Draft", "Entry", "Executed", "Finding", "Flow", "FlowStatus", "Found", "Lab",
    "Migrated", "NotebookFormat", "Publication", "Scanned", "Synced", "audit", "check", "diff", "execute", "find_flow",
    "find_flows", "format_names", "lab", "migrate", "new", "pair", "publish", "read_config", "scan", "status", "sync",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stargazer.notebook.flow' has no attribute {name!r}")
    return getattr(importlib.import_module(f"stargazer.notebook.flow.{_HOME[name]}"), name)
