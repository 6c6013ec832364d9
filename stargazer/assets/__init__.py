"""Assets: files and directories by their CID, with typed facts and companions."""

from stargazer.assets.alignment import Alignment, AlignmentIndex, BQSRReport, DuplicateMetrics
from stargazer.assets.asset import Asset
from stargazer.assets.encoding import canonical, parse_fact
from stargazer.assets.place import placed
from stargazer.assets.reads import R1, R2
from stargazer.assets.reference import AlignerIndex, Contig, Reference, ReferenceIndex, SequenceDict
from stargazer.assets.registry import asset_type, asset_types
from stargazer.assets.scrna import AnnData
from stargazer.assets.source import Source
from stargazer.assets.variants import KnownSites, KnownSitesIndex, Variants, VariantsIndex, VQSRModel

__all__ = [
    "R1",
    "R2",
    "AlignerIndex",
    "Alignment",
    "AlignmentIndex",
    "AnnData",
    "Asset",
    "BQSRReport",
    "Contig",
    "DuplicateMetrics",
    "KnownSites",
    "KnownSitesIndex",
    "Reference",
    "ReferenceIndex",
    "SequenceDict",
    "Source",
    "VQSRModel",
    "Variants",
    "VariantsIndex",
    "asset_type",
    "asset_types",
    "canonical",
    "parse_fact",
    "placed",
]
