"""Assets: files and directories by their CID, with typed facts and companions.

The types are imported when they are first named, or when an asset of theirs is read.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.assets.asset import Asset, Source, placed
from stargazer.assets.encoding import canonical, parse_fact
from stargazer.assets.registry import asset_type, asset_types, did_you_mean, foreign_keys, no_type

if TYPE_CHECKING:
    from stargazer.assets.alignment import Alignment, AlignmentIndex, BQSRReport, DuplicateMetrics
    from stargazer.assets.bulk import DifferentialExpression, Pseudobulk, PseudobulkDesign
    from stargazer.assets.qc import (
        AlignmentStats,
        ContigCounts,
        Coverage,
        FlagCounts,
        QCReport,
        TrimmingReport,
        VariantComparison,
        VariantStats,
        WgsMetrics,
    )
    from stargazer.assets.reads import R1, R2
    from stargazer.assets.reference import AlignerIndex, Contig, Intervals, Reference, ReferenceIndex, SequenceDict
    from stargazer.assets.scrna import AnnData, CountsFile, FeatureMatrix
    from stargazer.assets.variants import (
        FilterChoice,
        GenomicsDB,
        KnownSites,
        KnownSitesIndex,
        Variants,
        VariantsIndex,
        VQSRModel,
        VQSRTranches,
    )

__all__ = [
    "R1",
    "R2",
    "AlignerIndex",
    "Alignment",
    "AlignmentIndex",
    "AlignmentStats",
    "AnnData",
    "Asset",
    "BQSRReport",
    "Contig",
    "ContigCounts",
    "CountsFile",
    "Coverage",
    "DifferentialExpression",
    "DuplicateMetrics",
    "FeatureMatrix",
    "FilterChoice",
    "FlagCounts",
    "GenomicsDB",
    "Intervals",
    "KnownSites",
    "KnownSitesIndex",
    "Pseudobulk",
    "PseudobulkDesign",
    "QCReport",
    "Reference",
    "ReferenceIndex",
    "SequenceDict",
    "Source",
    "TrimmingReport",
    "VQSRModel",
    "VQSRTranches",
    "VariantComparison",
    "VariantStats",
    "Variants",
    "VariantsIndex",
    "WgsMetrics",
    "asset_type",
    "asset_types",
    "canonical",
    "did_you_mean",
    "foreign_keys",
    "no_type",
    "parse_fact",
    "placed",
]

_HOMES = {
    "alignment": ("Alignment", "AlignmentIndex", "BQSRReport", "DuplicateMetrics"),
    "bulk": ("DifferentialExpression", "Pseudobulk", "PseudobulkDesign"),
    "qc": (
        "AlignmentStats",
        "ContigCounts",
        "Coverage",
        "FlagCounts",
        "QCReport",
        "TrimmingReport",
        "VariantComparison",
        "VariantStats",
        "WgsMetrics",
    ),
    "reads": ("R1", "R2"),
    "reference": ("AlignerIndex", "Contig", "Intervals", "Reference", "ReferenceIndex", "SequenceDict"),
    "scrna": ("AnnData", "CountsFile", "FeatureMatrix"),
    "variants": (
        "FilterChoice",
        "GenomicsDB",
        "KnownSites",
        "KnownSitesIndex",
        "VQSRModel",
        "VQSRTranches",
        "Variants",
        "VariantsIndex",
    ),
}
_HOME = {name: f"stargazer.assets.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stargazer.assets' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
