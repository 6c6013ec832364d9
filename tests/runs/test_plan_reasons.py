"""A plan says what would run, what is known, and why something is not."""

from __future__ import annotations

import enum
from pathlib import Path

import pytest

import stargazer as sg

pytestmark = pytest.mark.usefixtures("store")


def scaled(scale: int) -> tuple[sg.Task, sg.Task]:
    """Two tasks whose code reaches `scale`: the cell of a notebook, run again after an edit."""

    def enlarge(i: int) -> int:
        return scale * i

    @sg.task
    def number(work: sg.Workdir, *, i: int, unit: str = "") -> sg.Asset:
        out = work.file(f"{i}.txt")
        out.write_text(f"{enlarge(i)}{unit}")
        return sg.Asset(path=out)

    @sg.task
    def joined(work: sg.Workdir, parts: list[sg.Asset], title: sg.Asset | None = None) -> sg.Asset:
        out = work.file("joined.txt")
        out.write_text(" ".join(part.path.read_text() for part in parts))
        return sg.Asset(path=out)

    return number, joined


def states(plan: sg.Plan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for planned in plan:
        found.setdefault(planned.call.name, []).append(planned.state)
    return found


def reasons(plan: sg.Plan, task: str) -> list[tuple[str, str]]:
    (planned,) = (planned for planned in plan if planned.call.name == task and planned.state != "known")
    return [(reason.kind, reason.text) for reason in planned.reasons]


def test_what_never_ran() -> None:
    number, joined = scaled(2)
    plan = sg.plan(joined([number(i=1), number(i=2)]))
    assert states(plan) == {"number": ["run", "run"], "joined": ["run"]}
    assert reasons(plan, "joined") == [("never ran", "never ran")]
    assert len(sg.assemble(asset="asset")) == 0


def test_what_is_known_is_looked_at_no_further() -> None:
    number, joined = scaled(2)
    call = joined([number(i=1), number(i=2)])
    call.compute()
    assert states(sg.plan(call)) == {"joined": ["known"]}


def test_a_changed_parameter_is_named_from_and_to() -> None:
    number, _ = scaled(2)
    number(i=1, unit="kb").compute()
    assert reasons(sg.plan(number(i=1, unit="Mb")), "number") == [("parameter", "parameter unit: 'kb' → 'Mb'")]


def test_the_nearest_record_is_compared() -> None:
    number, _ = scaled(2)
    for i in range(5):
        number(i=i, unit="kb").compute()
    assert reasons(sg.plan(number(i=3, unit="Mb")), "number") == [("parameter", "parameter unit: 'kb' → 'Mb'")]


def test_changed_code_names_the_piece() -> None:
    number, joined = scaled(2)
    joined([number(i=1)]).compute()
    number, joined = scaled(3)
    plan = sg.plan(joined([number(i=1)]))
    ((kind, text),) = reasons(plan, "number")
    assert kind == "code"
    assert "enlarge" in text
    # The same bytes might come out, and then the other task is spared.
    assert states(plan) == {"number": ["run"], "joined": ["maybe"]}
    ((kind, text),) = reasons(plan, "joined")
    assert (kind, text) == ("input", "input parts is made anew by number")


def test_each_input_names_what_makes_it() -> None:
    @sg.task
    def both(work: sg.Workdir, one: sg.Asset, other: sg.Asset) -> sg.Asset:
        return one

    number, joined = scaled(2)
    both(number(i=1), joined([number(i=2)])).compute()
    number, joined = scaled(3)
    told = reasons(sg.plan(both(number(i=1), joined([number(i=2)]))), "both")
    texts = ["input one is made anew by number", "input other is made anew by joined"]
    assert told == [("input", text) for text in texts]


def test_a_changed_input_is_named(tmp_path: Path) -> None:
    _, joined = scaled(2)
    for name in ("old.txt", "new.txt"):
        (tmp_path / name).write_text(name)
    old, new = sg.add(tmp_path / "old.txt"), sg.add(tmp_path / "new.txt")
    joined([old]).compute()
    ((kind, text),) = reasons(sg.plan(joined([new])), "joined")
    assert kind == "input"
    assert text.startswith("input parts: old.txt")
    assert "new.txt" in text


def test_a_lost_result_is_said_to_be_lost(store: sg.Store) -> None:
    number, _ = scaled(2)
    stored = number(i=1).compute()
    store.blobs.path(stored.cid).unlink()
    ((kind, text),) = reasons(sg.plan(number(i=1)), "number")
    assert kind == "lost"
    assert "no longer in the store" in text


def test_a_changed_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "bin" / "shout"
    binary.parent.mkdir()
    monkeypatch.setenv("PATH", str(binary.parent), prepend=":")

    @sg.task(tools=["shout"])
    def loud(work: sg.Workdir) -> sg.Asset:
        out = work.file("loud.txt")
        work.run(["shout"], stdout=out)
        return sg.Asset(path=out)

    for version in ("1.0", "1.1"):
        binary.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo shout {version}; else echo AH; fi\n')
        binary.chmod(0o755)
        plan = sg.plan(loud())
        loud().compute()
    assert reasons(plan, "loud") == [("tool", "tool shout: 1.0 → 1.1")]


def test_cut_off_is_foreseen_where_all_inputs_are_known() -> None:
    """The same bytes on another way: the reduce is known before anything runs."""
    number, joined = scaled(2)
    joined([number(i=2)]).compute()

    @sg.task
    def number_otherwise(work: sg.Workdir) -> sg.Asset:
        out = work.file("2.txt")
        out.write_text("4")
        return sg.Asset(path=out)

    other = number_otherwise()
    other.compute()
    assert states(sg.plan(joined([other]))) == {"number_otherwise": ["known"], "joined": ["known"]}


def test_elements_stand_for_their_call() -> None:
    @sg.task
    def two(work: sg.Workdir) -> tuple[sg.Asset, sg.Asset]:
        for name in "ab":
            work.file(name).write_text(name)
        return sg.Asset(path=work.file("a")), sg.Asset(path=work.file("b"))

    first, second = two()
    assert states(sg.plan(first, {"more": [second]})) == {"two": ["run"]}
    first.compute()
    assert states(sg.plan(second)) == {"two": ["known"]}


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


def test_values_are_shown_as_they_are_written() -> None:
    @sg.task
    def mixed(work: sg.Workdir, *, table: dict[str, int], mode: Mode, pair: tuple[int, ...]) -> int:
        return 1

    mixed(table={"b": 1, "a": 2}, mode=Mode.FAST, pair=(1, 2)).compute()
    plan = sg.plan(mixed(table={"a": 2, "b": 1}, mode=Mode.SLOW, pair=(1,)))
    assert [text for _, text in reasons(plan, "mixed")] == [
        "parameter table: {'b': 1, 'a': 2} → {'a': 2, 'b': 1}",
        "parameter mode: 'Mode.FAST' → 'Mode.SLOW'",
        "parameter pair: (1, 2) → (1,)",
    ]


def test_another_order_of_inputs_is_no_lost_result(tmp_path: Path) -> None:
    @sg.task
    def names(work: sg.Workdir, table: dict[str, sg.Asset]) -> str:
        return " ".join(table)

    for name in "ab":
        (tmp_path / name).write_text(name)
    a, b = (sg.add(tmp_path / name) for name in "ab")
    names({"a": a, "b": b}).compute()
    assert reasons(sg.plan(names({"b": b, "a": a})), "names") == [("input", "inputs in another order")]
