"""Names and their versions."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, NotFound, StoreError
from stargazer.ledger import Ledger
from stargazer.store.references import find_asset, is_reference

SHORT = bool(os.environ.get("STARGAZER_SHORT"))


@sg.task
def shout(work: sg.Workdir, words: sg.Asset, more: list[sg.Asset] | None = None) -> sg.Asset:
    out = work.file("loud.txt")
    out.write_text(words.path.read_text().upper())
    return sg.Asset(path=out)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> sg.Store:
    return sg.Store(f"{tmp_path}/store" if request.param == "local" else f"memory://{tmp_path.name}-names")


def added(store: sg.Store, folder: Path, text: str, **facts: str) -> sg.Asset:
    file = folder / "words.txt"
    file.write_text(text)
    return store.add(file, sg.Asset(**facts))


def test_versions_are_numbered_and_kept(store: sg.Store, tmp_path: Path) -> None:
    one, two = added(store, tmp_path, "one"), added(store, tmp_path, "two", topic="numbers")
    assert [sg.names.set("pbmc/words", each).version for each in (one, two, two, one)] == [1, 2, 2, 3]
    assert sg.names.get("pbmc/words", store=store) == one
    assert [each.asset for each in sg.names.history("pbmc/words", store=store)] == [one, two, one]
    assert sg.names.list(store=store) == {"pbmc/words": 3}
    changes = sg.names.diff("pbmc/words", 1, 2, store=store).changes
    assert changes == {"cid": (one.cid, two.cid), "topic": (None, "numbers")}
    for version, told in ((0, "versions 1 to 3"), (4, "versions 1 to 3")):
        with pytest.raises(NotFound, match=told):
            sg.names.get("pbmc/words", version, store=store)
    for odd in ("1", 1.0, True):
        with pytest.raises(StoreError, match="a whole number"):
            sg.names.get("pbmc/words", odd, store=store)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="Did you mean pbmc/words"):
        sg.names.get("pbmc/word", store=store)
    for wrong in ("", "a@b", "/a", "a/", "a//b", ".a", "../a", "a b", "a" * 201):
        with pytest.raises(StoreError, match="is no name"):
            sg.names.set(wrong, one)


def test_a_name_is_given_wherever_an_asset_is(store: sg.Store, tmp_path: Path) -> None:
    one, two = added(store, tmp_path, "one"), added(store, tmp_path, "two")
    sg.names.set("words", one)
    sg.names.set("words", two)
    for text, meant in (
        ("words@1", one), ("words@v=1", one), ("words@latest", two), ("stargazer://name/words", two),
        ("stargazer://name/words@1", one), (f"stargazer://asset/{one.cid}", one), (one.id, one), (one.id[:9], one),
        (f"{one.cid[:9]}…{one.cid[-4:]}", one),
    ):  # fmt: skip
        assert find_asset(store, text) == meant, text
        assert is_reference(text)
    assert not any(map(is_reference, ("words.txt", "words", "a/b.txt", "words@", "words@0", "me@example.org", "")))
    with store:
        call = shout("words@1", ["words@latest"])
        sg.names.set("words", added(store, tmp_path, "three"))
        made = call.compute()
        assert made.fetch().read_text() == "ONE"
        record = Ledger(store.records).get(made.source.record)
        assert record.named == {one.id: "words@1", two.id: "words@2"}
        assert shout(one, [two]).compute() == made, "a name is in no key"
        with pytest.raises(ArgumentError, match=r"shout: words: .* has no name"):
            shout("word@1")
        with pytest.raises(ArgumentError, match=r"sg\.add"):
            shout("words.txt")


def test_what_has_a_name_stays(tmp_path: Path) -> None:
    store = sg.Store(tmp_path / "store")
    kept, gone = added(store, tmp_path, "kept"), added(store, tmp_path, "gone")
    sg.names.set("kept", kept)
    sg.names.set("kept", added(store, tmp_path, "newer"))
    for asset in (kept, gone):
        store.delete(asset)
    store.gc(grace=0, recent=0)
    assert store.has(kept.cid)
    assert not store.has(gone.cid)
    assert sg.names.get("kept", 1, store=store).fetch().read_text() == "kept"


def test_fsck_finds_torn_lost_and_stray_versions(tmp_path: Path) -> None:
    store = sg.Store(tmp_path / "store")
    for number in range(1, 6):
        sg.names.set("a/b", added(store, tmp_path, f"{number}"))
    assert store.fsck().ok
    folder = tmp_path / "store/names/a@b"
    lost = sg.names.get("a/b", 5, store=store)
    for place, content in (("2", b"torn"), ("x", b"")):
        (folder / place).unlink(missing_ok=True)
        (folder / place).write_bytes(content)
    (folder / "3").unlink()
    store.delete(lost)
    store.backend.remove(f"blobs/{lost.cid[-3:-1]}/{lost.cid}")
    checked = store.fsck()
    assert set(checked.torn) == {"names/a@b/2", "names/a@b/3"}
    assert checked.strays == ("names/a@b/x",)
    assert checked.missing == {lost.cid: ("a/b@5",)}
    with pytest.raises(StoreError, match="cannot be read"):
        store.gc(grace=0)


WRITER = """
import json, os, sys
import stargazer as sg
from dataclasses import replace
from stargazer.store.names import Names
url, log, first, last, who = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
store = sg.Store(url)
(base,) = store.assemble(name="base.txt")
names = store.names
with open(log, "a") as told:
    for number in range(first, last):
        version = names.set("many", replace(base, facts={"who": who, "number": number})).version
        told.write(json.dumps([number, version]) + "\\n")
        told.flush()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kills", [False, True])
def test_many_writers_leave_no_gap_and_lose_nothing(tmp_path: Path, kills: bool) -> None:
    each, writers, dice = 50 if SHORT else 1000, 8, random.Random(7)
    store = sg.Store(tmp_path / "store")
    (tmp_path / "base.txt").write_text("base")
    store.add(tmp_path / "base.txt")

    def start(writer: int) -> subprocess.Popen[bytes]:
        arguments = [store.url, str(tmp_path / f"{writer}.log"), str(len(told(writer))), str(each), str(writer)]
        return subprocess.Popen([sys.executable, "-c", WRITER, *arguments])

    def told(writer: int) -> list[list[int]]:
        log = tmp_path / f"{writer}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    running = {writer: start(writer) for writer in range(writers)}
    deaths = 0
    while running:
        time.sleep(0.02)
        for writer, process in list(running.items()):
            if process.poll() is None:
                if kills and deaths < 2 * writers and told(writer) and dice.random() < 0.1:
                    process.send_signal(signal.SIGKILL)
                continue
            if process.returncode == 0:
                del running[writer]
            else:
                assert process.returncode == -signal.SIGKILL
                deaths += 1
                running[writer] = start(writer)
    assert not kills or deaths
    found = {version.version: version.asset.facts for version in store.names.history("many")}
    assert sorted(found) == list(range(1, len(found) + 1))
    answers = [(writer, number, version) for writer in range(writers) for number, version in told(writer)]
    assert len({version for _, _, version in answers}) == len(answers) == writers * each
    for writer, number, version in answers:
        assert (found[version]["who"], found[version]["number"]) == (str(writer), number)
    assert len(found) - len(answers) <= deaths, "what was written and not told of"
    assert store.fsck().ok
