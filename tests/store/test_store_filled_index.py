"""An index that is filled at once has all that one has which grew, and one whose filling failed as well."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stargazer.assets import R1
from stargazer.assets.asset import as_record
from stargazer.cid import cid_of_bytes
from stargazer.store import Store
from stargazer.store import index as module

SAMPLES = 300


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    store = Store(tmp_path / "filled")
    drafts = (R1(cid=cid_of_bytes(b"%d" % n), name=f"s{n}.fq", sample_id=f"s{n}") for n in range(SAMPLES))
    store.assets.put_many(dict(map(as_record, drafts)))
    assert len(store.backend.names("assets")) >= module._MANY
    return store


def trees(store: Store) -> list[tuple[str, str]]:
    (path,) = store.context.cache.glob("index-*.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return sorted(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'").fetchall())


def test_an_index_filled_at_once_has_the_trees_of_one_that_grew(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    late = module._made_late
    monkeypatch.setattr(module, "_made_late", lambda kind: made.append(kind) or late(kind))  # type: ignore[func-returns-value]
    assert [found.sample_id for found in filled.find(sample_id="s7")] == ["s7"]
    assert made.count("assets") == 2, "once with the tables, and once more when these were full"
    grown = Store(tmp_path / "grown")
    (tmp_path / "a").write_text("a")
    grown.add(tmp_path / "a", R1(sample_id="s7"))
    assert [found.sample_id for found in grown.find(sample_id="s7")] == ["s7"]
    assert trees(filled) == trees(grown)
    assert {"assets_by_cid", "assets_by_key", "assets_by_shard", "records_by_task"} <= {
        name for name, _ in trees(grown)
    }
    assert len(filled.find(cid=cid_of_bytes(b"3"))) == 1


def test_an_index_whose_filling_failed_has_them_too(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_mark_superseded", stopped)
        with pytest.raises(KeyboardInterrupt):
            filled.find(sample_id="s7")
    before = trees(filled)
    assert {"assets_by_cid", "assets_by_key"} <= {name for name, _ in before}
    assert len(filled.find()) == SAMPLES
    assert trees(filled) == before
