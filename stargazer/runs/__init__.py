"""Graphs in flight."""

from stargazer.runs.run import Run
from stargazer.runs.start import run
from stargazer.runs.watch import State, Status

__all__ = ["Run", "State", "Status", "run"]
