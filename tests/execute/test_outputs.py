"""What a body may give back, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import stargazer as sg
from stargazer.errors import InputChanged, OutputError
from stargazer.store import Store


def compute(body: Callable[..., object], *inputs: sg.Asset, **options: object) -> sg.Asset:
    made: sg.Asset = sg.task(**options)(body)(*inputs).compute(scheduler="sync")  # type: ignore[arg-type]
    return made


def text(asset: sg.Asset) -> str:
    return asset.fetch().read_text()


@pytest.fixture
def given(store: Store, tmp_path: Path) -> sg.Alignment:
    """A file of more than a block, which is linked and not copied, with an index."""
    (tmp_path / "s1.bam").write_text("b" * 10_000)
    (tmp_path / "s1.bam.bai").write_text("index")
    index = store.add(tmp_path / "s1.bam.bai", sg.AlignmentIndex(sample_id="s1"))
    stored: sg.Alignment = store.add(tmp_path / "s1.bam", sg.Alignment(sample_id="s1"), companions=[index])
    return stored


@pytest.fixture
def small(store: Store, tmp_path: Path) -> sg.Asset:
    (tmp_path / "small.txt").write_text("small")
    return store.add(tmp_path / "small.txt")


def blobs(store: Store) -> int:
    """Blobs of a store, but for the change that this code may have since its last commit, which runs keep."""
    found = Path(store.url.removeprefix("file://")).glob("blobs/*/*")
    return sum(not path.read_bytes().startswith(b"diff --git") for path in found)


def same(work: sg.Workdir, x: sg.Alignment) -> sg.Alignment:
    return x


def with_facts(work: sg.Workdir, x: sg.Alignment) -> sg.Alignment:
    return replace(x, sorted="coordinate")


def without_index(work: sg.Workdir, x: sg.Alignment) -> sg.Alignment:
    return replace(x, companions=())


def with_new_index(work: sg.Workdir, x: sg.Alignment) -> sg.Alignment:
    work.file("new.bai").write_text("new index")
    return replace(x, companions=(sg.AlignmentIndex(path=work.file("new.bai")),))


def linked(work: sg.Workdir, x: sg.Alignment) -> sg.Alignment:
    work.file("link.bam").symlink_to(x.path)
    return sg.Alignment(path=work.file("link.bam"), sample_id="s2")


def moved(work: sg.Workdir, x: sg.Alignment) -> sg.Alignment:
    """The way in which many would write it: a copy of the input's facts with another file."""
    work.file("sorted.bam").write_text("sorted")
    return replace(x, path=work.file("sorted.bam"), sorted="coordinate")


def test_an_input_that_is_passed_on_costs_no_bytes(store: Store, given: sg.Alignment) -> None:
    before = blobs(store)
    assert compute(same, given) == given
    changed = compute(with_facts, given)
    assert (changed.cid, changed.declared["sorted"], changed.companions) == (given.cid, "coordinate", given.companions)
    assert compute(without_index, given).companions == ()
    link = compute(linked, given)
    assert (link.cid, link.name, link.declared["sample_id"]) == (given.cid, "link.bam", "s2")
    assert blobs(store) == before
    fresh = compute(with_new_index, given)
    assert (fresh.cid, text(fresh.companions[0])) == (given.cid, "new index")
    assert fresh.companions[0].declared["alignment_cid"] == given.cid


def test_another_path_is_another_file_whatever_the_copied_cid_says(given: sg.Alignment) -> None:
    made = compute(moved, given)
    assert (text(made), made.declared["sorted"], made.declared["sample_id"]) == ("sorted", "coordinate", "s1")
    assert text(given) == "b" * 10_000


def overwrite(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    x.path.write_text("overwritten")
    return x


def replaced(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    x.path.unlink()
    x.path.write_text("replaced")
    return x


@pytest.mark.parametrize("body", [overwrite, replaced])
def test_a_private_copy_that_was_changed_is_a_new_file(
    store: Store, small: sg.Asset, body: Callable[..., object]
) -> None:
    made = compute(body, small, stage="copy")
    assert text(made) in ("overwritten", "replaced")
    assert text(small) == "small"
    assert store.fsck().ok


@pytest.mark.parametrize("body", [overwrite, replaced])
def test_an_input_that_was_written_to_is_never_passed_on_as_what_it_was(
    store: Store, small: sg.Asset, given: sg.Alignment, body: Callable[..., object]
) -> None:
    for asset in (small, given):
        with pytest.raises(InputChanged, match="stage='copy'"):
            compute(body, asset)
    assert text(small) == "small"


def test_an_input_that_a_tool_wrote_to_is_noticed(store: Store, given: sg.Alignment) -> None:
    """As root even a read-only link can be written through."""

    def harm(work: sg.Workdir, x: sg.Alignment) -> sg.Asset:
        try:
            x.path.write_text("harmed")
        except PermissionError:
            pytest.skip("the file system forbids it")
        work.file("out").write_text("out")
        return sg.Asset(path=work.file("out"))

    with pytest.raises(InputChanged, match="was written to, but it is an input") as raised:
        compute(harm, given)
    assert "noticed when task harm ended" in raised.value.__notes__[0]
    assert store.find(name="out") == []
    assert not store.has(str(given.cid))


def folder(work: sg.Workdir) -> sg.Asset:
    out = work.directory("out.zarr")
    (out / "a" / "b").mkdir(parents=True)
    (out / "a" / "b" / "0").write_text("0")
    (out / ".zattrs").write_text("{}")
    return sg.Asset(path=out)


def grown(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    (x.path / "more").write_text("more")
    return x


def grown_in_place(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    return grown(work, x)


def passed(work: sg.Workdir, x: sg.Asset) -> sg.Asset:
    return x


def test_directories_are_results_and_inputs(store: Store) -> None:
    made = compute(folder)
    assert (made.name, (made.fetch() / "a" / "b" / "0").read_text()) == ("out.zarr", "0")
    assert compute(passed, made) == made
    more = compute(grown, made, stage="copy")
    assert sorted(path.name for path in more.fetch().iterdir()) == [".zattrs", "a", "more"]
    with pytest.raises(InputChanged):
        compute(grown_in_place, made)


def outside(work: sg.Workdir) -> sg.Asset:
    return sg.Asset(path="/etc/hostname")


def up(work: sg.Workdir) -> sg.Asset:
    (work.path.parent / "up.txt").write_text("x")
    return sg.Asset(path=work.path / ".." / "up.txt")


def link_outside(work: sg.Workdir) -> sg.Asset:
    work.file("link").symlink_to("/etc/passwd")
    return sg.Asset(path=work.file("link"))


def link_nowhere(work: sg.Workdir) -> sg.Asset:
    work.file("link").symlink_to("nowhere")
    return sg.Asset(path=work.file("link"))


def missing(work: sg.Workdir) -> sg.Asset:
    return sg.Asset(path=work.file("missing.txt"))


def relative(work: sg.Workdir) -> sg.Asset:
    work.file("x").write_text("x")
    return sg.Asset(path="x")


def itself(work: sg.Workdir) -> sg.Asset:
    return sg.Asset(path=work.path)


def nothing(work: sg.Workdir) -> sg.Asset:
    return sg.Asset()


def unknown_cid(work: sg.Workdir) -> sg.Asset:
    return sg.Asset(cid="bafkreib6vj3os7l4lqqytaw5vju46iorcknttfiwfnlbizjcqn7xd5hrvy")


def second_missing(work: sg.Workdir) -> tuple[sg.Asset, sg.Asset]:
    work.file("first").write_text("first")
    return sg.Asset(path=work.file("first")), sg.Asset(path=work.file("second"))


def companion_missing(work: sg.Workdir) -> sg.Asset:
    work.file("first").write_text("first")
    return sg.Asset(path=work.file("first"), companions=(sg.Asset(path=work.file("second")),))


def companion_outside(work: sg.Workdir) -> sg.Asset:
    work.file("first").write_text("first")
    return sg.Asset(path=work.file("first"), companions=(sg.Asset(path=Path(os.environ["PRECIOUS"])),))


def leaves(work: sg.Workdir) -> sg.Asset:
    raise SystemExit(3)


WRONG = {
    outside: "not in its work directory",
    up: "not in its work directory",
    link_outside: "a link to /etc/passwd",
    link_nowhere: "nowhere, which does not exist",
    missing: "wrote no file missing.txt",
    relative: "not in its work directory",
    itself: "not in its work directory",
    nothing: "not in its work directory",
    unknown_cid: "has no such bytes",
    second_missing: "wrote no file second",
    companion_missing: "wrote no file second",
    companion_outside: "not in its work directory",
    leaves: r"called sys\.exit\(3\)",
}


@pytest.mark.parametrize("body", WRONG, ids=lambda body: body.__name__)
def test_a_wrong_result_leaves_a_failure_record_and_nothing_else(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Callable[..., object]
) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    monkeypatch.setenv("PRECIOUS", str(precious))
    with pytest.raises(OutputError, match=WRONG[body]):
        compute(body)
    assert blobs(store) == 0
    assert store.find() == []
    assert not precious.is_symlink()
    (record,) = [record for _, record in store.records.where(task=body.__name__)]
    assert b'"status":"failed"' in record
    assert b"OutputError" in record


def test_a_failed_body_leaves_its_log(store: Store) -> None:
    def broken(work: sg.Workdir) -> sg.Asset:
        work.file("half").write_text("half")
        work.run(["sh", "-c", "echo last words >&2; exit 3"])
        return sg.Asset(path=work.file("half"))

    with pytest.raises(sg.errors.ToolFailed):
        compute(broken)
    from stargazer.ledger import Record

    ((name, data),) = store.records.where(task="broken")
    record = Record.from_bytes(data, name)
    assert record is not None
    assert record.log is not None
    assert store.read(record.log).splitlines()[1:] == [b"last words"]
    assert str(record.error).startswith("ToolFailed: sh -c")
    assert blobs(store) == 1
    assert store.find() == []
    assert not any(store.context.scratch.glob("work-*"))


def test_one_file_may_be_two_results(store: Store) -> None:
    def twice(work: sg.Workdir) -> tuple[sg.Asset, sg.R1]:
        work.file("x").write_text("x")
        return sg.Asset(path=work.file("x")), sg.R1(path=work.file("x"), sample_id="s")

    one, two = sg.task(twice)().compute(scheduler="sync")
    assert one.cid == two.cid
    assert (type(one), type(two)) == (sg.Asset, sg.R1)


def test_inputs_of_one_name_do_not_meet(store: Store, tmp_path: Path) -> None:
    for sample in "ab":
        (tmp_path / sample).mkdir()
        (tmp_path / sample / "x.txt").write_text(sample)
    a, b = (store.add(tmp_path / sample / "x.txt") for sample in "ab")

    def both(work: sg.Workdir, one: sg.Asset, more: list[sg.Asset], table: dict[str, sg.Asset]) -> str:
        return "".join(each.path.read_text() for each in (one, *more, *table.values()))

    assert sg.task(both)(a, [b, a], {"x": b, "y": a}).compute(scheduler="sync") == "ababa"


def test_what_a_tool_may_not_remove_is_removed(store: Store) -> None:
    def locked(work: sg.Workdir) -> int:
        inner = work.directory("locked/inner")
        (inner / "x").write_text("x")
        inner.chmod(0o500)
        inner.parent.chmod(0o500)
        return 1

    assert sg.task(locked)().compute(scheduler="sync") == 1
    assert list(store.context.scratch.glob("work-*/*")) == []
