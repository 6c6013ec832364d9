"""For the tests of others: contracts of stores, remotes, formats, integrations as classes; small inputs; for pytest."""

import importlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stargazer.testing.integrations import MixingContract as MixingContract
    from stargazer.testing.integrations import NamingContract as NamingContract
    from stargazer.testing.notebooks import NotebookFormatContract as NotebookFormatContract
    from stargazer.testing.remotes import RemoteContract as RemoteContract
    from stargazer.testing.stores import StoreContract as StoreContract

_HOME = {
    "MixingContract": "integrations",
    "NamingContract": "integrations",
    "NotebookFormatContract": "notebooks",
    "RemoteContract": "remotes",
    "StoreContract": "stores",
}
__all__ = ["MixingContract", "NamingContract", "NotebookFormatContract", "RemoteContract", "StoreContract"]

for _name in set(_HOME.values()):
    pytest.register_assert_rewrite(f"stargazer.testing.{_name}")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
