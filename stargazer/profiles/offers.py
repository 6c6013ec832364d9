"""What the workers of a client have, and what its profile may still start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from stargazer.profiles.profile import Profile

__all__ = ["Offer", "offer_of", "offers", "resources_of"]


@dataclass(frozen=True)
class Offer:
    """What one client was connected to.

    Parameters
    ----------
    profile
        Its profile.
    each
        Resources of each worker that the profile starts, as Dask counts them; None where it starts none.
    trouble
        Says why no worker comes, if that is known.
    """

    profile: Profile
    each: dict[str, float] | None = None
    trouble: Callable[[], str | None] = field(default=lambda: None)


_offers: WeakKeyDictionary[Any, Offer] = WeakKeyDictionary()


def offers(client: Any, offer: Offer) -> None:
    """Remember what a client was connected to."""
    _offers[client] = offer


def offer_of(client: Any) -> Offer | None:
    """What a client was connected to; None of one that was made without a profile."""
    return _offers.get(client)


def resources_of(cpus: int, memory: int, gpus: int, names: tuple[str, ...]) -> dict[str, float]:
    """Return what a worker has, as Dask counts resources.

    Parameters
    ----------
    cpus, gpus
        Numbers of each.
    memory
        Bytes.
    names
        That it answers to; any number of tasks may ask for a name at once.
    """
    named = {f"worker:{name}": float(cpus) for name in names}
    return {"cpus": float(cpus), "memory": float(memory), **({"gpus": float(gpus)} if gpus else {}), **named}
