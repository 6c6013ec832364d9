"""Jobs of a batch system that are no workers: the driver of a run of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shlex
from typing import TYPE_CHECKING

from stargazer import config
from stargazer.client.jobqueue import Asked
from stargazer.client.systems import TOLD_WITHIN, NoAnswer, Refused, job_class, system_of
from stargazer.client.systems import asked as answer_of
from stargazer.errors import ConfigError
from stargazer.profiles.kinds import batch_system

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from stargazer.profiles.profile import Profile

__all__ = ["cancel_job", "driver_folder", "driver_walltime", "has_ended", "submit_driver", "was_put_back"]


def submit_driver(profile: Profile, name: str, command: Sequence[str], after: str | None = None) -> str:
    """Submit a job that runs a command with what the profile's option ``driver`` says; return its number.

    Parameters
    ----------
    profile
        Of a batch system.
    name
        Of the job.
    command
        What it runs.
    after
        Number of a job whose end SLURM waits for before it begins; on other systems it may begin, and waits itself.

    Raises
    ------
    ConfigError
        The batch system refuses it, or does not answer.
    """
    asked, job_cls = _asked(profile, after)
    job = job_cls("DRIVER", name=name, **asked.job_arguments([name], f"stargazer run {name}"))
    job._command_template = shlex.join(command)
    if asked.system == "htcondor":  # its scripts are arguments, before which the prologue stands
        job._command_template = "; ".join([*job._job_script_prologue, job._command_template])
    try:
        (number,) = asyncio.run(system_of(job_cls).submit(job))
    except (Refused, NoAnswer) as error:
        raise ConfigError(f"{asked.system} does not take the driver of {name}: {error}") from None
    return number


def cancel_job(profile: Profile, job: str) -> None:
    """Cancel a job; one that is gone already is no mistake.

    Raises
    ------
    ConfigError
        It may still be there.
    """
    asked, job_cls = _asked(profile)
    try:
        asyncio.run(system_of(job_cls).cancel([job]))
    except (Refused, NoAnswer) as error:
        raise ConfigError(f"{asked.system} does not cancel job {job}: {error}") from None


def has_ended(profile: Profile, job: str) -> str | None:
    """Why a job will not begin any more, as the batch system says it; None where it may, or nobody can be asked."""
    from stargazer.client.hires import ACTIVE, ENDING

    _, job_cls = _asked(profile)
    try:
        told = asyncio.run(system_of(job_cls).explain(job))
    except (Refused, NoAnswer):
        return None
    return None if told is None or told.state in ACTIVE or told.state == ENDING else told.state


def was_put_back(profile: Profile) -> bool:
    """Whether SLURM has put the job of this process back into the queue (preemption, a node that goes), to begin again.

    False where nobody knows, and of other batch systems.
    """
    job = config.batch_job()
    if job is None or batch_system(profile) != "slurm":
        return False
    try:
        told = asyncio.run(answer_of(["scontrol", "--oneliner", "show", "job", job], TOLD_WITHIN))
    except (Refused, NoAnswer):
        return False
    found = re.search(r"\bRestarts=(\d+)", told)
    return found is not None and int(found[1]) > config.restarts()


def driver_walltime(profile: Profile) -> float | None:
    """Seconds for which a driver's job asks, as the profile says or else ``jobqueue.yaml``; None where neither does."""
    return _asked(profile)[0].walltime


def driver_folder(profile: Profile) -> Path:
    """Return a folder that this machine and the workers of a batch system see, for the code of runs."""
    return _asked(profile)[0].shared / "drivers"


def _asked(profile: Profile, after: str | None = None) -> tuple[Asked, Any]:
    """What is asked for the driver's job; options of the workers' class are theirs alone."""
    job = profile.driver
    kind = batch_system(profile)
    size = {"cpus": job.cpus, "memory": job.memory, "walltime": job.walltime, "queue": job.queue or profile.queue}
    waits = (f"--dependency=afterany:{after}",) if after and kind == "slurm" else ()
    # Of the options of the workers' class only that which HTCondor takes no job without.
    kept = {name: value for name, value in profile.options.items() if (kind, name) == ("htcondor", "disk")}
    plain = {"directives": (*job.directives, *waits), "gpus": 0, "names": (), "options": kept, "pools": ()}
    asked = Asked(dataclasses.replace(profile, kind=kind, **size, **plain))  # type: ignore[arg-type]
    return asked, job_class(asked.cluster_class.job_cls)
