"""Which run has which calls in groups, kept at the scheduler: what is in another's group is not run a second time.

A call that is sent by itself is one task on a scheduler, whoever asks for it. A group has a name of its own, so the
scheduler is told what is in it. A claim ends with the group, with the run, or with the run's client.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.profiles.profile import is_queue, offer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from distributed import Client

__all__ = ["Claimed", "Claims"]

CLAIMS, CLAIMANTS = "stargazer_claims", "stargazer_claimants"
"""Attributes of a Dask scheduler: run and client by the key of the call, and all clients among these."""


class Claimed(NamedTuple):
    """What came of a claim.

    Parameters
    ----------
    ours
        Keys that this run may send in groups.
    theirs
        Keys that stand in groups of another run.
    alone
        Keys that the scheduler has as tasks of their own already.
    """

    ours: set[str]
    theirs: set[str]
    alone: set[str]


class Claims:
    """The claims of one run.

    Parameters
    ----------
    client
        Whose scheduler keeps them.

    Attributes
    ----------
    threads
        Of all workers, as was heard last; none where calls don't go in groups.
    """

    def __init__(self, client: Client) -> None:
        self._client, self._run = client, uuid.uuid4().hex
        self._has_some = False
        self.threads = 0

    def take(self, keys: Sequence[str]) -> Claimed:
        """Claim some calls; all are to be sent alone where the workers take no groups."""
        found = None if _is_hired(self._client) else self._ask(_claim, self._client.id, list(keys))
        if found is None or not found[0]:
            return Claimed(set(), set(), set(keys))
        self._has_some = True
        self.threads, theirs, alone = found[0], {keys[n] for n in found[1]}, {keys[n] for n in found[2]}
        return Claimed({*keys} - theirs - alone, theirs, alone)

    def give_back(self, keys: Iterable[str] | None = None) -> None:
        """These calls have ended, or are sent alone; all of the run's, where none are named."""
        if self._has_some:
            self.threads = self._ask(_give_back, keys if keys is None else list(keys)) or self.threads

    def _ask(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._client.run_on_scheduler(function, self._run, *args)
        except (OSError, RuntimeError, TypeError, ValueError, ImportError):
            return None
        except AttributeError:  # of a client that is being closed, which has no scheduler any more
            return None


def _is_hired(client: Client) -> bool:
    """Whether workers are asked for as work waits: who does that must see all of it."""
    offer = offer_of(client)
    if offer is None:
        return False
    workers = offer.profile.workers
    return bool(offer.kinds) or is_queue(offer.profile.kind) or (workers is not None and not workers.is_fixed)


def _claim(run: str, client: str, keys: list[str], dask_scheduler: Any) -> tuple[int, list[int], list[int]]:
    claims = _claims_of_those_here(dask_scheduler)
    theirs, alone = list[int](), list[int]()
    if not (threads := _threads(dask_scheduler)):
        return 0, theirs, alone
    for number, key in enumerate(keys):
        if key in dask_scheduler.tasks:
            alone.append(number)
        elif (claim := claims.get(key)) and claim[0] != run:
            theirs.append(number)
        else:
            claims[key] = (run, client)
            getattr(dask_scheduler, CLAIMANTS).add(client)
    return threads, theirs, alone


def _claims_of_those_here(dask_scheduler: Any) -> dict[str, tuple[str, str]]:
    """All claims; those of clients that ended without a word are forgotten, for nobody else would give them back."""
    if not hasattr(dask_scheduler, CLAIMS):
        setattr(dask_scheduler, CLAIMS, {})
        setattr(dask_scheduler, CLAIMANTS, set())
    claims: dict[str, tuple[str, str]] = getattr(dask_scheduler, CLAIMS)
    claimants: set[str] = getattr(dask_scheduler, CLAIMANTS)
    if gone := claimants.difference(dask_scheduler.clients):
        claimants -= gone
        for key in [key for key, (_, client) in claims.items() if client in gone]:
            del claims[key]
    return claims


def _give_back(run: str, keys: list[str] | None, dask_scheduler: Any) -> int:
    claims = getattr(dask_scheduler, CLAIMS, {})
    for key in list(claims) if keys is None else keys:
        if (claim := claims.get(key)) and claim[0] == run:
            del claims[key]
    return _threads(dask_scheduler)


def _threads(dask_scheduler: Any) -> int:
    return sum(worker.nthreads for worker in dask_scheduler.workers.values())
