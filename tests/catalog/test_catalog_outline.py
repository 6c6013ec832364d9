"""A list of names and first lines needs no library of what is listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dask.config
import pytest

from stargazer import catalog
from stargazer.catalog import outline as outlines

PROGRAM = """
import sys
from stargazer.catalog.outline import outline
print(len(outline()), *[name for name in ("numpy", "pandas", "scipy", "anndata", "pyarrow") if name in sys.modules])
"""


def test_the_outline_is_that_of_the_entries() -> None:
    for word in (None, "vcf", "samtools"):
        lines = [(line.name, line.category, line.summary, line.how) for line in outlines.outline(word=word)]
        assert lines == [(each.name, each.category, each.summary, each.how) for each in catalog.list(word=word)]


def test_the_second_process_imports_nothing_of_it(tmp_path: Path) -> None:
    env = {**os.environ, "DASK_STARGAZER__CACHE": str(tmp_path / "kept")}
    told = [subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True, capture_output=True, text=True).stdout
            for _ in range(2)]  # fmt: skip
    assert told[1].split() == [str(len(catalog.list()))]
    assert told[0].split()[0] == told[1].split()[0]


def test_what_was_kept_is_for_one_state_of_the_package_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dask.config.set({"stargazer.cache": str(tmp_path / "kept")}):
        outlines._own_lines()
        (first,) = (tmp_path / "kept" / "catalog").iterdir()
        first.write_text("[]")
        assert outlines._own_lines() == []
        (tmp_path / "site-packages").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
        assert len(outlines._own_lines()) > 10
        (second,) = (tmp_path / "kept" / "catalog").iterdir()
        assert second != first
        second.write_text("no JSON")
        assert len(outlines._own_lines()) > 10


def test_entries_of_the_settings_are_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "own_outline_tasks.py"
    file.write_text(
        "import stargazer as sg\n\n@sg.task\ndef outlined(work: sg.Workdir, *, n: int) -> sg.Asset:\n"
        '    """Count."""\n    return sg.Asset(path=work.file("n"))\n'
    )
    with dask.config.set({"stargazer.catalog": [str(file)]}):
        assert [line.summary for line in outlines.outline(word="outlined")] == ["Count."]
