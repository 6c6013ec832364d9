"""Pictures in notebooks: true, escaped, and free of side effects."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

import stargazer as sg
from stargazer.display.status import failures_html, run_html, status_table
from stargazer.store import Store

EVIL = "<script>alert('&')</script>"


@sg.task
def piece(work: sg.Workdir, source: sg.Asset, *, number: int, label: str = "") -> sg.Asset:
    out = work.file(f"piece-{number}.txt")
    out.write_text(source.path.read_text() + str(number))
    if number < 0:
        raise ValueError(f"<b>{number}</b> is negative")
    return sg.Asset(path=out)


@sg.task
def talking(work: sg.Workdir, *, lines: int) -> sg.Asset:
    work.run(["sh", "-c", f"for n in $(seq 0 {lines - 1}); do echo said $n >&2; done; exit 3"])
    raise AssertionError


@sg.task
def whole(work: sg.Workdir, pieces: list[sg.Asset], *, times: int = 1) -> sg.Asset:
    out = work.file("whole.txt")
    out.write_text("".join(each.path.read_text() for each in pieces) * times)
    return sg.Asset(path=out)


@sg.task
def step(work: sg.Workdir, before: sg.Asset) -> sg.Asset:
    out = work.file("step.txt")
    out.write_text(before.path.read_text() + ".")
    return sg.Asset(path=out)


class Outline(HTMLParser):
    """Text and tags of a page; fails where tags do not close as they opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def shown(thing: object) -> Outline:
    outline = Outline(thing._repr_html_())  # type: ignore[attr-defined]
    assert "script" not in outline.tags
    return outline


@pytest.fixture
def source(store: Store, tmp_path: Path) -> sg.Asset:
    (tmp_path / "source.txt").write_text("x")
    return store.add(tmp_path / "source.txt", sg.Asset(note=EVIL))


def test_asset(store: Store, tmp_path: Path) -> None:
    (tmp_path / "ref.fa").write_text(">c\nA\n")
    (tmp_path / "ref.fa.fai").write_text("c\t1\t3\t1\t2\n")
    index = sg.ReferenceIndex(path=tmp_path / "ref.fa.fai")
    reference = store.add(tmp_path / "ref.fa", sg.Reference(build=EVIL), companions=[index])
    text = shown(reference).text
    for word in ("Reference", "ref.fa", EVIL, reference.cid, "ref.fa.fai", store.url):
        assert str(word) in text


def test_draft_says_that_it_is_one() -> None:
    text = shown(sg.R1(path=Path("r1.fq.gz"), sample_id="s1")).text
    assert "draft" in text
    assert "sequencing_platform" not in text, "a fact that says nothing is shown"


def test_store_is_not_made_by_being_shown(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "none"))
    assert "nothing is stored yet" in shown(store).text
    assert not (tmp_path / "none").exists()
    (tmp_path / "f").write_text("x")
    store.add(tmp_path / "f")
    assert store.id in shown(store).text


def test_call_before_and_after_it_ran(source: sg.Asset) -> None:
    call = piece(source, number=1, label=EVIL)
    before = shown(call).text
    assert "not run yet" in before
    assert EVIL in before
    assert "source.txt" in before
    stored = call.compute(scheduler="sync")
    after = shown(call).text
    assert "not run yet" not in after
    assert stored.name in after


def test_call_of_many_inputs_stays_small(source: sg.Asset) -> None:
    call = whole([piece(source, number=n) for n in range(1000)])
    assert "and 994 more" in shown(call).text
    assert len(call._repr_html_()) < 8000


def test_call_whose_store_is_broken_can_be_shown(source: sg.Asset, store: Store, tmp_path: Path) -> None:
    call = piece(source, number=2)
    (tmp_path / "store" / "keys").write_text("no directory")
    assert "piece" in shown(call).text


def test_record_and_lineage(source: sg.Asset) -> None:
    stored = whole([piece(source, number=n) for n in (1, 2)], times=3).compute(scheduler="sync")
    lineage = sg.trace(stored)
    tree = shown(lineage)
    assert tree.tags.count("li") == 5
    assert EVIL in tree.text
    record = shown(lineage.records[0]).text
    assert stored.cid in record
    assert "times" in record


def test_lineage_that_is_deeper_than_the_stack(source: sg.Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    from stargazer.ledger.lineage import Lineage, Node

    record = sg.trace(step(source).compute(scheduler="sync")).records[0]
    node = Node(source)
    for _ in range(3000):
        node = Node(source, record, "before", (node,))
    lineage = Lineage((node,))
    assert str(lineage).count("\n") == 3000
    shown(lineage)


def test_plan_groups_what_is_alike(source: sg.Asset) -> None:
    call = whole([piece(source, number=n) for n in range(40)])
    lines = str(sg.plan(call)).splitlines()
    assert lines[0] == "41 of 41 calls would run, 0 are known"
    assert [line.split() for line in lines[1:]] == [
        ["run", "piece", "×25", "never", "ran"],
        ["run", "piece", "×15", "(further", "calls", "of", "piece)"],
        ["run", "whole", "never", "ran"],
    ]
    assert "×25" in shown(sg.plan(call)).text


def test_plan_says_what_changed(source: sg.Asset) -> None:
    whole([piece(source, number=1)]).compute(scheduler="sync")
    text = str(sg.plan(whole([piece(source, number=1)], times=2)))
    assert text.splitlines()[0] == "1 of 2 calls would run, 1 is known"
    assert "parameter times: 1 → 2" in text
    assert str(sg.plan(whole([piece(source, number=1)]))).startswith("nothing would run: the call is known")


def test_run_tells_of_failures(source: sg.Asset) -> None:
    run = sg.run(whole([piece(source, number=n) for n in (1, -1)]), wait=False)
    with pytest.raises(sg.errors.RunFailed):
        run.result()
    text = shown(run).text
    assert "ValueError: <b>-1</b> is negative" in text
    assert "skipped" in text
    assert "3 of 3 calls ended" in text
    assert "1" in shown(run.status()).text


def test_the_log_of_a_failure_is_one_click_away(source: sg.Asset) -> None:
    run = sg.run(talking(lines=50), piece(source, number=-1), wait=False)
    run.wait()
    page = shown(run)
    assert page.tags.count("details") == page.tags.count("pre") == 2
    assert "said 49" in page.text
    assert "said 9 " not in page.text
    assert "raise ValueError" in page.text
    for label in run.failures:
        assert run.log_command(label) in page.text
        assert run.log_command(label) in str(status_text(run))
    (label,) = (label for label in run.failures if label.startswith("talking"))
    assert "said 0\n" in run.log(label)
    assert "said 49" in Outline(failures_html(run)).text
    assert "said 49" not in run_html(run, failures=False)


def status_text(run: sg.Run) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(status_table(run))
    return console.export_text()


def test_mermaid_names_everything_once(source: sg.Asset) -> None:
    stored = whole([piece(source, number=n) for n in (1, 2)]).compute(scheduler="sync")
    lines = sg.trace(stored).to_mermaid().splitlines()
    assert lines[0] == "flowchart TD"
    assert len(set(lines)) == len(lines)
    boxes = [line for line in lines if '["' in line]
    assert len(boxes) == 4
    assert len([line for line in lines if '("' in line and "-->" not in line]) == 3
    arrows = [line.split()[0] for line in lines if "-->" in line]
    assert len(arrows) == 4 + 3, "two inputs of whole, one of each piece, and an output of each call"
    down = sg.trace(source, direction="down").to_mermaid().splitlines()
    assert sorted(line.count("-->") for line in down) == sorted(line.count("-->") for line in lines)


def test_mermaid_labels_cannot_break_out(store: Store, tmp_path: Path) -> None:
    name = 'a"] --> x["<b>.txt'
    (tmp_path / name).write_text("x")
    chart = sg.trace(step(store.add(tmp_path / name)).compute(scheduler="sync")).to_mermaid()
    (line,) = [line for line in chart.splitlines() if ".txt" in line and "step" not in line]
    assert line.count('"') == 2
    assert "<b>" not in line
