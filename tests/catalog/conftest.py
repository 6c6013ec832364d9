from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.assets import asset_types
from stargazer.catalog.sources import _entries


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[sg.Store, dict[str, list[sg.Asset]]]:
    """A store with two assets of each type, and these by their keys."""
    folder = tmp_path_factory.mktemp("shelf")
    store, found = sg.Store(f"{folder}/store"), dict[str, list[sg.Asset]]()
    for key, kind in asset_types().items():
        if not kind.__module__.startswith("stargazer.") or kind.converts:
            continue
        for number in (1, 2):
            file = folder / f"{key}-{number}.txt"
            file.write_text(f"{key} {number}\n")
            facts = {"sample_id": f"s{number}"} if "sample_id" in kind().declared else {}
            found.setdefault(key, []).append(store.add(file, kind(**facts)))
    # Stored as they are, for what reads them is not asked.
    (folder / "cells").write_text("cells\n")
    cells = store.add(folder / "cells")
    store.delete(cells)  # its bytes stay
    bare = sg.AnnData(cid=cells.cid, name="cells.zarr", sample_id="s1")
    found["anndata"] = [store.put(bare)]
    return store, found


@pytest.fixture
def fresh() -> Iterator[None]:
    """The catalog is read anew, and once more afterwards."""
    _entries.cache_clear()
    yield
    _entries.cache_clear()


@pytest.fixture
def flows() -> str:
    return str(Path(__file__).with_name("flows.py"))
