"""A task bound to its inputs: lazy, and known by its key alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from dask.delayed import Delayed

from stargazer.calls.elements import element, place
from stargazer.calls.signature import Returns
from stargazer.errors import BlobLost, ToolError
from stargazer.ledger import Ledger
from stargazer.store import Store
from stargazer.store.beyond import doubt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dask.highlevelgraph import HighLevelGraph

    from stargazer.execute import Order

__all__ = ["Call"]


class Call(Delayed):
    """A task bound to its inputs; made by calling a task, or by indexing another call.

    It is a `dask.delayed.Delayed`: ``dask.compute``, ``client.compute`` and ``dask.delayed`` take it.

    Attributes
    ----------
    name
        The task's name.
    plan_key
        Identity of the call: 64 hexadecimal digits. Of an element, its whole call's.
    inputs, parameters
        What the task was called with, complete with defaults.
    parent, index
        Of an element: the whole call and the place in its result.
    """

    __slots__ = (
        "annotations", "index", "inputs", "order", "parameters", "parent", "plan_key", "returns",
    )  # fmt: skip

    order: Order
    plan_key: str
    returns: Returns
    inputs: dict[str, Any]
    parameters: dict[str, Any]
    annotations: dict[str, Any]
    parent: Call | None
    index: int | str | None

    def __init__(self) -> None:
        raise TypeError("calls are made by calling a task")

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.order.task.name

    @property
    def whole(self) -> Call:
        """The call that this is an element of, or the call itself."""
        return self if self.parent is None else self.parent

    @property
    def store(self) -> Store:
        """The store that was active when the call was made."""
        return Store.open(self.order.store)

    @property
    def token(self) -> str:
        """How the call stands in the keys of calls that take it as input."""
        element = "" if self.parent is None else f"#{self.index}"
        return f"call:{self.plan_key}{element}"

    @property
    def dask(self) -> HighLevelGraph:
        """The graph, as Dask's schedulers want it; what the ledger knows is cut away when they ask for it."""
        from stargazer.calls.layers import graph_of

        return graph_of(self)

    def __dask_layers__(self) -> tuple[str, ...]:
        from stargazer.calls.layers import LAYER

        return (LAYER,)

    def known(self) -> tuple[Any] | None:
        """The result in a tuple, if the ledger has it; one look-up, nothing runs."""
        ledger = Ledger(self.store)
        record = ledger.find(self.plan_key)
        if record is None:
            return None
        whole = ledger.results(record, self.whole.returns.named)
        return (whole if self.parent is None else element(whole, self.index),)

    def compute(self, **kwargs: Any) -> Any:
        """Return the result: from the ledger, or by running what is missing.

        Parameters
        ----------
        **kwargs
            For `dask.compute`, as ``scheduler="threads"``.

        Raises
        ------
        BlobLost
            Bytes are gone that no call can make again.
        Exception
            Whatever a task raises.
        """
        lost: set[str] = set()
        while (result := self.known()) is None:
            try:
                return super().compute(**kwargs)  # type: ignore[no-untyped-call]
            except BlobLost as error:
                if error.cid in lost:
                    raise
                lost.add(error.cid)
                doubt(error)
            except ToolError as error:
                if not _given_more(self, error):
                    raise
            except KeyboardInterrupt:
                _end_tools()
                raise
            _let_go(self)
        return result[0]

    def visualize(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the part of the graph that would run, with graphviz; see `dask.visualize`."""
        from stargazer.calls.layers import flat_delayed

        return flat_delayed(self).visualize(*args, **kwargs)

    def __getitem__(self, index: int | str) -> Call:
        if self.parent is not None:
            raise TypeError(f"{self!r} is one result of {self.name}; what is inside it is known only when it ran")
        if self.returns.shape in ("one", "plain"):
            raise TypeError(f"{self.name} returns one result, which cannot be indexed")
        length = self.returns.length
        if length is not None:
            index = place(self.name, index, length)
        elif not isinstance(index, (int, str)) or isinstance(index, bool):
            raise TypeError(f"{self.name}[…] takes a number or a name, not {index!r}")
        types = self.returns.types
        kind = types[index] if length is not None and isinstance(index, int) else types[0] if types else None
        from stargazer.calls.making import make_element

        return make_element(self, index, Returns("one", (kind,)) if kind else Returns("unknown"))

    def __iter__(self) -> Iterator[Call]:
        if self.returns.length is None:
            raise TypeError(
                f"how many results {self.name} has is known only when it ran: pass it whole to a list[…] parameter, "
                "or compute it first"
            )
        return (self[index] for index in range(self.returns.length))

    def __len__(self) -> int:
        if self.returns.length is None:
            raise TypeError(f"how many results {self.name} has is known only when it ran")
        return self.returns.length

    def __getattr__(self, name: str) -> Any:
        fields = getattr(object.__getattribute__(self, "returns").named, "_fields", ())
        if name in fields:
            return self[fields.index(name)]
        raise AttributeError(f"{name!r}: {self!r} has not run; its result has attributes, the call has not")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise TypeError("calls are immutable")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: `Delayed` would make another Delayed."""
        raise TypeError(f"{self!r} is a call already; call the task to make another")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and other.key == self.key

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.key)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} has not run: whether its result is true is not known yet; compute it, then ask")

    def __contains__(self, item: object) -> NoReturn:
        raise TypeError(f"{self!r} has not run: what its result contains is not known yet; compute it, then ask")

    def __repr__(self) -> str:
        element = "" if self.parent is None else f"[{self.index!r}]"
        return f"<call {self.name}{element} {self.plan_key[:8]}>"

    def _repr_html_(self) -> str:
        from stargazer.display import call_html

        return call_html(self)

    def __reduce__(self) -> Any:
        from stargazer.calls.packing import pack, unpack

        return unpack, (self.key, pack(self))


def _given_more(call: Call, error: ToolError) -> bool:
    from stargazer.calls.more import give_more_within

    return give_more_within(call, error)


def _let_go(root: Call) -> None:
    from stargazer.calls.let_go import default_client, until_let_go
    from stargazer.calls.more import walk

    until_let_go(default_client(), [root.key, *(call.key for call in walk(root))])


def _end_tools() -> None:
    from stargazer.workdir import end_all

    end_all()
