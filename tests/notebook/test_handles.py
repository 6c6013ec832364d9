"""What a person passes is what a cell gets: a handle of a kept value is no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stargazer as sg
from stargazer.notebook.live import Live

pytest.importorskip("pyarrow")

MADE = "# %%\nkept = [1, 2, 3]\n"
PASSED = """\
# %%
import stargazer as sg
# %%
held = next(each for each in sg.assemble(asset="notebook_value") if each.cid == "CID")
# %%
same = held
# %%
many = [held]
# %%
kinds = [type(held).__name__, type(same).__name__, type(many[0]).__name__]
text = same.fetch().read_text()
"""
KIND = "NotebookValue"


def book(folder: Path, name: str, text: str) -> sg.Notebook:
    (folder / name).write_text(text)
    return sg.Notebook(folder / name)


@pytest.fixture
def kept(tmp_path: Path, store: sg.Store) -> Any:
    """A value of another notebook, as an asset."""
    return book(tmp_path, "made.py", MADE).run().assets["kept"]


def states(run: sg.Notebook) -> dict[str, str]:
    return {", ".join(row.defs): row.state for row in run.report.rows}


def test_a_variable_that_holds_a_handle_is_that_handle(tmp_path: Path, kept: Any) -> None:
    text = PASSED.replace("CID", str(kept.cid))
    first = book(tmp_path, "passed.py", text).run()
    assert first["kinds"] == [KIND, KIND, KIND]
    assert first["text"] == kept.fetch().read_text()
    assert [first[name] for name in ("held", "same")] == [kept, kept]
    assert first["many"] == [kept]
    assert first.assets["same"] == kept
    again = book(tmp_path, "passed.py", text).run()
    assert [states(again)[name] for name in ("same", "many", "kinds, text")] == ["known", "known", "known"]
    assert again["kinds"] == [KIND, KIND, KIND]


def test_a_handle_that_is_given_is_that_handle(tmp_path: Path, kept: Any) -> None:
    text = "# %%\nheld = None\n# %%\nkind = type(held).__name__\n"
    assert book(tmp_path, "given.py", text).run(set={"held": kept})["kind"] == KIND


def test_an_editor_gives_handles_as_they_are(store: sg.Store, kept: Any) -> None:
    cells = ["same = held", "kind = type(same).__name__"]
    for state in ("ran", "known"):
        live, space = Live(store, sequential=True), dict[str, Any](held=kept)
        for number, source in enumerate(cells):
            looked = live.look(source, space, str(number))
            if looked.record is None:
                with live.watched(looked):
                    exec(source, space)
                live.record(looked, space, [])
            else:
                live.restore(looked, space)
        assert [row[1] for row in live.rows] == [state, state], live.rows
        assert (space["same"], space["kind"]) == (kept, KIND)
