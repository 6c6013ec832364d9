"""Scripts and Jupyter notebooks in step: by content, three ways, whole or not at all."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import nbformat
import pytest
from flow_desk import ENTRY, SOURCE, Desk

from stargazer.notebook import flow as nb
from stargazer.notebook.flow import files
from stargazer.notebook.flow.merge import merge
from stargazer.notebook.flow.texts import Part, notebook_text, parts_of_ipynb, parts_of_py, py_text, read_ipynb

pytest.importorskip("jupytext")
pytest.importorskip("merge3")


@pytest.fixture
def paired(desk: Desk) -> Desk:
    desk.begin()
    assert desk.sync().action == "py → ipynb"
    desk.give_outputs()
    return desk


def test_no_clock_is_asked(paired: Desk) -> None:
    os.utime(paired.py, (time.time() + 500,) * 2)
    before = paired.ipynb.read_bytes()
    assert paired.sync() == nb.Synced("noise", "in step")
    paired.edit_py("c = math.sqrt(16)", "c = math.sqrt(25)")
    os.utime(paired.ipynb, (time.time() + 900,) * 2)
    assert paired.sync(dry=True).action == "py → ipynb"
    assert paired.ipynb.read_bytes() == before
    assert paired.sync().wrote == ("notebooks/explore/noise.ipynb",)
    assert paired.sources()[-1] == "c = math.sqrt(25)\nc"
    assert paired.sync().wrote == ()


def test_outputs_ids_and_metadata_of_unchanged_cells_stay(paired: Desk) -> None:
    before = paired.read().cells
    paired.edit_py("b = a + 1", "b = a + 2")
    paired.sync()
    after = paired.read().cells
    assert [cell.id for cell in after] == [cell.id for cell in before]
    assert [cell.metadata for cell in after] == [cell.metadata for cell in before]
    assert paired.shown() == ["import math", "a = 1\nprint(a)", "", "c = math.sqrt(16)\nc"]
    paired.edit_py("# %% first\n", "# %%\nnew = 1\n\n# %% first\n")
    paired.sync()
    assert paired.shown() == ["import math", "", "a = 1\nprint(a)", "", "c = math.sqrt(16)\nc"]


def test_code_never_stands_above_the_output_of_other_code(paired: Desk) -> None:
    """All cells of the script are shifted, swapped, edited: what is shown is what the very source showed."""
    text = paired.py.read_text()
    head, *cells = text.split("# %%")
    rng = random.Random(7)
    for _ in range(6):
        chosen = rng.sample(cells, rng.randint(1, len(cells)))
        if rng.random() < 0.7:
            chosen.insert(rng.randint(0, len(chosen)), f"\nx = {rng.random()}\n\n")
        paired.py.write_text("# %%".join([head, *chosen]))
        assert paired.sync().success
        for cell in paired.read().cells:
            if cell.cell_type == "code" and cell.outputs:
                assert cell.outputs[0].text == cell.source
        paired.give_outputs()
    moved = "# %%".join([head, *reversed(cells)])
    paired.py.write_text(moved)
    paired.sync()
    paired.give_outputs()
    paired.py.write_text(text)
    paired.sync()
    assert all(paired.shown()), "a cell that moved keeps what it shows"


def test_an_edit_in_jupyter_leaves_the_lines_of_other_cells(paired: Desk) -> None:
    paired.set_cell(4, "b = a + 10\nb")
    done = paired.sync()
    assert (done.action, done.wrote) == ("ipynb → py", ("notebooks/explore/.src/noise.py",))
    assert paired.py.read_text() == SOURCE.replace("b = a + 1\n", "b = a + 10\n")
    assert paired.sync().wrote == ()


def test_both_changed_other_cells(paired: Desk) -> None:
    """Also those beside each other, and a cell that came beside one that was edited."""
    paired.edit_py("b = a + 1", "b = a + 3")
    paired.set_cell(3, "a = 7\nprint(a)")
    assert paired.sync(dry=True).action == "merged"
    assert paired.sync().action == "merged"
    assert paired.sources()[3:5] == ["a = 7\nprint(a)", "b = a + 3\nb"]
    assert paired.shown()[1:3] == ["a = 1\nprint(a)", ""], "an edited cell is Jupyter's own; its output is what it has"
    assert paired.py.read_text() == SOURCE.replace("a = 1\n", "a = 7\n").replace("a + 1", "a + 3")
    paired.edit_nb(lambda cells: cells.insert(5, nbformat.v4.new_code_cell("fresh = 1")))
    paired.edit_py("b = a + 3", "b = a + 4")
    assert paired.sync().action == "merged"
    assert paired.sources()[4:6] == ["b = a + 4\nb", "fresh = 1"]
    assert paired.sync().state == "in step"


def test_both_changed_one_cell(paired: Desk) -> None:
    paired.edit_py("a = 1", "a = 2")
    paired.edit_py("c = math.sqrt(16)", "c = 5")
    paired.set_cell(3, "a = 3\nprint(a)")
    before = paired.py.read_bytes(), paired.ipynb.read_bytes()
    done = paired.sync()
    assert not done.success
    assert [clash.told for clash in done.clashes] == ["a = 1"]
    assert "--direction" in done.problem
    assert (paired.py.read_bytes(), paired.ipynb.read_bytes()) == before
    done = paired.sync(direction="nb2py")
    (kept,) = done.kept
    assert (paired.root / kept).read_bytes() == before[0]
    assert "a = 3" in paired.py.read_text()
    assert "math.sqrt(16)" in paired.py.read_text()
    assert paired.sync().state == "in step"


def test_force_lets_the_script_count_and_keeps_the_rest(paired: Desk) -> None:
    paired.edit_py("a = 1", "a = 2")
    paired.set_cell(3, "a = 3\nprint(a)")
    before = paired.ipynb.read_bytes()
    done = paired.sync(force=True)
    assert done.action == "py → ipynb"
    assert (paired.root / done.kept[0]).read_bytes() == before
    assert done.kept[0].endswith(".bak")
    assert "a = 2\nprint(a)" in paired.sources()


def test_never_in_step_is_no_guess(desk: Desk) -> None:
    desk.begin()
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("z = 1")])
    nbformat.write(book, desk.ipynb)
    assert "never in step" in desk.sync().problem
    assert desk.sync(direction="py2nb").kept
    assert desk.sync().state == "in step"


def test_a_clone_of_files_that_are_in_step_needs_no_memory(paired: Desk) -> None:
    import shutil

    shutil.rmtree(paired.root / "notebooks/.stargazer")
    assert paired.sync().state == "in step"
    paired.edit_py("a = 1", "a = 2")
    assert paired.sync().action == "py → ipynb"


def test_a_notebook_without_script(desk: Desk) -> None:
    """Registered by people who have an .ipynb only: the script is made of it; one that went away is told."""
    desk.begin()
    desk.py.unlink()
    code = ["%matplotlib inline\nx = 1", ""]
    cells = [nbformat.v4.new_markdown_cell("# T"), *map(nbformat.v4.new_code_cell, code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), desk.ipynb)
    assert desk.sync().action == "ipynb → py"
    assert "# %matplotlib inline" in desk.py.read_text()
    assert desk.sync().state == "in step"
    desk.py.unlink()
    assert "is gone" in desk.sync().problem
    assert desk.sync(direction="nb2py").action == "ipynb → py"
    desk.ipynb.unlink()
    assert desk.sync().action == "py → ipynb"
    desk.ipynb.unlink()
    desk.py.unlink()
    assert "neither" in desk.sync().problem


def test_myst_is_made_of_the_script(desk: Desk) -> None:
    desk.begin(entry=ENTRY + "    pair_myst: true\n")
    myst = desk.root / "notebooks/explore/.myst/noise.md"
    assert desk.sync().wrote[1] == "notebooks/explore/.myst/noise.md"
    first = myst.read_text()
    assert "# Noise" in first
    assert "version: 1." not in first
    desk.set_cell(3, "a = 9\nprint(a)")
    assert desk.sync().wrote == ("notebooks/explore/.src/noise.py", "notebooks/explore/.myst/noise.md")
    assert "a = 9" in myst.read_text()
    myst.write_text(myst.read_text() + "by hand\n")
    done = desk.sync()
    assert "--force" in done.problem
    assert desk.sync(force=True).kept
    assert "by hand" not in myst.read_text()


def test_the_kernel_stands_in_the_notebook(desk: Desk) -> None:
    desk.begin(head="kernel: python3\n", entry=ENTRY + "    kernel: python3\n")
    desk.sync()
    assert desk.read().metadata.kernelspec.name == "python3"
    desk.begin(entry=ENTRY + "    kernel: cogpy\n")
    assert desk.sync().wrote == ("notebooks/explore/noise.ipynb",)
    assert desk.read().metadata.kernelspec == {"name": "cogpy", "display_name": "cogpy", "language": "python"}


def test_what_changes_meanwhile_is_not_written_over(paired: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jupyter saves while we write: nothing is written, on neither side."""
    paired.edit_py("a = 1", "a = 2")
    before = paired.ipynb.read_bytes()
    true = files.read_file

    def late(path: Path) -> str | None:
        text = true(path)
        return text if path != paired.ipynb.resolve() or text is None else text + " "

    monkeypatch.setattr(files, "read_file", late)
    done = paired.sync()
    assert "changed meanwhile" in done.problem
    assert paired.ipynb.read_bytes() == before
    assert not list((paired.root / "notebooks/.stargazer/drafts").iterdir())
    monkeypatch.undo()
    assert paired.sync().action == "py → ipynb"


def test_a_writer_that_dies_between_two_files_leaves_what_the_next_one_mends(paired: Desk) -> None:
    paired.edit_py("c = math.sqrt(16)", "c = 2")
    paired.set_cell(3, "a = 5\nprint(a)")
    book = nb.find_flow(paired.root).books[0]
    from stargazer.notebook.flow.syncing import look

    merged = look(book).merged
    paired.py.write_text(py_text(paired.py.read_text(), merged))  # the first file of a merge, and no more
    assert paired.sync().success
    assert parts_of_ipynb(paired.read()) == merged == parts_of_py(paired.py.read_text())


def test_git_sees_nothing_of_ours(paired: Desk) -> None:
    paired.begin(entry=ENTRY + "    pair_myst: true\n    publish_myst: true\n", head="publish: {docs_dir: docs}\n")
    paired.sync()
    paired.commit()
    nb.pair(paired.root), nb.sync(paired.root), nb.diff(paired.root), nb.status(paired.root), nb.audit(paired.root)
    nb.scan(paired.root), nb.migrate(paired.root), nb.check(paired.root), nb.lab(paired.root, start=False)
    assert paired.git("status", "--porcelain") == ""
    paired.edit_py("a = 1", "a = 2")
    paired.set_cell(3, "a = 3\nprint(a)")
    paired.sync()
    paired.sync(force=True)
    changed = paired.git("status", "--porcelain").split()[1::2]
    assert changed == ["notebooks/explore/.src/noise.py", "notebooks/explore/noise.ipynb"]


def test_diff_says_what_jupyter_has(paired: Desk) -> None:
    (same,) = nb.diff(paired.root)
    assert same.text == ""
    paired.set_cell(3, "a = 3\nprint(a)")
    (other,) = nb.diff(paired.root)
    assert other.state == "ipynb ahead"
    assert [line for line in other.text.splitlines() if line[:1] in "+-"][2:] == ["-a = 1", "+a = 3"]


def test_what_is_no_notebook_is_told(desk: Desk) -> None:
    desk.begin()
    desk.ipynb.write_text("{")
    assert "is no Jupyter notebook" in desk.sync().problem


# The texts and the merge, by many random cases.

WORDS = [
    "x = 1", "print('# %% no cell')", "%timeit f()", "!ls", "%%bash\nls", "def f():\n    return 1",
    "y = '''\n# %%\n'''", "#", "a\n\n\nb", "# /// script\n# ///",
]  # fmt: skip


def _cells(rng: random.Random) -> list[Part]:
    kinds = ["code", "code", "code", "markdown", "raw"]
    made = []
    for number in range(rng.randint(0, 6)):
        kind = rng.choice(kinds)
        source = rng.choice(WORDS) if kind == "code" else f"text {rng.randint(0, 3)}\n\n# more"
        tags = '{"tags": ["t"]}' if rng.random() < 0.2 else "{}"
        made.append(Part(kind, f"{source}\n# {number}" if kind == "code" and "%%" not in source else source, tags))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_cells_come_back_from_scripts_and_notebooks(seed: int) -> None:
    rng = random.Random(seed)
    book = read_ipynb(notebook_text(None, _cells(rng), {}), "x")
    parts = parts_of_ipynb(book)
    text = py_text("", parts)
    assert parts_of_py(text) == parts
    assert py_text(text, parts) == text
    again = notebook_text(book, parts, {})
    assert notebook_text(None, parts, {}) == notebook_text(None, parts, {}), "same cells, same bytes"
    assert [cell.id for cell in read_ipynb(again, "x").cells] == [cell.id for cell in book.cells]
    other = parts_of_ipynb(read_ipynb(notebook_text(None, _cells(rng), {}), "x"))
    assert parts_of_py(py_text(text, other)) == other


def _edited(rng: random.Random, base: list[Part], mark: str) -> tuple[list[Part], set[int]]:
    touched = {i for i in range(len(base)) if rng.random() < 0.3}
    return [Part(p.kind, f"{p.source}  {mark}") if i in touched else p for i, p in enumerate(base)], touched


@pytest.mark.parametrize("seed", range(200))
def test_edits_of_different_cells_are_merged_and_of_one_are_not(seed: int) -> None:
    rng = random.Random(seed)
    base = [Part("code", f"value_{i} = compute_{i}({i})\nvalue_{i}") for i in range(rng.randint(1, 8))]
    mine, one = _edited(rng, base, "# mine")
    theirs, other = _edited(rng, base, "# theirs")
    made, clashes = merge(base, mine, theirs)
    assert {base.index(clash.base[0]) for clash in clashes} == one & other
    if not clashes:
        assert made == [mine[i] if i in one else theirs[i] for i in range(len(base))]
    assert merge(base, mine, mine) == (mine, [])
    assert merge(base, base, theirs) == (theirs, [])
    assert merge(base, mine, base) == (mine, [])


def test_a_cell_that_one_side_removed_and_the_other_edited_is_a_conflict() -> None:
    base = [Part("code", f"long_name_{i} = {i}") for i in range(3)]
    edited = [base[0], Part("code", "long_name_1 = 100"), base[2]]
    assert merge(base, [base[0], base[2]], edited)[1]
    assert merge(base, [base[0], base[2]], base) == ([base[0], base[2]], [])
    new = [Part("code", name) for name in ("one", "two")]
    assert merge(base, [*base, new[0]], [*base, new[1]])[1], "their order is nobody's to choose"
    assert merge(base, [*base, new[0]], [*base, new[0]]) == ([*base, new[0]], [])
