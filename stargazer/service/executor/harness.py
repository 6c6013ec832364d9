"""A cell or a task's body in a process of its own: ``python -m …executor.harness REF``, where ``request.json`` lies.

It is started before there is a request, and told by a line that one is there.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from stargazer.executors.values import ARROW, JSON, Unsendable, decode, encode

__all__ = ["main"]

CELL, DISPLAY, FILE = "notebook_cell@v1", "_", "<cell>"
FIXED = (str, bytes, int, float, complex, bool, type(None))
LONGEST_TEXT = 10_000
BODIES = "stargazer.service.executor.bodies"
"""What bodies of tasks need, and cells do not."""

BUNDLE_FORMAT = "notebook-output-bundle@v1"


def main(folder: Path) -> None:
    """Run the cell, or the body of a task, that a folder holds, and write ``manifest.json`` with what it made into it.

    Parameters
    ----------
    folder
        With ``request.json``: the source, the inputs with their forms and files, and whether pickles are trusted.
    """
    folder = folder.resolve()
    request = json.loads((folder / "request.json").read_text("utf-8"))
    if request["ref"] != CELL:
        told, out, err = importlib.import_module(BODIES).run_body(folder, request)
    else:
        told, out, err = _cell(folder, request)
    (folder / "stdout.txt").write_text(out, "utf-8", "replace")
    (folder / "stderr.txt").write_text(err, "utf-8", "replace")
    told |= {"schema_version": BUNDLE_FORMAT, "stdout_file": "stdout.txt", "stderr_file": "stderr.txt"}
    (folder / "manifest.json").write_text(json.dumps(told, sort_keys=True), "utf-8")


def _cell(folder: Path, request: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    out, err = io.StringIO(), io.StringIO()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    told: dict[str, Any] = {"success": True, "variables": {}, "mutation_warnings": [], "error": None, "traceback": None}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            for each in request["inputs"]:
                data = (folder / each["file"]).read_bytes()
                namespace[each["name"]] = decode(each["format"], data, trust=request["trust"])
            given, before = dict(namespace), _bytes_of(request, namespace)
            shown = _run(request["source"], namespace)
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises is its result
            told |= {"success": False, "error": f"{type(error).__name__}: {error}", "traceback": _traceback(error)}
    if told["success"]:
        changed = _changed(namespace, given, before, request["trust"])
        told["mutation_warnings"] = [{"variable": name, "message": f"{name} was changed"} for name in changed]
        made = {
            name: namespace[name] for name in namespace if name in changed or _is_made(name, namespace[name], given)
        }
        made |= {} if shown is None else {DISPLAY: shown}
        told["variables"] = {name: _kept(folder, name, value, request["trust"]) for name, value in made.items()}
    return told, out.getvalue(), err.getvalue()


def _bytes_of(request: dict[str, Any], space: dict[str, Any]) -> dict[str, bytes]:
    """Digests of inputs by name, as they are written here; pickles have several forms of one value."""
    names = [each["name"] for each in request["inputs"] if each["format"] in (ARROW, JSON)]
    return {name: hashlib.sha256(encode(space[name], trust=False)[1]).digest() for name in names}


def _changed(space: dict[str, Any], given: dict[str, Any], before: dict[str, bytes], trust: bool) -> list[str]:
    """Inputs that a cell changed in place: they have other bytes than before."""
    found = []
    for name, digest in sorted(before.items()):
        if name not in space or space[name] is not given[name] or isinstance(given[name], FIXED):
            continue
        try:
            same = hashlib.sha256(encode(space[name], trust=trust)[1]).digest() == digest
        except Exception:  # noqa: BLE001 - what had a form and has none any more was changed
            same = False
        if not same:
            found.append(name)
    return found


def _run(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression."""
    tree = ast.parse(source, FILE)
    last = tree.body[-1] if tree.body else None
    shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
    del tree.body[len(tree.body) - (shown is not None) :]
    exec(compile(tree, FILE, "exec"), namespace)
    return None if shown is None else eval(compile(shown, FILE, "eval"), namespace)


def _is_made(name: str, value: Any, given: dict[str, Any]) -> bool:
    """Whether a cell made a variable, or put another value in its place."""
    return not name.startswith("_") and not (name in given and given[name] is value)


def _kept(folder: Path, name: str, value: Any, trust: bool) -> dict[str, Any]:
    """A variable in a file; what has no bytes is told with the reason."""
    try:
        form, data = encode(value, trust=trust)
    except Exception as error:  # noqa: BLE001 - libraries refuse values in many ways; the others are sent
        why = str(error) if isinstance(error, Unsendable) else f"{type(error).__name__}: {error}"
        return {"content_type": "none", "file": None, "error": why, "text": _text(value)}
    files = folder / "files"
    files.mkdir(exist_ok=True)
    place = files / f"{len(list(files.iterdir()))}"
    place.write_bytes(data)
    return {"content_type": form, "file": f"files/{place.name}", "byte_size": len(data)}


def _text(value: Any) -> str:
    try:
        return repr(value)[:LONGEST_TEXT]
    except Exception as error:  # noqa: BLE001 - showing a value never fails a cell
        return f"<{type(value).__qualname__}, which cannot be shown: {error}>"


def _traceback(error: BaseException) -> str:
    """The traceback from the cell on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != FILE:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _wait(ref: str) -> bool:
    """Import what will be needed, and wait for a line; whether there was one. Cells read nothing by input()."""
    if ref != CELL:
        importlib.import_module(BODIES)
    told = os.read(0, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return bool(told)


if __name__ == "__main__" and _wait(*sys.argv[1:2] or [CELL]):
    main(Path("."))
