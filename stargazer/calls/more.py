"""More memory for calls that had not enough, where their tasks name more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.graph import needs
from stargazer.errors import MemoryExceeded, ToolFailed, WorkerLost
from stargazer.ledger import Ledger
from stargazer.ledger.logs import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.calls.call import Call
    from stargazer.execute import Needs

__all__ = ["give_more", "give_more_within", "lacked_memory", "walk", "with_needs"]


def lacked_memory(failure: BaseException | None) -> bool:
    """Whether a call failed for want of memory."""
    if isinstance(failure, WorkerLost):
        return failure.memory
    return isinstance(failure, MemoryExceeded) or (isinstance(failure, ToolFailed) and failure.killed)


def give_more(call: Call) -> bool:
    """Let the next attempt of a call have more memory; False where its task names no more."""
    more = call.spec.needs.after_more_memory()
    if more is not None:
        with_needs(call, more)
    return more is not None


def with_needs(call: Call, needs: Needs) -> None:
    """Let a call have other needs than its task declares."""
    object.__setattr__(call, "spec", call.spec.with_changes(needs=needs))


def give_more_within(root: Call, failure: BaseException) -> bool:
    """As `give_more`, for that call among those which `root` needs that failed; False where it lacked no memory."""
    name = record_of(failure) if lacked_memory(failure) else None
    record = Ledger(root.store.records).get(name) if name else None
    starved = [call for call in walk(root) if record is not None and call.plan_key == record.plan_key]
    return any(list(map(give_more, starved)))


def walk(root: Call) -> Iterator[Call]:
    """Yield every whole call that another needs, itself among them, once."""
    todo, seen = [root.whole], {root.whole.key}
    while todo:
        yield (call := todo.pop())
        wholes = {needed.whole.key: needed.whole for needed in needs(call)}
        todo += [whole for key, whole in wholes.items() if key not in seen]
        seen |= wholes.keys()
