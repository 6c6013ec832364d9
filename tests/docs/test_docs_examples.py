"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import stargazer

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(stargazer.__path__, "stargazer.")
    if not module.name.startswith(("stargazer.embedded", "stargazer.tasks.scrna", "stargazer.bio.singlecell"))
    and not module.name.endswith(("__main__", ".reaper"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not failed
