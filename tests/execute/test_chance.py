"""Results that hang on chance or the clock are told, with what to do; what only looks like it is not."""

from __future__ import annotations

import warnings
from typing import Any

import dask
import pytest

from stargazer.errors import RunFailed, UndeclaredInput
from stargazer.execute.findings import HiddenInput
from stargazer.ledger import Ledger
from stargazer.store import Store

pytest.importorskip("numpy")
pytest.importorskip("pandas")

from chance_tasks import (
    by_chance,
    by_neither,
    by_the_clock,
    dated,
    drawn_by_a_helper,
    drawn_by_an_alias,
    drawn_by_numpy,
    draws_beside,
    generator,
    generator_of_python,
    generator_with_none,
    identifier,
    measured,
    named_alike,
    one_normal_number,
    sample_of_table,
    secret,
    seeded,
    seeded_by_a_library,
    shuffled,
    stamped,
    waits,
    year,
)

pytestmark = pytest.mark.usefixtures("store")

NUMPY, RANDOM = "the random state of NumPy", "the state of the module random"


TOLD = {
    sample_of_table: f"drew from {NUMPY}, .*random_state=seed",
    drawn_by_a_helper: f"drew from {NUMPY}",
    drawn_by_numpy: f"drew from {NUMPY}",
    drawn_by_an_alias: f"drew from {RANDOM}",
    shuffled: f"drew from {RANDOM}",
    generator: r"calls numpy\.random\.default_rng\(\), which gives something else each time: pass a seed",
    generator_with_none: r"calls numpy\.random\.default_rng\(\)",
    generator_of_python: r"calls random\.Random\(\)",
    identifier: r"calls uuid\.uuid4\(\)",
    secret: r"calls secrets\.token_hex\(\), os\.urandom\(\)",
    stamped: r"calls datetime\.datetime\.now\(\)",
    year: r"calls time\.strftime\(\)",
}


@pytest.mark.filterwarnings("ignore:.*environment:stargazer.execute.findings.HiddenInput")
@pytest.mark.parametrize("task", TOLD, ids=lambda task: task.name)
def test_what_hangs_on_chance_is_told_and_recorded(task: Any, store: Store) -> None:
    call = task()
    with pytest.warns(HiddenInput, match=f"task {task.name} {TOLD[task]}"):
        call.compute(scheduler="sync")
    record = Ledger(store.records).find(call.plan_key)
    assert record is not None
    assert any(line.startswith(("drew from", "calls ")) for line in record.noted)


@pytest.mark.parametrize("task", [sample_of_table, generator, shuffled], ids=lambda task: task.name)
def test_strict_keeps_no_such_result(task: Any) -> None:
    with dask.config.set({"stargazer.strict": True}), pytest.raises(UndeclaredInput, match=r"drew from|calls "):
        task().compute(scheduler="sync")
    assert task().known() is None


@pytest.mark.filterwarnings("ignore:.*environment:stargazer.execute.findings.HiddenInput")
def test_what_has_a_seed_or_only_measures_is_no_chance(store: Store) -> None:
    calls = [seeded(seed=1), measured(), dated(seconds=0), named_alike()]
    calls += [seeded_by_a_library(n=n) for n in (3, 4_000, 2)]
    for call in calls:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call.compute(scheduler="sync")
        told = [str(each.message) for each in caught if issubclass(each.category, HiddenInput)]
        assert [text for text in told if "drew" in text or "calls" in text] == []


def test_who_only_runs_beside_it_is_not_blamed() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dask.compute(waits(i=1), draws_beside(), scheduler="threads", num_workers=2)
    told = [str(each.message) for each in caught if "drew from" in str(each.message)]
    assert [text.split()[1] for text in told] == ["draws_beside"]


@pytest.mark.parametrize("dynamic", [by_chance, by_the_clock], ids=lambda dynamic: dynamic.name)
def test_wiring_by_chance_is_told_and_an_error_with_strict(dynamic: Any) -> None:
    with dask.config.set({"stargazer.strict": True}), pytest.raises((UndeclaredInput, RunFailed), match=r"drew|calls"):
        dynamic(3).compute(scheduler="sync")
    with pytest.warns(HiddenInput, match=rf"task {dynamic.name} (drew from|calls time\.time\(\))"):
        dynamic(3).compute(scheduler="sync")


def test_wiring_by_a_seed_is_no_chance() -> None:
    assert len(by_neither(3).compute(scheduler="sync")) == 3


def test_a_normal_number_that_waited_is_drawn_too(store: Store) -> None:
    """NumPy makes two at once: the second changes nothing of what lies in its generator's memory."""
    import numpy as np

    np.random.seed(5)
    for i in range(4):
        with pytest.warns(HiddenInput, match=f"drew from {NUMPY}"):
            one_normal_number(i=i).compute(scheduler="sync")


def test_a_state_is_read_anew_wherever_it_moved() -> None:
    import numpy as np

    from stargazer.execute.state import _numpy_state

    generator = np.random.mtrand._rand
    for move in (lambda: np.random.seed(3), np.random.random, np.random.standard_normal, lambda: None) * 3:
        move()
        kind, numbers, *rest = generator.get_state()
        assert _numpy_state() == (kind, bytes(numbers.data), *rest) == _numpy_state()


def test_another_kind_of_generator_is_let_be() -> None:
    """Its state is not read, and nobody is warned in the name of NumPy."""
    import numpy as np

    from stargazer.execute.state import _numpy_state

    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert _numpy_state() is None
    finally:
        np.random.set_bit_generator(before)
    assert _numpy_state()[0] == "MT19937"
