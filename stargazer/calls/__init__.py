"""Tasks, and the calls that they make when called: `dask.delayed.Delayed`s whose key is their identity."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any as Call  # in what people annotate a call takes the place of its result, whatever that is
else:
    from stargazer.calls.call import Call
from stargazer.calls.task import Task, task

__all__ = ["Call", "Task", "task"]
