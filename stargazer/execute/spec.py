"""A task on its way to workers: what its calls need, and whether a worker may run them."""

from __future__ import annotations

import functools
import inspect
import os
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary

from stargazer.errors import CodeChanged, StoreError, WorkerMismatch
from stargazer.store import Store
from stargazer.tools import ToolIdentity, identify_tool, library_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stargazer.execute.audit import Observed
    from stargazer.executors import Place
    from stargazer.tools import Workdir
    from stargazer.tools.git import Revision

__all__ = ["LoadedTask", "Needs", "TaskSpec", "Wired", "check_versions", "fits", "most", "size"]


class LoadedTask(Protocol):
    """What `execute` calls of a task, once it is loaded."""

    @property
    def module(self) -> str:
        """Name of the module that it was defined in."""

    @property
    def needs(self) -> Needs:
        """What its calls need, as it declares it."""

    @property
    def positional(self) -> tuple[str, ...]:
        """Names of its asset parameters."""

    @property
    def result_type(self) -> type | None:
        """The ``NamedTuple`` class that it returns, if it does."""

    @property
    def body(self) -> Callable[..., Any]:
        """The undecorated function."""

    @property
    def is_watched(self) -> bool:
        """Whether what its body reads is looked at; not where its parameters hold all that its result depends on."""

    @property
    def reads_are_inputs(self) -> bool:
        """Whether it may read what it likes: that counts at the next look-up, and nobody is warned."""

    def also_read(self, observed: Observed) -> Mapping[str, str]:
        """What its body read that was not seen, as a record names it."""

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check inputs and parameters, now that none is a call any more."""

    def checked(self, made: Any) -> Any:
        """Return what the body returned, if it is what it declares to return."""

    def sent(
        self, place: Place, spec: TaskSpec, work: Workdir, staged: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> Any:
        """Let an executor run the body, and return what that made."""

    def check_code(self, spec: TaskSpec) -> None:
        """Raise `CodeChanged` where its code has another digest here."""


class LoadedWiring(LoadedTask, Protocol):
    """What is asked of a function that wires calls."""

    def called(self, spec: TaskSpec, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """What the function returns."""

    def grown(
        self,
        spec: TaskSpec,
        plan_key: str,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        before: Sequence[str],
        strict: bool,
        warn: Callable[[str, type[Warning]], None],
    ) -> Any:
        """The result of a call, and of all that it wires, made where this runs."""


TYPED = ("<string>", "<stdin>")
"""Names that Python gives to code which is in no file, and in no notebook either."""


class Wired(NamedTuple):
    """The place in the code where a task was called.

    Parameters
    ----------
    name
        Qualified name of its function; ``<module>`` of a script or a cell.
    path
        File of the user's code: of a workflow that comes along, of what called it.
    principal
        Who asked a service for it.
    """

    name: str = ""
    path: str = ""
    principal: str = ""

    @property
    def workflow(self) -> str:
        """What a run of it is called."""
        name = self.name.partition(".")[0]
        if not name.startswith("<"):
            return name
        if os.path.isfile(self.path):
            return Path(self.path).stem
        return "python" if self.path in TYPED else "notebook"


_stamped: WeakKeyDictionary[TaskSpec, tuple[Revision, TaskSpec]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class TaskSpec:
    """Describe a task to those who run its calls, as plain data: schedulers never import or rebuild the user's code.

    All calls of a task in one store share it. The task itself is loaded where a body runs, and nowhere else.

    Parameters
    ----------
    local
        The task here; None where only its bytes have arrived.
    name, needs, copy_inputs
        As the task's own.
    key
        `stargazer.ledger.keys.task_key` of it.
    code, manifest
        Identity of its code, derived where the call was made.
    tools, libraries
        What the worker must have, exactly.
    store, store_id
        URL and id of the store.
    kinds
        What tells whether the methods of the user's own types of assets are still the same, by asset key; in the keys
        of the calls that are given such assets.
    env
        Environment variables that the task names, as they were where the call was made; None for one that was not set.
    secrets
        Names of those that are secrets: tools get them from where they run.
    payload
        The pickled task: by name or, from a notebook, by value. Made when it is first sent.
    arrived
        Whether it came from another process.
    home
        Module and qualified name of the task, ``"package.module:name"``: where the call can be made again from.
    wired
        The code that wired the call; known where that happened.
    commit, dirty, diff
        Of which commit that code is; whether it was changed since; CID of the changes.
    temp
        Whether what the call makes goes before other results do.
    renewal
        Of calls that run although the ledger knows them, and of those that need them: marks the request, so that no
        result of an earlier one is taken. In no key of the ledger.
    again
        Whether the body runs even where nothing before it changed.
    wires
        Whether the body wires calls, whose results are its own.
    renews
        Of such a body that runs once more: what runs once more of what it wires, by name; ``*`` for all of it.
    principal
        Who asked a service for the call.
    executor
        Where the body runs, if not here: an executor that the task's worker stands for.
    """

    local: LoadedTask | None
    name: str
    needs: Needs
    copy_inputs: bool
    key: str
    code: str
    manifest: Mapping[str, str]
    tools: tuple[ToolIdentity, ...]
    libraries: Mapping[str, str]
    store: str
    store_id: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    payload: bytes | None = None
    arrived: bool = False
    home: str = ""
    wired: Wired | None = None
    commit: str = ""
    dirty: bool = False
    diff: str | None = None
    temp: bool = False
    renewal: str = ""
    again: bool = False
    wires: bool = False
    renews: tuple[str, ...] = ()
    principal: str = ""
    executor: Place | None = None

    def __reduce__(self) -> Any:
        if self.payload is None:
            object.__setattr__(self, "payload", _pickled(self.name, self.local))
        # What most specs do not have travels only where one has it.
        members = {each.name: getattr(self, each.name) for each in fields(self)}
        # Functions of needs are the user's code, too: they come with the task.
        members |= {"local": None, "arrived": True, "needs": self.needs._replace(functions=())}
        first = [members.pop(name) for name in ALWAYS_SENT]
        return _arrived, (*first, {name: value for name, value in members.items() if value})

    def with_changes(self, **members: Any) -> TaskSpec:
        """Return the same task with other needs, or with other notes of how it is called."""
        return replace(self, **members)

    def stamped(self) -> TaskSpec:
        """Return the same with the commit of the code that wired it; asked only of calls that run.

        Where that code differs from its commit, the store keeps the difference, and the spec names it.
        """
        if self.wired is None:
            return self
        from stargazer.tools.git import revision_of

        revision = revision_of(self.wired.path)
        last = _stamped.get(self)
        if last is not None and last[0] is revision:  # each call of a large graph asks
            return last[1]
        diff = None
        if revision.diff:
            with suppress(StoreError, OSError):  # a store that cannot be written to runs nothing either, and says so
                diff = Store.open(self.store).blobs.put_bytes(revision.diff)
        found = {"commit": revision.commit, "dirty": revision.dirty, "diff": diff}
        _stamped[self] = revision, self.with_changes(**found, principal=self.wired.principal, wired=None)
        return _stamped[self][1]

    @property
    def task(self) -> LoadedTask:
        """The task itself; unpickled at the first use.

        Raises
        ------
        WorkerMismatch
            Its module cannot be imported here.
        """
        if self.local is None:
            assert self.payload is not None
            object.__setattr__(self, "local", _unpickled(self.payload))
        assert self.local is not None
        return self.local

    @property
    def wiring(self) -> LoadedWiring:
        """The same, of one that wires."""
        assert self.wires
        return cast("LoadedWiring", self.task)

    def check_code(self) -> None:
        """Refuse a call whose task has other code here.

        Raises
        ------
        CodeChanged
            The code changed since the call was made, in this process.
        WorkerMismatch
            The task came from another process, and is another version here.
        """
        try:
            self.task.check_code(self)
        except CodeChanged as error:
            if not self.arrived:
                raise
            raise WorkerMismatch(f"this worker cannot run task {self.name}: {error}") from error

    def check_here(self) -> None:
        """Refuse to run where code, tools or libraries are others; an executor compares them itself.

        Raises
        ------
        WorkerMismatch
            Names what differs, and both versions.
        """
        self.check_code()
        if self.executor is not None:
            return
        check_versions(self.tools, self.libraries, "this worker")


ALWAYS_SENT = (
    "local",
    "name",
    "needs",
    "copy_inputs",
    "key",
    "code",
    "manifest",
    "tools",
    "libraries",
    "store",
    "store_id",
)
"""Members that every spec has, by place."""


def _arrived(*members: Any) -> TaskSpec:
    *first, others = members
    return TaskSpec(*first, **others)


def _pickled(name: str, task: LoadedTask | None) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(task))
    except Exception as error:
        error.add_note(f"task {name} cannot be sent to workers: its body uses something that cannot be pickled")
        raise


@functools.lru_cache(maxsize=256)
def _unpickled(payload: bytes) -> LoadedTask:
    import pickle

    try:
        task: LoadedTask = pickle.loads(payload)
    except (ImportError, AttributeError) as error:
        raise WorkerMismatch(
            f"this worker cannot import a task: {error}; install its package on the workers, "
            "or define it in the notebook"
        ) from error
    return task


def _shown(tool: ToolIdentity) -> str:
    return f"{tool.version} (sha256 {tool.digest[:12]}…)"


def check_versions(tools: Iterable[ToolIdentity], libraries: Mapping[str, str], who: str) -> None:
    """Refuse to run where tools or libraries are others than those that a call was made with.

    Parameters
    ----------
    tools, libraries
        Of the call.
    who
        Has others, for the message.

    Raises
    ------
    WorkerMismatch
        Names what differs, and both versions.
    """
    for wanted in tools:
        found = identify_tool(wanted.name)
        if found != wanted:
            raise WorkerMismatch(_mismatch(who, wanted.name, _shown(wanted), _shown(found)))
    for name, version in libraries.items():
        if library_version(name) != version:
            raise WorkerMismatch(_mismatch(who, name, version, library_version(name)))


def _mismatch(who: str, name: str, wanted: str, found: str) -> str:
    return (
        f"{who} has {name} {found}, but the call was made with {wanted}; "
        "use the same environment for the client and its workers"
    )


# What a call needs of the worker that runs it.


COUNTED = ("cpus", "memory")
"""Resources that every worker has, whether it says so or not."""

ATTEMPTS = 5
"""Times that a call is tried whose memory is a function of the attempt."""

CLAMPED = "cpus"
"""Of processors a call takes all there are, where its machine has fewer: it takes longer, and comes to the same."""


class Needs(NamedTuple):
    """What a call needs. In no key: it changes nothing of the result.

    Parameters
    ----------
    cpus
        Threads.
    memory
        Sizes in bytes, to be tried in turn where the one before was not enough; empty where none is declared.
    gpus
        Number of them.
    walltime
        Seconds that it takes at most; None where nobody knows.
    worker
        Name that the worker must have.
    retries
        Times that it is tried again where a tool fails.
    functions
        Options that are functions of the call's inputs and parameters, by their names, and of ``attempt``.
    attempt
        Which it is, from 1.
    are_given
        Whether the functions have been asked, or there are none.
    """

    cpus: int = 1
    memory: tuple[int, ...] = ()
    gpus: int = 0
    walltime: float | None = None
    worker: str | None = None
    retries: int = 0
    functions: tuple[tuple[str, Callable[..., Any]], ...] = ()
    attempt: int = 1
    are_given: bool = True

    @property
    def bytes(self) -> int | None:
        """Memory of the present attempt."""
        return self.memory[0] if self.memory else None

    @property
    def are_plain(self) -> bool:
        """Whether any worker will do, one call for each of its threads."""
        return self.cpus == 1 and not (self.memory or self.gpus or self.worker or self.functions)

    def waiting(self) -> Needs:
        """Return the needs of who only waits for an executor: nothing of the worker that does."""
        return Needs(walltime=self.walltime, retries=self.retries)

    def resources(self) -> dict[str, float]:
        """Return them as Dask counts resources."""
        wanted = {"cpus": self.cpus, "memory": self.bytes or 0, "gpus": self.gpus}
        named = {f"worker:{self.worker}": 1.0} if self.worker else {}
        return {name: float(amount) for name, amount in wanted.items() if amount} | named

    def fitted(self, largest: Mapping[str, float], *, clamp: bool) -> dict[str, float]:
        """Return the resources to ask for, of workers of which the largest has so much; plain workers count none."""
        wanted = {name: amount for name, amount in self.resources().items() if name not in COUNTED or name in largest}
        if clamp and CLAMPED in largest:
            wanted[CLAMPED] = min(wanted[CLAMPED], largest[CLAMPED])
        return wanted

    def after_more_memory(self) -> Needs | None:
        """Return the needs of the next attempt, where memory was not enough; None if this one was the last."""
        if len(self.memory) > 1:
            return self._replace(memory=self.memory[1:])
        grows = any(option == "memory" and takes_attempt(function) for option, function in self.functions)
        return self._replace(attempt=self.attempt + 1, are_given=False) if grows and self.attempt < ATTEMPTS else None


def takes_attempt(function: Callable[..., Any]) -> bool:
    """Whether a function of needs asks which attempt it is."""
    return "attempt" in inspect.signature(function).parameters


def fits(needs: Mapping[str, float], each: Mapping[str, float]) -> bool:
    """Whether a worker with these resources could take a call alone."""
    return all(amount <= each.get(name, 0.0) for name, amount in needs.items())


def size(each: Mapping[str, float]) -> tuple[float, ...]:
    """Return what kinds of workers are compared by: graphics cards are dearest, then memory, then processors."""
    return (each.get("gpus", 0.0), each.get("memory", 0.0), each.get("cpus", 0.0), float(len(each)))


def most(workers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the most that any of these workers has of each resource."""
    largest: dict[str, float] = {}
    for has in workers:
        for name, amount in has.items():
            largest[name] = max(amount, largest.get(name, 0.0))
    return largest
