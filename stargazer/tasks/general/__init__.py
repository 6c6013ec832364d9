"""Tasks of tools that many workflows use: bwa, samtools, bcftools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stargazer import plugins
from stargazer.tasks.general.bcftools import *
from stargazer.tasks.general.bwa import *
from stargazer.tasks.general.concordance import *
from stargazer.tasks.general.consequences import *
from stargazer.tasks.general.contamination import *
from stargazer.tasks.general.conversion import *
from stargazer.tasks.general.identity import *
from stargazer.tasks.general.intervals import *
from stargazer.tasks.general.known_sites import *
from stargazer.tasks.general.markdup import *
from stargazer.tasks.general.qc_report import *
from stargazer.tasks.general.quality import *
from stargazer.tasks.general.reference import *
from stargazer.tasks.general.samtools import *
from stargazer.tasks.general.statistics import *
from stargazer.tasks.general.target import *
from stargazer.tasks.general.unpack import *

if not TYPE_CHECKING:  # checkers take what the modules export
    __all__ = plugins.exported(__name__)
