"""A cell in a process of its own: ``python -m …executor.harness``, in a folder with ``request.json``."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import traceback
from pathlib import Path
from typing import Any

from stargazer.service.executor.values import Unsendable, decode, encode

__all__ = ["main"]

DISPLAY = "_"
CELL = "<cell>"


def main(folder: Path) -> None:
    """Run the cell that a folder holds, and write ``manifest.json`` with what it made into it.

    Parameters
    ----------
    folder
        With ``request.json``: the source, the inputs with their forms and files, and whether pickles are trusted.
    """
    request = json.loads((folder / "request.json").read_text("utf-8"))
    out, err = io.StringIO(), io.StringIO()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    told: dict[str, Any] = {"success": True, "variables": {}, "mutation_warnings": [], "error": None, "traceback": None}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            for each in request["inputs"]:
                data = (folder / each["file"]).read_bytes()
                namespace[each["name"]] = decode(each["format"], data, trust=request["trust"])
            given = dict(namespace)
            shown = _run(request["source"], namespace)
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises is its result
            told |= {"success": False, "error": f"{type(error).__name__}: {error}", "traceback": _traceback(error)}
    if told["success"]:
        made = {name: value for name, value in namespace.items() if _is_made(name, value, given)}
        made |= {} if shown is None else {DISPLAY: shown}
        told["variables"] = {name: _kept(folder, name, value, request["trust"]) for name, value in made.items()}
    (folder / "stdout.txt").write_text(out.getvalue(), "utf-8")
    (folder / "stderr.txt").write_text(err.getvalue(), "utf-8")
    told |= {"stdout_file": "stdout.txt", "stderr_file": "stderr.txt"}
    (folder / "manifest.json").write_text(json.dumps(told, sort_keys=True), "utf-8")


def _run(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression."""
    tree = ast.parse(source, CELL)
    last = tree.body[-1] if tree.body else None
    shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
    del tree.body[len(tree.body) - (shown is not None) :]
    exec(compile(tree, CELL, "exec"), namespace)
    return None if shown is None else eval(compile(shown, CELL, "eval"), namespace)


def _is_made(name: str, value: Any, given: dict[str, Any]) -> bool:
    """Whether a cell made a variable, or put another value in its place."""
    return not name.startswith("_") and not (name in given and given[name] is value)


def _kept(folder: Path, name: str, value: Any, trust: bool) -> dict[str, Any]:
    """A variable in a file; what has no bytes is told with the reason."""
    try:
        form, data = encode(value, trust=trust)
    except Exception as error:  # noqa: BLE001 - libraries refuse values in many ways; the others are sent
        why = str(error) if isinstance(error, Unsendable) else f"{type(error).__name__}: {error}"
        return {"content_type": "none", "file": None, "error": why}
    files = folder / "files"
    files.mkdir(exist_ok=True)
    place = files / f"{len(list(files.iterdir()))}"
    place.write_bytes(data)
    return {"content_type": form, "file": f"files/{place.name}", "byte_size": len(data)}


def _traceback(error: BaseException) -> str:
    """The traceback from the cell on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != CELL:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
