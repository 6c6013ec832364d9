"""Which assets are companions of which: an index names the file that it lies beside in a link field."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stargazer.assets import Asset

__all__ = ["beside", "link_field"]

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
    for members in [*([each] for each in stored), *_sets(linked)]:
        if all(taken.get(member.name, member.cid) == member.cid for member in members):
            taken.update((member.name, member.cid) for member in members)
            for member in members:
                chosen.setdefault((member.asset_key, str(member.cid)), member)
    return tuple(chosen.values())


def _sets(linked: list[Asset]) -> list[list[Asset]]:
    sets: dict[str, list[Asset]] = {}
    for asset in sorted(
        linked, key=lambda each: (each.asset_key, repr(sorted(each.declared.items())), each.name, each.id)
    ):
        sets.setdefault(f"{asset.asset_key} {sorted(asset.declared.items())!r}", []).append(asset)
    return list(sets.values())
