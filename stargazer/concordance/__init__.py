"""Two sets of called variants compared as haplotypes: precision, recall, F1 and concordance of genotypes."""

from stargazer.concordance.compare import Difference, compare
from stargazer.concordance.contigs import Contigs
from stargazer.concordance.counts import Accuracy, Comparison, SampleAccuracy
from stargazer.concordance.regions import Regions, read_bed

__all__ = ["Accuracy", "Comparison", "Contigs", "Difference", "Regions", "SampleAccuracy", "compare", "read_bed"]
