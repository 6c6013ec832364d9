"""Functions that wire calls once they know what came before: ``@sg.dynamic``."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

from stargazer.calls.arguments import bind
from stargazer.calls.call import Call
from stargazer.calls.growth import grown
from stargazer.calls.signature import check_form, read_wiring
from stargazer.calls.task import Sent, Task
from stargazer.errors import ArgumentError, DefinitionError
from stargazer.execute.spec import Needs
from stargazer.fingerprint import note_modules
from stargazer.ledger.keys import own_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from typing_extensions import ParamSpec, TypeVar

    from stargazer.assets import Asset
    from stargazer.calls.call import Pending
    from stargazer.calls.signature import Signature
    from stargazer.execute import TaskSpec
    from stargazer.fingerprint import CodeIdentity

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
    F = TypeVar("F", bound=Asset | tuple[Any, ...])

    class Decorator(Protocol):
        """Makes a function that wires of a function, with options."""

        def __call__(self, body: Callable[P, R], /) -> Dynamic[P, R]: ...

else:
    from typing import ParamSpec, TypeVar

    P, R = ParamSpec("P"), TypeVar("R")

__all__ = ["Dynamic", "dynamic"]


class Options(TypedDict, total=False):
    """What `Dynamic` takes beside the function."""

    uses: Sequence[str] | None
    version: str | None


class Dynamic(Task[P, R]):
    """A function from results to calls, with an identity.

    It is called like a task and is as lazy. Once the calls that it was given have ended, it runs with their results
    (handles and plain values) and returns calls, as a workflow does; their results, in the same shape, are its own.

    Parameters
    ----------
    body
        ``def body(parts: list[sg.Asset], threshold: float = 0.5) -> list[sg.Asset]``: assets, lists and dicts of them,
        and plain values, in any position.
    uses
        Python distributions whose version matters to what is wired; by default those that the code names.
    version
        Stands in place of the code.

    Raises
    ------
    DefinitionError
        The signature or an option is wrong.
    """

    body: Callable[P, R]  # type: ignore[assignment]
    wires = True

    def __init__(  # not the task's own: it has no needs, no tools, and no scratch directory
        self, body: Callable[P, R], *, uses: Sequence[str] | None = None, version: str | None = None
    ) -> None:
        if not isinstance(body, FunctionType):
            raise DefinitionError(f"@sg.dynamic decorates a function, not {type(body).__name__}")
        check_form(body, wires=True)
        if isinstance(uses, str):
            raise DefinitionError(f"{body.__name__}: uses={uses!r} must be a list: uses=[{uses!r}]")
        functools.update_wrapper(self, body)
        note_modules()
        self.body, self.name = body, body.__name__
        self.needs, self.tools, self.env = Needs(), (), ()
        self.uses, self.version = None if uses is None else tuple(uses), version
        self.copy_inputs = self.temp = False
        self._identity: CodeIdentity | None = None
        self._sent: Sent | None = None
        self._specs: dict[Any, TaskSpec] = {}

    def __repr__(self) -> str:
        return f"<dynamic {self.name}>"

    if TYPE_CHECKING:  # as a task's; checkers do not find the overloads of a base by the type of `self`

        @overload
        def __call__(self: Dynamic[P, F], *args: P.args, **kwargs: P.kwargs) -> F: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Pending[R]: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Bind it to what it is given; nothing runs."""

    def __reduce__(self) -> Any:
        found = super().__reduce__()
        if found[1][0] is not self.body:
            return found
        _, _, code, imports = found[1]
        return rebuilt_dynamic, (self.body, {"uses": self.uses, "version": self.version}, code, imports)

    @functools.cached_property
    def signature(self) -> Signature:
        """What it takes and returns; read at the first call, so that names it uses may be defined below it."""
        return read_wiring(self.body, Call)

    def called(self, spec: TaskSpec, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """What the function returns, given results in place of calls."""
        given = {**inputs, **{name: own_copy(value) for name, value in parameters.items()}}
        body: Any = self.body
        placed = [given.pop(name) for name in self._places]
        return body(*placed, **given)

    grown = staticmethod(grown)

    @functools.cached_property
    def _places(self) -> tuple[str, ...]:
        """Names of the parameters that may be given by position."""
        parameters = inspect.signature(self.body).parameters.values()
        return tuple(each.name for each in parameters if each.kind is not inspect.Parameter.KEYWORD_ONLY)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if len(args) > len(self._places):
            names = ", ".join(self._places) or "none"
            raise ArgumentError(
                f"{self.name} takes {len(self._places)} positional arguments ({names}), but {len(args)} were given"
            )
        named = dict(zip(self._places, args, strict=False))
        for name in named.keys() & kwargs.keys():
            raise ArgumentError(f"{self.name}: {name} is given twice, by position and by name")
        return bind(self.name, self.signature, Call, (), named | kwargs)


@overload
def dynamic(body: Callable[P, R], /) -> Dynamic[P, R]: ...
@overload
def dynamic(**options: Unpack[Options]) -> Decorator: ...
def dynamic(body: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function that wires calls of results: ``@sg.dynamic``; see `Dynamic` for what it takes and returns.

    Examples
    --------
    >>> import stargazer as sg
    >>> @sg.task
    ... def letter(work: sg.Workdir, *, of: str) -> sg.Asset:
    ...     out = work.file(f"{of}.txt")
    ...     out.write_text(of)
    ...     return sg.Asset(path=out)
    >>> @sg.task
    ... def letters(work: sg.Workdir, words: sg.Asset) -> list[str]:
    ...     return sorted(set(words.path.read_text()))
    >>> @sg.dynamic
    ... def files(found: list[str]) -> list[sg.Asset]:
    ...     return [letter(of=each) for each in found if each.isalpha()]
    >>> [made.name for made in files(letters(sg.add("words.txt"))).compute()][:2]
    ['a.txt', 'b.txt']
    """
    for name in options:
        if name not in Options.__annotations__:
            known = ", ".join(Options.__annotations__)
            raise DefinitionError(f"@sg.dynamic has no option {name!r}; there are {known}: it wires, and needs nothing")
    return Dynamic(body, **options) if body is not None else functools.partial(Dynamic, **options)


def rebuilt_dynamic(
    body: Callable[..., Any], options: dict[str, Any], code: CodeIdentity, imports: dict[str, Any]
) -> Dynamic[..., Any]:
    """Return a function that wires which was sent by value."""
    made = Dynamic(body, **options)
    made._sent = Sent(code, imports)
    return made
