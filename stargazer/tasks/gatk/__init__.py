"""Tasks of GATK, with Picard's tools inside it; `stargazer tools install gatk` gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer import plugins
from stargazer.tasks.gatk.alignments import *
from stargazer.tasks.gatk.coverage import *
from stargazer.tasks.gatk.filters import *
from stargazer.tasks.gatk.gvcfs import *
from stargazer.tasks.gatk.haplotypes import *
from stargazer.tasks.gatk.joint import *
from stargazer.tasks.gatk.recalibration import *
from stargazer.tasks.gatk.variants import *
from stargazer.tasks.gatk.vqsr import *

if not TYPE_CHECKING:  # checkers take what the modules export
    __all__ = plugins.exported(__name__)
