"""The result of a call, from the ledger or by running its body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.execute.attempt import Attempt
from stargazer.ledger import Ledger
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.execute.order import Order

__all__ = ["execute"]


def execute(
    order: Order,
    plan_key: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    cancelled: Callable[[], bool] = lambda: False,
    *,
    alone: bool = False,
) -> Any:
    """Return the result of a call, from the ledger or by running its body.

    Parameters
    ----------
    order
        The task and what it needs.
    plan_key
        Key of the call, made where it was wired.
    inputs
        Stored assets by parameter: one, a list or a dict of them, or None.
    parameters
        Plain values by name.
    cancelled
        Asked now and then while tools run.
    alone
        Whether no other call runs in this process, so that its memory is this call's.

    Raises
    ------
    ArgumentError
        What a call before this one gave does not fit.
    BlobLost
        An input is gone or corrupt.
    WorkerMismatch
        This worker has other code, tools or libraries.
    Exception
        Whatever the body raises.
    """
    ledger = Ledger(Store.open(order.store))
    record = ledger.find(plan_key)
    if record is not None:
        return ledger.results(record, order.task.result_type)
    inputs, parameters = order.task.bound(inputs, parameters)
    return Attempt(order, plan_key, inputs, parameters, ledger, alone=alone).result(cancelled)
