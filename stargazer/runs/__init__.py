"""Graphs in flight."""

from stargazer.runs.run import Run, run, run_async
from stargazer.runs.state import State, Status

__all__ = ["Run", "State", "Status", "run", "run_async"]
