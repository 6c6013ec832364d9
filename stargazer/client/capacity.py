"""What the workers of a profile would have, before any is started."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stargazer import config
from stargazer.calls.resources import Capacity
from stargazer.execute.spec import most
from stargazer.profiles.kinds import OWN, kind_of
from stargazer.profiles.profile import resources_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.profiles.profile import Profile

__all__ = ["here", "of_allocation", "of_jobs", "offered"]


def offered(profiles: Sequence[Profile]) -> Capacity | None:
    """Return what the largest worker of some profiles has; None where only a scheduler that runs can say it.

    Parameters
    ----------
    profiles
        As `stargazer.profiles.settings.find_profiles` returns them.

    Raises
    ------
    ConfigError
        A profile of a batch system does not say what each worker asks for.
    """
    kind = kind_of(profiles[0].kind)
    found: Capacity | None = kind.call("capacity", profiles) if kind is not None and kind.capacity else None
    return found


def of_jobs(profiles: Sequence[Profile]) -> Capacity:
    """Return what the jobs of a batch system would have."""
    from stargazer.client.jobqueue import Asked

    asked = [Asked(each, is_one_of_several=len(profiles) > 1) for each in profiles]
    kinds = {each.pool: Capacity(each.each, f"workers of {each.pool}", False, each.walltime) for each in asked}
    largest, where = most(each.each for each in asked), f"workers of {','.join(kinds)}"
    return Capacity(largest, where, False, asked[0].walltime, kinds if len(kinds) > 1 else {})


def of_allocation(profiles: Sequence[Profile]) -> Capacity:
    """Return what workers within the job of a driver would have at most: how many share a node, SLURM says there.

    Within a job nobody knows yet: a driver that starts there works in that job, of which the profile says nothing.
    """
    profile = profiles[0]
    room, walltime = _of_driver(profile) if config.allocated() is None else (math.inf, None)
    each = resources_of(profile.cpus or 1, profile.memory or 0, profile.gpus, profile.names)
    each["memory"] = each["memory"] or room
    return Capacity(each, f"workers of {profile.name}", False, walltime)


def _of_driver(profile: Profile) -> tuple[float, float | None]:
    """Memory of a node of a driver's job that its workers may offer, and seconds that it lasts, if it is said."""
    from stargazer.client.apart import driver_walltime
    from stargazer.client.jobqueue import RESERVED

    says_otherwise = any("--mem" in line for line in profile.driver.directives)
    room = math.inf if says_otherwise else float(max(0, profile.driver.memory - RESERVED))
    return room, driver_walltime(profile)


def here(profiles: Sequence[Profile]) -> Capacity:
    """Return what workers of this machine would have."""
    from distributed.system import MEMORY_LIMIT

    profile = profiles[0]
    workers, cpus = OWN[profile.kind].size(profile)
    memory = profile.memory or int(MEMORY_LIMIT // workers)
    each = resources_of(int(cpus), memory, profile.gpus, profile.names)
    return Capacity(each, f"workers of {profile.name}", clamp=True)
