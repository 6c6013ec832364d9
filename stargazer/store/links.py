"""Which assets are companions of which: an index names the file that it lies beside in a link field."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stargazer.assets import Asset

__all__ = ["link_field"]

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
