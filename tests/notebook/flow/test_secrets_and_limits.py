"""Notebooks that ask for a secret, and cells that take too long: as kernels and marimo run them."""

from __future__ import annotations

from pathlib import Path

import flow_desk
import pytest

import stargazer as sg
from stargazer.notebook import flow as nb

pytest.importorskip("nbclient")
pytest.importorskip("marimo")

TOKEN = "s3cr3t/0123+456789"
SECRET = """\
# %%
import os

# %%
# @env NOTEBOOK_TOKEN
print("it is", os.environ["NOTEBOOK_TOKEN"])
token = os.environ["NOTEBOOK_TOKEN"]
head = {"Authorization": [token]}

# %%
size = len(token)
size

# %%
fields = len(head)
"""
ENTRY = "  - path: notebooks/explore/.src/noise.py\n    pair_ipynb: true\n    publish_html: true\n"


@pytest.mark.slow
def test_a_kernel_leaves_no_secret_in_notebook_pages_or_store(
    desk: flow_desk.Desk, store: sg.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nbconvert")
    monkeypatch.setenv("NOTEBOOK_TOKEN", TOKEN)
    desk.begin(SECRET, ENTRY, "publish: {docs_dir: docs}\n")
    for kind in ("html", "ipynb"):
        (done,) = nb.publish(desk.root, format=kind)
        assert done.success, done
    shown = [output for cell in desk.read().cells for output in cell.get("outputs", ())]
    assert (shown[0].text, shown[1].data["text/plain"]) == ("it is ***\n", "18")
    places = [desk.root, Path(store.url.removeprefix("file://"))]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    (desk.root / "notebooks/explore/.src/noise.py").write_text(SECRET.replace("head = {", "head = token.no['x'] = {"))
    (failed,) = nb.execute(desk.root)
    assert not failed.success
    assert TOKEN not in failed.problem


APP = """\
import marimo

app = marimo.App()

with app.setup:
    import time


@app.cell
def _():
    time.sleep(1.2)
    one = 1
    return (one,)


@app.cell
def _(one):
    time.sleep(1.2)
    two = one + 1
    return (two,)
"""


@pytest.mark.slow
def test_the_limit_is_of_a_cell_and_not_of_the_notebook(desk: flow_desk.Desk, store: sg.Store) -> None:
    desk.begin("", "  - path: notebooks/explore/app.py\n")
    app = desk.root / "notebooks/explore/app.py"
    app.write_text(APP)
    (done,) = nb.execute(desk.root, timeout=2)
    assert done.success, done.problem
    app.write_text(
        APP.replace("    time.sleep(1.2)\n    two", "    for _ in range(600):\n        time.sleep(0.1)\n    two")
    )
    (done,) = nb.execute(desk.root, timeout=2)
    assert "longer than the 2 s" in done.problem
    app.write_text(APP.replace("    time.sleep(1.2)\n    two", "    time.sleep(600)\n    two"))
    (done,) = nb.execute(desk.root, timeout=2)
    assert "longer than 2 s" in done.problem
