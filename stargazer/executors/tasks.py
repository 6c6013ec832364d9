"""A task's body on an executor: what is sent of it, and what comes back, as drafts of the work directory."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer import errors
from stargazer.assets import Asset
from stargazer.errors import ArgumentError, RemoteError, RemoteRefused
from stargazer.executors.asking import Bundle, Sent
from stargazer.executors.values import PICKLE
from stargazer.ledger.keys import plain
from stargazer.ledger.rebuilt import value_of
from stargazer.ledger.record import decode, encode, walk_assets
from stargazer.store.assets import members
from stargazer.tools import INPUTS
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stargazer.executors.place import Place
    from stargazer.tools import Workdir

__all__ = ["FILE", "FOLDER", "TASK", "dicts_of", "is_below", "perform_task", "teller"]

TASK, FILE, FOLDER = "stargazer_task@v1", "stargazer/file", "stargazer/folder"
"""The transform that runs a task's body, and the forms of its inputs: a file at a path, and a folder that is empty."""

WORK = "work"
ANSWERED = "tmp/answered"
BY_VALUE = ("task", "parameters")

PLAIN_ERRORS = {
    "ArgumentError", "AssetError", "CodeChanged", "DataError", "DefinitionError", "InvalidField", "OutputError",
    "ToolMissing", "UnknownField", "WorkerMismatch",
}  # fmt: skip
"""Errors that are made of a message, and mean there what they mean here."""


def perform_task(
    place: Place, task: Any, spec: Any, work: Workdir, staged: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Any:
    """Run the body of a task on an executor, and return what it made: drafts in the work directory.

    Parameters
    ----------
    place
        The executor.
    task, spec
        The task, and what its call was wired with.
    work
        Where the inputs lie, and where what was made is put.
    staged, parameters
        As the body takes them.

    Raises
    ------
    ArgumentError
        The task takes secrets; or it, or a parameter, can only be sent as a pickle, and pickles are not trusted.
    RemoteError
        The executor cannot be asked, or the body failed there.
    """
    if spec.secrets:
        raise ArgumentError(f"{spec.name} takes {', '.join(spec.secrets)}, and secrets go to no executor")
    params, pickled = _params(place, task, spec, staged, parameters, work)
    given = [*pickled, *_files(staged, work.path)]
    executor = place.executor(teller(spec.name, place.name))
    folder = work.directory(ANSWERED)
    options: dict[str, Any] = {"timeout": params["timeout_seconds"], "cancelled": work.is_cancelled}
    answer = executor.answered(TASK, params, given, folder, **options)
    with Bundle(answer, place.url) as bundle:
        made = _taken(bundle, place, spec.name, task, work, staged)
    answer.unlink()
    return made


def teller(name: str, place: str) -> Any:
    """What notes in the log how far a transfer is: at its begin and end, and each time another tenth is there."""
    log, last = logging.getLogger("stargazer"), {"received": -1}

    def told(what: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else done >> 26
        if what != "received" or tenth != last[what]:
            last[what] = tenth
            log.info("%s on %s: %s bytes %s%s", name, place, f"{done:,}", what, f" of {total:,}" if total else "")

    return told


def _params(
    place: Place, task: Any, spec: Any, staged: Mapping[str, Any], parameters: Mapping[str, Any], work: Workdir
) -> tuple[dict[str, Any], list[Sent]]:
    pickled: dict[str, Any] = {}
    written = {name: plain(value) for name, value in parameters.items()}
    if not all(map(_is_read, written.values())):
        pickled["parameters"] = dict(parameters)
    if not task._is_importable() or task._sent is not None:
        pickled["task"] = task
    if pickled and not place.trust:
        what = "it stands in no module that can be imported" if "task" in pickled else "its parameters have no text"
        raise ArgumentError(
            f"{spec.name} can only be sent to {place.name} as a pickle, for {what}: put it into a module of a package "
            f"that is installed there, or say stargazer.profiles.{place.name}.trust: true"
        )
    params: dict[str, Any] = {
        "source": "",
        "home": spec.home,
        "name": spec.name,
        "code": spec.code,
        "manifest": dict(spec.manifest),
        "tools": [list(tool) for tool in spec.tools],
        "libraries": dict(spec.libraries),
        "env": {name: value for name, value in spec.env.items() if value is not None},
        "cpus": task.needs.cpus,
        "timeout_seconds": min(spec.needs.walltime or place.seconds, place.seconds),
        "parameters": {} if "parameters" in pickled else written,
        "inputs": {name: _relative(value, work.path) for name, value in staged.items()},
    }
    import cloudpickle

    return params, [Sent(name, PICKLE, bytes(cloudpickle.dumps(value))) for name, value in sorted(pickled.items())]


def _is_read(written: Any) -> bool:
    """Whether a value can be made again of what is written of it."""
    try:
        value_of(written)
    except LookupError:
        return False
    return True


def _relative(value: Any, root: Path) -> Any:
    """An input, or a result, as JSON, with its paths from a folder on."""
    encoded = encode(value)
    for told in dicts_of(encoded):
        if "path" in told:
            told["path"] = os.path.relpath(told["path"], root)
    return encoded


def dicts_of(encoded: Any) -> Iterator[dict[str, Any]]:
    """Every asset in what `stargazer.ledger.record.encode` wrote, and their companions."""
    ((kind, content),) = ((k, v) for k, v in encoded.items() if k not in ("type", "fields"))
    if kind == "asset":
        todo = [content]
        while todo:
            told = todo.pop()
            yield told
            todo += told.get("companions") or ()
    elif kind in ("tuple", "list", "dict"):
        for item in content:
            yield from dicts_of(item[1] if kind == "dict" else item)


def _files(staged: Mapping[str, Any], root: Path) -> Iterator[Sent]:
    """All files of the inputs, each a part of its own."""
    found: dict[str, Sent] = {}
    for asset in walk_assets(list(staged.values())):
        for member in members(asset):
            for path in _all_of(member.path):
                form = FOLDER if path.is_dir() else FILE
                place = str(path.relative_to(root))
                data = b"" if form == FOLDER else path
                found.setdefault(place, Sent(f"f{len(found)}", form, data, {"path": place}))
    return iter(found.values())


def _all_of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    inside = sorted(path.rglob("*"))
    yield from (each for each in inside if not each.is_dir())
    yield from (each for each in [path, *inside] if each.is_dir() and not any(each.iterdir()))


def _taken(bundle: Bundle, place: Place, name: str, task: Any, work: Workdir, staged: Mapping[str, Any]) -> Any:
    """What an executor made, put into the work directory."""
    told = bundle.manifest
    printed = b"".join(bundle.read(f"{each}.txt", place.largest) or b"" for each in ("stdout", "stderr"))
    if printed:
        work.note(f"{name} on {place.name}", printed)
    if not told["success"]:
        raise _error_of(told, name, place.name)
    for text in told.get("warnings") or ():
        work.warn(visible(str(text)))
    work.cpu_seconds += float(told.get("cpu_seconds") or 0)
    work.peak_bytes = max(work.peak_bytes, int(told.get("peak_bytes") or 0))
    for folder in told.get("folders") or ():
        _inside(work.path, folder, place).mkdir(parents=True, exist_ok=True)
    for path, each in (told.get("files") or {}).items():
        bundle.take(str(each.get("file")), _inside(work.path, path, place), str(each.get("cid")), place.largest)
    try:
        return decode(_absolute(told.get("result"), work.path, place), Asset.from_dict, task.result_type)
    except (AttributeError, TypeError, ValueError, LookupError, errors.AssetError) as error:
        raise RemoteRefused(f"{place.url} sent no result: {visible(str(error))}") from error


def _absolute(encoded: Any, root: Path, place: Place) -> Any:
    for told in dicts_of(encoded):
        if "path" in told:
            told["path"] = str(_inside(root, told["path"], place, given=True))
    return encoded


def _inside(root: Path, path: Any, place: Place, *, given: bool = False) -> Path:
    """A place below the work directory, and not among the inputs, for what another machine names."""
    if not isinstance(path, str) or not is_below(path) or (not given and Path(path).parts[0] == INPUTS):
        raise RemoteRefused(f"{place.url} names a path that is none of a result: {path!r:.100}")
    return root / path


def is_below(path: str) -> bool:
    """Whether a relative path stays below where it begins."""
    parts = Path(path).parts
    return bool(parts) and not os.path.isabs(path) and ".." not in parts and "\0" not in path


def _error_of(told: Mapping[str, Any], name: str, place: str) -> Exception:
    text = visible(str(told.get("error") or "it ended without a word"), lines=True)
    kind, _, detail = text.partition(": ")
    if kind == "ToolFailed":
        made: Exception = errors.ToolFailed(f"a tool of {name} on {place}", 1, detail)  # tried again as one here
    elif kind in PLAIN_ERRORS:
        made = getattr(errors, kind)(f"{detail} (on {place})")
    else:
        made = RemoteError(f"{name} failed on {place}: {text}")
    if told.get("traceback"):
        made.add_note(visible(str(told["traceback"]), lines=True))
    return made
