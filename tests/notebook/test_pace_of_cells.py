"""What is asked of a cell's text is worked out once, and what cells leave serves the next: counts, and no clocks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.notebook.code import Part, Prelude, prelude_of
from stargazer.notebook.document import Cell
from stargazer.notebook.names import kind_in, nodes_in, tree_of
from stargazer.tools import scratch

pytest.importorskip("pyarrow")


def written(path: Path, number: int) -> list[str]:
    """Write a notebook of cells whose texts no test had before; return these."""
    cells = [f"x{n} = {number} * math.sqrt({n})" for n in range(5)]
    path.write_text("".join(f"# %%\n{cell}\n\n" for cell in ["import math", *cells]))
    return cells


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that are parsed, in their order."""
    found: list[str] = []
    parse = ast.parse

    def noted(source: Any, *argv: Any, **options: Any) -> Any:
        found.append(str(source).strip())
        return parse(source, *argv, **options)

    monkeypatch.setattr(ast, "parse", noted)
    return found


def test_the_text_of_a_cell_is_parsed_once(tmp_path: Path, store: sg.Store, parsed: list[str]) -> None:
    cells = written(tmp_path / "nb.py", 8191)
    book = sg.Notebook(tmp_path / "nb.py").run()
    assert book.report.count("ran") == len(cells)
    again = sg.Notebook(tmp_path / "nb.py").run()
    assert again.report.count("known") == len(cells)
    assert [parsed.count(cell) for cell in cells] == [1] * len(cells)


def test_cells_leave_their_work_directories_to_others(
    tmp_path: Path, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(scratch, "_remove", removed.append)
    cells = written(tmp_path / "nb.py", 8209)
    assert sg.Notebook(tmp_path / "nb.py").run().report.count("ran") == len(cells)
    assert removed == []


def test_a_text_that_changes_between_two_runs_of_a_process_is_another(tmp_path: Path, store: sg.Store) -> None:
    path = tmp_path / "nb.py"
    text = "# %%\ndef f(a):\n    return a + {}\n\n# %%\nx: int = f(1)\n\n# %%\ny = x * 2\n"
    found = []
    for number in (1, 2, 1):
        path.write_text(text.format(number))
        book = sg.Notebook(path).run()
        found.append((book["y"], book.report.count("ran")))
    assert found == [(4, 2), (6, 2), (4, 0)]


def test_what_a_digest_leaves_out_is_still_in_the_text_that_runs(tmp_path: Path, store: sg.Store) -> None:
    """Annotations are no part of a function's text, whose tree is another than the one that runs."""
    path = tmp_path / "nb.py"
    path.write_text("# %%\nkinds = []\nx: kinds.append('asked') = 1\n")
    before = ast.dump(tree_of(sg.Notebook(path).cells[0].source))
    assert sg.Notebook(path).run()["kinds"] == ["asked"]
    assert ast.dump(tree_of(sg.Notebook(path).cells[0].source)) == before


def test_code_leads_to_all_that_its_text_names() -> None:
    texts = ("import math", "def f(a):\n    return g(a)", "def g(a):\n    return math.sqrt(f(a) + K)", "K = 2", "L = 3")
    prelude = prelude_of([Part(text, (0,)) for text in texts])
    assert prelude.reached(["f", "nothing"]) == {"f", "g", "math", "K"}
    assert prelude.reached(["g"]) == prelude.reached(["f"])
    assert prelude.reached(["K", "L"]) == {"K", "L"}
    cell = Cell("", "y = f(1)")
    first, *others = map(ast.unparse, prelude.statements_under(cell))
    assert (first, len(others)) == ("y = f(1)", 4)
    other = Prelude([Part(texts[1], (0,))])
    assert other.reached(["f"]) == {"f"}


@pytest.mark.parametrize(
    "source",
    ["with open('a') as f, g() as h:\n    x = [f(i) for i in h]\n", "async def f(a, *b: int, c=1) -> str:\n    pass\n"],
)
def test_nodes_of_a_kind_come_in_the_order_of_a_walk(source: str) -> None:
    tree = ast.parse(source)
    assert list(nodes_in(tree)) == [*ast.walk(tree)]
    kinds = (ast.Name, ast.arg, ast.Call)
    assert list(kind_in(tree, *kinds)) == [node for node in ast.walk(tree) if isinstance(node, kinds)]
