"""Which code converted a file as it was added stands with the asset; a corrected reader converts again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import stargazer as sg
from stargazer.assets.conversion import conversion_of
from stargazer.errors import DataError, DefinitionError
from stargazer.store import Store

PACKAGE = Path(sg.__file__).parent
READERS = [name for name in conversion_of(sg.AnnData).manifest if name.startswith("stargazer.")]

ADD = """
import json, sys
import stargazer as sg
with sg.Store(sys.argv[1]) as store:
    added = sg.add(sys.argv[2], sg.AnnData(sample_id="s"))
    noted = store.addition(added)
ran = "stargazer.bio.singlecell.ingest" in sys.modules
told = {"id": added.id, "cid": added.cid, "ran": ran, "code": noted.conversion.code, "place": sg.__file__}
print(json.dumps({**told, "source": noted.source, "libraries": dict(noted.conversion.libraries)}))
"""
ASK = """
import json
from stargazer.assets import AnnData
from stargazer.assets.conversion import conversion_of
print(json.dumps(conversion_of(AnnData)))
"""


class Copied(NamedTuple):
    """A copy of the package, whose lines may be changed."""

    folder: Path

    def file(self, module: str) -> Path:
        return self.folder.joinpath(*module.split(".")).with_suffix(".py")

    def edit(self, module: str, old: str, new: str) -> None:
        text = self.file(module).read_text("utf-8")
        assert text.count(old) == 1, f"{module} says {old!r} no more"
        self.file(module).write_text(text.replace(old, new), "utf-8")

    def run(self, script: str, *arguments: object) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    shutil.copytree(PACKAGE, tmp_path / "copy" / "stargazer", ignore=shutil.ignore_patterns("__pycache__"))
    return Copied(tmp_path / "copy")


@pytest.fixture
def file(tmp_path: Path, counts: Any) -> Path:
    import anndata

    anndata.AnnData(counts).write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_a_corrected_reader_converts_again_and_an_unchanged_one_does_not(
    copied: Copied, tmp_path: Path, file: Path
) -> None:
    first, known = (copied.run(ADD, tmp_path / "store", file) for _ in range(2))
    assert first["place"].startswith(str(copied.folder))
    assert (first["ran"], known["ran"]) == (True, False)
    assert {**first, "ran": False} == known
    copied.edit(
        "stargazer.bio.singlecell.ingest", '"""Convert a file of counts.', '"""Turn a file of counts to a tree.'
    )
    assert copied.run(ADD, tmp_path / "store", file) == known
    copied.edit(
        "stargazer.bio.singlecell.ingest", '"counts_from": source.where', '"counts_from": "the " + source.where'
    )
    corrected = copied.run(ADD, tmp_path / "store", file)
    assert corrected["ran"]
    assert corrected["source"] == first["source"]
    assert corrected["code"] != first["code"]
    assert corrected["cid"] != first["cid"]
    assert copied.run(ADD, tmp_path / "store", file) == {**corrected, "ran": False}


def test_code_that_makes_the_same_bytes_leaves_ids_alone_and_is_noted(
    copied: Copied, tmp_path: Path, file: Path
) -> None:
    first = copied.run(ADD, tmp_path / "store", file)
    copied.edit("stargazer.bio.singlecell.layout", "\nROWS = ", "\nROWS = 1 * ")
    again = copied.run(ADD, tmp_path / "store", file)
    assert again["ran"]
    assert (again["id"], again["cid"]) == (first["id"], first["cid"])
    assert again["code"] != first["code"]
    with Store(tmp_path / "store") as store:
        noted = store.addition(store.get(first["id"]))
    assert noted is not None
    assert noted.conversion.code == again["code"]


@pytest.mark.parametrize("module", READERS)
def test_a_line_of_any_module_that_shapes_a_tree_counts(copied: Copied, module: str) -> None:
    before = copied.run(ASK)
    with copied.file(module).open("a") as text:
        text.write("\n\nEDITED = True\n")
    after = copied.run(ASK)
    changed = {name for name, digest in before[2].items() if after[2][name] != digest}
    assert (changed, before[1] == after[1]) == ({module}, False)


def test_readers_codecs_and_rules_of_chunks_are_among_them() -> None:
    parts = {name.rpartition(".")[2] for name in READERS}
    assert {
        "ingest",
        "anndata_files",
        "folders",
        "tenx",
        "text_tables",
        "spill",
        "source",
        "transfer",
        "foreign",
        "matrix",
        "elements",
        "layout",
        "tree",
    } <= parts
    assert "class AnnData" in conversion_of(sg.AnnData).manifest


def test_libraries_that_shape_bytes_are_noted_and_another_version_converts_again(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.add(file, sg.AnnData(sample_id="s"))
    libraries = noted(store, first).conversion.libraries
    assert {"anndata", "zarr", "numcodecs"} <= set(libraries)
    monkeypatch.setattr("stargazer.assets.conversion._version", lambda name: f"{name} 99")
    calls = counted(monkeypatch)
    assert store.add(file, sg.AnnData(sample_id="s")).id == first.id
    assert calls == ["s"]
    assert noted(store, first).conversion.libraries["zarr"] == "zarr 99"


def noted(store: Store, asset: sg.Asset) -> Any:
    found = store.addition(asset)
    assert found is not None
    return found


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Samples that are converted from now on."""
    calls: list[str] = []
    convert = sg.AnnData.converted

    def converted(self: sg.AnnData, directory: Path) -> sg.AnnData:
        calls.append(self.sample_id)
        return convert(self, directory)

    conversion = conversion_of(sg.AnnData)  # of the class as it stands in its file
    monkeypatch.setattr("stargazer.store.additions.conversion_of", lambda kind: conversion)
    monkeypatch.setattr(sg.AnnData, "converted", converted)
    return calls


def test_other_facts_other_bytes_and_lost_bytes_convert_again(
    store: Store, file: Path, tmp_path: Path, counts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anndata

    calls = counted(monkeypatch)
    first = store.add(file, sg.AnnData(sample_id="s"))
    assert store.add(file, sg.AnnData(sample_id="s")) == first
    assert calls == ["s"]
    store.add(file, sg.AnnData(sample_id="t"))
    assert calls == ["s", "t"]
    anndata.AnnData(counts * 2).write_h5ad(file)
    second = store.add(file, sg.AnnData(sample_id="s"))
    assert calls == ["s", "t", "s"]
    assert second.cid != first.cid
    os.unlink(store.backend.path(f"trees/{second.cid[-3:-1]}/{second.cid}"))
    assert store.add(file, sg.AnnData(sample_id="s")) == second
    assert calls == ["s", "t", "s", "s"]
    store.delete(second)
    assert store.add(file, sg.AnnData(sample_id="s")) == second
    assert calls == ["s", "t", "s", "s", "s"]
    assert store.fsck().ok


def test_a_file_that_cannot_be_read_is_refused_each_time(store: Store, tmp_path: Path) -> None:
    (tmp_path / "no.h5ad").write_text("no file of counts")
    for _ in range(2):
        with pytest.raises(DataError, match="no HDF5 file"):
            store.add(tmp_path / "no.h5ad", sg.AnnData())


def test_facts_revised_since_keep_the_note(store: Store, file: Path) -> None:
    added = store.add(file, sg.AnnData(sample_id="s"))
    revised = store.update(added, organism="human")
    assert store.addition(revised) == store.addition(added)
    assert noted(store, revised).source == added.source_cid
    plain = store.add(file)
    assert store.addition(plain) is None


def test_what_is_stored_as_it_came_has_no_conversion_and_an_empty_mark_is_read(store: Store, file: Path) -> None:
    added = store.add(file, sg.AnnData(sample_id="s"))
    store.backend.replace(f"assets/{added.id[-3:-1]}/{added.id}.added", b"")
    assert store.addition(added) is None
    store.add(file, sg.AnnData(sample_id="s"))
    assert noted(store, added).source == added.source_cid


def test_a_type_of_ones_own_counts_with_what_it_reaches(store: Store, tmp_path: Path) -> None:
    module = tmp_path / "own_reads.py"
    text = (
        "import stargazer as sg\nfrom dataclasses import replace\nMARK = '{mark}'\n"
        "def shaped(text): return text + MARK\n"
        "class Shaped(sg.Asset, key='shaped'):\n"
        "    converts = True\n"
        "    def converted(self, directory):\n"
        "        out = directory / 'shaped.txt'\n"
        "        out.write_text(shaped(self.path.read_text()))\n"
        "        return replace(self, path=out, name=out.name)\n"
    )
    codes = []
    for mark in ("one", "two"):
        module.write_text(text.format(mark=mark))
        script = (
            "import json, sys; sys.path.insert(0, sys.argv[1]); import own_reads\n"
            "from stargazer.assets.conversion import conversion_of\n"
            "print(json.dumps(conversion_of(own_reads.Shaped).code))\n"
        )
        codes += [Copied(tmp_path).run(script, tmp_path) for _ in range(2)]
    assert codes[0] == codes[1] != codes[2] == codes[3]


def test_a_module_that_is_not_there_is_named() -> None:
    class Lost(sg.Asset, key="lost_conversion"):
        converts = True
        converted_by = ("stargazer.nowhere",)

    with pytest.raises(DefinitionError, match=r"stargazer\.nowhere"):
        conversion_of(Lost)
