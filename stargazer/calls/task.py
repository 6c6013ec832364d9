"""The decorator that makes a task of a function."""

from __future__ import annotations

import functools
import hashlib
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from stargazer.calls.arguments import (
    Options,
    bind,
    check_functions,
    check_names,
    check_options,
    checked_result,
    chosen_tools,
    read_needs,
)
from stargazer.calls.call import Call, make_call
from stargazer.calls.signature import Signature, check_form, read_signature
from stargazer.errors import CodeChanged, DefinitionError, WorkerMismatch
from stargazer.execute import TaskSpec
from stargazer.fingerprint import CodeIdentity, digest_of, identify
from stargazer.ledger.keys import task_key
from stargazer.store import active_store
from stargazer.tools import identify_tool, library_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stargazer.execute import Needs

    Tools = Sequence[str] | Callable[..., Sequence[str]]

__all__ = ["Carried", "Task", "imported", "rebuilt", "task"]


class Task:
    """A function from assets to assets, with an identity.

    Identity, a part of every key: the name, the code of the body and of all of the user's code that it reaches (or
    `version`), `tools` and `uses`.
    Options, in no key: `cpus`, `memory`, `gpus`, `walltime`, `worker`, `stage`.

    Parameters
    ----------
    body
        ``def body(work: Workdir, asset: …, *, plain: …) -> …``.
    cpus
        Threads that it uses; the body reads them from ``work.cpus``.
    memory
        What it needs, as ``"8 GiB"`` or in bytes; None where it is not worth declaring. Of a list, each further one is
        tried where the one before was not enough.
    gpus
        Number of them.
    walltime
        Longest time that it takes, as ``"2 h"`` or in seconds; None where nobody knows.
    worker
        Name that the worker must have, as profiles give them.
        `cpus`, `memory`, `gpus` and `walltime` may be functions of inputs (handles, with ``size`` and facts) and
        parameters by name, and of ``attempt``, from 1: ``memory=lambda reads, attempt: attempt * 3 * reads.size``.
        They are asked when the inputs are there.
    tools
        Names of the commands (``"bwa"``) and embedded packages (``"pysam"``, ``"pybwa"``) that it runs, or a
        function that chooses them from the keyword parameters.
    uses
        Python distributions whose version matters to the result.
    version
        Stands in place of the code's digest: same version, same identity, whatever the code.
    stage
        ``"copy"`` gives tools that write to their inputs copies of them; ``"link"`` is cheaper.

    Raises
    ------
    DefinitionError
        The signature or an option is wrong.
    """

    __module__: str
    __qualname__: str

    def __init__(
        self,
        body: Callable[..., Any],
        *,
        cpus: int | Callable[..., int] = 1,
        memory: str | int | Sequence[str | int] | Callable[..., str | float] | None = None,
        gpus: int | Callable[..., int] = 0,
        walltime: str | float | Callable[..., str | float] | None = None,
        worker: str | None = None,
        tools: Tools = (),
        uses: Sequence[str] = (),
        version: str | None = None,
        stage: Literal["link", "copy"] = "link",
    ) -> None:
        if not isinstance(body, FunctionType):
            raise DefinitionError(f"@sg.task decorates a function, not {type(body).__name__}")
        check_form(body)
        check_options(body.__name__, tools, uses, stage)
        functools.update_wrapper(self, body)
        self.body: Callable[..., Any] = body
        self.name: str = body.__name__
        self.needs = read_needs(body.__name__, cpus, memory, gpus, walltime, worker)
        self.tools, self.uses, self.version = tools, tuple(uses), version
        self.copy_inputs = stage == "copy"
        self._identity: CodeIdentity | None = None
        self._specs: dict[Any, TaskSpec] = {}

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Call:
        """Bind the task to its inputs; nothing runs.

        Raises
        ------
        ArgumentError
            An argument does not fit.
        ToolMissing
            A tool that goes into the key is not installed.
        """
        inputs, parameters = bind(self.name, self.signature, Call, args, kwargs)
        return make_call(self._spec(parameters), self.signature.returns, inputs, parameters)

    def __reduce__(self) -> Any:

        if self._is_importable():
            return imported, (self.__module__, self.__qualname__)
        stage = "copy" if self.copy_inputs else "link"
        options: dict[str, Any] = {"tools": self.tools, "uses": self.uses, "version": self.version, "stage": stage}
        options |= {name: getattr(self.needs, name) for name in ("cpus", "gpus", "walltime", "worker")}
        options |= {"memory": self.needs.memory or None, **dict(self.needs.functions)}
        return rebuilt, (self.body, options, self.code.digest, self._imports())

    @functools.cached_property
    def signature(self) -> Signature:
        """What it takes and returns; read at the first call, so that names it uses may be defined below it."""
        found = read_signature(self.body)
        check_functions(
            self.name, self.needs, [*(each.name for each in found.assets), *(each.name for each in found.plains)]
        )
        return found

    @property
    def positional(self) -> tuple[str, ...]:
        """Names of its asset parameters."""
        return tuple(parameter.name for parameter in self.signature.assets)

    @property
    def result_type(self) -> type | None:
        """The ``NamedTuple`` class that it returns, if it does."""
        return self.signature.returns.named

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check inputs and parameters again, now that none is a call any more.

        Raises
        ------
        ArgumentError
            What a call gave does not fit.
        """
        return bind(self.name, self.signature, (), (), {**inputs, **parameters})

    def checked(self, made: Any) -> Any:
        """Return what the body returned, if it is what it declares to return.

        Raises
        ------
        OutputError
            It is something else.
        """
        return checked_result(self.name, self.signature, made)

    @property
    def code(self) -> CodeIdentity:
        """Identity of its code, derived anew whenever something that it reaches has changed."""
        if self._identity is None or not self._identity.is_current():
            self._identity = self._versioned() or identify(self.body, self.name)  # type: ignore[arg-type]
        return self._identity

    def check_code(self, spec: TaskSpec) -> None:
        """Refuse to run under a key that was made with other code.

        Raises
        ------
        CodeChanged
            The digests differ.
        """
        code = self.code
        if code.digest != spec.code:
            names = {*code.manifest, *spec.manifest}
            changed = ", ".join(sorted(n for n in names if code.manifest.get(n) != spec.manifest.get(n)))
            raise CodeChanged(
                f"the code of task {self.name} is not what it was when the call was made: {changed} changed; "
                "make the call anew (run its cell again), and give clients and workers the same version. What a "
                "body changes while it runs, such as a cache, may be no global variable"
            )

    def _imports(self) -> dict[str, tuple[tuple[str, ...], str | None]]:
        """What the body would import where it is sent by value: names by module, and their digest here."""
        from cloudpickle import list_registry_pickle_by_value

        sent = list_registry_pickle_by_value()
        found = self.code.imports if self.version is None else {}
        return {
            module: (names, digest_of(module, names))
            for module, names in found.items()
            if not any(module == each or module.startswith(f"{each}.") for each in sent)
        }

    def _versioned(self) -> CodeIdentity | None:
        if self.version is None:
            return None
        digest = hashlib.sha256(f"stargazer/version/1\n{self.version}".encode()).hexdigest()
        return CodeIdentity(digest, {f"version {self.version}": digest})

    def _spec(self, parameters: dict[str, Any]) -> TaskSpec:
        """What all calls of the task in the active store share, made once."""
        store = active_store()
        tools = tuple(map(identify_tool, chosen_tools(self.tools, parameters)))
        code = self.code
        known = self._specs.get((store.url, code.digest, tools))
        if known is not None:
            return known
        libraries = {name: library_version(name) for name in self.uses}
        key = task_key(self.name, code.digest, tools, libraries)
        spec = TaskSpec(Carried.of(self), key, code.digest, code.manifest, tools, libraries, store.url, store.id)
        self._specs[store.url, code.digest, tools] = spec
        return spec

    def _is_importable(self) -> bool:
        if self.__module__ == "__main__":
            return False
        found: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is self


@overload
def task(body: Callable[..., Any], /) -> Task: ...
@overload
def task(**options: Unpack[Options]) -> Callable[[Callable[..., Any]], Task]: ...
def task(body: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a task of a function: ``@sg.task`` or ``@sg.task(cpus=4, tools=["bwa"])``; see `Task` for the options.

    Examples
    --------
    >>> import stargazer as sg
    >>> @sg.task
    ... def greeting(work: sg.Workdir, *, name: str) -> sg.Asset:
    ...     out = work.file("greeting.txt")
    ...     out.write_text(f"hello {name}")
    ...     return sg.Asset(path=out)
    >>> greeting
    <task greeting>
    """
    check_names(options)
    return Task(body, **options) if body is not None else functools.partial(Task, **options)


# A task on its way to a worker.


class Carried:
    """A task that is unpickled only where it runs: schedulers never import or rebuild the user's code.

    Parameters
    ----------
    task
        The task here; None where only its bytes have arrived.
    name, needs, copy_inputs
        As the task's own; known without unpickling it.
    packed
        Digest of the task's code and the pickled task.
    """

    def __init__(
        self,
        task: Task | None,
        name: str,
        needs: Needs,
        copy_inputs: bool,
        packed: tuple[str, bytes] | None = None,
    ) -> None:
        self.name, self.needs, self.copy_inputs = name, needs, copy_inputs
        self._task, self._packed, self._here = task, packed, task is not None

    @classmethod
    def of(cls, task: Task) -> Carried:
        """Wrap a task of this process."""
        return cls(task, task.name, task.needs, task.copy_inputs)

    def __reduce__(self) -> Any:
        if self._task is not None and (self._packed is None or self._packed[0] != self._task.code.digest):
            self._packed = (self._task.code.digest, _pickled(self._task))
        needs = self.needs._replace(functions=())  # they are the user's code, too
        return Carried, (None, self.name, needs, self.copy_inputs, self._packed)

    def with_needs(self, needs: Needs) -> Carried:
        """Return the same task with other needs."""
        return Carried(self._task, self.name, needs, self.copy_inputs, self._packed)

    @property
    def task(self) -> Task:
        """The task itself; unpickled at the first use.

        Raises
        ------
        WorkerMismatch
            Its module cannot be imported here.
        """
        if self._task is None:
            assert self._packed is not None
            self._task = _unpickled(self._packed[1])
        return self._task

    @property
    def positional(self) -> tuple[str, ...]:
        """Names of the task's asset parameters."""
        return self.task.positional

    @property
    def result_type(self) -> type | None:
        """The ``NamedTuple`` class that the task returns, if it does."""
        return self.task.result_type

    @property
    def body(self) -> Callable[..., Any]:
        """The task's body."""
        return self.task.body

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `stargazer.calls.task.Task.bound`."""
        return self.task.bound(inputs, parameters)

    def checked(self, made: Any) -> Any:
        """As `stargazer.calls.task.Task.checked`."""
        return self.task.checked(made)

    def check_code(self, spec: TaskSpec) -> None:
        """As `stargazer.calls.task.Task.check_code`; of a task that came from another process, `WorkerMismatch`."""
        try:
            self.task.check_code(spec)
        except CodeChanged as error:
            if self._packed is None or self._here:
                raise
            raise WorkerMismatch(f"this worker cannot run task {self.name}: {error}") from error


def _pickled(task: Task) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(task))
    except Exception as error:
        error.add_note(f"task {task.name} cannot be sent to workers: its body uses something that cannot be pickled")
        raise


@functools.lru_cache(maxsize=256)
def _unpickled(payload: bytes) -> Task:
    import pickle

    try:
        task: Task = pickle.loads(payload)
    except (ImportError, AttributeError) as error:
        raise WorkerMismatch(
            f"this worker cannot import a task: {error}; install its package on the workers, "
            "or define it in the notebook"
        ) from error
    return task


# Tasks that came from another process.


class ArrivedTask(Task):
    """A task that came by value: it has the identity that it was sent with, for there is no source here.

    What it imports here did not come with it, and must be what it was where the task was sent from.
    """

    _sent_code: str
    _imports_here: dict[str, tuple[tuple[str, ...], str | None]]

    def check_code(self, spec: TaskSpec) -> None:
        if self._sent_code != spec.code:
            raise CodeChanged(f"task {self.name} came with other code than its call was made with")
        for module in list(self._imports_here):
            names, digest = self._imports_here[module]
            if digest_of(module, names) not in (digest, None):
                raise CodeChanged(
                    f"{module} is another version here than where task {self.name} was sent from: give clients and "
                    "workers the same files, and start the workers anew"
                )
            del self._imports_here[module]


def imported(module: str, qualname: str) -> Task:
    """Return the task that stands under a name in a module."""
    import importlib

    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    assert isinstance(found, Task)
    return found


def rebuilt(body: Callable[..., Any], options: dict[str, Any], code: str, imports: dict[str, Any]) -> Task:
    """Return a task that was sent by value."""
    task = ArrivedTask(body, **options)
    task._sent_code, task._imports_here = code, imports
    return task
