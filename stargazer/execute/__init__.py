"""On the worker: find → stage → body → save → append. What runs is in `stargazer.execute.execute`."""

from stargazer.execute.spec import Needs, TaskSpec

__all__ = ["Needs", "TaskSpec"]
