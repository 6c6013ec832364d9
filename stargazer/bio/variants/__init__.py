"""Two sets of called variants compared as haplotypes: precision, recall, F1 and concordance of genotypes."""

from stargazer.bio.variants.compare import Accuracy, Comparison, Difference, SampleAccuracy, compare
from stargazer.bio.variants.vcf import Contigs, Regions, read_bed

__all__ = ["Accuracy", "Comparison", "Contigs", "Difference", "Regions", "SampleAccuracy", "compare", "read_bed"]
