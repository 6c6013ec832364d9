"""Modules made of text, whose functions' digests are compared."""

from __future__ import annotations

import importlib
import itertools
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from stargazer.fingerprint import identify

Loader = Callable[..., ModuleType]
_serial = itertools.count()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Loader]:
    """Import `pipeline` from its text, with other modules beside it; each time anew, in a directory of its own."""
    made: set[str] = set()
    paths: list[str] = []

    def load(source: str, **others: str) -> ModuleType:
        directory = tmp_path / f"version-{next(_serial)}"
        directory.mkdir()
        for name, text in {**others, "pipeline": source}.items():
            file = directory / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            made.add(name.partition("/")[0])
        for name in [name for name in sys.modules if name.partition(".")[0] in made]:
            del sys.modules[name]
        paths.append(str(directory))
        sys.path.insert(0, paths[-1])
        importlib.invalidate_caches()
        return importlib.import_module("pipeline")

    yield load
    for path in paths:
        sys.path.remove(path)
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]
    linecache.checkcache()


@pytest.fixture
def digest(load: Loader) -> Callable[..., str]:
    """Digest of `body` in a `pipeline` of that text."""

    def digest(source: str, **others: str) -> str:
        return identify(load(source, **others).body, "body").digest

    return digest
