"""What a body changes of its process: refused or put back, said, and never laid at another's door."""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

import stargazer as sg
from stargazer.errors import ProcessChanged, RunFailed
from stargazer.execute.findings import HiddenInput, ProcessWarning
from stargazer.ledger import Ledger
from stargazer.store import Store

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(autouse=True)
def unharmed() -> Iterator[None]:
    """Whatever happens, the process of the tests stays as it is."""
    place, mask, names = os.getcwd(), os.umask(0o022), dict(os.environ)
    yield
    os.chdir(place)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(names)


@sg.task
def moves(work: sg.Workdir, *, i: int = 0) -> sg.Asset:
    os.chdir(work.path)
    Path("out.txt").write_text(str(i))
    return sg.Asset(path=work.path / "out.txt")


@sg.task
def moves_for_a_while(work: sg.Workdir) -> str:
    with contextlib.chdir(work.path):
        return os.getcwd()


@sg.task
def moves_on_a_thread(work: sg.Workdir) -> str:
    raised: list[BaseException] = []

    def move() -> None:
        try:
            os.chdir(work.path)
        except ProcessChanged as error:
            raised.append(error)

    thread = threading.Thread(target=move)
    thread.start()
    thread.join()
    return type(raised[0]).__name__


@pytest.mark.parametrize("task", [moves, moves_for_a_while], ids=lambda task: task.name)
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_another_directory_is_refused_when_it_happens(task: Any, scheduler: str) -> None:
    before = os.getcwd()
    with pytest.raises(ProcessChanged, match=rf"task {task.name} called os\.chdir\(.*write to work\.file\(…\)"):
        task().compute(scheduler=scheduler)
    assert os.getcwd() == before
    assert task().known() is None


def test_threads_of_a_body_are_the_body() -> None:
    before = os.getcwd()
    assert moves_on_a_thread().compute(scheduler="threads") == "ProcessChanged"
    assert os.getcwd() == before


def test_no_sample_gets_the_file_of_another() -> None:
    with pytest.raises(RunFailed, match="2 of 2 calls failed"):
        sg.run([moves(i=i) for i in range(2)], progress=False)


def test_the_program_itself_may_go_where_it_likes_while_bodies_run(tmp_path: Path) -> None:
    flight = sg.run(waits(), wait=False)
    os.chdir(tmp_path)
    assert flight.result() == "ended"
    assert Path.cwd() == tmp_path


@sg.task
def waits(work: sg.Workdir) -> str:
    work.run(["sleep", "0.3"])
    return "ended"


@sg.task
def mask(work: sg.Workdir) -> str:
    os.umask(0o077)
    return "done"


@sg.task
def speaks_german(work: sg.Workdir) -> str:
    locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")
    return "done"


@sg.task
def listens(work: sg.Workdir) -> str:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return "done"


@sg.task
def seeds(work: sg.Workdir) -> float:
    random.seed(7)
    return random.random()


def start_over() -> None:
    random.seed(7)


@sg.task
def seeds_in_a_helper(work: sg.Workdir) -> float:
    start_over()
    return random.random()


@sg.task
def seeds_numpy(work: sg.Workdir) -> float:
    import numpy as np

    np.random.seed(7)
    return float(np.random.random())


@sg.task
def sets(work: sg.Workdir) -> str:
    os.environ["STARGAZER_TEST_COLOUR"] = "red"
    return os.environ["STARGAZER_TEST_COLOUR"]


@sg.task
def unsets(work: sg.Workdir) -> str:
    del os.environ["STARGAZER_TEST_SHAPE"]
    return "done"


def state() -> list[Any]:
    import numpy as np

    current = os.umask(0o022)
    os.umask(current)
    names = [os.environ.get(f"STARGAZER_TEST_{name}") for name in ("COLOUR", "SHAPE")]
    drawn = [random.getstate(), np.random.get_state()[1].tolist()]
    return [current, locale.setlocale(locale.LC_ALL), signal.getsignal(signal.SIGUSR1), names, drawn]


CHANGES = {
    mask: "the umask",
    speaks_german: "the locale",
    listens: "signal handlers",
    seeds: "the state of the module random",
    seeds_in_a_helper: "the state of the module random",
    seeds_numpy: "the random state of NumPy",
    sets: r"the environment \(STARGAZER_TEST_COLOUR\)",
    unsets: r"the environment \(STARGAZER_TEST_SHAPE\)",
}


@pytest.mark.filterwarnings("ignore::stargazer.execute.findings.HiddenInput")
@pytest.mark.parametrize("task", CHANGES, ids=lambda task: task.name)
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_a_change_is_said_and_put_back(task: Any, scheduler: str, store: Store, monkeypatch: Any) -> None:
    if task is seeds_numpy:
        pytest.importorskip("numpy")
    if (task, scheduler) == (listens, "threads"):
        pytest.skip("Python sets handlers on its main thread only")
    monkeypatch.setenv("STARGAZER_TEST_SHAPE", "round")
    before = state()
    with pytest.warns(
        ProcessWarning, match=rf"task {task.name} changed {CHANGES[task]} of its whole process: it was put"
    ):
        task().compute(scheduler=scheduler)
    assert state() == before
    record = Ledger(store.records).find(task().plan_key)
    assert record is not None
    assert any("of its whole process" in line for line in record.noted)


@sg.task
def fails_after_seeding(work: sg.Workdir) -> float:
    random.seed(7)
    raise ValueError("no")


def test_it_is_put_back_after_a_failure_too() -> None:
    before = random.getstate()
    with pytest.raises(ValueError, match="no"):
        fails_after_seeding().compute(scheduler="sync")
    assert random.getstate() == before


@sg.task
def draws(work: sg.Workdir, *, i: int) -> float:
    return random.random()


def test_who_draws_a_number_decides_on_no_other_and_that_is_told(store: Store) -> None:
    """Put back, two calls of one process would draw the same number."""
    with pytest.warns(
        HiddenInput, match=r"task draws drew from the state of the module random, .*random\.Random\(seed"
    ):
        first, second = (draws(i=i).compute(scheduler="sync") for i in (1, 2))
    assert first != second
    record = Ledger(store.records).find(draws(i=1).plan_key)
    assert record is not None
    assert record.noted == [
        "drew from the state of the module random, which all of its process shares, so that no run can be repeated"
    ]


@sg.task
def own_generator(work: sg.Workdir, *, seed: int) -> float:
    return random.Random(seed).random()


def test_a_generator_of_the_bodys_own_is_nobodys_business(store: Store) -> None:
    own_generator(seed=3).compute(scheduler="sync")
    record = Ledger(store.records).find(own_generator(seed=3).plan_key)
    assert record is not None
    assert not record.noted


@sg.task
def seeds_slowly(work: sg.Workdir) -> float:
    random.seed(7)
    work.run(["sleep", "0.5"])
    return random.random()


@sg.task
def quiet(work: sg.Workdir) -> str:
    work.run(["sleep", "0.2"])
    return "quiet"


def test_who_runs_beside_it_is_not_blamed(store: Store) -> None:
    before = random.getstate()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dask.compute(seeds_slowly(), quiet(), scheduler="threads", num_workers=2)
    assert [str(each.message).split()[1] for each in caught if each.category is ProcessWarning] == ["seeds_slowly"]
    record = Ledger(store.records).find(quiet().plan_key)
    assert record is not None
    assert not record.noted
    assert random.getstate() == before


@sg.task
def imports_what_sets_a_variable(work: sg.Workdir) -> str:
    import own_module_with_variable  # type: ignore[import-not-found]

    return str(own_module_with_variable.NAME)


def test_modules_set_their_variables_once(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "own_module_with_variable.py").write_text(
        "import os\nNAME = 'x'\nos.environ['STARGAZER_TEST_ONCE'] = '1'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert imports_what_sets_a_variable().compute(scheduler="sync") == "x"
    assert os.environ["STARGAZER_TEST_ONCE"] == "1"


COUNTS: dict[int, int] = {}


@sg.task
def remembers(work: sg.Workdir, *, i: int) -> int:
    return COUNTS.setdefault(i, i)


def test_what_is_left_for_later_calls_is_noted(store: Store) -> None:
    call = remembers(i=1)
    call.compute(scheduler="sync")
    record = Ledger(store.records).find(call.plan_key)
    assert record is not None
    assert record.noted == ["left something for later calls in COUNTS"]
