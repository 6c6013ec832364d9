"""Typed, content-addressed files and `dask.delayed` tasks for computational biology.

``import stargazer as sg``. Every public name is in ``__all__``; modules are imported when a name is first used, and
each asset type is one of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargazer import errors as errors
    from stargazer import names as names
    from stargazer import runs as runs
    from stargazer.api import add as add
    from stargazer.api import assemble as assemble
    from stargazer.api import delete as delete
    from stargazer.api import fetch as fetch
    from stargazer.api import forget as forget
    from stargazer.api import pin as pin
    from stargazer.api import publish as publish
    from stargazer.api import push as push
    from stargazer.api import trace as trace
    from stargazer.api import unpin as unpin
    from stargazer.api import update as update
    from stargazer.assets.types import *
    from stargazer.calls import Call as Call
    from stargazer.calls import Task as Task
    from stargazer.calls.dynamic import dynamic as dynamic
    from stargazer.calls.task import task as task
    from stargazer.client.connect import connect as connect
    from stargazer.ledger import Record as Record
    from stargazer.ledger.lineage import Lineage as Lineage
    from stargazer.notebook import ui as ui
    from stargazer.notebook.book import Notebook as Notebook
    from stargazer.notebook.codecs import codec as codec
    from stargazer.notebook.ipython import load_ipython_extension as load_ipython_extension
    from stargazer.prompts import prompt as prompt
    from stargazer.runs import Run as Run
    from stargazer.runs.planner import Plan as Plan
    from stargazer.runs.planner import plan as plan
    from stargazer.runs.run import run as run
    from stargazer.runs.run import run_async as run_async
    from stargazer.runs.verify import Verification as Verification
    from stargazer.runs.verify import verify as verify
    from stargazer.service import Artifact as Artifact
    from stargazer.service import ServiceClient as ServiceClient
    from stargazer.service import is_stale as is_stale
    from stargazer.service import materialize as materialize
    from stargazer.service import transform as transform
    from stargazer.store import Store as Store
    from stargazer.store import active_store as active_store
    from stargazer.tools import Workdir as Workdir

_HOMES = {
    "stargazer.api": (
        "add", "assemble", "delete", "fetch", "forget", "pin", "publish", "push", "trace", "unpin", "update",
    ),
    "stargazer.assets": ("Asset",),
    "stargazer.client": ("connect",),
    "stargazer.ledger": ("Record",),
    "stargazer.ledger.lineage": ("Lineage",),
    "stargazer.notebook": ("Notebook", "codec"),
    "stargazer.prompts": ("prompt",),
    "stargazer.runs.planner": ("Plan", "plan"),
    "stargazer.runs": ("Run", "run", "run_async"),
    "stargazer.runs.verify": ("Verification", "verify"),
    "stargazer.service": ("Artifact", "ServiceClient", "is_stale", "materialize", "transform"),
    "stargazer.store": ("Store", "active_store"),
    "stargazer.calls": ("Call", "Task", "task"),
    "stargazer.calls.dynamic": ("dynamic",),
    "stargazer.tools": ("Workdir",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_HOOKS = dict.fromkeys(("load_ipython_extension", "unload_ipython_extension"), "stargazer.notebook.ipython")
"""What IPython asks for: ``%load_ext stargazer``."""

__version__ = "0.1.0"
_MODULES = ("errors", "names", "runs")


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name == "ui":
        return importlib.import_module("stargazer.notebook.ui")
    if name in (*_MODULES, "tasks", "workflows"):
        return importlib.import_module(f"stargazer.{name}")
    home = _HOME.get(name) or _HOOKS.get(name)
    if home is None and name[:1].isupper() and name in _types():
        home = "stargazer.assets"
    if home is None:
        raise AttributeError(f"module 'stargazer' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def _types() -> set[str]:
    """Names of the asset types that come along; each stands in its module, and in no list here."""
    return {name for _, name in importlib.import_module("stargazer.assets").own_types().values()}


def __dir__() -> list[str]:
    return sorted({"__version__", "ui", *_MODULES, *_HOME, *_types()})
