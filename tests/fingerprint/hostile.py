"""Run both versions of each change of ``hostile.txt`` over one store: ``python hostile.py FOLDER`` tells what came.

Each version is imported, digested and run in a process of its own, forked from this one, in the same folder: so are
edits made.
"""

from __future__ import annotations

import gc
import importlib
import json
import marshal
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dask
import numpy  # noqa: F401  (what each version would have to load)
import pandas  # noqa: F401
from changes import Change, changes

from stargazer.execute.findings import HiddenInput
from stargazer.fingerprint import UncertainIdentity

SECONDS = 60
TASK = """
import stargazer as sg

@sg.task
def answer(work: sg.Workdir) -> str:
    return repr(body(None))
"""


def write(folder: Path, files: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Write the files of a version in place of the last one's; return its environment and its arguments."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        file = folder / (name if "." in name else f"{name}.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        if name not in ("ENV", "ARGV"):
            file.write_text(text + (TASK if name == "pipeline" else ""))
    variables = dict(line.split("=", 1) for line in files.get("ENV", "").split())
    return variables, files.get("ARGV", "").split()


def apart(function: Callable[[], Any]) -> Any:
    """Call a function in a child of this process; what it returns comes through a pipe."""
    read, written = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        os.close(read)
        try:
            data = marshal.dumps(function())
        except BaseException:  # noqa: BLE001  (a child tells whatever went wrong)
            data = marshal.dumps({"error": traceback.format_exc()[-5000:]})
        os.write(written, data)
        os._exit(0)
    os.close(written)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return marshal.loads(data) if data else {"error": "did not end"}


def see(folder: Path, files: Mapping[str, str], store: Path) -> Any:
    """Digest of a version, what is served for it, and what it gives."""
    return apart(lambda: see_here(folder, files, store))


def see_here(folder: Path, files: Mapping[str, str], store: Path) -> Any:
    """Do that in this process."""
    variables, arguments = write(folder, files)
    os.environ.update(variables)
    time.tzset()
    os.chdir(folder)
    sys.argv = ["pipeline.py", *arguments]
    sys.path.insert(0, str(folder))
    told: list[str] = []
    # Without `catch_warnings`, which would undo the filters that a version sets.
    warnings.showwarning = lambda message, kind, *_: told.append(f"{kind.__name__}: {message}")  # type: ignore[assignment]
    pipeline = importlib.import_module("pipeline")
    true = apart(lambda: repr(pipeline.body(None)))
    warnings.filterwarnings("always", category=UncertainIdentity)
    warnings.filterwarnings("always", category=HiddenInput)
    with dask.config.set({"stargazer.store": str(store)}):
        call = pipeline.answer()
        digest, wide = pipeline.answer.code.digest, list(pipeline.answer.code.wide)
        served = call.compute(scheduler="sync")
    return {"digest": digest, "wide": wide, "warned": told, "served": served, "true": true}


def outcome(first: Any, again: Any, second: Any) -> str:
    """Say how a change was noticed."""
    if any("error" in each or isinstance(each["true"], dict) for each in (first, again, second)):
        return "error"
    if first["true"] == second["true"]:
        return "same result"
    if first["digest"] != again["digest"]:
        return "unsteady"
    if first["digest"] != second["digest"]:
        return "wide" if first["wide"] else "sharp"
    if second["served"] == second["true"]:
        return "read"
    return "warned" if second["warned"] or first["warned"] else "unseen"


def load_engine(folder: Path) -> None:
    """Import all that running a task needs, once for all children."""

    def names() -> list[str]:
        see_here(folder / "first", {"pipeline": f"def body(work): return 1\n{TASK}"}, folder / "store")
        return list(sys.modules)

    for name in apart(names):
        if name.partition(".")[0] in ("stargazer", "dask", "distributed", "platformdirs", "sqlite3", "yaml", "fsspec"):
            importlib.import_module(name)


def main(folder: Path, table: list[Change]) -> dict[str, Any]:
    """Outcome and particulars of each change, by its name."""
    sys.dont_write_bytecode = True
    load_engine(folder)
    gc.freeze()
    found = {}
    for number, change in enumerate(table):
        store, place = folder / f"store-{number}", folder / f"project-{number}"
        seen = [see(place, files, store) for files in (change.before, change.before, change.after)]
        found[change.name] = {"outcome": outcome(*seen), "seen": seen}
    return found


if __name__ == "__main__":
    only = set(sys.argv[2:])
    wanted = [change for change in changes("hostile.txt") if not only or change.name in only]
    print(json.dumps(main(Path(sys.argv[1]), wanted)))
