"""Graphs in flight, and runs as every process sees them that shares their store."""

from stargazer.runs.kept import KeptRun, get, list
from stargazer.runs.run import Run, run, run_async
from stargazer.runs.state import State, Status

__all__ = ["KeptRun", "Run", "State", "Status", "get", "list", "run", "run_async"]
