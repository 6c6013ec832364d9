"""A task's scratch directory, and the only place that starts a subprocess."""

from stargazer.workdir.process import end_all
from stargazer.workdir.workdir import EMBEDDED, Workdir

__all__ = ["EMBEDDED", "Workdir", "end_all"]
