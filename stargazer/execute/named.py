"""What a body's code names: variables of the environment, what keeps values from call to call, files as constants.

Read from compiled code, for workers have no source of what came from a notebook. Only the user's own code is walked:
what libraries do is theirs.
"""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import os
import random
import re
import sys
import types
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.execute.chance import SHARED, asked_of_chance
from stargazer.execute.installed import is_installed
from stargazer.ledger.reads import LOOKED_FOR
from stargazer.tools.programs import is_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Named", "named_by"]

LONGEST_PATH = 4096
LONGEST_NAME = 200
LOOKED_AT = 32
MOST = 2000
"""Functions that are walked at most."""

GETTERS = {"environ", "environb", "getenv"}
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{2,}")
"""How variables of the environment are written, where the code looks one up by a name that it was given."""

OF_THE_MACHINE = re.compile(
    r"HOME|USER|LOGNAME|TMPDIR|TMP|TEMP|PWD|HOSTNAME|PATH|(SLURM|PBS|LSB|SGE|OAR|MOAB|DASK|OMP|MKL)_.*"
)
"""Variables that tell where a call runs, by whose spec and on how many threads: as in keys, these count nowhere."""

SILENT_READERS = {
    "AlignmentFile", "FastaFile", "ParquetFile", "VariantFile", "anndata", "cyvcf2", "duckdb", "h5py", "memory_map",
    "ctypes", "cffi",
    "netCDF4", "open_dataset", "polars", "pq", "pyarrow", "pysam", "rasterio", "read_feather", "read_h5ad", "read_hdf",
    "read_orc", "read_parquet", "read_table", "scan_parquet", "tables", "xarray",
}  # fmt: skip
"""Names of what opens files in C, which no audit event tells."""

QUIET_LIBRARIES = {
    "cloudpickle", "dask", "distributed", "matplotlib", "networkx", "numba", "numpy", "pandas", "pytest", "requests",
    "rich", "scipy", "seaborn", "sklearn", "stargazer", "tqdm", "yaml",
}  # fmt: skip
"""Libraries that open files by Python, but for what `SILENT_READERS` names: nothing need be watched for them."""
STARTERS = {
    "Popen", "ProcessPoolExecutor", "check_call", "check_output", "getoutput", "multiprocessing", "output", "pipe",
    "popen", "run", "spawn", "subprocess", "system",
}  # fmt: skip
"""Names by which code starts processes, whose opening of files no event tells."""

LOOKS = {"exists", "lexists", "isfile", "is_file", "isdir", "is_dir", "stat", "getsize", "access"}
SIZES = {"getsize", "st_size", "stat"}
"""Functions that ask for a file without opening it, which no audit event tells; those that may ask for its size."""

PATH = re.compile(
    r"(?!https?:|[.\w]+@)[^\s<>|*?\"'`{}%()\[\]:;,=]*(/[^\s<>|*?\"'`{}%()\[\]:;,=]+|[\w-]\.[A-Za-z]\w{0,7})"
)
"""How a constant looks that names a file: it has a folder or a suffix."""

LOCAL_TIME = {
    "localtime", "fromtimestamp", "strftime", "mktime", "ctime", "asctime", "astimezone", "now", "today", "timestamp",
}  # fmt: skip
"""Functions that go by the time zone of the process."""


WIRED = "stargazer.calls."
"""Whose objects are tasks that code wires: their bodies are watched where they run, and are none of who wires them."""


class Named(NamedTuple):
    """What a body's code names.

    Parameters
    ----------
    variables
        Of the environment.
    asks_by_name
        Whether names of variables are worked out, so that `variables` may lack some.
    names
        All names that the code reads, to tell which of several bodies may have done a thing.
    files
        Constants that name a file, where the code also names a library that opens files unseen.
    holders
        What may keep a value from call to call: caches, containers, globals that functions set.
    once
        What it reads of its process that is another in each: arguments of the command line, standard input.
    chance
        What it calls that gives something else each time: the entropy of the system, the date.
    clocks
        Clocks that it asks.
    looked_for
        Paths as constants, where the code also asks whether files are there: as reads name them.
    texts
        Constants that may name folders, where the code leads to what may open files unseen; else None.
    """

    variables: tuple[str, ...]
    asks_by_name: bool
    names: frozenset[str]
    files: tuple[str, ...]
    holders: tuple[Holder, ...]
    once: tuple[str, ...] = ()
    chance: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    looked_for: tuple[str, ...] = ()
    texts: tuple[str | bytes | PurePath, ...] | None = None

    def unseen(self, values: Iterable[Any]) -> tuple[str, ...]:
        """Files that the constants or some values name, and that may be opened unseen."""
        given = _paths(values) if not SILENT_READERS.isdisjoint(self.names) else ()
        return tuple(dict.fromkeys([*self.files, *given]))

    def looked_for_among(self, values: Iterable[Any]) -> tuple[str, ...]:
        """As `looked_for`, of whole paths that a body is given, where its code asks whether files are there."""
        if LOOKS.isdisjoint(self.names):
            return self.looked_for
        texts = [os.fspath(each) for each in values if isinstance(each, (str, PurePath))]
        paths = [each for each in texts if os.path.isabs(each) and len(each) < LONGEST_NAME and PATH.fullmatch(each)]
        return tuple(
            dict.fromkeys([*self.looked_for, *(f"{_mark(self.names)}{os.path.abspath(each)}" for each in paths)])
        )


class Holder(NamedTuple):
    """Something that may keep a value from call to call.

    Parameters
    ----------
    key
        Identity in this process.
    state
        Tells its state, cheaply; another one after a call means that the call left something.
    label
        Its name.
    """

    key: tuple[Any, ...]
    state: Callable[[], Any]
    label: str


_known: dict[tuple[int, str], tuple[Any, Named]] = {}


def named_by(body: Callable[..., Any], digest: str) -> Named:
    """Return what a body's code names, worked out once.

    Parameters
    ----------
    body
        The function.
    digest
        Of all code that it reaches.
    """
    place = id(body), digest
    if place not in _known:
        if len(_known) >= MOST:
            _known.clear()
        _known[place] = body, _Walk(body).named()
    return _known[place][1]


class _Walk:
    """A walk over all of the user's own functions that a body may call."""

    def __init__(self, body: Callable[..., Any]) -> None:
        self.names: set[str] = set()
        self.variables: dict[str, None] = {}
        self.texts: list[Any] = []
        self.choices: list[Any] = []
        self.holders: dict[tuple[Any, ...], Holder] = {}
        self._asks_by_name = self._foreign = False
        self._beside: set[str] = set()
        self._once: list[str] = []
        self._chance: dict[str, bool] = {}
        self._seen: set[int] = set()
        self._todo: list[Any] = [body]
        while self._todo and len(self._seen) < MOST:
            self._visit(self._todo.pop())

    def named(self) -> Named:
        """What was found."""
        words = [text for text in self.texts if isinstance(text, str) and VARIABLE.fullmatch(text)]
        found = [*filter(None, self.variables), *(words if self._asks_by_name else ())]
        found += ["TZ"] if not LOCAL_TIME.isdisjoint(self.names) else []
        variables = sorted({name for name in found if not OF_THE_MACHINE.fullmatch(name)})
        silent = not SILENT_READERS.isdisjoint(self.names)
        files = tuple(dict.fromkeys(_paths([*self.texts, *self.choices]))) if silent else ()
        texts = tuple(dict.fromkeys([*self.texts, *self.choices, *filter(None, self._beside)]))
        return Named(
            tuple(variables),
            self._asks_by_name and not words,
            frozenset(self.names),
            files,
            tuple(self.holders.values()),
            tuple(dict.fromkeys(self._once)),
            tuple(name for name, is_clock in self._chance.items() if not is_clock),
            tuple(name for name, is_clock in self._chance.items() if is_clock),
            tuple(self._looked_for()),
            texts if silent or self._foreign or not STARTERS.isdisjoint(self.names) else None,
        )

    def _looked_for(self) -> Iterator[str]:
        """Paths as constants, also below folders that are constants, or that code stands in which asks for that."""
        if LOOKS.isdisjoint(self.names):
            return
        mark = _mark(self.names)
        texts = [os.fsdecode(each) for each in [*self.texts, *self.choices] if len(str(each)) < LONGEST_NAME]
        paths = [each for each in texts if PATH.fullmatch(each)]
        folders = [each for each in sorted({*texts, *self._beside}) if each and _is_folder(each)][:LOOKED_AT]
        below = [os.path.join(folder, each) for folder in folders for each in paths[:LOOKED_AT]]
        yield from sorted({f"{mark}{os.path.abspath(each)}" for each in [*paths, *below]})

    def _visit(self, value: Any) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            if _is_own(value.__module__):
                self._hold((id(value),), lambda: _members(vars(value)), value.__qualname__)
                self._values(vars(value))
        elif isinstance(value, (staticmethod, classmethod, types.MethodType)):
            self._todo.append(value.__func__)
        elif isinstance(value, property):
            self._todo += [value.fget, value.fset]
        elif isinstance(value, functools.partial):
            self._todo += [value.func, *value.args, *value.keywords.values()]
        elif callable(inspect.getattr_static(value, "cache_info", None)) and hasattr(value, "__wrapped__"):
            self._hold((id(value),), lambda: value.cache_info().misses, getattr(value, "__qualname__", "a cache"))
            self._todo.append(value.__wrapped__)
        elif type(value).__module__.startswith(WIRED):
            return
        elif callable(getattr(value, "__wrapped__", None)):
            self._todo.append(value.__wrapped__)
        elif _is_own(type(value).__module__) and hasattr(value, "__dict__"):
            self._hold((id(value),), lambda: _members(vars(value)), type(value).__qualname__)
            self._todo.append(type(value))
            self._values(vars(value))

    def _hold(self, key: tuple[Any, ...], state: Callable[[], Any], label: str) -> None:
        self.holders.setdefault(key, Holder(key, state, label))

    def _function(self, function: types.FunctionType) -> None:
        if is_installed(function.__code__.co_filename) and not _is_own(function.__module__ or ""):
            return
        namespace = function.__globals__
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *_cells(function)):
            self._value(value, f"a default or variable of {function.__qualname__}")
        self._todo.append(getattr(function, "__wrapped__", None))
        if vars(function):
            self._hold((id(function), "attributes"), lambda: repr(vars(function)), function.__qualname__)
        for code in _codes(function.__code__):
            self.names.update(code.co_names)
            self.names.update(name.partition(".")[0] for name in code.co_names if "." in name)
            self.texts += [const for const in code.co_consts if isinstance(const, (str, bytes))]
            self.choices += _texts_in(const for const in code.co_consts if isinstance(const, (tuple, frozenset)))
            if "__file__" in code.co_names:
                self._beside.add(os.path.dirname(str(namespace.get("__file__") or "")))
            self._environment(code, namespace)
            self._once += _read_once(code)
            self._chance |= dict(asked_of_chance(code, namespace))
            steps = list(dis.get_instructions(code))
            self._foreign |= any(_is_foreign(str(step.argval)) for step in steps if step.opname == "IMPORT_NAME")
            for name in (str(step.argval) for step in steps if step.opname == "STORE_GLOBAL"):
                self._hold((id(namespace), name), functools.partial(_identity, namespace, name), name)
        for name in {name for code in _codes(function.__code__) for name in code.co_names}:
            self._name(namespace, name)

    def _name(self, namespace: dict[str, Any], name: str) -> None:
        value = namespace.get(name, sys.modules.get(name))
        if value is random or getattr(value, "__self__", None) is random._inst:
            self.names.add(SHARED)
        self._foreign = self._foreign or _is_foreign(_home(value))
        if isinstance(value, types.ModuleType):
            if _is_own(value.__name__):
                for each in self.names & vars(value).keys():
                    self._value(vars(value)[each], each)
        elif name in namespace:
            self._value(value, name)

    def _value(self, value: Any, label: str) -> None:
        if isinstance(value, (dict, list, set)):
            self._hold((id(value),), lambda: _members(value), label)
            self._values(value)
        elif isinstance(value, (str, PurePath)):
            self.texts.append(value)
        else:
            self._todo.append(value)

    def _values(self, container: Any) -> None:
        """What stands in a container, one level deep: functions in a registry, paths in a table."""
        for value in itertools.islice(list(container.values() if hasattr(container, "values") else container), MOST):
            if isinstance(value, (str, PurePath)):
                self.texts.append(value)
            elif not isinstance(value, (dict, list, set)):
                self._todo.append(value)

    def _environment(self, code: types.CodeType, namespace: dict[str, Any]) -> None:
        if GETTERS.isdisjoint(code.co_names):
            return
        steps = [
            step
            for step in dis.get_instructions(code)
            if step.opname not in ("CACHE", "PRECALL", "PUSH_NULL", "RESUME")
        ]
        for place, step in enumerate(steps):
            if step.argval in GETTERS and step.opname.startswith(("LOAD_", "IMPORT_FROM")):
                self._asked(steps, place, namespace)

    def _asked(self, steps: list[dis.Instruction], place: int, namespace: dict[str, Any]) -> None:
        """The name that stands after ``os.environ`` and its like, or before it and ``in``."""
        after = steps[place + 1 : place + 4]
        if after and after[0].opname == "CONTAINS_OP":
            after = steps[max(0, place - 3) : place][::-1]
        for step in after:
            value = step.argval if step.opname == "LOAD_CONST" else None
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                value = namespace.get(str(step.argval).split(" ")[-1])
            if isinstance(value, (str, bytes)):
                self.variables[os.fsdecode(value)] = None
                return
            if step.opname.startswith("STORE"):
                break
        self._asks_by_name = True


def _read_once(code: types.CodeType) -> Iterator[str]:
    """What code reads that is another in each process."""
    if {"argv", "stdin", "parse_args"}.isdisjoint(code.co_names):
        return
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PRECALL", "PUSH_NULL")]
    for step, after in itertools.pairwise(steps):
        if step.argval == "sys" and after.argval in ("argv", "stdin"):
            yield f"sys.{after.argval}"
        if step.argval == "parse_args" and after.opname.startswith("CALL") and after.arg == 0:
            yield "sys.argv"


def _members(container: Any) -> tuple[int, ...]:
    """How many members there are, and which the first are: a cache gets more, or other ones."""
    values = list(container.values()) if hasattr(container, "values") else list(container)
    return len(values), *map(id, values[:LOOKED_AT])


def _mark(names: Iterable[str]) -> str:
    """How reads name what code of these names looks for: whether it is there, and its size where that is asked for."""
    return LOOKED_FOR * (1 if SIZES.isdisjoint(names) else 2)


def _identity(namespace: dict[str, Any], name: str) -> tuple[int, Any]:
    value = namespace.get(name)
    return id(value), value if isinstance(value, (int, str, float)) else None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def _cells(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def _is_own(module: str) -> bool:
    found = sys.modules.get(module)
    if module in sys.builtin_module_names or found is None:
        return False
    return not is_installed(str(getattr(found, "__file__", None) or ""))


def _home(value: Any) -> str:
    """Name of the module that a value is, or that it says it comes from."""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


def _is_foreign(module: str) -> bool:
    """Whether a module belongs to an installed library that may open files by itself."""
    package = module.partition(".")[0]
    quiet = not package or package in sys.stdlib_module_names or package in QUIET_LIBRARIES
    return not quiet and not _is_own(package)


def _paths(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        text = os.fsdecode(value) if isinstance(value, (str, bytes, PurePath)) else ""
        if 0 < len(text) < LONGEST_PATH and is_regular(text):
            yield os.path.abspath(text)


def _is_folder(path: str) -> bool:
    return "\0" not in path and os.path.isdir(path)


def _texts_in(constants: Iterable[Any]) -> Iterator[str | bytes]:
    """Texts among the constants of code: those of a list or a loop stand in a tuple, of a set in a frozen one."""
    for each in constants:
        if isinstance(each, (str, bytes)):
            yield each
        elif isinstance(each, (tuple, frozenset)):
            yield from _texts_in(sorted(each, key=repr) if isinstance(each, frozenset) else each)
