"""The decorator that makes a task of a function."""

from __future__ import annotations

import functools
import os
import sys
import uuid
from types import FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, Protocol, Unpack, overload

from stargazer.assets import asset_type, foreign_keys
from stargazer.calls.arguments import bind, checked_result
from stargazer.calls.call import Call, make_call, wired_by
from stargazer.calls.options import Options, check_functions, check_names, check_options, chosen_tools, read_needs
from stargazer.calls.signature import Signature, check_form, read_signature
from stargazer.calls.walk import has_call
from stargazer.config import strict, variables
from stargazer.errors import CodeChanged, DefinitionError
from stargazer.execute import TaskSpec
from stargazer.fingerprint import CodeIdentity, class_code, digest_of, identify, identify_version, note_modules
from stargazer.ledger import walk_assets
from stargazer.ledger.keys import task_key
from stargazer.store import active_store
from stargazer.store.staging import members
from stargazer.tools import EMBEDDED_TOOLS, identify_tool, library_version
from stargazer.tools.environments import environment_name, keyed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import ParamSpec, TypeVar

    from stargazer.assets import Asset
    from stargazer.calls.call import Pending
    from stargazer.calls.mapped import Mapped
    from stargazer.execute.audit import Observed
    from stargazer.execute.spec import Wired
    from stargazer.executors import Place
    from stargazer.tools import Workdir

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
    F = TypeVar("F", bound=Asset | tuple[Any, ...])
    Tools = Sequence[str] | Callable[..., Sequence[str]]

else:
    from typing import ParamSpec, TypeVar

    P, R = ParamSpec("P"), TypeVar("R")

__all__ = ["Task", "imported", "rebuilt", "task"]

EDITED = f"edited since it was imported {uuid.uuid4().hex}"
"""Stands for the code of a class that this process has, but whose source is gone: never equal to another process's."""


class Task(Generic[P, R]):
    """A function from assets to assets, with an identity.

    Identity, a part of every key: the name, the code of the body and of all of the user's code that it reaches (or
    `version`), `tools`, `container` or `conda`, `uses` and `env`.
    Options, in no key: `cpus`, `memory`, `gpus`, `walltime`, `worker`, `retries`, `stage`, `temp`.

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
        Longest time that it takes, as ``"2 h"`` or in seconds; after that it is ended with its tools. None where nobody
        knows.
    worker
        Name that the worker must have, as profiles give them; or that of a profile of kind ``executor``, which then
        runs the body, and whose ``runtime`` is a part of the identity.
    retries
        Times that it is tried again where a tool fails: for tools that fail for reasons of the day, not of their input.
        `cpus`, `memory`, `gpus` and `walltime` may be functions of inputs (handles, with ``size`` and facts) and
        parameters by name, and of ``attempt``, from 1: ``memory=lambda reads, attempt: attempt * 3 * reads.size``.
        They are asked when the inputs are there.
    tools
        Names of the commands (``"bwa"``) and embedded packages (``"pysam"``, ``"pybwa"``) that it runs, or a
        function that chooses them from the keyword parameters.
    uses
        Python distributions whose version matters to the result; by default those that the code names.
    env
        Names of environment variables that its tools get. Their values count, as they are where the call is made; those
        of secrets (``…TOKEN…``, ``…SECRET…``, ``…PASSWORD…``) do not, are taken where the tool runs and masked in logs.
    version
        Stands in place of the code: same version, same identity, whatever the code. Module and name of the body, its
        defaults, and what its closure holds still count.
    stage
        ``"copy"`` gives tools that write to their inputs copies of them; ``"link"`` is cheaper.
    container
        Image in which its tools run, by its digest (``"name@sha256:…"``), a folder that holds a whole system
        (``"dir:path"``) or a ``.sif`` file; paths begin where the file lies that defines it. All commands run in there
        but ``python``, and see nothing else but their work directory. Its digest counts in place of tools'.
    conda
        ``env.yml`` of the environment of conda in which they run; the lock file beside it is what counts.
    temp
        What it makes is of use to the next step only: it is the first that garbage collection takes.

    Raises
    ------
    DefinitionError
        The signature or an option is wrong.
    """

    __module__: str
    __qualname__: str
    environment: str = ""
    reads_are_inputs = False
    is_watched = True
    wires = False

    def __init__(
        self,
        body: Callable[Concatenate[Workdir, P], R],
        *,
        cpus: int | Callable[..., int] = 1,
        memory: str | int | Sequence[str | int] | Callable[..., str | float] | None = None,
        gpus: int | Callable[..., int] = 0,
        walltime: str | float | Callable[..., str | float] | None = None,
        worker: str | None = None,
        retries: int = 0,
        tools: Tools = (),
        uses: Sequence[str] | None = None,
        env: Sequence[str] = (),
        version: str | None = None,
        stage: Literal["link", "copy"] = "link",
        temp: bool = False,
        container: str | None = None,
        conda: str | None = None,
    ) -> None:
        if not isinstance(body, FunctionType):
            raise DefinitionError(f"@sg.task decorates a function, not {type(body).__name__}")
        check_form(body)
        check_options(body.__name__, tools, uses, stage, env, temp)
        functools.update_wrapper(self, body)
        note_modules()
        self.body: Callable[Concatenate[Workdir, P], R] = body
        self.name: str = body.__name__
        self.needs = read_needs(body.__name__, cpus, memory, gpus, walltime, worker, retries)
        self.tools, self.version, self.env = tools, version, tuple(env)
        self.uses = None if uses is None else tuple(uses)
        self.copy_inputs, self.temp = stage == "copy", temp
        if container is not None or conda is not None:
            self.environment = environment_name(body.__name__, container, conda, _folder_of(body))
        self._identity: CodeIdentity | None = None
        self._sent: Sent | None = None
        self._specs: dict[Any, TaskSpec] = {}

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    # Checkers are told the result where a call stands for it in all that people write: an asset, and the fields of a
    # tuple. Of other results they see a `Pending`, which may be passed wherever the result is wanted.
    @overload
    def __call__(self: Task[P, F], *args: P.args, **kwargs: P.kwargs) -> F: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Pending[R]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Bind the task to its inputs; nothing runs.

        Raises
        ------
        ArgumentError
            An argument does not fit.
        ToolMissing
            A tool that goes into the key is not installed.
        """
        inputs, parameters = self._bound(args, kwargs)
        spec = self._spec(inputs, parameters, wired_by(sys._getframe(1)))
        return make_call(spec, self.signature.returns, inputs, parameters)

    def map(self, *lists: Any, **same: Any) -> Pending[list[R]]:
        """Call the task for each element of a list, whose length may be known only when it is there.

        Parameters
        ----------
        *lists
            A call that gives a list of assets, or a list; of several, which go through the first parameters of the
            task, elements of one place go together.
        **same
            What is the same for all: parameters, and further assets by name.

        Raises
        ------
        ArgumentError
            An argument does not fit.

        Examples
        --------
        >>> import stargazer as sg
        >>> @sg.task
        ... def upper(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
        ...     out = work.file(words.name)
        ...     out.write_text(words.path.read_text().upper())
        ...     return sg.Asset(path=out)
        >>> [made.name for made in upper.map([sg.add("words.txt")]).compute()]
        ['words.txt']
        """
        from stargazer.calls.mapped import Mapped

        if len(lists) not in self._mapped:
            self._mapped[len(lists)] = Mapped(self, len(lists))
        made: Pending[list[R]] = self._mapped[len(lists)](*lists, **same)
        return made

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return bind(self.name, self.signature, Call, args, kwargs)

    def __reduce__(self) -> Any:

        if self._is_importable():
            return imported, (self.__module__, self.__qualname__)
        stage = "copy" if self.copy_inputs else "link"
        options: dict[str, Any] = {"tools": self.tools, "uses": self.uses, "version": self.version}
        options |= {"stage": stage, "temp": self.temp, "env": self.env, **_environment_option(self.environment)}
        options |= {name: getattr(self.needs, name) for name in ("cpus", "gpus", "walltime", "worker", "retries")}
        options |= {"memory": self.needs.memory or None, **dict(self.needs.functions)}
        return rebuilt, (self.body, options, self.code.alone(), self._imports())

    @functools.cached_property
    def _mapped(self) -> dict[int, Mapped]:
        """The task over lists, by how many."""
        return {}

    @functools.cached_property
    def signature(self) -> Signature:
        """What it takes and returns; read at the first call, so that names it uses may be defined below it."""
        found = read_signature(self.body)
        check_functions(
            self.name, self.needs, [*(each.name for each in found.assets), *(each.name for each in found.plains)]
        )
        return found

    @property
    def module(self) -> str:
        """Name of the module that it was defined in."""
        return self.__module__

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
        """Identity of its code, derived anew whenever something that it reaches has changed; or as it was sent."""
        if self._sent is not None:
            return self._sent.code
        if self.version is not None:
            return self._versioned(self.version)
        if self._identity is None or not self._identity.is_current():
            self._identity = identify(self.body, self.name, strict=strict())  # type: ignore[arg-type]
        return self._identity

    def also_read(self, observed: Observed) -> dict[str, str]:
        """Nothing: what a body reads is seen, or is among its inputs."""
        return {}

    def sent(
        self, place: Place, spec: TaskSpec, work: Workdir, staged: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> Any:
        """Let an executor run the body, and return what it made: drafts in the work directory."""
        from stargazer.executors.tasks import perform_task

        return perform_task(place, self, spec, work, staged, parameters)

    def check_code(self, spec: TaskSpec) -> None:
        """Refuse to run under a key that was made with other code.

        Raises
        ------
        CodeChanged
            The digests differ.
        """
        if self._sent is not None:
            self._sent.check(self.name, spec.code)
            return
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

    def _versioned(self, version: str) -> CodeIdentity:
        """Made anew each time where something may have changed: there is no code to be read."""
        body: Any = self.body
        if self._identity is None or body.__closure__ or body.__defaults__ or body.__kwdefaults__:
            self._identity = identify_version(body, version)
        return self._identity

    def _spec(self, inputs: dict[str, Any], parameters: dict[str, Any], wired: Wired) -> TaskSpec:
        """What all calls of the task that one function wires in the active store share, made once."""
        store = active_store()
        uses_tools = self.tools or self.environment
        tools = tuple(map(identify_tool, self.identified(parameters))) if uses_tools else ()
        code = self.code
        env = variables(self.env) if self.env else {}
        kinds = self._kinds(inputs) if inputs else {}
        executor = self._place()
        place: tuple[Any, ...] = (store.url, code.digest, tools, wired, executor)
        if kinds or env:
            place = (*place, *kinds.items(), *env.items())
        made = self._specs.get(place)
        if made is not None:
            return made
        named = code.libraries if self.uses is None else self.uses
        libraries = {name: library_version(name) for name in named}
        key = task_key(self.name, code.digest, tuple(map(keyed, tools)), libraries, env)
        key = executor.key(key) if executor else key
        identity = (key, code.digest, code.manifest, tools, libraries, store.url, store.id, kinds)
        notes: dict[str, Any] = {"home": f"{self.__module__}:{self.__qualname__}", "wired": wired, "temp": self.temp}
        notes |= {"wires": self.wires, "env": env, "secrets": tuple(name for name in self.env if name not in env)}
        spec = TaskSpec(
            self,
            self.name,
            self.needs.waiting() if executor else self.needs,
            self.copy_inputs,
            *identity,
            executor=executor,
            **notes,
        )
        self._specs[place] = spec
        return spec

    def identified(self, parameters: Mapping[str, Any]) -> list[str]:
        """Names of what its result depends on: tools, or the environment in place of those that run in there.

        Parameters
        ----------
        parameters
            Plain values by name, which may choose the tools.
        """
        names = chosen_tools(self.tools, parameters)
        if not self.environment:
            return [*names]
        return [*(name for name in names if name in EMBEDDED_TOOLS), self.environment]

    def _place(self) -> Place | None:
        """The executor that runs its bodies; None where Dask's workers do."""
        if not self.needs.worker:
            return None
        from stargazer.executors.place import find_place  # what has no worker's name need not know of them

        found = find_place(self.needs.worker)
        if found is not None and self.environment:
            raise DefinitionError(
                f"task {self.name}: worker={self.needs.worker!r} is an executor, whose runtime says which tools there "
                "are; container= and conda= do not reach it: take one of the two"
            )
        return found

    def _kinds(self, inputs: dict[str, Any]) -> dict[str, str]:
        """What tells the user's own types of assets as they are from what they were; the engine's count as it does.

        Those of what is given; and all, where a call is among the inputs: nobody knows yet what it makes.
        """
        foreign = foreign_keys()
        if not foreign:
            return {}
        codes = {}
        given = {member.asset_key for asset in walk_assets(list(inputs.values())) for member in members(asset)}
        known = foreign if any(map(has_call, inputs.values())) else foreign & given
        for key in sorted(known):
            codes[key] = self._kind(asset_type(key), given=key in given)
        return {key: code for key, code in codes.items() if code}

    def _kind(self, cls: type, *, given: bool) -> str:
        try:
            return class_code(cls, self.__module__, given=given)
        except CodeChanged:
            if given:
                raise
            return EDITED

    def _is_importable(self) -> bool:
        if self.__module__ == "__main__":
            return False
        found: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is self


def _folder_of(body: FunctionType) -> str:
    """Folder of the file that defines a function; the present one where that is no file, as in a notebook."""
    path = body.__code__.co_filename
    return os.path.dirname(os.path.abspath(path)) if os.path.isfile(path) else os.getcwd()


def _environment_option(name: str) -> dict[str, str]:
    option, colon, source = name.partition(":")
    return {option: source} if colon else {}


class Decorator(Protocol):
    """Makes a task of a function, with options."""

    def __call__(self, body: Callable[Concatenate[Workdir, P], R], /) -> Task[P, R]: ...


@overload
def task(body: Callable[Concatenate[Workdir, P], R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[Options]) -> Decorator: ...
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


# Tasks that came from another process.


class Sent:
    """Hold the identity that a task was sent with by value: there is no source to derive it from here.

    Parameters
    ----------
    code
        Identity of its code, where it was sent from.
    imports
        What it imports here, which did not come with it: names by module, and their digest where it was sent from.
    """

    def __init__(self, code: CodeIdentity, imports: dict[str, tuple[tuple[str, ...], str | None]]) -> None:
        self.code, self._imports = code, imports

    def check(self, name: str, wanted: str) -> None:
        """Refuse a call that was made with other code, or whose imports are other versions here.

        Raises
        ------
        CodeChanged
            Says what differs.
        """
        if self.code.digest != wanted:
            raise CodeChanged(f"task {name} came with other code than its call was made with")
        for module in list(self._imports):
            names, digest = self._imports[module]
            if digest_of(module, names) not in (digest, None):
                raise CodeChanged(
                    f"{module} is another version here than where task {name} was sent from: give clients and "
                    "workers the same files, and start the workers anew"
                )
            del self._imports[module]


def imported(module: str, qualname: str) -> Task:
    """Return the task that stands under a name in a module."""
    import importlib

    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    assert isinstance(found, Task)
    return found


def rebuilt(body: Callable[..., Any], options: dict[str, Any], code: CodeIdentity, imports: dict[str, Any]) -> Task:
    """Return a task that was sent by value."""
    task = Task(body, **options)
    task._sent = Sent(code, imports)
    return task
