"""Snapshots: one CID for all of a notebook, run again and compared, signed and fetched."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import dask.config
import pytest
from typer.testing import CliRunner

import stargazer as sg
from stargazer.assets.notebook import NotebookSnapshot
from stargazer.cli.app import app
from stargazer.errors import NotebookError, NotFound, StoreError
from stargazer.ledger.signatures import make_key, public_key
from stargazer.notebook import fetch_snapshot, find_snapshot, freeze, list_snapshots, verify_snapshot
from stargazer.remotes.bundles import make_bundle

pytest.importorskip("pyarrow")

TEXT = """\
# /// script
# [tool.stargazer]
# title = "Counts"
# ///

# %%
import stargazer as sg
import frozen_helper

# %% counts
counts = [int(line) for line in open("counts.txt")]

# %% mean
mean = frozen_helper.mean(counts)
print("mean", mean)

# %%
@sg.task
def write(work: sg.Workdir, text: sg.Asset) -> sg.Asset:
    out = work.file("o.txt")
    out.write_text(text.path.read_text() * 2)
    return sg.Asset(path=out)

# %%
made = write(sg.add("counts.txt")).compute()
"""


@pytest.fixture
def book(tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    sys.modules.pop("frozen_helper", None)
    (folder / "frozen_helper.py").write_text("def mean(x):\n    return sum(x) / len(x)\n")
    (folder / "counts.txt").write_text("1\n2\n3\n")
    path = folder / "qc.py"
    path.write_text(TEXT)
    make_key()
    return path


def test_all_of_a_notebook_is_in_one_directory_and_the_same_twice(book: Path, store: sg.Store) -> None:
    made = freeze(book, name="one")
    assert made.whose == "yours"
    folder = made.asset.fetch()
    found = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}
    own = {"source/qc.py", "source/frozen_helper.py", "inputs/counts.txt"}
    assert found == own | {"snapshot.json", "signature", "page.html", "report.txt", "versions.txt"}
    assert made.source.read_text() == TEXT
    assert "mean 2.0" in made.page.read_text()
    assert made.content["title"] == "Counts"
    assert made.content["values"].keys() == {"counts", "mean", "made"}
    paths = {each.get("path"): each["cid"] for each in made.content["inputs"]}
    assert paths.keys() == {"counts.txt", None}
    assert paths["counts.txt"] == paths[None]
    assert made.content["versions"]["stargazer"] == sg.__version__
    assert freeze(book).cid == made.cid
    assert [each.cid for each in list_snapshots()] == [made.cid]
    pinned = {asset.cid for asset in store.pins()["one"]}
    assert {made.cid, made.content["values"]["mean"]["cid"], paths[None]} <= pinned
    text = (folder / "snapshot.json").read_text()
    assert str(book.parent) not in text


def test_running_it_again_compares_every_value_and_output(book: Path) -> None:
    made = freeze(book)
    (book.parent / "counts.txt").write_text("7\n")  # the snapshot has its own
    book.unlink()
    found = verify_snapshot(made.cid)
    assert found.ok, str(found)
    assert str(found) == "the same: 5 of 5"


def test_what_differs_is_named(book: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    other = f"# %% other\nother = open({str(outside)!r}).read()\n"
    book.write_text(TEXT + f"\n# %% random\nimport random\nvalue = random.random()\nvalue\n\n{other}")
    freeze(book, name="loose")
    outside.write_text("y")
    result = CliRunner().invoke(app, ["nb", "verify", "loose", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["checked"] == 9
    names = {each["what"] for each in told["differences"]}
    assert names == {"value value", "output of cell random", "value other", f"input {outside}"}


def test_what_fails_now_is_a_difference(book: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag.txt"
    book.write_text(TEXT + f"\n# %% env\nassert open({str(flag)!r}).read() == ''\nseen = 1\n")
    flag.touch()
    made = freeze(book)
    flag.unlink()
    found = verify_snapshot(made)
    assert not found.ok
    assert "value seen: was" in str(found)


def test_a_name_that_no_pin_can_have_is_refused_before_anything_runs(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sg.Notebook, "run", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(StoreError, match="is no name for a pin"):
        freeze(book, name="é x")


def test_a_failed_cell_is_not_frozen(book: Path) -> None:
    book.write_text(TEXT + "\n# %% broken\n1 / 0\n")
    with pytest.raises(NotebookError, match="broken: ZeroDivisionError"):
        freeze(book)


def test_a_changed_snapshot_is_refused_and_a_false_signature_told(book: Path, store: sg.Store, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(freeze(book).asset.fetch(), folder)
    kind = NotebookSnapshot(notebook="qc.py")
    for path in folder.rglob("*"):
        path.chmod(0o755)
    page = folder / "page.html"
    before = page.read_text()
    page.unlink()
    page.write_text("another page")
    with pytest.raises(NotebookError, match=r"page.html is not what snapshot.json says"):
        find_snapshot(str(store.add(folder, kind).cid))
    page.write_text(before)
    (folder / "more.py").write_text("")
    with pytest.raises(NotebookError, match=r"more.py is not what"):
        find_snapshot(str(store.add(folder, kind).cid))
    (folder / "more.py").unlink()
    text = json.loads((folder / "snapshot.json").read_text())
    (folder / "snapshot.json").unlink()
    (folder / "snapshot.json").write_text(json.dumps({**text, "title": "Mine"}))
    changed = find_snapshot(str(store.add(folder, kind).cid))
    assert changed.whose == "not as signed"
    with pytest.raises(NotebookError, match="nothing of it is run"):
        verify_snapshot(changed)
    (folder / "snapshot.json").write_text(json.dumps({**text, "notebook": "../qc.py"}))
    with pytest.raises(NotebookError, match="do not trust it"):
        find_snapshot(str(store.add(folder, kind).cid))
    with pytest.raises(NotebookError, match="is no snapshot"):
        find_snapshot(str(store.add(book).cid))
    with pytest.raises(NotFound, match="there is no snapshot nothing-here"):
        find_snapshot("nothing-here")


def test_a_published_snapshot_is_brought_checked_and_marked(book: Path, store: sg.Store, tmp_path: Path) -> None:
    made = freeze(book)
    bundle = tmp_path / "paper.yaml"
    bundle.write_text(make_bundle("paper", [made.asset], store).to_yaml())
    public = public_key()
    remotes = [{"store": store.url, "name": "lab"}]
    key = str(tmp_path / "another.pem")
    for what in (made.cid, str(bundle)):
        settings = {"stargazer.remotes": remotes, "stargazer.key": key}
        with sg.Store(tmp_path / f"mine-{os.path.basename(what)}") as mine, dask.config.set(settings):
            found = fetch_snapshot(what, store=mine)
            assert found.cid == made.cid
            assert found.whose.startswith("signed by ")
            assert [each.cid for each in list_snapshots(mine)] == [made.cid]
            with dask.config.set({"stargazer.trust": {"anna": public}}):
                assert find_snapshot(made.cid, mine).whose == "signed by anna"


def test_the_commands(book: Path) -> None:
    def nb(*argv: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, ["nb", *argv])
        assert found.exit_code == code, found.output
        return found.stdout

    told = json.loads(nb("freeze", str(book), "--name", "paper", "--json"))
    assert told["whose"] == "yours"
    assert "the same: 5 of 5" in nb("verify", "paper")
    assert told["cid"] in nb("fetch", told["cid"])
    nb("verify", "nothing-here", code=2)
    nb("freeze", str(book), "--name", "no name", code=2)
