"""Names that people give to assets, each with versions 1 to n, which are written once.

``names/<name>/<version>``, a slash in the name written as ``@``. A version is claimed by making its file, which only
one writer can; so any number of them on any number of machines leave no gap and lose nothing.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.assets import Asset, placed
from stargazer.assets.fields import did_you_mean
from stargazer.errors import NotFound, StargazerError, StoreError
from stargazer.store.layout import is_asset, read_json
from stargazer.store.records import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stargazer.store.assets import Assets
    from stargazer.store.context import StoreContext

__all__ = ["NAME", "NAMES", "Names", "Version", "is_version", "name_of", "place_of", "read_version", "told_of"]

NAMES = "names"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*(/[A-Za-z0-9_][A-Za-z0-9_.+=-]*)*")
LONGEST = 200
NUMBER = re.compile(r"[1-9][0-9]{0,8}")


_may_be_told: ContextVar[Callable[[str], bool]] = ContextVar("may_be_told", default=lambda _: True)


@contextmanager
def told_of(may_be_told: Callable[[str], bool]) -> Iterator[None]:
    """Let messages guess at these names alone: whoever asks may know of no others."""
    token = _may_be_told.set(may_be_told)
    try:
        yield
    finally:
        _may_be_told.reset(token)


class Version(NamedTuple):
    """A version of a name.

    Parameters
    ----------
    name
        The name.
    version
        Its number, from 1.
    asset
        What it stands for.
    time
        When it was set: ISO 8601, UTC.
    user
        Who set it, as that person's machine says, or the service that was asked to.
    made
        What was asked for that made it, where it was made to have this name; see `stargazer.service`.
    """

    name: str
    version: int
    asset: Asset
    time: str
    user: str
    made: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def place_of(name: str, version: int | str = "") -> str:
    """Place of a name, or of one of its versions.

    Raises
    ------
    StoreError
        It is no name.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise StoreError(f"{name!r} is no name: write words of letters, digits and _ . + = -, with / between them")
    folder = f"{NAMES}/{name.replace('/', '@')}"
    return f"{folder}/{version}" if version else folder


def name_of(place: str) -> tuple[str, int] | None:
    """Name and version of a place; None where none belongs."""
    parts = place.split("/")
    name = parts[1].replace("@", "/") if len(parts) == 3 else ""
    return (name, int(parts[2])) if NAME.fullmatch(name) and NUMBER.fullmatch(parts[2]) else None


def is_version(content: object) -> bool:
    """Whether a value has the form of a version: an asset, and who set it when."""
    return isinstance(content, dict) and is_asset(content.get("asset")) and all(
        isinstance(content.get(member), str) for member in ("time", "user")
    )  # fmt: skip


class Names:
    """Names in one store.

    Parameters
    ----------
    context
        Of the store.
    assets
        Tells which are there.
    """

    def __init__(self, context: StoreContext, assets: Assets) -> None:
        self.context, self.backend, self.assets = context, context.backend, assets

    def set(
        self, name: str, asset: Asset, *, user: str | None = None, made: Mapping[str, Any] | None = None
    ) -> Version:
        """Let a name stand for an asset from now on: its next version.

        Parameters
        ----------
        name
            Such as ``"pbmc/clusters"``.
        asset
            A stored asset.
        user
            Who sets it; by default the user of this process.
        made
            What was asked for that made it, as JSON values.

        Returns
        -------
        Version
            The new one; the newest, where that is this asset already.

        Raises
        ------
        NotFound
            The store does not have its bytes.
        """
        place_of(name)
        if not self.assets.exists(asset):
            raise NotFound(f"{self.context.url} does not have the bytes of {asset!r}: nothing to name")
        _ = self.context.header
        newest = self._newest(name)
        if newest and (there := self._read(name, newest)) is not None and there.asset.id == asset.id:
            return there
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        content = {"asset": placed(asset, _NO_PATH, None, asset.companions).to_dict(), "time": now}
        content |= {"user": user or config.user_name(), "claim": secrets.token_hex(16)}
        content |= {"made": dict(made)} if made is not None else {}
        data = seal(json.dumps(content, sort_keys=True).encode())
        number = newest + 1
        while not self._claim(place_of(name, number), data):
            number += 1
        return self.get_version(name, number)

    def _claim(self, place: str, data: bytes) -> bool:
        """Write a version if nobody has it; what stands there then says who did, also after an answer that was lost."""
        self.backend.create_once(place, data)
        return self.backend.read(place) == data

    def get(self, name: str, version: int | None = None) -> Asset:
        """The asset that a name stands for.

        Parameters
        ----------
        name
            The name.
        version
            Its number; the newest by default.

        Raises
        ------
        NotFound
            There is no such name, or version.
        StoreError
            The version is no number.
        """
        return self.get_version(name, version).asset

    def get_version(self, name: str, version: int | None = None) -> Version:
        """As `get`, with who set it when."""
        if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
            raise StoreError(f"{name}: a version is a whole number, and not {version!r:.80}")
        newest = self._newest(name)
        if not newest:
            guess = did_you_mean(name, filter(_may_be_told.get(), self.newest()))
            raise NotFound(f"{self.context.url} has no name {name!r}.{guess}")
        number = newest if version is None else version
        if not 1 <= number <= newest:
            raise NotFound(f"{name} has versions 1 to {newest}, and no {number}")
        found = self._read(name, number)
        if found is None:
            raise NotFound(f"{name}@{number} is gone from {self.context.url}; `stargazer fsck` tells what else is")
        return found

    def history(self, name: str) -> list[Version]:
        """Every version of a name, the newest first.

        Raises
        ------
        NotFound
            There is no such name.
        """
        newest = self.get_version(name).version
        places = {place_of(name, number): number for number in range(newest, 0, -1)}
        found = self.backend.read_many(places)
        versions = [self._version(name, number, found[place]) for place, number in places.items() if place in found]
        return sorted(versions, key=lambda each: -each.version)

    def newest(self) -> dict[str, int]:
        """Number of the newest version of every name."""
        found: dict[str, int] = {}
        for name, version, _ in self.entries():
            found[name] = max(version, found.get(name, 0))
        return dict(sorted(found.items()))

    def entries(self) -> Iterator[tuple[str, int, str]]:
        """Yield name, number and place of every version."""
        for entry in self.backend.entries(NAMES):
            if named := name_of(entry.place):
                yield *named, entry.place

    def held(self) -> Iterator[Asset]:
        """Yield what all versions of all names stand for.

        Raises
        ------
        StoreError
            One cannot be read, so what it holds is not known.
        """
        for name, version, place in self.entries():
            data = self.backend.read(place)
            if data is not None:
                yield self._version(name, version, data).asset

    def called(self, cid: str) -> list[str]:
        """Versions of names that hold some bytes, as ``"pbmc/clusters@3"``; of one that cannot be read `fsck` tells."""
        places = {place: f"{name}@{version}" for name, version, place in self.entries()}
        found = self.backend.read_many(places)
        contents = {places[place]: read_version(data) for place, data in found.items()}
        return sorted(told for told, content in contents.items() if content and content["asset"].get("cid") == cid)

    def _newest(self, name: str) -> int:
        """Number of the newest version; as there is no gap, few of them need be looked for."""
        above = 1
        while self._is_there(name, above):
            above *= 2
        below = above // 2
        while above - below > 1:
            middle = (above + below) // 2
            below, above = (middle, above) if self._is_there(name, middle) else (below, middle)
        return below

    def _is_there(self, name: str, version: int) -> bool:
        return self.backend.size(place_of(name, version)) is not None

    def _read(self, name: str, version: int) -> Version | None:
        data = self.backend.read(place_of(name, version))
        return None if data is None else self._version(name, version, data)

    def _version(self, name: str, version: int, data: bytes) -> Version:
        content = read_version(data)
        if content is None:
            raise StoreError(
                f"{name}@{version} of {self.context.url} cannot be read: remove {place_of(name, version)}, "
                "if what it stood for is not wanted, or put it back from a copy of the store"
            )
        try:
            asset = Asset.from_dict(content["asset"])
        except StargazerError as error:
            raise StoreError(f"{name}@{version} cannot be read here: {error}") from error
        made = content.get("made")
        named = self.assets.named(asset, f"{name}@{version}")
        return Version(name, version, named, content["time"], content["user"], made if isinstance(made, dict) else None)


_NO_PATH: Path = None  # type: ignore[assignment]


def read_version(data: bytes) -> dict[str, Any] | None:
    """Members of a version; None where it is torn."""
    content = unseal(data)
    try:
        read = None if content is None else read_json(content)
    except ValueError:
        return None
    return read if is_version(read) else None
