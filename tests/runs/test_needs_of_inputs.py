"""Needs that are functions of inputs, parameters and the attempt: asked when the inputs are there, and in no key."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

import stargazer as sg
from stargazer.errors import DefinitionError, MemoryExceeded, NeedUnmet, RunFailed

MIB = 1 << 20
HUNGRY = "import sys, time; x = bytearray(int(sys.argv[1])); print(len(x)); time.sleep(1)"


@sg.task
def made(work: sg.Workdir, *, size: int) -> sg.Asset:
    out = work.file("made.bin")
    out.write_bytes(b"x" * size)
    return sg.Asset(path=out)


@sg.task
def failing(work: sg.Workdir) -> sg.Asset:
    raise ValueError("it never works")


@sg.task(
    cpus=lambda given, more: 1 + (given.size > 10 * more),
    memory=lambda given, more: 64 * MIB + 1000 * given.size,
    walltime=lambda given: 60 + given.size,
)
def measured(work: sg.Workdir, given: sg.Asset, *, more: int = 10) -> sg.Asset:
    out = work.file("needs.txt")
    out.write_text(f"{work.cpus} {work.memory}")
    return sg.Asset(path=out)


@sg.task(memory=lambda given, attempt: attempt * 60 * MIB)
def growing(work: sg.Workdir, given: sg.Asset, *, size: int) -> sg.Asset:
    out = work.file("size.txt")
    work.run(["sh", "-c", 'python3 -c "$0" "$1"', HUNGRY, size], stdout=out)
    return sg.Asset(path=out)


@sg.task(memory=lambda given: 1 // (given.size - 3))
def wrong(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    raise NotImplementedError


@sg.task
def both(work: sg.Workdir, given: list[sg.Asset]) -> sg.Asset:
    out = work.file("both.txt")
    out.write_text(" / ".join(each.path.read_text() for each in given))
    return sg.Asset(path=out)


@pytest.fixture(scope="module", params=["threads here", "workers"])
def place(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "threads here":
        yield
    else:
        with sg.connect("threads", cpus=4, memory="1 GiB"):
            yield


def test_they_are_asked_when_the_inputs_are_there(store: sg.Store, place: None) -> None:
    calls = [measured(made(size=size)) for size in (50, 500)]
    found = sg.run(both(calls)).result().fetch().read_text()
    assert found == f"1 {64 * MIB + 50_000} / 2 {64 * MIB + 500_000}"


def test_a_stored_input_is_there_from_the_beginning(store: sg.Store, place: None) -> None:
    given = made(size=70).compute()
    assert given.size == 70
    assert sg.run(measured(given)).result().fetch().read_text() == f"1 {64 * MIB + 70_000}"
    assert measured(given, more=2).compute().fetch().read_text() == f"2 {64 * MIB + 70_000}"


def test_plain_dask_asks_them_where_the_call_runs(store: sg.Store, place: None) -> None:
    assert measured(made(size=300)).compute().fetch().read_text() == f"2 {64 * MIB + 300_000}"


def test_an_attempt_that_had_too_little_is_followed_by_one_with_more(store: sg.Store, place: None) -> None:
    assert sg.run(growing(made(size=1), size=100 * MIB)).result().fetch().read_text() == f"{100 * MIB}\n"


def test_there_is_a_last_attempt(store: sg.Store, place: None) -> None:
    with pytest.raises(RunFailed) as failed:
        sg.run(growing(made(size=1), size=700 * MIB))
    (error,) = failed.value.failures.values()
    assert isinstance(error, MemoryExceeded)
    assert 5 * 60 * MIB <= error.limit < 6 * 60 * MIB


def test_an_error_in_one_is_the_error_of_its_call(store: sg.Store, place: None) -> None:
    flight = sg.run([wrong(made(size=3)), measured(made(size=4)), both([wrong(made(size=3))])], wait=False)
    with pytest.raises(RunFailed, match="1 of 5 calls failed"):
        flight.result()
    ((label, error),) = flight.failures.items()
    assert label.startswith("wrong ")
    assert isinstance(error, ZeroDivisionError)


def test_what_needs_a_call_that_failed_is_skipped(store: sg.Store, place: None) -> None:
    flight = sg.run([both([measured(failing())]), made(size=9)], wait=False)
    with pytest.raises(RunFailed, match="1 of 4 calls failed"):
        flight.result()
    assert str(flight.status()).endswith("1 done, 1 failed, 2 skipped")


def test_they_are_in_no_key(store: sg.Store) -> None:
    def body(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
        return given

    asset = made(size=5).compute()
    plain, more = sg.task(body), sg.task(memory=lambda given: 3 * given.size, cpus=lambda given: 2)(body)
    assert plain(asset).plan_key == more(asset).plan_key


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda reads: 1, r"memory= asks for 'reads', but there are given, more, attempt"),
        (lambda *given: 1, r"takes inputs and parameters of the task by their names"),
    ],
)
def test_what_they_ask_for_must_be_there(store: sg.Store, function: object, problem: str) -> None:
    def body(work: sg.Workdir, given: sg.Asset, *, more: int = 1) -> sg.Asset:
        return given

    with pytest.raises(DefinitionError, match=problem):
        sg.task(memory=function)(body)(made(size=1))


def test_more_than_any_worker_has_is_an_error_of_the_call(store: sg.Store) -> None:
    @sg.task(gpus=lambda given: given.size)
    def graphic(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
        raise NotImplementedError

    with sg.connect("threads", cpus=2, memory="1 GiB"), pytest.raises(RunFailed) as failed:
        sg.run(graphic(made(size=2)))
    (error,) = failed.value.failures.values()
    assert isinstance(error, NeedUnmet)
    assert "graphic needs 2 gpus" in str(error)


def test_a_directory_is_as_large_as_its_files(store: sg.Store) -> None:
    @sg.task
    def folder(work: sg.Workdir) -> sg.Asset:
        out = work.path / "folder"
        (out / "below").mkdir(parents=True)
        for name, size in (("a", 3), ("below/b", 400_000), ("below/c", 400_000)):
            (out / name).write_bytes(b"z" * size)
        return sg.Asset(path=out)

    assert folder().compute().size == 800_003


@dataclasses.dataclass(frozen=True)
class Choice:
    times: int


@sg.task(cpus=lambda choice: choice.times)
def chosen(work: sg.Workdir, *, choice: Choice) -> int:
    return choice.times


def test_functions_of_needs_get_values_of_own_classes(store: sg.Store) -> None:
    """Which travel sealed: a function sees what the body sees."""
    assert sg.run(chosen(choice=Choice(1))).result() == 1
