"""Jobs of the app: what takes longer than a page waits."""

from __future__ import annotations

import asyncio

import pytest

from stargazer.app.jobs import KEPT, Jobs
from stargazer.errors import NotFound


def test_what_is_under_way_is_found_however_many_others_came_and_went() -> None:
    async def work() -> None:
        jobs, go_on = Jobs(), asyncio.Event()

        async def wait() -> tuple[str, str]:
            await go_on.wait()
            return "said", "/page"

        async def end() -> tuple[str, str]:
            return "", ""

        long = jobs.begin("long", wait)
        first = jobs.begin("short 0", end)
        for number in range(1, KEPT + 20):
            jobs.begin(f"short {number}", end)
            await asyncio.sleep(0)
        assert jobs.find(long.id) is jobs.begin("long", wait)
        with pytest.raises(NotFound, match="ended long ago"):
            jobs.find(first.id)
        go_on.set()
        while long.state == "running":
            await asyncio.sleep(0.01)
        assert (jobs.find(long.id).state, long.said, long.go) == ("done", "said", "/page")
        await jobs.stop()

    asyncio.run(asyncio.wait_for(work(), 60))


def test_what_nobody_foresaw_is_told() -> None:
    async def broken() -> tuple[str, str]:
        raise ZeroDivisionError

    async def work() -> None:
        jobs = Jobs()
        job = jobs.begin("broken", broken)
        while job.state == "running":
            await asyncio.sleep(0.01)
        assert (job.state, "nobody foresaw (ZeroDivisionError)" in job.said) == ("failed", True)

    asyncio.run(asyncio.wait_for(work(), 60))
