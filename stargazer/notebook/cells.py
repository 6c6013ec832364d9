"""A cell as a task of the engine: its key, and its body, which runs on any worker."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import json
import logging
import sys
import time
import types
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset, placed
from stargazer.calls.arguments import Returns
from stargazer.calls.call import make_call
from stargazer.calls.options import read_needs
from stargazer.errors import CodeChanged, NotebookError, NotKept, RemoteError, StargazerError, ToolFailed
from stargazer.execute import TaskSpec
from stargazer.executors import find_place
from stargazer.ledger import walk_assets
from stargazer.ledger.keys import task_key
from stargazer.ledger.reads import ALWAYS, CHANGED, UNTIL, WROTE
from stargazer.ledger.record import map_assets
from stargazer.notebook.afar import run_afar
from stargazer.notebook.alone import perform_alone
from stargazer.notebook.annotations import FOREVER
from stargazer.notebook.code import as_main, filename_of, prelude_of
from stargazer.notebook.encoding import decode, encode
from stargazer.notebook.figures import own_figures, shows
from stargazer.notebook.handles import boxed, is_handles, unboxed
from stargazer.notebook.names import tree_of
from stargazer.notebook.paths import paths_of
from stargazer.notebook.pickles import only_remembers
from stargazer.notebook.sharing import shared_parts
from stargazer.notebook.shown import Captured, captured
from stargazer.notebook.values import SPENT, Encoded, Value
from stargazer.notebook.writes import files_before, files_written
from stargazer.tools import library_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.calls import Call
    from stargazer.execute.audit import Observed
    from stargazer.executors import Place
    from stargazer.fingerprint import CodeIdentity
    from stargazer.notebook.code import Part, Prelude, Setting
    from stargazer.notebook.document import Cell
    from stargazer.notebook.settings import Made
    from stargazer.notebook.values import Scope
    from stargazer.store import Store
    from stargazer.tools import Workdir

__all__ = [
    "LIVE",
    "MADE_BY",
    "MUTATED",
    "PARTS",
    "SHOWN",
    "STOPPED",
    "CellTask",
    "cell_call",
    "from_here",
    "is_as_kept",
    "is_fixed",
    "kept_values",
    "makers_of_handles",
    "outputs_draft",
    "perform",
    "refuse_shared",
    "run_source",
]

SHOWN, STOPPED, LIVE, MUTATED, MADE_BY, PARTS = ".shown", ".stopped", ".live", ".mutated", ".made by", ".parts"
"""What a cell's result holds beside its values: outputs, whether it stopped, why it is live, what it changed; which
records tell how handles were made that it passes on, and which names have a part in common with others."""


class CellTask:
    """What the engine must know of a cell (`stargazer.execute.spec.LoadedTask`).

    Parameters
    ----------
    cell
        The cell.
    rest
        Numbers of its statements that are no code of the notebook.
    prelude
        The code of the notebook.
    inputs
        Names that it reads and that are kept.
    """

    copy_inputs, result_type, version, module = False, None, None, "__notebook__"
    reads_are_inputs = True
    is_watched = True

    def __init__(self, cell: Cell, rest: tuple[int, ...], prelude: Prelude, inputs: Sequence[str]) -> None:
        notes = cell.notes
        self.cell, self.rest, self.prelude = cell, rest, prelude
        self.positional = tuple(inputs)
        self.name = f"cell {', '.join(sorted(cell.defs)) or 'that shows'}"
        self.needs = read_needs(
            self.name, notes.cpus, notes.memory, notes.gpus, notes.timeout, notes.worker, notes.retries
        )
        self.is_afar = False
        self.code: CodeIdentity | None = None
        self.given: dict[str, Any] = {}
        self.left: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.ran = False
        self.captured = Captured()
        self.before: dict[str, Any] = {}
        self.spent = frozenset[str]()
        """Names that ``with`` blocks of it leave, and no other cell reads."""
        self.is_alone = False
        """Whether it runs in a process of its own, as this one was set up in a way that it must not find."""
        self.seen: dict[str, str] | None = None
        """What it read in a process of its own."""
        self.set_up: tuple[Made, ...] = ()
        """What other cells set up before it, beside the code; a process of its own has to be told."""
        self.body = _Body(self)

    def __reduce__(self) -> Any:
        return _arrived, (self.cell, self.rest, self.prelude.parts, self.positional, self.spent, self.is_alone)

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Pass on what it is given: nothing is declared."""
        return dict(inputs), dict(parameters)

    def checked(self, made: Any) -> Any:
        """Pass on what it made."""
        return made

    def sent(
        self, place: Place, spec: TaskSpec, work: Workdir, staged: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Let an executor run the cell, and return what it made as drafts."""
        self.is_afar = self.ran = True
        return self.tried(lambda: perform_afar(self, place, staged, work), _may_pass_afar)

    def tried(self, attempt: Callable[[], dict[str, Any]], may_pass: Callable[[Exception], bool]) -> dict[str, Any]:
        """Run the cell, and as often again as it says while it fails in ways that may pass."""
        for left in range(self.needs.retries, -1, -1):
            try:
                return attempt()
            except Exception as error:
                if not left or not may_pass(error):
                    raise
                logging.getLogger("stargazer").warning("%s is tried again: %s", self.name, error)
        raise AssertionError("unreachable")

    def check_code(self, spec: TaskSpec) -> None:
        """Refuse to run under a key of other code.

        Raises
        ------
        CodeChanged
            What the cell reaches has other code here.
        """
        found = self.identity().digest
        if found != spec.code:
            raise CodeChanged(f"{self.name}: own modules that it reaches are other ones here; give workers the same")

    def identity(self) -> CodeIdentity:
        """Identity of its code, with all that it reaches."""
        if self.code is None:
            cell = self.cell
            self.code = self.prelude.identify(cell.source, cell.refs | cell.names.early, self.name, cell.hides)
        return self.code

    def function(self) -> Any:
        """The function that stands for its code; only looked at."""
        return self.prelude.function(self.cell.source, self.cell.refs | self.cell.names.early, self.cell.hides)

    def also_read(self, observed: Observed) -> dict[str, str]:
        """What it reads that no event tells, and whether its result is good for later at all."""
        if self.seen is not None:
            return self.seen
        cache = self.cell.notes.cache
        written = {} if self.is_afar else files_written(observed, self.before)
        read = () if self.is_afar else paths_of(self.cell, self.prelude, self.given, observed)
        found = written | {place: value for place, value in read if f"{WROTE}{place}" not in written}
        if isinstance(cache, float):
            found[UNTIL] = f"{time.time() + cache:.3f}"
        elif cache != FOREVER and observed.addresses:
            found[ALWAYS] = CHANGED
        return found


def _arrived(
    cell: Cell,
    rest: tuple[int, ...],
    parts: tuple[Part, ...],
    inputs: tuple[str, ...],
    spent: frozenset[str],
    is_alone: bool,
) -> CellTask:
    task = CellTask(cell, rest, prelude_of(parts), inputs)
    task.spent, task.is_alone = spent, is_alone
    return task


def cell_call(
    cell: Cell,
    rest: tuple[int, ...],
    prelude: Prelude,
    inputs: Mapping[str, Any],
    tokens: Mapping[str, str],
    store: Store,
    placed: Sequence[Setting] = (),
) -> Call:
    """Return the call that a cell is: the one function that makes its key, whatever program shows the notebook.

    Parameters
    ----------
    cell, rest, prelude
        The cell, its statements that are no code, and the code.
    inputs
        Values that it reads, by name: stored assets, lists and dicts of them, or calls.
    tokens
        Identities of the other values that it reads.
    store
        Where its result goes.
    placed
        What other cells set up before it, beside the code.
    """
    task = CellTask(cell, rest, prelude, sorted(inputs))
    code = task.identity()
    libraries = {name: library_version(name) for name in code.libraries}
    libraries |= {"python": ".".join(map(str, sys.version_info[:2]))}
    env = {name: value for name, value in cell.notes.env.items() if value is not None}
    key, place = task_key(task.name, code.digest, (), libraries, env), find_place(cell.notes.worker)
    key = place.key(key) if place else key
    spec = TaskSpec(
        task, task.name, task.needs.waiting() if place else task.needs, False, key, code.digest, code.manifest, (),
        {name: version for name, version in libraries.items() if name != "python"}, store.url, store.id,
        home=f"{task.module}:cell", env=env, secrets=tuple(cell.notes.env.keys() - env.keys()),
        executor=place,
    )  # fmt: skip
    reached = prelude.reached(cell.refs)
    given: dict[str, Any] = {"live": dict(sorted(tokens.items()))} if tokens else {}
    if settings := prelude.settings(reached, shows=shows(cell, prelude), placed=placed):
        given["settings"] = settings
    return make_call(spec, Returns("dict", (Asset,)), {name: inputs[name] for name in sorted(inputs)}, given)


class _Body:
    """The body of a cell; what it wraps is the function that stands for the cell's code."""

    def __init__(self, task: CellTask) -> None:
        self._task = task

    @property
    def __wrapped__(self) -> Any:
        return self._task.function()

    @property
    def __code__(self) -> types.CodeType:
        return run_source.__code__

    def __call__(self, work: Workdir, *inputs: Any, **parameters: Any) -> dict[str, Any]:
        task = self._task
        task.ran = True
        staged = dict(zip(task.positional, inputs, strict=True))
        if task.cell.notes.env or task.is_alone:
            return task.tried(lambda: perform_alone(task, staged, work), lambda error: isinstance(error, ToolFailed))
        return task.tried(lambda: perform(task, staged, work.path), lambda error: not isinstance(error, StargazerError))


def _may_pass_afar(error: Exception) -> bool:
    return isinstance(error, (NotebookError, RemoteError)) and not isinstance(error, NotKept)


def perform_afar(task: CellTask, place: Place, staged: Mapping[str, Any], work: Workdir) -> dict[str, Any]:
    """Let an executor run a cell, and return what it made as drafts.

    Raises
    ------
    NotKept
        It reads what has no bytes, or made what cannot come back.
    NotebookError
        It asks for what executors do not have, or failed there.
    """
    read = {name: _read(value, task.prelude) for name, value in staged.items()}
    given = {**{name: value for name, value in task.given.items() if name not in staged}, **read}
    with captured() as out:
        task.captured = out
        made, changed = run_afar(task.cell, task.rest, task.prelude, given, out, place, work.is_cancelled)
    task.left, folder = made, work.path
    kept = kept_values(sorted(made.keys() - changed.keys()), made, task.prelude, folder, task.spent)
    kept |= kept_values(sorted(changed), changed, task.prelude, folder / "changed")
    if changed:
        kept[MUTATED] = sorted(changed)
    if out.outputs:
        kept[SHOWN] = outputs_draft(out.outputs, folder)
    return kept


def perform(task: CellTask, staged: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a cell on the values that it reads, and return the values that it defines as drafts of assets.

    Parameters
    ----------
    task
        The cell.
    staged
        Its inputs, as files.
    folder
        Where drafts are written.
    """
    mounts = {mount.name for mount in task.cell.notes.mounts}
    read = {n: value.path if n in mounts else _read(value, task.prelude) for n, value in staged.items()}
    task.given = {**{name: value for name, value in task.given.items() if name not in staged}, **read}
    task.before = files_before(task, task.given.values())
    space = {**task.prelude.namespace, **task.given}
    with captured() as out:
        task.captured = out
        made = _made(task, space, out, folder)
        changed = [name for name in read if _is_changed(read[name], staged[name], task.prelude, folder)]
        try:
            made |= kept_values(changed, space, task.prelude, folder / "changed")
        except NotKept as error:  # it changed what it was given into what has no bytes
            made, changed = {LIVE: str(error)}, []
        parts = {} if LIVE in made else shared_parts(task.left, task.given)
    if changed:
        made[MUTATED] = changed
    if parts:
        made[PARTS] = parts
    if told := makers_of_handles(made):
        made[MADE_BY] = told
    if out.outputs:
        made[SHOWN] = outputs_draft(out.outputs, folder)
    return made


def _made(task: CellTask, space: dict[str, Any], out: Captured, folder: Path) -> dict[str, Any]:
    """Run a cell and keep what it bound; what cannot be kept is left in the task, for this process."""
    task.left = {}
    try:
        with task.prelude.around(), own_figures(task.cell, task.prelude):
            run_source(task.cell.source, task.rest, space, out)
    except BaseException as error:
        if not is_stop(error):
            task.error = error
            raise
        out.result(getattr(error, "output", None))
        return {STOPPED: True}
    names = sorted(name for name in task.cell.defs if name in space and not _is_code(task, name, space))
    task.left = {name: space[name] for name in names}
    try:
        refuse_shared(task.left, task.given)
        return kept_values(names, space, task.prelude, folder, task.spent)
    except NotKept as error:
        return {LIVE: str(error)}


def _is_code(task: CellTask, name: str, space: Mapping[str, Any]) -> bool:
    return name in task.prelude.namespace and space[name] is task.prelude.namespace[name]


def is_stop(error: BaseException) -> bool:
    """Whether a cell was ended by ``mo.stop``."""
    return type(error).__name__ == "MarimoStopError" and type(error).__module__.startswith("marimo.")


def run_source(source: str, rest: Sequence[int], space: dict[str, Any], out: Captured) -> None:
    """Run statements of a cell as a module's are run, and show the value of the last one."""
    space.setdefault("__builtins__", builtins)
    space["display"] = space.get("display", out.display)
    body = tree_of(as_main(source)).body
    chosen = [body[number] for number in rest]
    last = chosen.pop() if chosen and chosen[-1] is body[-1] and isinstance(body[-1], ast.Expr) else None
    name = filename_of(as_main(source))
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    _run(compile(ast.Module(chosen, []), name, "exec", flags, dont_inherit=True), space)
    if isinstance(last, ast.Expr):
        shown = _run(compile(ast.Expression(last.value), name, "eval", flags, dont_inherit=True), space)
        if not _ends_in_semicolon(source):
            out.result(shown)


def _run(code: types.CodeType, space: dict[str, Any]) -> Any:
    if not code.co_flags & inspect.CO_COROUTINE:
        return eval(code, space)
    with asyncio.Runner() as runner:
        return runner.run(eval(code, space))


def _ends_in_semicolon(source: str) -> bool:
    return source.rstrip().endswith(";")


def kept_values(
    names: Sequence[str],
    space: Mapping[str, Any],
    scope: Scope | None,
    folder: Path,
    spent: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Write values as drafts of assets; handles are kept as they are.

    Parameters
    ----------
    names, space
        Which, and what they mean.
    scope
        The notebook.
    folder
        Where to.
    spent
        Names that need not be kept, as nobody reads them.

    Raises
    ------
    NotKept
        One of them has no bytes; names it.
    """
    made: dict[str, Any] = {}
    for name in names:
        value = space[name]
        if is_handles(value):
            made[name] = boxed(value)
            continue
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.value"
        try:
            encoded = encode(value, path, scope)
        except NotKept as error:
            if name not in spent:
                raise NotKept(f"{name} is a {error}") from None
            _remove(path)
            path.write_bytes(b"")
            encoded = Encoded(SPENT, type(value).__qualname__)
        made[name] = Value(path=path, **encoded._asdict())
    return made


def makers_of_handles(made: Mapping[str, Any]) -> dict[str, str]:
    """Records that tell how handles were made, by the ids of these."""
    handles = (asset for asset in walk_assets(dict(made)) if asset.cid is not None and asset.source is not None)
    return {asset.id: asset.source.record for asset in handles if asset.source and asset.source.record}


def from_here(store: Store, result: dict[str, Any]) -> dict[str, Any]:
    """The result of a cell, in which handles that it passed on know how they were made."""
    told = result.get(MADE_BY)
    if not told:
        return result
    return map_assets(result, lambda asset: store.assets.handle(asset, told[asset.id]) if asset.id in told else asset)  # type: ignore[no-any-return]


def _read(staged: Any, prelude: Prelude) -> Any:
    """What a cell is given of an input: a value is decoded, a handle knows the store and no path.

    Lists, dicts and boxes hold handles alone: a value that stands in one is an asset that somebody asked the store for.
    """
    if isinstance(staged, Value):
        return decode(staged, staged.path, prelude)
    if isinstance(staged, Asset):
        return _handle(staged)
    if isinstance(staged, list):
        return [_handle(item) for item in staged]
    return unboxed({name: _handle(item) for name, item in staged.items()})


def _handle(staged: Asset) -> Asset:
    return placed(staged, None, staged.source, staged.companions)  # type: ignore[arg-type]


def refuse_shared(made: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Two names of one thing must stay one thing: what one cell changes by one of them, others see by the other.

    Raises
    ------
    NotKept
        A value is the same object as another one, and may be changed.
    """
    seen = {id(value): name for name, value in given.items() if not is_fixed(value)}
    for name, value in made.items():
        if is_fixed(value) or is_handles(value):
            continue
        other = seen.get(id(value)) or seen.get(id(getattr(value, "base", None)))
        if other is not None and other != name:
            raise NotKept(f"{name} is the same object as {other}, of which another cell may change it")
        seen[id(value)] = name


def is_fixed(value: Any) -> bool:
    """Whether nobody can change a value, nor what it holds: a tuple may hold a list."""
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, (tuple, frozenset)):
            todo += each
        elif each is not None and not isinstance(each, _FIXED):
            return False
    return True


_FIXED = (str, bytes, int, float, complex, bool, range, type, types.ModuleType, PurePath)


def _is_changed(value: Any, staged: Any, prelude: Prelude, folder: Path) -> bool:
    """Whether a cell changed what it was given."""
    if not isinstance(staged, Value) or staged.codec in ("module", "name", "arrow", "npy-scalar") or is_fixed(value):
        return False
    path = folder / "check"
    try:
        encoded = encode(value, path, prelude)
    except NotKept:
        return True
    try:
        if encoded.codec == staged.codec and _same_bytes(path, staged.path):
            return False
        return not (encoded.codec == staged.codec == "pickle" and only_remembers(value, staged.path, prelude))
    finally:
        _remove(path)


def is_as_kept(value: Any, now: Any, kept: Value, scope: Scope) -> bool:
    """Whether a value is what it was when it was kept.

    Parameters
    ----------
    value, now
        It, and the asset that it would be kept as now; None where it cannot be.
    kept
        The asset that it was.
    scope
        The notebook.
    """
    if now is None or now.id == kept.id:
        return now is not None
    return bool(now.codec == kept.codec == "pickle") and only_remembers(value, kept.fetch(), scope)


def _same_bytes(one: Path, other: Path) -> bool:
    if one.is_dir():
        from stargazer.cid import cid_of_path

        return cid_of_path(one) == cid_of_path(other, symlinks="follow")  # trees are staged as links, file by file
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
    return True


def _remove(path: Path) -> None:
    from stargazer.notebook.values import remove

    remove(path)


def outputs_draft(outputs: Sequence[dict[str, Any]], folder: Path) -> Value:
    """What a cell shows, as a draft."""
    path = folder / "outputs.json"
    path.write_text(json.dumps(outputs, sort_keys=True, default=str))
    return Value(path=path, codec="outputs", kind="outputs")
