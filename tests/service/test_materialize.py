"""``sg.materialize`` and what it gives, in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, DefinitionError, NotFound, OutputError, UnknownName

SEED = """
client = StrataClient()

artifact = client.materialize(
    inputs=["file:///warehouse#db.events"],
    transform={"executor": "scan@v1", "params": {"columns": ["id", "value"]}},
)
table = client.fetch(artifact.uri) # Arrow table, cached by provenance
"""


@pytest.fixture
def pair(store: sg.Store, tmp_path: Path) -> tuple[sg.Asset, sg.Asset]:
    (tmp_path / "a").write_text("abc")
    (tmp_path / "b").write_text("bcd")
    return sg.add(tmp_path / "a"), sg.add(tmp_path / "b")


def text(artifact: sg.Artifact) -> str:
    return artifact.fetch().read_text()


def test_inputs_stand_by_position(pair: tuple[sg.Asset, sg.Asset]) -> None:
    a, b = pair
    one, two = (sg.materialize(each, {"executor": "except@v1"}) for each in ([a, b], [b, a]))
    assert (text(one), text(two)) == ("a", "d")
    assert one.key != two.key
    assert not one.hit
    again = sg.materialize([a.cid, f"stargazer://asset/{b.id}"], "except@v1")
    assert again.hit
    assert again.asset == one.asset
    assert again.record == one.record


def test_names_count_their_versions_and_are_inputs(pair: tuple[sg.Asset, sg.Asset]) -> None:
    a, b = pair
    first = sg.materialize([a, b], "except@v1", name="demo/rest")
    assert first.version == 1
    assert sg.materialize([a, b], "except@v1", name="demo/rest").version == 1
    assert sg.materialize([b, a], "except@v1", name="demo/rest").version == 2
    third = sg.materialize(["stargazer://name/demo/rest@1", b], "except@v1")
    assert text(third) == "a"
    record = third.lineage().records[0]
    assert list(record.named.values()) == ["demo/rest@1"]


def test_lineage_and_dependents(pair: tuple[sg.Asset, sg.Asset]) -> None:
    a, b = pair
    made = sg.materialize([a, b], "except@v1")
    later = sg.materialize([b, made.uri], "except@v1")
    assert {asset.id for asset in later.lineage().sources} == {a.id, b.id}
    assert later.asset.id in {asset.id for asset in made.dependents().assets}


def test_refresh_runs_it_again(pair: tuple[sg.Asset, sg.Asset]) -> None:
    first = sg.materialize(list(pair), "except@v1")
    again = sg.materialize(list(pair), "except@v1", refresh=True)
    assert not again.hit
    assert again.asset == first.asset


def test_a_transform_with_other_code_is_another_artifact(pair: tuple[sg.Asset, sg.Asset], tmp_path: Path) -> None:
    """The second registration gives way to the third, which is the first one's code again."""

    def register(upper: bool) -> None:
        source = "out.write_text(a.path.read_text().upper())" if upper else "out.write_text(a.path.read_text())"
        module = tmp_path / f"shouting_{upper}.py"
        module.write_text(
            "import stargazer as sg\n@sg.transform('shout@v1')\n@sg.task\n"
            f"def shout(work: sg.Workdir, a: sg.Asset) -> sg.Asset:\n    out = work.file('x')\n    {source}\n"
            "    return sg.Asset(path=out)\n"
        )
        import importlib.util

        spec = importlib.util.spec_from_file_location(module.stem, module)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[module.stem] = made
        spec.loader.exec_module(made)

    a, _ = pair
    register(False)
    quiet = sg.materialize([a], "shout@v1", name="demo/shout")
    assert not sg.is_stale("demo/shout")
    register(True)
    assert sg.is_stale("demo/shout")
    loud = sg.materialize([a], "shout@v1", name="demo/shout")
    assert (text(quiet), text(loud)) == ("abc", "ABC")
    assert loud.version == 2
    register(False)
    assert sg.materialize([a], "shout@v1").hit


def test_stale_when_a_newest_version_was_meant(pair: tuple[sg.Asset, sg.Asset]) -> None:
    a, b = pair
    sg.names.set("demo/in", a)
    sg.materialize(["demo/in@latest", b], "except@v1", name="demo/out")
    sg.materialize(["demo/in@1", b], "except@v1", name="demo/fixed")
    assert not sg.is_stale("demo/out")
    sg.names.set("demo/in", b)
    assert sg.is_stale("demo/out")
    assert not sg.is_stale("demo/fixed")
    with pytest.raises(ArgumentError, match="added by a person"):
        sg.is_stale("demo/in")
    with pytest.raises(NotFound, match="no name"):
        sg.is_stale("demo/nothing")


def test_a_task_of_the_catalog_and_one_of_a_module(store: sg.Store, tmp_path: Path) -> None:
    (tmp_path / "ref.fa").write_text(">chr1\nACGT\n")
    reference = sg.add(tmp_path / "ref.fa", sg.Reference(build="b37"))
    one = sg.materialize([reference], "samtools_faidx")
    two = sg.materialize([reference], "stargazer.tasks.general.samtools:samtools_faidx")
    assert one.asset == two.asset
    assert two.hit


def test_the_example_of_strata_runs_as_it_stands(store: sg.Store, tmp_path: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    pa = pytest.importorskip("pyarrow")
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir()
    rows = pa.table({"id": [1, 2], "value": [0.5, 1.5], "note": ["x", "y"]})
    catalog = SqlCatalog("default", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    catalog.create_namespace("db")
    catalog.create_table("db.events", schema=rows.schema).append(rows)
    program = tmp_path / "seed.py"
    text = SEED.replace("/warehouse", str(warehouse))
    program.write_text(f"from stargazer import ServiceClient as StrataClient\n{text}\nprint(table.to_pydict())\n")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'id': [1, 2], 'value': [0.5, 1.5]}\n"
    assert not done.stderr


@pytest.mark.parametrize(
    ("inputs", "transform", "error", "told"),
    [
        ([], "except@v1", ArgumentError, "left, right missing"),
        (["x" * 9], "except@v1", ArgumentError, "neither a CID nor"),
        ("abc", "except@v1", ArgumentError, "inputs is a list"),
        ([], "nothing@v1", UnknownName, "no transform is registered"),
        ([], "nothing", UnknownName, "no task or workflow"),
        ([], {"ref": "x"}, ArgumentError, "executor"),
        ([], {"executor": "except@v1", "parameters": {}}, ArgumentError, "has no parameters"),
        ([], {"executor": "except@v1", "params": {"x": 1}}, ArgumentError, "no parameter 'x'"),
        ([], "scan@v1", ArgumentError, "one table"),
        (["file:///nowhere#db.x"], "scan@v1", NotFound, "no warehouse"),
        (["file:///nowhere#db.x"], {"executor": "scan@v1", "params": {"cols": []}}, ArgumentError, "no parameter cols"),
    ],
)
def test_what_is_wrong_is_told(
    store: sg.Store, inputs: object, transform: object, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        sg.materialize(inputs, transform)  # type: ignore[arg-type]


def test_too_many_inputs_and_results_without_bytes(pair: tuple[sg.Asset, sg.Asset]) -> None:
    a, b = pair
    with pytest.raises(ArgumentError, match="takes 2 inputs, but 3"):
        sg.materialize([a, b, a], "except@v1")

    @sg.transform("count@v1")
    @sg.task
    def count(work: sg.Workdir, a: sg.Asset) -> int:
        return len(a.path.read_text())

    with pytest.raises(OutputError, match="no asset"):
        sg.materialize([a], "count@v1")
    with pytest.raises(DefinitionError, match="no name with a version"):
        sg.transform("clean")


def test_importing_stays_cheap() -> None:
    code = "import sys, stargazer; print([m for m in ('starlette', 'pyarrow', 'dask', 'httpx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@sg.transform("file_first@v1")
def file_first(words: sg.Asset) -> Any:
    return [words, copied(words)]


@sg.transform("copy_first@v1")
def copy_first(words: sg.Asset) -> Any:
    return [copied(words), words]


@sg.task
def copied(work: sg.Workdir, words: sg.Asset) -> sg.Asset:
    """Copy a file under another name."""
    out = work.file("copied.txt")
    out.write_text(words.path.read_text())
    return sg.Asset(path=out)


def test_a_build_is_of_what_is_wanted_in_its_order(pair: tuple[sg.Asset, sg.Asset], store: sg.Store) -> None:
    """One who asks for the same calls in another order must not join the build of the other."""
    from stargazer.service.wanted import bind

    asked = ("file_first@v1", "copy_first@v1", "file_first@v1")
    keys = [bind([pair[0]], transform, store).key for transform in asked]
    assert keys[0] == keys[2] != keys[1]
    assert [sg.materialize([pair[0]], each).asset.name for each in asked[:2]] == [pair[0].name, "copied.txt"]
