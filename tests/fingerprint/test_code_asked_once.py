"""What a first digest asks of a module for each constant that a body reaches."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from stargazer.fingerprint import identify, names

CONSTANTS = 20


def test_the_statements_of_a_module_are_looked_up_once_a_constant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"LIMIT_{n} = {n}" for n in range(CONSTANTS)]
    total = " + ".join(f"LIMIT_{n}" for n in range(CONSTANTS))
    (tmp_path / "asked_once.py").write_text("\n".join([*lines, f"def body(work): return {total}\n"]))
    monkeypatch.syspath_prepend(str(tmp_path))
    body = importlib.import_module("asked_once").body
    asked: list[str] = []
    find = names.module_statements
    monkeypatch.setattr(names, "module_statements", lambda name: (asked.append(name), find(name))[1])
    try:
        found = identify(body, "body")
    finally:
        del sys.modules["asked_once"]
    assert {f"LIMIT_{n}" for n in range(CONSTANTS)} <= found.manifest.keys()
    assert asked.count("asked_once") == CONSTANTS
