"""Which executor a worker's name stands for: profiles of kind ``executor``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from stargazer import config
from stargazer.errors import ConfigError
from stargazer.profiles.settings import find_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.executors.asking import Executor
    from stargazer.profiles.profile import Profile

__all__ = ["SECONDS", "Place", "find_place", "place_of"]

SECONDS = 3600.0
"""That a cell or task may take there, where neither it nor the profile says."""

LARGEST = 1 << 30
"""Bytes that go there, or come back, at once, where the profile does not say."""


class Place(NamedTuple):
    """An executor, as calls carry it: nothing of it is secret.

    Parameters
    ----------
    name
        Of its profile.
    url
        Where it is asked.
    token
        Name of the environment variable that holds its token; None where it wants none.
    runtime
        What tells the software there from any other: what was made under one name is known under it. None where
        nobody says: then nothing that was made there is taken for an answer later.
    trust
        Whether pickles go there and come back.
    seconds, largest
        Time that one execution may take, and bytes that may be sent and received.
    pull
        Where the executor fetches its inputs from this machine; None where they are sent.
    """

    name: str
    url: str
    token: str | None = None
    runtime: str | None = None
    trust: bool = False
    seconds: float = SECONDS
    largest: int = LARGEST
    pull: str | None = None

    def key(self, key: str) -> str:
        """The identity of a task that runs there, of that which it has here."""
        return hashlib.sha256(json.dumps(["executor", key, self.runtime]).encode()).hexdigest()

    def executor(self, told: Callable[[str, int, int], None] | None = None) -> Executor:
        """What asks it.

        Raises
        ------
        ConfigError
            Its token is not in the environment.
        """
        from stargazer.executors.asking import Executor

        token = config.secret(self.token) if self.token else None
        if self.token and token is None:
            raise ConfigError(
                f"the executor {self.name} wants a token: set the environment variable {self.token}, which "
                f"stargazer.profiles.{self.name}.token names, where calls run"
            )
        return Executor(self.url, token, trust=self.trust, largest=self.largest, pull=self.pull, told=told)


def find_place(worker: str | None) -> Place | None:
    """Return the executor that a worker's name stands for; None where it is a name of Dask's workers.

    Raises
    ------
    ConfigError
        There is such a profile, and something in it is wrong.
    """
    given = (config.setting("profiles", dict) or {}).get(worker) if worker else None
    if not isinstance(given, Mapping) or given.get("kind") != "executor":
        return None
    return place_of(find_profile(worker))


def place_of(profile: Profile) -> Place:
    """The executor of a profile of that kind."""
    seconds, largest = profile.walltime or SECONDS, profile.largest or LARGEST
    return Place(
        profile.name, str(profile.url), profile.token, profile.runtime, profile.trust, seconds, largest, profile.pull
    )
