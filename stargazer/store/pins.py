"""Pins and the leases of runs: what garbage collection must keep, because somebody said so."""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.errors import NotFound, StargazerError, StoreError
from stargazer.store import layout
from stargazer.store.assets import members
from stargazer.store.layout import is_asset, is_names, is_text, read_json
from stargazer.store.records import check_readable, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from stargazer.store.assets import Assets
    from stargazer.store.backends.base import Backend
    from stargazer.store.context import StoreContext
    from stargazer.store.names import Names

__all__ = ["LONGEST_LEASE", "Lease", "Leased", "Pins", "is_lease"]

CLOCKS_DIFFER = 600.0

LONGEST_LEASE = 7 * 86400.0
"""Seconds after which a lease counts no more that nobody wrote again, whatever end it names."""


class Leased(NamedTuple):
    """A lease as others see it.

    Parameters
    ----------
    name
        Of the run.
    roots
        CIDs that it holds.
    ends
        When it counts no more unless it is renewed, in seconds since 1970.
    owner
        Who holds it, where: user, host and process, as the lease says.
    """

    name: str
    roots: tuple[str, ...]
    ends: float
    owner: str


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
        content = {"roots": self.roots, "expires": time.time() + self.seconds, "owner": _owner()}
        data = json.dumps(content).encode()
        check_readable(data, "a lease")
        self._backend.replace(self._place, seal(data))

    def release(self) -> None:
        """Let go."""
        self._backend.remove(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_lease(content: object) -> bool:
    """Whether a value has the form of a lease: CIDs, and a number for its end."""
    return (
        isinstance(content, dict)
        and is_names(content.get("roots"))
        and isinstance(content.get("expires"), (int, float))
        and not isinstance(content["expires"], bool)
        and is_text(content.get("owner", ""))
    )


def _owner() -> str:
    with suppress(OSError, KeyError):
        return f"{getpass.getuser()} on {platform.node()}, process {os.getpid()}"
    return f"{platform.node()}, process {os.getpid()}"


class Pins:
    """What a store holds on to, because somebody said so.

    Parameters
    ----------
    context
        Of the store.
    assets
        Tells which are there.
    names
        What they stand for is kept, too.
    """

    def __init__(self, context: StoreContext, assets: Assets, names: Names) -> None:
        self.context, self.backend, self.assets, self.names = context, context.backend, assets, names

    def pin(self, name: str, *assets: Asset | str) -> None:
        """Keep assets, whatever garbage collection thinks of them: `Store.pin`."""
        _ = self.context.header
        pinned = [Asset(cid=each) if isinstance(each, str) else each for each in assets]
        for asset in pinned:
            if not self.assets.exists(asset):
                raise NotFound(f"{self.context.url} does not have the bytes of {asset!r}: nothing to pin")
        data = json.dumps([asset.to_dict() for asset in pinned]).encode()
        check_readable(data, "a pin")
        self.backend.replace(layout.pin(name), seal(data))

    def unpin(self, name: str) -> None:
        """Let go of a pin.

        Raises
        ------
        NotFound
            There is none of that name.
        """
        if self.backend.size(layout.pin(name)) is None:
            raise NotFound(
                f"{self.context.url} has no pin {name!r}; there are {', '.join(self.backend.names('pins')) or 'none'}"
            )
        self.backend.remove(layout.pin(name))

    def all(self) -> dict[str, list[Asset]]:
        """Pinned assets by the name of their pin.

        Raises
        ------
        StoreError
            A pin is torn.
        """
        return {name: [self.assets.handle(asset) for asset in self._pin(name)] for name in self._regular("pins")}

    def _regular(self, folder: str) -> dict[str, float]:
        """Names of the regular files in a folder that may be called so, and when each last changed.

        Nothing else was ever written there by a store; `fsck` tells of it.
        """
        found = {}
        for entry in self.backend.entries(folder):
            name = entry.place.removeprefix(f"{folder}/")
            with suppress(StoreError):
                found[layout.check_name(name)] = entry.changed
        return found

    def _pin(self, name: str) -> list[Asset]:
        try:
            pinned = self._sealed(layout.pin(name))
            if pinned is not None and not (isinstance(pinned, list) and all(map(is_asset, pinned))):
                raise StoreError("it is no list of assets")
            return [Asset.from_dict(members) for members in pinned or ()]
        except (StargazerError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"the pin {name!r} cannot be read ({error}): pin its assets again, or unpin it") from error

    def lease(self, name: str, roots: Iterable[Asset | str] = (), *, seconds: float = 3600.0) -> Lease:
        """Hold what a run relies on, for as long as it lives: `Store.lease`."""
        _ = self.context.header
        if not seconds <= LONGEST_LEASE:
            raise StoreError(f"a lease of {seconds:,.0f} s is too long: renew it within a week, or pin what must stay")
        return Lease(self.backend, name, _cids(roots), seconds)

    def held(self) -> set[str]:
        """CIDs of all pins, of what names stand for, and of the leases that have not run out.

        Raises
        ------
        StoreError
            A pin or a lease is torn, so what it holds is not known.
        """
        pinned = [asset for name in self._regular("pins") for asset in self._pin(name)]
        return _cids(pinned) | _cids(self.names.held()) | {cid for lease in self.leases() for cid in lease.roots}

    def leases(self) -> list[Leased]:
        """Leases that count, by name.

        One counts until the end that it names, and a week after it was last written at most, by the clock of the disk:
        nobody holds for ever what nobody uses.

        Raises
        ------
        StoreError
            One is torn, and not so old that it counts no more.
        """
        now, found = time.time(), []
        for name, written in self._regular("leases").items():
            if min(written, now) + LONGEST_LEASE > now and (lease := self._lease(name, written)):
                found.append(lease)
        return [lease for lease in found if lease.ends + CLOCKS_DIFFER > now]

    def _lease(self, name: str, written: float) -> Leased | None:
        content = self._sealed(layout.lease(name))
        if content is None:
            return None
        if not is_lease(content):
            raise StoreError(f"the lease {name!r} cannot be read: if nobody runs anything, remove leases/{name}")
        ends = min(content["expires"], written + LONGEST_LEASE)
        return Leased(name, tuple(content["roots"]), ends, content.get("owner", ""))

    def _sealed(self, place: str) -> Any:
        """Content of a sealed place; None if it has just gone."""
        data = self.backend.read(place)
        if data is None:
            return None
        content = unseal(data)
        try:
            if content is not None:
                return read_json(content)
        except ValueError:
            pass
        raise StoreError(
            f"{place} of {self.context.url} is torn, so what it holds is not known: remove it or make it anew"
        )


def _cids(roots: Iterable[Asset | str]) -> set[str]:
    """CIDs of assets and of their companions."""
    found: set[str] = set()
    for root in roots:
        found.update([root] if isinstance(root, str) else [str(member.cid) for member in members(root)])
    return found
