"""Tasks, and the calls that they make when called: `dask.delayed.Delayed`s whose key is their identity."""

from stargazer.calls.call import Call
from stargazer.calls.task import Task, task

__all__ = ["Call", "Task", "task"]
