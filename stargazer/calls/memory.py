"""More memory for calls that had not enough, where their tasks name more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.walk import walk
from stargazer.errors import MemoryExceeded, ToolFailed, WorkerLost
from stargazer.ledger import Ledger
from stargazer.ledger.logs import record_of

if TYPE_CHECKING:
    from stargazer.calls.call import Call

__all__ = ["give_more", "give_more_within", "lacked_memory"]


def lacked_memory(failure: BaseException | None) -> bool:
    """Whether a call failed for want of memory."""
    if isinstance(failure, WorkerLost):
        return failure.memory
    return isinstance(failure, MemoryExceeded) or (isinstance(failure, ToolFailed) and failure.killed)


def give_more(call: Call) -> bool:
    """Let the next attempt of a call have more memory; False where its task names no more."""
    more = call.spec.needs.after_more_memory()
    if more is not None:
        call.set_needs(more)
    return more is not None


def give_more_within(root: Call, failure: BaseException) -> bool:
    """As `give_more`, for that call among those which `root` needs that failed; False where it lacked no memory."""
    name = record_of(failure) if lacked_memory(failure) else None
    record = Ledger(root.store.records).get(name) if name else None
    starved = [call for call in walk(root) if record is not None and call.plan_key == record.plan_key]
    return any(list(map(give_more, starved)))
