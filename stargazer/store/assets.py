"""Asset records: what is known of stored bytes. Each is immutable; a changed fact makes a new one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from stargazer.assets import Asset, canonical, placed
from stargazer.errors import StargazerError
from stargazer.store import layout
from stargazer.store.index import asset_members
from stargazer.store.source import StoreSource
from stargazer.store.staging import Staging, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["NO_PATH", "Handles", "beside", "link_field", "parse_asset"]

_AT_ONCE = 16


NO_PATH = cast("Path", None)


class Handles(Staging):
    """The part of a store that keeps asset records."""

    def handle(self, asset: Asset, record: str | None = None) -> Asset:
        """The same asset, knowing that its bytes come from this store, and which record tells how it was made."""
        source = StoreSource(self.url, record)
        companions = tuple(self.handle(companion, record) for companion in asset.companions)
        return placed(asset, NO_PATH, source, companions)

    def named(self, asset: Asset, name: str) -> Asset:
        """As `handle`, of what a name stands for: records of calls that are given it say so."""
        companions = tuple(map(self.handle, asset.companions))
        return placed(asset, NO_PATH, StoreSource(self.url, None, name), companions)

    def added_at(self, asset: Asset) -> float:
        """When an asset came into the store, in seconds since 1970; 0 of one that it has no record of."""
        places = (layout.added(asset.id), layout.asset(asset.id))
        folder = places[1].rpartition("/")[0]
        found = {entry.place: entry.changed for entry in self.backend.entries(folder) if entry.place in places}
        return next((found[place] for place in places if place in found), 0.0)

    def put(self, asset: Asset, *, record: str | None = None) -> Asset:
        """Keep the record of an asset whose bytes are stored, and those of its companions.

        Parameters
        ----------
        asset
            A stored asset, perhaps with other facts than it had.
        record
            Id of the ledger record of the call that made it.

        Returns
        -------
        Asset
            A handle.
        """
        self.put_assets({member.id: canonical(member) for member in members(asset)})
        return self.handle(asset, record)

    def put_assets(self, records: Mapping[str, bytes]) -> None:
        """Keep asset records by their ids."""
        _ = self.header
        self.backend.create_many({layout.asset(identifier): data for identifier, data in records.items()})
        self._journal("assets", *records)

    def put_elsewhere(self, assets: Iterable[Asset]) -> None:
        """Keep the records of assets that belong to a lineage; bytes that are elsewhere are not missed here."""
        _ = self.header
        known = {each.id: each for asset in assets for each in members(asset)}
        absent = [identifier for identifier, each in known.items() if not self.exists(each)]
        self.backend.create_many({layout.elsewhere(identifier): b"" for identifier in absent})
        self.backend.create_many({layout.asset(identifier): canonical(each) for identifier, each in known.items()})
        self._journal("assets", *known)

    def read_assets(self, identifiers: Iterable[str]) -> dict[str, Asset]:
        """Those asset records that are there, whole and understood, by id."""
        places = {layout.asset(identifier): identifier for identifier in identifiers}
        found = self.backend.read_many(places)
        assets = ((places[place], parse_asset(data, places[place])) for place, data in found.items())
        return {identifier: asset for identifier, asset in assets if asset is not None}

    def exists(self, asset: Asset) -> bool:
        """Whether the bytes of an asset and of its companions are here, by looking at names and not at contents."""
        cids = [member.cid for member in members(asset)]
        return None not in cids and self.has_all(cid for cid in cids if cid is not None)

    def has(self, cid: str) -> bool:
        """Whether the store has a file, or a directory and all that lies in it, by looking at names only.

        In an object store only the directory itself is looked for; what is missing below it is found out by `stage`.
        """
        if self.backend.size(layout.blob(cid)) is not None:
            return True
        if not self.is_directory(cid):
            return False
        with suppress(StargazerError):
            return not self.backend.local or all(child is None or self.has(child) for _, child in self.walk(cid))
        return False

    def has_all(self, cids: Iterable[str]) -> bool:
        """Whether `has` is true of each."""
        return all(map(self.has, cids))

    def missing(self, assets: Iterable[Asset]) -> list[Asset]:
        """Those of many assets of which bytes, or a companion's, are not here; object stores are asked at once."""
        asked = list(assets)
        if self.backend.local:
            return [asset for asset in asked if not self.exists(asset)]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [asset for asset, there in zip(asked, pool.map(self.exists, asked), strict=True) if not there]


def parse_asset(data: bytes, identifier: str) -> Asset | None:
    """Read an asset record; None if it is torn or malformed."""
    members = asset_members(data, identifier)
    try:
        return None if members is None else Asset.from_dict(members)
    except (ValueError, TypeError, KeyError, StargazerError):
        return None


# Which assets are companions of which: an index names the file that it lies beside in a link field.


_LINK_FIELDS = {
    "reference_index": "reference_cid",
    "sequence_dict": "reference_cid",
    "aligner_index": "reference_cid",
    "alignment_index": "alignment_cid",
    "variants_index": "variants_cid",
    "known_sites_index": "known_sites_cid",
}


def link_field(asset: Asset | type[Asset]) -> str | None:
    """The field with the CID of the file that such an asset lies beside; None if it lies beside none.

    A type of one's own says so by a class variable: ``companion_of: ClassVar[str] = "reference_cid"``.
    """
    field: str | None = getattr(asset, "companion_of", None) or _LINK_FIELDS.get(asset.asset_key)
    return field


def beside(asset: Asset, stored: list[Asset], linked: list[Asset]) -> tuple[Asset, ...]:
    """Companions that can lie beside an asset's file.

    Those that it was stored with come first, then those that name it, in sets of equal type and facts (the files of
    one aligner's index). A set of which a file name is taken by other bytes is left out whole.

    Parameters
    ----------
    asset
        The asset.
    stored
        Companions in its records.
    linked
        Assets that name its CID in their link field.
    """
    taken = {asset.name: asset.cid}
    chosen: dict[tuple[str, str], Asset] = {}
    for together in [*([each] for each in stored), *_sets(linked)]:
        if all(taken.get(member.name, member.cid) == member.cid for member in together):
            taken.update((member.name, member.cid) for member in together)
            for member in together:
                chosen.setdefault((member.asset_key, str(member.cid)), member)
    return tuple(chosen.values())


def _sets(linked: list[Asset]) -> list[list[Asset]]:
    sets: dict[str, list[Asset]] = {}
    for asset in sorted(
        linked, key=lambda each: (each.asset_key, repr(sorted(each.declared.items())), each.name, each.id)
    ):
        sets.setdefault(f"{asset.asset_key} {sorted(asset.declared.items())!r}", []).append(asset)
    return list(sets.values())
