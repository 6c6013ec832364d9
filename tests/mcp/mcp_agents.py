"""Clients of the server, as tests use them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

import stargazer as sg

LIMIT = 240.0
"""Seconds after which a test has failed, on a machine that is busy."""


def with_client(target: Any, work: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
    """Do something with a client, for so long at most."""

    async def go() -> Any:
        with anyio.fail_after(LIMIT):
            async with Client(target, **options) as client:
                return await work(client)

    return anyio.run(go)


async def asked(client: Client, name: str, /, **arguments: Any) -> dict[str, Any]:
    """What a tool answers; an error of its is one here."""
    answer = await client.call_tool(name, arguments)
    if answer.is_error:
        raise AssertionError(f"{name}: {answer.content[0].text}")  # type: ignore[union-attr]
    assert answer.structured_content is not None
    return answer.structured_content


async def refused(client: Client, name: str, /, **arguments: Any) -> str:
    """What a tool says that refuses something."""
    answer = await client.call_tool(name, arguments)
    assert answer.is_error, f"{name} took {arguments}: {answer.structured_content}"
    return str(answer.content[0].text)  # type: ignore[union-attr]


def stdio(store: sg.Store, *options: str) -> StdioServerParameters:
    """How the server is started over stdin and stdout."""
    arguments = ["-c", "from stargazer.cli import main; main()", "mcp", "--store", store.url, *options]
    return StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))


def sleeping(seconds: float) -> int:
    """Number of processes that sleep for so long."""
    found = subprocess.run(["pgrep", "-fc", f"^sleep {seconds}$"], capture_output=True, text=True)
    return int(found.stdout or 0)


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    with anyio.fail_after(seconds):
        while not await anyio.to_thread.run_sync(condition):
            await anyio.sleep(0.05)
