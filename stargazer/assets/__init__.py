"""Assets: files and directories by their CID, with typed facts and companions.

The types are imported when they are first named, or when an asset of theirs is read. Each is declared in its module
and listed nowhere else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stargazer.assets.asset import Asset as Asset
from stargazer.assets.asset import Source as Source
from stargazer.assets.asset import canonical as canonical
from stargazer.assets.asset import parse_fact as parse_fact
from stargazer.assets.asset import placed as placed
from stargazer.assets.fields import asset_type as asset_type
from stargazer.assets.fields import asset_types as asset_types
from stargazer.assets.fields import did_you_mean as did_you_mean
from stargazer.assets.fields import foreign_keys as foreign_keys
from stargazer.assets.fields import no_type as no_type
from stargazer.assets.fields import own_types as own_types

if TYPE_CHECKING:
    from stargazer.assets.types import *

OTHERS = {"Contig": "stargazer.assets.reference"}
"""What types are made of, by the module."""


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if not name[:1].isupper():
        raise AttributeError(f"module 'stargazer.assets' has no attribute {name!r}")
    homes = OTHERS | {cls: module for module, cls in own_types().values()}
    if name not in homes:
        raise AttributeError(f"module 'stargazer.assets' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(homes[name]), name)
    return value


def __dir__() -> list[str]:
    public = {name for name in globals() if not name.startswith("_")} - {"annotations", "importlib", "Any"}
    return sorted({*public, *OTHERS, *(cls for _, cls in own_types().values())} - {"TYPE_CHECKING", "OTHERS"})
