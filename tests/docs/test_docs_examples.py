"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import operator
import pkgutil
from pathlib import Path

import pytest

import stargazer

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(stargazer.__path__, "stargazer.")
    if not module.name.startswith(("stargazer.embedded", "stargazer.tasks.scrna", "stargazer.bio.singlecell"))
    and not module.name.endswith(("__main__", ".reaper"))
)


FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PUBLIC = [name for name in stargazer.__all__ if inspect.isroutine(getattr(stargazer, name))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a store of its own, and the files that the pages talk of."""
    monkeypatch.chdir(folder)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for number, test in enumerate(doctest.DocTestFinder().find(importlib.import_module(name))):
        if test.examples:
            with stargazer.Store(folder / f"store-{number}"):
                runner.run(test)
    assert not runner.failures


@pytest.mark.parametrize("name", [*PUBLIC, *(f"names.{name}" for name in ("set", "get", "history", "list", "diff"))])
def test_every_public_function_has_an_example_that_runs(name: str) -> None:
    function = operator.attrgetter(name)(stargazer)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert test.examples, f"sg.{name} has no example"
    assert not [each.source for each in test.examples if each.options.get(doctest.SKIP)]
