"""What garbage collection must keep, because somebody said so: pins, and the leases of runs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.errors import NotFound, StargazerError, StoreError
from stargazer.store import layout
from stargazer.store.records import seal, unseal
from stargazer.store.revising import Revising
from stargazer.store.staging import members

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from stargazer.store.backend import Backend

__all__ = ["Lease", "Roots"]

CLOCKS_DIFFER = 600.0


class Lease:
    """What a run relies on, until it says that it is done or has not been heard of for a while.

    Parameters
    ----------
    backend
        The store.
    name
        Of the run.
    roots
        CIDs.
    seconds
        How long it holds unless it is renewed.
    """

    def __init__(self, backend: Backend, name: str, roots: Iterable[str], seconds: float) -> None:
        self.name, self.roots, self.seconds = name, sorted(set(roots)), seconds
        self._backend, self._place = backend, layout.lease(name)
        self.renew()

    def renew(self, *roots: str) -> None:
        """Hold it for as long again, and for further CIDs."""
        self.roots = sorted({*self.roots, *roots})
        content = {"roots": self.roots, "expires": time.time() + self.seconds}
        self._backend.replace(self._place, seal(json.dumps(content).encode()))

    def release(self) -> None:
        """Let go."""
        self._backend.remove(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Roots(Revising):
    """The part of a store that holds on to things."""

    def pin(self, name: str, *assets: Asset | str) -> None:
        """Keep assets, whatever garbage collection thinks of them.

        Parameters
        ----------
        name
            Of the pin; one that is there already is replaced.
        *assets
            Stored assets, or CIDs.

        Raises
        ------
        NotFound
            The store does not have one of them.
        """
        _ = self.header
        pinned = [Asset(cid=each) if isinstance(each, str) else each for each in assets]
        for asset in pinned:
            if not self.exists(asset):
                raise NotFound(f"{self.url} does not have the bytes of {asset!r}: nothing to pin")
        self.backend.replace(layout.pin(name), seal(json.dumps([asset.to_dict() for asset in pinned]).encode()))

    def unpin(self, name: str) -> None:
        """Let go of a pin.

        Raises
        ------
        NotFound
            There is none of that name.
        """
        if self.backend.size(layout.pin(name)) is None:
            raise NotFound(
                f"{self.url} has no pin {name!r}; there are {', '.join(self.backend.names('pins')) or 'none'}"
            )
        self.backend.remove(layout.pin(name))

    def pins(self) -> dict[str, list[Asset]]:
        """Pinned assets by the name of their pin.

        Raises
        ------
        StoreError
            A pin is torn.
        """
        return {name: [self.handle(asset) for asset in self._pin(name)] for name in self.backend.names("pins")}

    def _pin(self, name: str) -> list[Asset]:
        try:
            return [Asset.from_dict(members) for members in self._sealed(layout.pin(name))]
        except (StargazerError, TypeError, KeyError) as error:
            raise StoreError(f"the pin {name!r} cannot be read ({error}): pin its assets again, or unpin it") from error

    def lease(self, name: str, roots: Iterable[Asset | str] = (), *, seconds: float = 3600.0) -> Lease:
        """Hold what a run relies on, for as long as it lives.

        Parameters
        ----------
        name
            Of the run.
        roots
            Assets or CIDs.
        seconds
            How long the lease holds unless it is renewed.

        Returns
        -------
        Lease
            With `renew` and `release`; as a context it is released at the end.
        """
        _ = self.header
        return Lease(self.backend, name, _cids(roots), seconds)

    def held(self) -> set[str]:
        """CIDs of all pins and of the leases that have not run out.

        Raises
        ------
        StoreError
            A pin or a lease is torn, so what it holds is not known.
        """
        pinned = [asset for name in self.backend.names("pins") for asset in self._pin(name)]
        leases = [self._sealed(layout.lease(name)) for name in self.backend.names("leases")]
        alive = [lease for lease in leases if lease and lease["expires"] + CLOCKS_DIFFER > time.time()]
        return _cids(pinned) | {cid for lease in alive for cid in lease["roots"]}

    def _sealed(self, place: str) -> Any:
        """Content of a sealed place; empty if it has just gone."""
        data = self.backend.read(place)
        if data is None:
            return []
        content = unseal(data)
        if content is None:
            raise StoreError(f"{place} of {self.url} is torn, so what it holds is not known: remove it or make it anew")
        return json.loads(content)


def _cids(roots: Iterable[Asset | str]) -> set[str]:
    """CIDs of assets and of their companions."""
    found: set[str] = set()
    for root in roots:
        found.update([root] if isinstance(root, str) else [str(member.cid) for member in members(root)])
    return found
