"""The body of a task that came from elsewhere: loaded, compared, run in a work directory."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stargazer.assets import Asset
from stargazer.errors import StargazerError, WorkerMismatch
from stargazer.execute.spec import check_versions
from stargazer.executors.tasks import FOLDER, WORK, dicts_of, is_below
from stargazer.executors.values import PICKLE, Unsendable
from stargazer.ledger.rebuilt import find_named, value_of
from stargazer.ledger.record import decode, encode
from stargazer.tools import INPUTS, ToolIdentity, Workdir

__all__ = ["run_body"]


def run_body(folder: Path, request: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Run the body of a task; return the manifest, and what was printed.

    Parameters
    ----------
    folder
        That holds the files of the request.
    request
        Its parameters and inputs; see `stargazer.executors.tasks`.
    """
    params, out = request["params"], io.StringIO()
    told: dict[str, Any] = {"success": True, "variables": {}, "mutation_warnings": [], "error": None, "traceback": None}
    warned: list[str] = []
    env, cpus = params.get("env") or {}, int(params.get("cpus") or 1)
    work = Workdir(folder / WORK, cpus=cpus, env=env, warned=warned.append)
    began = time.process_time()
    with contextlib.redirect_stdout(out):
        try:
            _lay_out(folder, request["inputs"], work.path)
            told |= _made(folder, request, params, work)
        except BaseException as error:  # noqa: BLE001 - whatever a body raises is its result
            told |= {"success": False, "error": f"{type(error).__name__}: {error}", "traceback": _traceback(error)}
    told |= {"warnings": warned, "peak_bytes": work.peak_bytes}
    told["cpu_seconds"] = round(time.process_time() - began + work.cpu_seconds, 6)
    return told, out.getvalue(), work.log().decode("utf-8", "replace")


def _lay_out(folder: Path, inputs: list[dict[str, Any]], root: Path) -> None:
    """Put files where the body looks for them."""
    (root / INPUTS).mkdir(parents=True, exist_ok=True)
    for each in inputs:
        if each["format"] == PICKLE:
            continue
        if not is_below(each["path"]) or Path(each["path"]).parts[0] != INPUTS:
            raise Unsendable(f"{each['path']!r:.100} is no place of an input")
        place = root / each["path"]
        if each["format"] == FOLDER:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            (folder / each["file"]).rename(place)


def _made(folder: Path, request: dict[str, Any], params: dict[str, Any], work: Workdir) -> dict[str, Any]:
    pickled = {each["name"]: folder / each["file"] for each in request["inputs"] if each["format"] == PICKLE}
    if pickled and not request["trust"]:
        raise Unsendable("pickles are not trusted here")
    task = _unpickled(pickled["task"]) if "task" in pickled else _imported(str(params["home"]))
    _compare(task, params)
    given = {n: value_of(value) for n, value in params["parameters"].items()}
    given |= _unpickled(pickled["parameters"]) if "parameters" in pickled else {}
    staged = {name: _staged(value, work.path) for name, value in params["inputs"].items()}
    staged, given = task.bound(staged, given)
    made = task.checked(task.body(work, *(staged[name] for name in task.positional), **given))
    return _answer(made, folder, work.path)


def _imported(home: str) -> Any:
    module, _, name = home.partition(":")
    try:
        return find_named(module, name, load=True)
    except LookupError as error:
        raise WorkerMismatch(f"this executor cannot import the task: {error}") from error


def _unpickled(path: Path) -> Any:
    import pickle

    return pickle.loads(path.read_bytes())


def _compare(task: Any, params: dict[str, Any]) -> None:
    """Refuse a task that has other code, tools or libraries here."""
    try:
        task.check_code(SimpleNamespace(code=params["code"], manifest=params["manifest"]))
    except StargazerError as error:
        raise WorkerMismatch(f"this executor has other code of the task: {error}") from error
    check_versions([ToolIdentity(*tool) for tool in params["tools"]], params["libraries"], "this executor")


def _staged(encoded: Any, root: Path) -> Any:
    for told in dicts_of(encoded):
        if "path" in told:
            told["path"] = str(root / told["path"])
    return decode(encoded, Asset.from_dict)


def _answer(made: Any, folder: Path, root: Path) -> dict[str, Any]:
    """The result as JSON, with the files that it names; those that came are not sent back."""
    encoded = encode(made)
    files: dict[str, dict[str, Any]] = {}
    folders: list[str] = []
    for told in dicts_of(encoded):
        if "path" not in told:
            continue
        place = Path(told["path"])
        told["path"] = os.path.relpath(place, root)
        if not is_below(told["path"]):
            raise Unsendable(f"{place} is not in the work directory; write it to work.file(…)")
        if Path(told["path"]).parts[0] != INPUTS:
            _note(place, root, folder, files, folders)
    return {"result": encoded, "files": files, "folders": folders}


def _note(place: Path, root: Path, folder: Path, files: dict[str, dict[str, Any]], folders: list[str]) -> None:
    inside = [place, *sorted(place.rglob("*"))] if place.is_dir() else [place]
    for path in inside:
        if path.is_dir():
            folders.append(str(path.relative_to(root)))
        else:
            files[str(path.relative_to(root))] = {"file": str(path.relative_to(folder))}


def _traceback(error: BaseException) -> str:
    """The traceback from the body on; of the engine's own errors there is none."""
    if isinstance(error, StargazerError):
        return ""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
