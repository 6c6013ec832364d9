"""Workers of several kinds in one run: a call goes to the smallest that can take it, and each kind grows."""

from __future__ import annotations

from collections import Counter

import dask.config
import pytest
from slurm_queue import Queue
from slurm_tasks import of_size, placed, sized

import stargazer as sg
from stargazer.errors import ConfigError, NeedUnmet


@pytest.fixture
def pools(queue: Queue) -> dict[str, dict[str, object]]:
    """Small workers, some with much memory, and one with a graphics card that is none."""
    base = queue.options | {"kind": "slurm", "idle": "30 s"}
    return {
        "slim": base | {"workers": "0-2"},
        "bigmem": base | {"workers": "0-1", "memory": "2 GiB"},
        "gpu": base | {"workers": "0-1", "gpus": 1, "cpus": 2},
        "lab": {"pools": ["slim", "bigmem", "gpu"]},
    }


def test_each_call_goes_to_the_smallest_kind_that_can_take_it(
    queue: Queue, store: sg.Store, pools: dict[str, dict[str, object]]
) -> None:
    with dask.config.set({"stargazer.profiles": pools}), sg.connect("lab") as client:
        calls = [placed(i=i) for i in range(4)] + [of_size(i=i, memory=1.5) for i in range(2)] + [of_size(i=9, gpus=1)]
        names = [asset.fetch().read_text().strip() for asset in sg.run(calls).result()]
        assert [name.rpartition("/")[2] for name in names] == ["slim"] * 4 + ["bigmem"] * 2 + ["gpu"]
        assert Counter(hire.pool for hire in client.cluster.staff.staffing.hires.values())["bigmem"] == 1  # type: ignore[union-attr]


def test_needs_of_inputs_choose_the_kind(queue: Queue, store: sg.Store, pools: dict[str, dict[str, object]]) -> None:
    with dask.config.set({"stargazer.profiles": pools}), sg.connect(["slim", "bigmem"]):
        small, large = (sized(placed(i=i)) for i in (1, 1000))
        assert sg.run([small, large]).result()[1].fetch().read_text().strip().endswith("/bigmem")
        assert small.compute().fetch().read_text().strip().endswith("/slim")


def test_the_check_before_a_run_knows_all_kinds(
    queue: Queue, store: sg.Store, pools: dict[str, dict[str, object]]
) -> None:
    profiles = {"stargazer.profiles": pools | {"mine": {"kind": "local"}}}
    told = r"of_size needs 1.50 GiB of memory, but workers of (slim|gpu) have"
    with dask.config.set(profiles), sg.connect("slim,gpu"), pytest.raises(NeedUnmet, match=told):
        sg.run(of_size(i=1, memory=1.5))
    with dask.config.set(profiles):
        with pytest.raises(ConfigError, match="mine is of kind local"):
            sg.connect(["mine", "bigmem"])
        with pytest.raises(ConfigError, match="a pool is named twice: slim, slim"):
            sg.connect(["slim", "slim"])
