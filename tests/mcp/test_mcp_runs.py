"""Runs asked for by agents: results, handles, progress, and that nothing outlives who asked for it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_agents import asked, refused, sleeping, stdio, until, with_client

import stargazer as sg
from stargazer.mcp.place import Place
from stargazer.mcp.server import make_server

Ask = Callable[..., Any]
CLIENTS = 4 if os.environ.get("STARGAZER_SHORT") else 10


def test_a_task_runs_and_is_known_then(ask: Ask, store: sg.Store, folder: Path) -> None:
    (folder / "s1.fq").write_text("ACGT")
    store.add(folder / "s1.fq", sg.R1(sample_id="s1"))
    first = ask("run_task", task_name="letters", filters={"sample_id": "s1"}, inputs={"upper": True})
    assert (first["state"], first["total"]) == ("done", 1)
    assert Path(first["result"]["path"]).read_text() == "4"
    again = ask("run_task", task_name="letters", filters={"sample_id": "s1"}, inputs={"upper": True})
    assert (again["state"], again["total"], again["result"]["cid"]) == ("done", 0, first["result"]["cid"])
    assert ask("wait_for_run", run=first["run"])["result"] == first["result"]
    once_more = ask("run_task", task_name="letters", filters={"sample_id": "s1"}, inputs={"upper": True}, again=True)
    assert once_more["total"] == 1


def test_a_long_run_gives_a_handle_tells_progress_and_can_be_cancelled(place: Place) -> None:
    async def work(client: Client) -> None:
        inputs = {"n": 2, "seconds": 91.25}
        handle = await asked(client, "run_workflow", workflow_name="adding", inputs=inputs, wait=0.2)
        assert handle["state"] == "running"
        await until(lambda: sleeping(91.25) >= 1)
        seen: list[str] = []

        async def heard(_: float, total: float | None, line: str | None) -> None:
            seen.append(f"{total}: {line}")

        arguments = {"run": handle["run"], "wait": 1.5}
        answer = await client.call_tool("wait_for_run", arguments, progress_callback=heard)
        assert answer.structured_content is not None
        assert answer.structured_content["state"] == "running"
        assert any("part" in line and line.startswith("3") for line in seen), seen
        rows = (await asked(client, "list_runs"))["runs"]
        assert [(row["run"], row["mine"]) for row in rows] == [(handle["run"], True)]
        ended = await asked(client, "cancel_run", run=handle["run"])
        assert ended["state"] == "cancelled"
        await until(lambda: sleeping(91.25) == 0)

    with_client(make_server(place), work)


def test_a_cancelled_request_ends_its_run(place: Place) -> None:
    async def work(client: Client) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(run_adding, client, 92.5)
            await until(lambda: sleeping(92.5) >= 1)
            group.cancel_scope.cancel()
        await until(lambda: sleeping(92.5) == 0)
        await until(lambda: all(flight.ended for flight in place.flights.all()))

    with_client(make_server(place), work)


async def run_adding(client: Client, seconds: float, n: int = 1, wait: float = 45) -> None:
    inputs = {"n": n, "seconds": seconds}
    await asked(client, "run_workflow", workflow_name="adding", inputs=inputs, wait=wait)


def test_two_clients_share_a_run(place: Place) -> None:
    server = make_server(place)

    async def go() -> None:
        with anyio.fail_after(240):
            async with Client(server) as one, Client(server) as two, anyio.create_task_group() as group:
                scope = anyio.CancelScope()

                async def first() -> None:
                    with scope:
                        await run_adding(one, 93.5)

                group.start_soon(first)
                await until(lambda: sleeping(93.5) == 1)
                group.start_soon(run_adding, two, 93.5)
                await until(lambda: [flight.owners for flight in place.flights.all()] == [2])
                scope.cancel()
                await until(lambda: [flight.owners for flight in place.flights.all()] == [1])
                assert sleeping(93.5) == 1
                group.cancel_scope.cancel()
            await until(lambda: sleeping(93.5) == 0)

    anyio.run(go)


def test_failures_are_explained(place: Place) -> None:
    async def work(client: Client) -> None:
        failed = await asked(client, "run_task", task_name="broken", inputs={"secret": "x"})
        assert failed["state"] == "failed"
        (label,) = failed["failures"]
        assert "this is why x" in failed["failures"][label]
        log = await asked(client, "read_log", name=failed["logs"][label])
        assert "this is why x" in log["text"]
        assert (await asked(client, "read_log", name=failed["run"]))["kind"] == "run"
        assert (await asked(client, "list_runs", state="failed"))["runs"][0]["run"] == failed["run"]
        assert "no run" in await refused(client, "wait_for_run", run="nothing-2")

    with_client(make_server(place), work)


def test_changes_of_runs_are_told(place: Place) -> None:
    async def work(client: Client) -> None:
        async with client.listen(resources_list_changed=True) as events:
            await asked(client, "run_workflow", workflow_name="adding", inputs={"n": 1, "mark": "told"})
            async for event in events:
                assert type(event).__name__ == "ResourcesListChanged"
                break

    with_client(make_server(place), work)


def test_why_a_call_ran(ask: Ask, store: sg.Store) -> None:
    first = ask("run_workflow", workflow_name="adding", inputs={"n": 1})["result"]["cid"]
    assert ask("why", name=first)["why"] == ["total had never run before"]
    second = ask("run_workflow", workflow_name="adding", inputs={"n": 2})["result"]["cid"]
    assert ask("why", name=second)["why"] == ["inputs differed from all runs before"]
    traced = ask("trace", cid=second)
    assert {call["task"] for call in traced["calls"]} == {"part", "total"}
    assert ask("why", name="adding", inputs={"n": 2})["state"] == "known"


def test_a_log_comes_in_pieces(ask: Ask, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from stargazer.mcp import lineage

    monkeypatch.setattr(lineage, "LONGEST_LOG", 100)
    cid = ask("run_workflow", workflow_name="adding", inputs={"n": 9, "mark": "log"})["run"]
    whole, cursor = "", "0"
    while cursor is not None:
        piece = ask("read_log", name=cid, cursor=cursor)
        whole, cursor = whole + piece["text"], piece["next_cursor"]
    assert whole.count("made part") == 9
    assert ask("read_log", name=cid)["text"].endswith(whole[-100:])


def test_a_detached_run_outlives_client_and_server(store: sg.Store, folder: Path) -> None:
    inputs = {"n": 1, "seconds": 87.5}

    async def begin(client: Client) -> str:
        told = await asked(client, "run_workflow", workflow_name="adding", inputs=inputs, wait=0, detach=True)
        assert told["state"] == "running"
        await until(lambda: sleeping(87.5) == 1, 120)
        return str(told["run"])

    async def end(client: Client) -> None:
        assert [row["state"] for row in (await asked(client, "list_runs"))["runs"]] == ["running"]
        assert (await asked(client, "wait_for_run", run=run, wait=0.1))["state"] == "running"
        told = await asked(client, "cancel_run", run=run)
        while told["state"] == "running":
            told = await asked(client, "wait_for_run", run=run, wait=5)
        assert told["state"] == "cancelled"
        await until(lambda: sleeping(87.5) == 0)
        quick = {"n": 2, "mark": "detached"}
        told = await asked(client, "run_workflow", workflow_name="adding", inputs=quick, detach=True)
        while told["state"] == "running":
            told = await asked(client, "wait_for_run", run=told["run"])
        assert told["state"] == "done"
        assert told["result"]["name"] == "total.txt"

    run = with_client(make_server(Place(store)), begin)
    with_client(make_server(Place(store)), end)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_client_that_goes_ends_its_runs_over_stdio(store: sg.Store, folder: Path, mode: str) -> None:
    seconds = {"legacy": 94.5, "auto": 95.5}[mode]

    async def work(client: Client) -> None:
        inputs = {"n": 2, "seconds": seconds}
        handle = await asked(client, "run_workflow", workflow_name="adding", inputs=inputs, wait=0)
        assert handle["state"] == "running"
        await until(lambda: sleeping(seconds) >= 1)

    with_client(stdio(store), work, mode=mode)
    anyio.run(until, lambda: sleeping(seconds) == 0)


def test_a_killed_server_leaves_a_run_whose_calls_are_known(store: sg.Store, folder: Path) -> None:
    server = stdio(store)
    ask = b'{"jsonrpc":"2.0","id":%d,"method":%s,"params":%s}\n'
    hello = b'{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}'
    call = b'{"name":"run_workflow","arguments":{"workflow_name":"adding","inputs":{"n":1,"seconds":96.5}}}'
    with subprocess.Popen([server.command, *server.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(ask % (1, b'"initialize"', hello))
        process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        process.stdin.write(ask % (2, b'"tools/call"', call))
        process.stdin.flush()
        anyio.run(until, lambda: sleeping(96.5) >= 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    anyio.run(until, lambda: sleeping(96.5) == 0)
    with_client(make_server(Place(store)), lambda client: _one_run(client))


async def _one_run(client: Client) -> None:
    (row,) = (await asked(client, "list_runs"))["runs"]
    assert row["what"] == "adding"
    assert not row["mine"]


@pytest.mark.slow
def test_clients_that_cancel_at_random_leave_nothing(place: Place) -> None:
    server = make_server(place)
    chance = random.Random(7)

    async def one(number: int) -> None:
        async with Client(server) as client:
            with anyio.move_on_after(chance.uniform(0, 3)):
                await run_adding(client, 97.0 + number / 100, n=2)

    async def go() -> None:
        async with anyio.create_task_group() as group:
            for number in range(CLIENTS):
                group.start_soon(one, number)
        await until(lambda: all(flight.ended for flight in place.flights.all()), 120)
        await until(lambda: not any(sleeping(97.0 + number / 100) for number in range(CLIENTS)))

    anyio.run(go)


def test_a_notebook_is_planned_and_run(place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargazer.mcp.notebooks.PATIENCE", 240)
    (folder / "a.py").write_text("# %%\nx = [1, 2]\n# %%\ny = sum(x)\n")
    (folder / "slow.py").write_text("# %%\nimport time\n# %%\nopen('began', 'w').close()\ntime.sleep(98)\n")

    async def work(client: Client) -> None:
        planned = await asked(client, "plan_notebook", path="a.py")
        assert [cell["state"] for cell in planned["cells"]] == ["run", "run"]
        done = await asked(client, "run_notebook", path=str(folder / "a.py"), values={"x": [5]})
        while done["state"] == "running":
            done = await asked(client, "wait_for_run", run=done["run"])
        assert done["state"] == "done"
        assert done["result"]["success"]
        assert "no name of a value" in await refused(client, "run_notebook", path="a.py", values={"x; y": 1})
        handle = await asked(client, "run_notebook", path="slow.py", wait=0)
        await until((folder / "began").exists)
        assert (await asked(client, "cancel_run", run=handle["run"]))["state"] == "cancelled"

    with_client(make_server(place), work)
