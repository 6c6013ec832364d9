"""Graphs in flight."""

from stargazer.runs.run import Run, run
from stargazer.runs.state import State, Status

__all__ = ["Run", "State", "Status", "run"]
