"""One task for each element of lists whose length is known only when they are there: ``task.map(call)``."""

from __future__ import annotations

import functools
import hashlib
import sys
from typing import TYPE_CHECKING, Any

from stargazer.assets import foreign_keys
from stargazer.calls.arguments import Returns, bind, checked_result
from stargazer.calls.call import Call, make_call, wired_by
from stargazer.calls.growth import grown
from stargazer.calls.signature import AssetParameter, Signature
from stargazer.errors import ArgumentError
from stargazer.execute.spec import Needs, Wired

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.execute import TaskSpec
    from stargazer.execute.audit import Observed

__all__ = ["Mapped", "mapped"]


class Mapped:
    """A task that is called once for each element of a list, or of several of one length, as a function that wires.

    Parameters
    ----------
    task
        The task.
    number
        How many of its asset parameters, from the first, go through a list.

    Raises
    ------
    ArgumentError
        The task has fewer, or one of them takes a list itself.
    """

    reads_are_inputs = False
    is_watched = True
    wires = True

    def __init__(self, task: Any, number: int) -> None:
        self.task, self.number = task, number
        self.name = f"{task.name}.map"
        self.needs = Needs()
        assets = task.signature.assets
        if not 1 <= number <= len(assets):
            has = ", ".join(parameter.name for parameter in assets) or "none"
            raise ArgumentError(
                f"{self.name} takes a list for each asset parameter that differs from call to call, by position, and "
                f"there are {len(assets)} ({has}), but {number} were given; what is the same for all goes by keyword"
            )
        for parameter in assets[:number]:
            if parameter.shape != "one":
                raise ArgumentError(
                    f"{self.name}: {parameter.name} is {parameter}; only single assets are taken from a list, "
                    "@sg.dynamic does the rest"
                )
        self._specs: dict[tuple[int, str], TaskSpec] = {}

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Bind it to its lists; nothing runs."""
        inputs, parameters = bind(self.name, self.signature, Call, args, kwargs)
        shared = self.task._spec(inputs, parameters, wired_by(sys._getframe(2)))
        return make_call(self._spec_of(shared), self.signature.returns, inputs, parameters)

    def __reduce__(self) -> Any:
        return mapped, (self.task, self.number)

    @functools.cached_property
    def signature(self) -> Signature:
        """That of the task, with lists for what goes through a list, and of what it returns."""
        own: Signature = self.task.signature
        listed = (AssetParameter(each.name, "list", each.type, False) for each in own.assets[: self.number])
        kind = own.returns.types[0] if own.returns.shape == "one" else None
        returns = Returns("list", (kind,), plain=own.returns.plain)
        return Signature(
            (*listed, *own.assets[self.number :]), own.plains, returns, lambda made: [own.check(each) for each in made]
        )

    @property
    def module(self) -> str:
        """Name of the module that the task was defined in."""
        return str(self.task.module)

    @property
    def positional(self) -> tuple[str, ...]:
        """Names of its asset parameters."""
        return tuple(parameter.name for parameter in self.signature.assets)

    result_type = None

    @property
    def body(self) -> Callable[..., Any]:
        """What wires; none of the user's code."""
        return _rows

    def bound(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check inputs and parameters again, now that none is a call any more."""
        return bind(self.name, self.signature, (), (), {**inputs, **parameters})

    def checked(self, made: Any) -> Any:
        """Return the results, if each is what the task declares to return."""
        return checked_result(self.name, self.signature, made)

    def also_read(self, observed: Observed) -> dict[str, str]:
        """Nothing."""
        return {}

    def check_code(self, spec: TaskSpec) -> None:
        """Refuse to wire under a key that was made with other code of the task."""
        if self._code(self.task.code.digest) != spec.code:
            self.task.check_code(spec)

    def called(self, spec: TaskSpec, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[Any]:
        """Wire one call for each element.

        Raises
        ------
        ArgumentError
            The lists have different lengths.
        """
        lists = {name: inputs[name] for name in self.positional[: self.number]}
        same = {name: value for name, value in inputs.items() if name not in lists}
        rows = [dict(zip(lists, row, strict=True)) | same for row in _rows(self.name, lists)]
        # All elements share one order, unless classes of assets are the user's own: then that counts what it is given.
        shared = None if foreign_keys() or not rows else self._noted(spec, rows[0], parameters)
        returns = self.task.signature.returns
        return [make_call(shared or self._noted(spec, row, parameters), returns, row, dict(parameters)) for row in rows]

    grown = staticmethod(grown)

    def _noted(self, spec: TaskSpec, inputs: dict[str, Any], parameters: Mapping[str, Any]) -> TaskSpec:
        """The task's own for one element, with the commit of what wired the whole."""
        shared = self.task._spec(inputs, dict(parameters), spec.wired or Wired())
        place = (id(shared), spec.commit)
        if place not in self._specs:
            noted = {"commit": spec.commit, "dirty": spec.dirty, "diff": spec.diff, "wired": spec.wired}
            self._specs[place] = shared.with_changes(**noted, local=self.task)
        return self._specs[place]

    def _spec_of(self, shared: TaskSpec) -> TaskSpec:
        """What its calls share: the task's own, as one that wires."""
        place = (id(shared), "")
        if place not in self._specs:
            key, code = self._code(shared.key), self._code(shared.code)
            own = {"local": self, "name": self.name, "needs": self.needs, "key": key, "code": code, "wires": True}
            self._specs[place] = shared.with_changes(**own, payload=None)
        return self._specs[place]

    def _code(self, digest: str) -> str:
        return hashlib.sha256(f"{digest} map {self.number}".encode()).hexdigest()


def mapped(task: Any, number: int) -> Mapped:
    """Return the task as it is called for each element of so many lists."""
    return Mapped(task, number)


def _rows(name: str, lists: Mapping[str, list[Any]]) -> list[tuple[Any, ...]]:
    lengths = {each: len(value) for each, value in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{each} has {length}" for each, length in lengths.items())
        raise ArgumentError(f"{name} takes lists of one length, but {told}")
    return list(zip(*lists.values(), strict=True))
