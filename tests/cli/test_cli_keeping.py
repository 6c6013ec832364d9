"""``stargazer name``, ``names``, ``facts``, ``rm``; and what names an asset, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stargazer as sg

Run = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> sg.Store:
    return sg.Store(tmp_path / "store")


@pytest.fixture
def words(store: sg.Store, tmp_path: Path) -> sg.Asset:
    (tmp_path / "words.txt").write_text("b\na\n")
    return store.add(tmp_path / "words.txt", sg.R1(sample_id="s1"))


def test_names_are_given_listed_and_compared(stargazer: Run, store: sg.Store, words: sg.Asset) -> None:
    where = ("--store", store.url)
    assert stargazer("names", *where, "--json").json == {"versions": []}
    assert stargazer("name", "demo/words", words.cid, *where).out.startswith("demo/words@1  baf")
    changed = stargazer("facts", words.id[:10], "sample_id=s2", *where, "--json").json
    assert changed["facts"]["sample_id"] == "s2"
    made = stargazer("name", "demo/words", changed["id"], *where, "--json").json
    assert (made["version"], made["asset"]["id"]) == (2, changed["id"])
    assert [row.split("\t")[0] for row in stargazer("names", "demo/words", *where).out.splitlines()] == [
        "demo/words@2", "demo/words@1",
    ]  # fmt: skip
    assert "sample_id: 's1' → 's2'" in stargazer("names", "demo/words", "--diff", *where).out
    assert stargazer("names", "demo/words", "--diff", *where, "--json").json["changes"] == {
        "sample_id": {"older": "s1", "newer": "s2"}
    }
    assert "Did you mean demo/words" in stargazer("names", "demo/word", *where, code=1).err


def test_every_command_takes_names_and_first_digits(
    stargazer: Run, store: sg.Store, words: sg.Asset, tmp_path: Path
) -> None:
    where = ("--store", store.url)
    stargazer("name", "demo/words", words.cid[:12], *where)
    short = f"{str(words.cid)[:8]}…{str(words.cid)[-4:]}"
    for number, named in enumerate(("demo/words@1", "demo/words@latest", words.cid[:12], words.id[:8], short)):
        assert Path(stargazer("get", named, "--out", f"{number}/", *where).out.strip()).read_text() == "b\na\n"
        assert "words.txt" in stargazer("trace", named, *where).out
        assert stargazer("facts", named, *where, "--json").json["id"] == words.id
        stargazer("pin", "kept", named, *where)
        stargazer("push", named, "--to", str(tmp_path / "other"), *where)
    assert "neither a CID" in stargazer("get", "words.txt", *where, code=2).err
    assert "nothing whose CID or id begins" in stargazer("get", "bafkreihcrxxpz6klyar", *where, code=1).err


def test_rm_forgets_until_it_is_collected(stargazer: Run, store: sg.Store, words: sg.Asset) -> None:
    where = ("--store", store.url)
    assert stargazer("rm", words.cid[:14], *where, "--json").json["removed"][0]["id"] == words.id
    assert store.assemble(asset="r1", sample_id="s1", missing="skip") == []
    assert store.has(words.cid)
    stargazer("gc", "--grace", "0s", *where)
    assert not store.has(words.cid)
    stargazer("rm", words.cid, *where, code=1)


def test_rm_wants_to_know_which_of_several(stargazer: Run, store: sg.Store, words: sg.Asset, tmp_path: Path) -> None:
    other = store.add(tmp_path / "words.txt", sg.R1(sample_id="s2"))
    told = stargazer("rm", words.cid, "--store", store.url, code=1).err
    assert words.id[:12] in told
    assert other.id[:12] in told
    stargazer("rm", words.id, "--store", store.url)
    assert store.find(asset="r1") == [other]
