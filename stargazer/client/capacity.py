"""What the workers of a profile would have, before any is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer.calls.resources import Capacity
from stargazer.execute.spec import most
from stargazer.profiles.profile import HERE, cores, resources_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.profiles.profile import Profile

__all__ = ["offered"]


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
    first = profiles[0]
    if first.kind in HERE:
        return _here(first)
    if not first.is_queue:
        return None
    from stargazer.client.jobqueue import Asked

    asked = [Asked(each, is_one_of_several=len(profiles) > 1) for each in profiles]
    kinds = {each.pool: Capacity(each.each, f"workers of {each.pool}", False, each.walltime) for each in asked}
    largest, where = most(each.each for each in asked), f"workers of {','.join(kinds)}"
    return Capacity(largest, where, False, asked[0].walltime, kinds if len(kinds) > 1 else {})


def _here(profile: Profile) -> Capacity:
    from distributed.system import MEMORY_LIMIT

    cpus = profile.cpus or (cores() if profile.kind == "threads" else 1)
    workers = 1 if profile.kind == "threads" else profile.workers.maximum if profile.workers else cores() // cpus
    memory = profile.memory or MEMORY_LIMIT // max(1, workers)
    each = resources_of(cpus, memory, profile.gpus, profile.names)
    return Capacity(each, f"workers of {profile.name}", clamp=True)
