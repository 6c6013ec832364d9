"""What the driver of a run is given, in the store: calls, code, settings. An edit made later changes nothing of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.calls.call import Call, pack, unpack_all
from stargazer.errors import ArgumentError, NotFound
from stargazer.fingerprint.origin import is_own
from stargazer.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.execute import TaskSpec
    from stargazer.store import Store

__all__ = ["Given", "Options", "read_given", "read_options", "write_given"]

OPTIONS, CALLS, CODE = "given.json", "calls.pickle", "code/"

LARGEST_FILE = 1 << 20
"""Bytes of a file of a package that comes along; what is larger is data."""

ENGINE = "stargazer"


class Options(NamedTuple):
    """How a run is to be run.

    Parameters
    ----------
    on, workers
        Profile or address, and how many workers of it; None for threads of the driver.
    again
        What runs once more, by name, or True for all.
    out, force
        Directory for copies of the results, and whether files there are replaced.
    workflow, arguments
        As they were called, for people to read.
    folder
        In which the driver works.
    path
        Where modules were looked for.
    settings
        In force when the run was asked for, below ``stargazer``; without what is secret.
    """

    on: str | None = None
    workers: str | None = None
    again: bool | list[str] | None = None
    out: str | None = None
    force: bool = False
    workflow: str = ""
    arguments: list[str] = []  # noqa: RUF012 - never changed
    folder: str = ""
    path: list[str] = []  # noqa: RUF012
    settings: dict[str, Any] = {}  # noqa: RUF012

    def in_force(self) -> Options:
        """With the settings, the folder and the path of this process."""
        import dask.config

        path = [os.path.abspath(each) for each in sys.path if each]
        settings = _without_secrets(config.settings() | dask.config.get("stargazer", {}))
        return self._replace(folder=os.getcwd(), path=path, settings=settings)


class Given(NamedTuple):
    """What a driver finds.

    Parameters
    ----------
    options
        How to run.
    calls
        The pickled calls.
    code
        The user's own modules, by their paths below a folder for modules.
    """

    options: Options
    calls: bytes
    code: dict[str, bytes]

    def unpacked(self, folder: Path) -> Any:
        """Return the calls in their lists, tuples and dicts; the code comes from a folder into which it is written."""
        import pickle

        for name, content in self.code.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        sys.path[:0] = [str(folder)]
        sys.path += [each for each in self.options.path if each not in sys.path]
        what, roots, rows = pickle.loads(self.calls)
        made = unpack_all(roots, rows)
        for call in made.values():
            if call.spec.needs is not (needs := _needs(call.spec)):
                call.set_needs(needs)
        return _replaced(what, lambda value: made[value.key] if isinstance(value, _Key) else value)


class _Key(NamedTuple):
    key: str


def write_given(store: Store, run: str, what: Any, calls: list[Call], options: Options) -> str:
    """Keep with a run what its driver needs; return the digest that the driver is to be told.

    Raises
    ------
    ArgumentError
        Something of it cannot leave this process.
    """
    data = _archive({OPTIONS: json.dumps(options._asdict()).encode(), CALLS: _pickled(what, calls), **_own_code()})
    store.backend.replace(layout.driver(run, "given"), data)
    return hashlib.sha256(data).hexdigest()


def read_given(store: Store, run: str, digest: str) -> Given:
    """Return what the driver of a run was given.

    Raises
    ------
    NotFound
        It is not there, or somebody changed it.
    """
    data = store.backend.read(layout.driver(run, "given"))
    if data is None or hashlib.sha256(data).hexdigest() != digest:
        told = "is not in the store any more" if data is None else "was changed since"
        raise NotFound(f"what the run {run} was given {told}; start it anew")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    code = {name.removeprefix(CODE): content for name, content in members.items() if name.startswith(CODE)}
    return Given(Options(**json.loads(members[OPTIONS])), members[CALLS], code)


def read_options(store: Store, run: str, digest: str) -> Options:
    """Return how a run is to be run; nothing of its calls or code is made.

    Raises
    ------
    NotFound
        It is not there, or somebody changed it.
    """
    return read_given(store, run, digest).options


def _archive(members: Mapping[str, bytes]) -> bytes:
    """The same bytes of the same members, whenever they are written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _pickled(what: Any, calls: list[Call]) -> bytes:
    import cloudpickle

    specs: dict[int, TaskSpec] = {}
    rows = [(key, (_sent(row[0], specs), *row[1:])) for key, row in pack(calls)]
    shape = _replaced(what, lambda value: _Key(value.key) if isinstance(value, Call) else value)
    try:
        return bytes(cloudpickle.dumps((shape, [call.key for call in calls], rows)))
    except Exception as error:
        told = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        raise ArgumentError(f"these calls cannot be given to another process: {told}") from error


def _sent(spec: TaskSpec, specs: dict[int, TaskSpec]) -> TaskSpec:
    """The spec with the commit of the code as it is now: the driver sees a copy, which is under no control."""
    if id(spec) not in specs:
        specs[id(spec)] = spec.stamped()
    return specs[id(spec)]


def _needs(spec: TaskSpec) -> Any:
    """The needs with the task's own functions, which stayed behind when the spec was sent."""
    if spec.needs.are_given or spec.needs.functions:
        return spec.needs
    return spec.needs._replace(functions=spec.task.needs.functions)


def _replaced(what: Any, change: Any) -> Any:
    if isinstance(what, (_Key, Call)) or not isinstance(what, (list, tuple, dict)):
        return change(what)
    if isinstance(what, dict):
        return {key: _replaced(item, change) for key, item in what.items()}
    items = [_replaced(item, change) for item in what]
    return items if isinstance(what, list) else tuple(items)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {str(name): _without_secrets(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if not (isinstance(item, str) and _tells(name, item))}
    return [_without_secrets(item) for item in value] if isinstance(value, (list, tuple)) else value


def _tells(name: str, text: str) -> bool:
    """Whether a setting is a secret itself, and not the name of the variable that holds it."""
    return bool(text) and config.is_secret(name.replace("-", "_")) and not text.isidentifier()


# The user's own code.


def _own_code() -> dict[str, bytes]:
    """Sources of the modules of this process that are the user's own; of packages all that is small."""
    found: dict[str, bytes] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in (ENGINE, "__main__") or not isinstance(file, str) or not file.endswith(".py"):
            continue
        if is_own(name, "") and os.path.isfile(file):
            found |= dict(_files(name, Path(file), is_package=hasattr(module, "__path__")))
    return found


def _files(name: str, file: Path, *, is_package: bool) -> Iterator[tuple[str, bytes]]:
    place = f"{CODE}{name.replace('.', '/')}"
    if not is_package:
        yield f"{place}.py", file.read_bytes()
        return
    for each in sorted(file.parent.iterdir()):
        if each.is_file() and not each.name.startswith(".") and each.stat().st_size <= LARGEST_FILE:
            yield f"{place}/{each.name}", each.read_bytes()
