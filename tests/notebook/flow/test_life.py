"""A flow from the first sketch to the published page: real kernels, real marimo, one run for all that is asked."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from flow_desk import Desk

from stargazer.errors import NotebookError
from stargazer.notebook import flow as nb

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
pytest.importorskip("nbconvert")
pytest.importorskip("marimo")

GOOD = """\
# %% [markdown]
# # Good
# %% table
n = 3
table = [*range(n), *map(int, open("../../data/more.txt").read().split())]
# %% total
total = sum(table)
print("total is", total)
total
"""
BROKEN = "# %%\nx = 1\n# %%\ny = 1 / 0\n# %%\nz = 2\n"
MARIMO = """\
import marimo

app = marimo.App()


@app.cell
def _():
    n = int(open("../../data/n.txt").read())
    return (n,)


@app.cell
def _(n):
    double = 2 * n
    double
    return (double,)


if __name__ == "__main__":
    app.run()
"""
CONFIG = """\
publish: {docs_dir: docs}
entries:
  - path: notebooks/demo/.src/good.py
    kind: demo
    pair_ipynb: true
    publish_html: true
    publish_myst: true
  - path: notebooks/demo/live.py
    kind: demo
    publish_html: true
  - path: notebooks/explore/.src/broken.py
    kind: explore
    pair_ipynb: true
  - path: notebooks/explore/.src/lonely.py
    kind: explore
"""


class Life(Desk):
    """Four notebooks: two that run, one that fails, one that nobody paired."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.rows: dict[str, nb.Executed] = {}
        self.told: list[str] = []

    def write(self) -> Life:
        for path, text in (
            ("demo/.src/good.py", GOOD), ("demo/live.py", MARIMO), ("explore/.src/broken.py", BROKEN),
            ("explore/.src/lonely.py", "# %%\nimport os\nhere = os.getcwd()\nhere\n"), ("notebook.yml", CONFIG),
        ):  # fmt: skip
            place = self.root / "notebooks" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        (self.root / "data").mkdir(exist_ok=True)
        (self.root / "data/n.txt").write_text("4")
        (self.root / "data/more.txt").write_text("")
        self.py, self.ipynb = self.root / "notebooks/demo/.src/good.py", self.root / "notebooks/demo/good.ipynb"
        return self

    def ran(self) -> dict[str, nb.Executed]:
        """What became of all of them; they run when this is first asked for."""
        if not self.rows:
            done = nb.execute(self.root, keep_going=True, told=lambda row: self.told.append(row.name))
            self.rows = {row.name: row for row in done}
        return self.rows

    def published(self) -> dict[str, nb.Publication]:
        """What became of the pages."""
        self.ran()
        return {row.name: row for row in nb.publish(self.root, run=False)}

    def outputs(self) -> list[list[str]]:
        cells = [cell for cell in self.read().cells if cell.cell_type == "code"]
        return [[out.get("text") or out["data"]["text/plain"] for out in cell.outputs] for cell in cells]

    def states(self) -> dict[str, list[str]]:
        (flow,) = nb.status(self.root)
        return {book.name: [page.state for page in book.pages] for book in flow.books}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    root = tmp_path_factory.mktemp("life") / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    return Life(root).write()


def test_all_run_at_once_and_a_failure_is_one_line(life: Life) -> None:
    rows = life.ran()
    assert {name: row.state for name, row in rows.items()} == {
        "good": "ran", "live": "ran", "broken": "failed", "lonely": "ran",
    }, rows  # fmt: skip
    assert sorted(life.told) == sorted(rows)
    assert rows["broken"].problem == "code cell 2 (y = 1 / 0): ZeroDivisionError: division by zero"
    assert life.outputs() == [[], ["total is 3\n", "3"]]
    assert rows["good"].note == ""
    broken = nbformat.read(life.root / "notebooks/explore/broken.ipynb", 4)
    assert [len(cell.outputs) for cell in broken.cells] == [0, 1, 0]
    lonely = nbformat.read(life.root / rows["lonely"].wrote, 4)
    assert lonely.cells[0].outputs[0].data["text/plain"] == repr(str(life.root / "notebooks/explore"))
    assert "double" in rows["live"].values
    (synced,) = nb.sync(life.root, names=["good"])
    assert synced.state == "in step"
    audited = {(found.notebook, found.finding.rule) for found in nb.audit(life.root)}
    assert {("good", "demo_executed_not_promoted"), ("live", "demo_executed_not_promoted")} <= audited
    assert ("broken", "demo_executed_not_promoted") not in audited


def test_pages_say_of_what_they_were_made(life: Life) -> None:
    rows = life.published()
    assert rows.keys() == {"good", "live"}
    assert all(row.success for row in rows.values()), rows
    page = (life.root / "docs/nb-good.html").read_text()
    assert "total is 3" in page
    assert '<meta name="stargazer"' in page
    assert "total = sum(table)" in (life.root / "docs/nb-good.md").read_text()
    assert ">8<" in (life.root / "docs/nb-live.html").read_text()
    assert all(row.success for row in nb.publish(life.root, check=True))
    again = nb.publish(life.root, run=False)
    assert [row.wrote for row in again] == [(), ()], "the same notebook is the same page"
    exported = nb.publish(life.root, format="ipynb", run=False)
    assert all(row.success for row in exported), exported
    assert json.loads((life.root / "docs/nb-live.ipynb").read_text())["cells"]
    assert all(row.success for row in nb.publish(life.root, format="myst", run=False))
    assert life.states()["good"] == ["yes", "yes"]
    life.commit()
    nb.publish(life.root, run=False)
    assert life.git("status", "--porcelain") == ""


def test_pages_that_do_not_hold_are_found_without_running(life: Life) -> None:
    """In a clone, too, where nothing is noted beside the files."""
    import shutil

    life.published()
    shutil.copytree(life.root, life.root.parent / "clone", ignore=shutil.ignore_patterns(".stargazer"))
    clone = Life(life.root.parent / "clone").write()
    assert clone.states() == {"good": ["yes", "yes"], "live": ["yes"], "broken": [], "lonely": []}
    clone.edit_py("# # Good\n", "# # Better\n")
    clone.sync(names=["good"])
    assert clone.states()["good"] == ["stale", "stale"]
    assert clone.states()["live"] == ["yes"]
    assert [row.success for row in nb.publish(clone.root, check=True)] == [False, True]
    assert "published_stale" in {found.finding.rule for found in nb.audit(clone.root)}
    clone.edit_py("# # Better\n", "# # Good\n")
    clone.sync(names=["good"])
    assert clone.states()["good"] == ["yes", "yes"]
    clone.edit_nb(lambda cells: cells[-1].outputs.pop())  # somebody ran it again, and it came to something else
    (page, _) = next(row for row in nb.publish(clone.root, check=True) if row.name == "good").pages
    assert (page.state, page.why) == ("stale", "other values: outputs")
    with pytest.raises(NotebookError, match="neither publish_html"):
        nb.publish(clone.root, names=["broken"])


def test_a_page_does_not_hold_when_a_file_that_was_read_changed(life: Life) -> None:
    life.published()
    more, n = life.root / "data/more.txt", life.root / "data/n.txt"
    more.write_text("7")
    assert life.states()["good"] == ["stale", "yes"], "the MyST page shows no results"
    assert life.states()["live"] == ["yes"]
    n.write_text("5")
    (row,) = nb.publish(life.root, names=["live"], check=True)
    assert (row.success, row.pages[0].why) == (False, "it read data/n.txt, which changed")
    more.write_text("")
    n.write_text("4")
    assert life.states()["good"] + life.states()["live"] == ["yes", "yes", "yes"]
    n.unlink()
    (row,) = nb.publish(life.root, names=["live"], check=True)
    assert row.success
    assert "data/n.txt not here to be compared" in str(row.pages[0])
    n.write_text("4")


@pytest.mark.slow
def test_values_are_given_and_the_first_failure_ends_it(life: Life) -> None:
    life.published()
    rows = nb.execute(life.root, entry=["good", "live"], set={"n": 10})
    assert [row.state for row in rows] == ["ran", "ran"], rows
    assert life.outputs()[1] == ["total is 45\n", "45"]
    assert "n = 3" in life.sources()[1]
    assert life.read().metadata.stargazer == {"given": {"n": 10}}
    (page, _) = next(row for row in nb.publish(life.root, check=True) if row.name == "good").pages
    assert page.state == "stale"
    with pytest.raises(NotebookError, match="makes nosuch"):
        nb.execute(life.root, set={"nosuch": 1})
    source = life.root / "notebooks/explore/.src/lonely.py"
    source.write_text("# %%\nimport time\ntime.sleep(600)\n")
    rows = nb.execute(life.root, entry=["lonely"], timeout=2)
    assert "longer than 2 s" in rows[0].problem
    source.write_text("# %%\nimport os\nos._exit(3)\n")
    rows = nb.execute(life.root, entry=["lonely"])
    assert "the kernel ended" in rows[0].problem


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["explore", "demo", "interactive"])
def test_new_notebooks_run_and_nothing_is_wrong_with_them(desk: Desk, mode: str) -> None:
    mod = {"mod": "samtools_sort"} if mode == "demo" else {}
    book = nb.new("fresh", mode, desk.root, **mod)  # type: ignore[arg-type]
    assert [found for found in nb.check(desk.root) if found.finding.rule != "header"] == []
    (row,) = nb.execute(desk.root, entry=["fresh"])
    assert row.success, row
    if mode == "demo":
        assert 'asset=["alignment"]' in book.source.read_text()
        assert nb.publish(desk.root, run=False)[0].success
    marimo = nb.new("other", mode, desk.root, format="marimo", **mod)  # type: ignore[arg-type]
    assert [found for found in nb.check(desk.root, names=["other"]) if found.finding.level == "error"] == []
    assert marimo.source.parent.name in ("explore", "demo")
    (row,) = nb.execute(desk.root, entry=["other"])
    assert row.success, row


def test_given_values_take_the_place_of_those_that_are_assigned() -> None:
    from stargazer.notebook.flow.kernel import with_given

    source = 'é = "x"; n = (\n    1 +\n    2)\nm: int = 3\nfor k in range(n):\n    pass\nn\n'
    made, after = with_given(source, {"n": "ü", "m": 4, "k": 1, "z": 0})
    assert made == source.replace("    1 +\n    2)", "    'ü')").replace("int = 3", "int = 4")
    assert after == ["k"]
    assert with_given("%time n = 1", {"n": 2}) == ("%time n = 1", ["n"])
    assert with_given("n = 1", {}) == ("n = 1", [])


def test_a_missing_docs_dir_is_told(desk: Desk, tmp_path: Path) -> None:
    desk.begin(entry="  - path: notebooks/explore/.src/noise.py\n    publish_html: true\n")
    with pytest.raises(NotebookError, match="docs_dir is empty"):
        nb.publish(desk.root, run=False)
    assert nb.status(desk.root)[0].books[0].pages == ()
