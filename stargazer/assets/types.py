"""The asset types that come along, as checkers see them; each is declared in one of these modules.

While a program runs nobody imports this one: a type is found by the text of its module when it is first named.
"""

from __future__ import annotations

from stargazer.assets.alignment import *
from stargazer.assets.asset import Asset as Asset
from stargazer.assets.bulk import *
from stargazer.assets.notebook import *
from stargazer.assets.qc import *
from stargazer.assets.reads import *
from stargazer.assets.reference import *
from stargazer.assets.scrna import *
from stargazer.assets.table import *
from stargazer.assets.variants import *
