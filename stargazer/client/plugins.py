"""Clients that end their workers, and what workers are told when they come and say of themselves."""

from __future__ import annotations

import os
import site
import sys
from typing import TYPE_CHECKING, Any

from distributed import Client, WorkerPlugin

from stargazer import config

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["JOB", "Folders", "OwningClient", "Passes", "Walltime"]

JOB = "stargazer-job"
"""Under which a worker's metrics have the number of its job."""


class OwningClient(Client):
    """End its workers when it is closed."""

    def close(self, *timeout: Any) -> Any:
        """Close the client, and give its workers back."""
        cluster, ended = self.cluster, super().close(*timeout)  # type: ignore[no-untyped-call]
        if cluster is not None:
            cluster.close()
        return ended


class Walltime(WorkerPlugin):
    """Tells a worker when its walltime is over, so that it starts nothing that cannot end before.

    Parameters
    ----------
    walltimes
        Seconds from the start of the batch script, by pool; None for those that have no set end.
    """

    name = "stargazer-ends"

    def __init__(self, walltimes: Mapping[str, float | None]) -> None:
        self.walltimes = dict(walltimes)

    def setup(self, worker: Any) -> None:
        """Note when the worker will be ended; a worker that was started again has less time than its process is old."""
        worker.metrics[JOB] = _job
        walltime = self._walltime(worker.state.total_resources)
        if walltime is not None:
            import psutil  # type: ignore[import-untyped]

            process = psutil.Process()
            nanny = process.parent() if worker.nanny else None
            worker.stargazer_ends = (nanny or process).create_time() + walltime

    def _walltime(self, resources: Mapping[str, float]) -> float | None:
        found = [walltime for pool, walltime in self.walltimes.items() if f"pool:{pool}" in resources]
        return found[0] if found else next(iter(self.walltimes.values()))


def _job(worker: Any) -> str | None:
    return config.batch_job()


class Folders(WorkerPlugin):
    """Lets a worker look for modules where the client's process does, and not in the folder where it was started.

    Parameters
    ----------
    folders
        Those of the client's path that no installation has: where its script lies, or where a notebook works.
    """

    name = "stargazer-folders"

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders

    @classmethod
    def of_this_process(cls) -> Folders:
        """Those of this process."""
        installed = tuple({sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages(), site.USER_SITE or ""})
        found = (os.path.abspath(path) for path in sys.path if not path.startswith(tuple(filter(None, installed))))
        return cls(tuple(path for path in dict.fromkeys(found) if os.path.isdir(path)))

    def setup(self, worker: Any) -> None:
        """Add those that are there, before what is installed, as in the client."""
        sys.path[:0] = [path for path in self.folders if path not in sys.path and os.path.isdir(path)]


class Passes(WorkerPlugin):
    """Passes environment variables to the tools that a worker starts, with the values that they have there.

    Parameters
    ----------
    names
        Of the variables.
    """

    name = "stargazer-passes"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def setup(self, worker: Any) -> None:
        """Add them to the worker's settings."""
        import dask.config

        from stargazer.config import passed_names

        self._set = dask.config.set({"stargazer.env": sorted({*passed_names(), *self.names})})

    def teardown(self, worker: Any) -> None:
        """Leave the settings as they were: the worker may live in the process of its client."""
        self._set.__exit__(None, None, None)
