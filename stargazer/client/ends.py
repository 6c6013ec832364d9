"""Workers that know when the batch system will end them."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin

__all__ = ["Ends"]


class Ends(WorkerPlugin):
    """Tells a worker when its walltime is over, so that it starts nothing that cannot end before.

    Parameters
    ----------
    walltime
        Seconds from the start of its batch script.
    """

    name = "stargazer-ends"

    def __init__(self, walltime: float) -> None:
        self.walltime = walltime

    def setup(self, worker: Any) -> None:
        """Note when the worker will be ended; a worker that was started again has less time than its process is old."""
        import psutil  # type: ignore[import-untyped]

        process = psutil.Process()
        nanny = process.parent() if worker.nanny else None
        worker.stargazer_ends = (nanny or process).create_time() + self.walltime
