"""Where a result came from, and what was made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import ArgumentError, NotFound

pytestmark = pytest.mark.usefixtures("store")


@sg.task
def upper(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    out = work.file("upper.txt")
    out.write_text(given.path.read_text().upper())
    return sg.Asset(path=out)


@sg.task
def joined(work: sg.Workdir, parts: list[sg.Asset], *, comma: str = ",") -> sg.Asset:
    out = work.file("joined.txt")
    out.write_text(comma.join(part.path.read_text() for part in parts))
    return sg.Asset(path=out)


@sg.task
def shouted(work: sg.Workdir, *, what: str) -> sg.Asset:
    out = work.file("upper.txt")
    out.write_text(what.upper())
    return sg.Asset(path=out)


@pytest.fixture
def given(tmp_path: Path) -> sg.Asset:
    (tmp_path / "given.txt").write_text("word")
    return sg.add(tmp_path / "given.txt")


def test_up_to_the_files_that_were_added(given: sg.Asset) -> None:
    stored = joined([upper(given), given], comma=";").compute()
    lineage = sg.trace(stored)
    (root,) = lineage.roots
    assert root.record is not None
    assert (root.record.task, root.record.parameters) == ("joined", {"comma": ";"})
    assert [node.parameter for node in root.next] == ["parts[0]", "parts[1]"]
    assert [record.task for record in lineage.records] == ["joined", "upper"]
    assert lineage.sources == [given]
    text = str(lineage)
    assert text.index("joined.txt") < text.index("upper.txt") < text.index("given.txt")
    assert "joined" in lineage.to_mermaid()


def test_down_to_all_that_was_made_of_it(given: sg.Asset) -> None:
    final = joined([upper(given)]).compute()
    lineage = sg.trace(given, direction="down")
    assert [asset.name for asset in lineage.assets] == ["given.txt", "upper.txt", "joined.txt"]
    assert final in lineage.assets


def test_a_handle_knows_its_record_and_a_bare_cid_lists_all_producers(given: sg.Asset) -> None:
    first = upper(given).compute()
    second = shouted(what="word").compute()
    assert first.cid == second.cid
    assert [node.record.task for node in sg.trace(first).roots if node.record] == ["upper"]
    assert [node.record.task for node in sg.trace(second).roots if node.record] == ["shouted"]
    producers = [node.record.task for node in sg.trace(str(first.cid)).roots if node.record]
    assert producers == ["shouted", "upper"]


def test_the_way_is_followed_by_records_not_by_bytes(given: sg.Asset) -> None:
    """What `joined` read was made by `upper`, whoever made the same bytes since."""
    stored = joined([upper(given)]).compute()
    shouted(what="word").compute()
    assert [record.task for record in sg.trace(stored).records] == ["joined", "upper"]


def test_a_file_that_was_added_has_no_record(given: sg.Asset) -> None:
    lineage = sg.trace(given)
    assert (lineage.records, lineage.sources) == ([], [given])


def test_an_unknown_cid_is_an_error() -> None:
    with pytest.raises(NotFound):
        sg.trace("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")


def test_chains_deeper_than_the_stack(given: sg.Asset) -> None:
    @sg.task
    def step(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
        out = work.file("step.txt")
        out.write_text(given.path.read_text() + "x")
        return sg.Asset(path=out)

    call: sg.Asset | sg.Call = given
    for _ in range(1050):
        call = step(call)
    lineage = sg.trace(call.compute())
    assert len(lineage.records) == 1050
    assert lineage.sources == [given]
    assert str(lineage)
    assert lineage.to_dict()


@pytest.mark.parametrize("wrong", [lambda: shouted(what="a"), 3, None], ids=["call", "number", "nothing"])
def test_only_what_is_stored_has_a_lineage(wrong: object) -> None:
    with pytest.raises(ArgumentError, match="stored asset or a CID"):
        sg.trace(wrong() if callable(wrong) else wrong)  # type: ignore[arg-type]
