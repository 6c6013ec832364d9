"""A task's scratch directory, and the only place that starts a subprocess."""

from stargazer.workdir.process import end_all, interruption
from stargazer.workdir.scratch import INPUTS, Scratch
from stargazer.workdir.workdir import EMBEDDED, Workdir

__all__ = ["EMBEDDED", "INPUTS", "Scratch", "Workdir", "end_all", "interruption"]
