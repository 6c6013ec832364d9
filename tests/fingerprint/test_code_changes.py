"""No stale hit: what changes the result of a body gives another digest, or a warning, and is as sharp as it can be."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from changes import Change, changes

from stargazer.fingerprint import identify, identify_class

Loader = Callable[..., ModuleType]
CHANGES = changes()
SHARP = [change for change in CHANGES if change.expected == "sharp"]


class Seen(NamedTuple):
    """What was made of one version."""

    digests: tuple[str, ...]
    wide: bool
    warned: bool
    result: str


def _see(load: Loader, files: Mapping[str, str]) -> Seen:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of NumPy's matrices
        module = load(files["pipeline"], **{name: text for name, text in files.items() if name != "pipeline"})
    arguments = getattr(module, "ARGUMENTS", {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of NumPy's matrices
        identities = [identify(module.body, "body"), *(identify_class(kind) for kind in _kinds(arguments.values()))]
        result = repr(module.body(None, **arguments))
    digests = tuple(identity.digest for identity in identities)
    return Seen(digests, any(identity.wide for identity in identities), bool(caught), result)


def _kinds(values: Iterable[Any]) -> Iterator[type]:
    """Classes of the values that a body is given, as a call keys them."""
    for value in values:
        if type(value).__module__ != "builtins":
            yield type(value)
            yield from _kinds(each for each in vars(value).values() if type(each).__module__ == "pipeline")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_of_the_result_changes_the_key(load: Loader, change: Change) -> None:
    first, again, changed = (_see(load, files) for files in (change.before, change.before, change.after))
    assert first.digests == again.digests, "the same text must give the same key"
    assert first.result != changed.result, "the change changes no result: it proves nothing"
    assert first.digests != changed.digests or (changed.warned and change.expected == "warned")
    if change.expected == "sharp":
        assert not first.wide, "what was sharp is wide"


@pytest.mark.parametrize("change", SHARP, ids=lambda change: change.name)
def test_a_sharp_key_does_not_change_with_what_is_not_reached(load: Loader, change: Change) -> None:
    first = _see(load, change.before)
    added = {**change.before, "pipeline": f"{change.before['pipeline']}\ndef nobody_calls_me(): return 'at all'\n"}
    assert _see(load, added).digests == first.digests


def test_the_table_is_long() -> None:
    kinds = {kind: sum(change.expected == kind for change in CHANGES) for kind in ("sharp", "wide", "warned")}
    assert len({change.name for change in CHANGES}) == len(CHANGES) >= 140
    assert kinds["sharp"] > 3 * kinds["wide"] > 3 * kinds["warned"]


SCRIPT = """
import stargazer as sg

@sg.task
def answer(work: sg.Workdir) -> str:
    return repr(body(None))

if __name__ == "__main__":
    print("RESULT", answer().compute(scheduler="sync"))
"""
_serial = itertools.count()


def _run(tmp_path: Path, files: Mapping[str, str], store: str) -> tuple[str, bool]:
    """Run the files as a script, in a process of its own; also whether it warned."""
    folder = tmp_path / f"project-{next(_serial)}"
    for name, text in files.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + (SCRIPT if name == "pipeline" else ""))
    done = subprocess.run(
        [sys.executable, "pipeline.py"],
        cwd=folder,
        env=os.environ | {"DASK_STARGAZER__STORE": str(tmp_path / store), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return found[0], "Uncertain" in done.stderr


WHOLE = [change for change in CHANGES if not any("ARGUMENTS" in text for text in change.before.values())]


@pytest.mark.parametrize("change", WHOLE[::12], ids=lambda change: change.name)
def test_whole_scripts_over_one_store_are_never_served_what_another_text_made(tmp_path: Path, change: Change) -> None:
    _run(tmp_path, change.before, "store")
    served, warned = _run(tmp_path, change.after, "store")
    assert served == _run(tmp_path, change.after, "fresh")[0] or warned


@pytest.mark.slow
@pytest.mark.parametrize("change", WHOLE, ids=lambda change: change.name)
def test_whole_scripts_long_form(tmp_path: Path, change: Change, short: bool) -> None:
    if short and WHOLE.index(change) % 12 != 5:
        pytest.skip("the short form runs a few of them")
    test_whole_scripts_over_one_store_are_never_served_what_another_text_made(tmp_path, change)
