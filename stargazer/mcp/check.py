"""Whether the server works here: a real client calls each tool that only reads once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from stargazer import config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Finding", "check", "server_command"]

PATIENCE = 120.0


class Finding(NamedTuple):
    """What became of one tool.

    Parameters
    ----------
    what
        Its name.
    ok
        Whether it answered.
    told
        What it said, in a few words.
    """

    what: str
    ok: bool
    told: str


def server_command(store: str | None = None, *options: str) -> StdioServerParameters:
    """Return how a client starts the server.

    Parameters
    ----------
    store
        URL of the store; that of the settings by default.
    *options
        Of ``stargazer mcp``.
    """
    arguments = ["-c", "from stargazer.cli import main; main()", "mcp", *options]
    chosen = ["--store", store] if store else []
    return StdioServerParameters(command=sys.executable, args=[*arguments, *chosen], env=config.command_environment())


def check(store: str | None = None) -> list[Finding]:
    """Start the server, call every tool that only reads once, and say how each went.

    Parameters
    ----------
    store
        As for `server_command`.
    """

    async def work() -> list[Finding]:
        with anyio.fail_after(PATIENCE):
            async with Client(stdio_client(server_command(store))) as client:
                return [finding async for finding in _findings(client)]

    try:
        return anyio.run(work)
    except (OSError, TimeoutError) as error:
        return [Finding("start", ok=False, told=str(error) or f"no answer within {PATIENCE:.0f} s")]


async def _findings(client: Client) -> AsyncIterator[Finding]:
    tools = (await client.list_tools()).tools
    yield Finding("start", ok=True, told=f"protocol {client.protocol_version}, {len(tools)} tools")
    arguments = await _arguments(client)
    for tool in tools:
        if not (tool.annotations and tool.annotations.read_only_hint):
            continue
        if tool.name not in arguments:
            yield Finding(tool.name, ok=True, told="nothing there to ask about")
            continue
        answer = await client.call_tool(tool.name, arguments[tool.name])
        told = "" if not answer.is_error else str(getattr(answer.content[0], "text", ""))[:300]
        yield Finding(tool.name, ok=not answer.is_error, told=told)


async def _arguments(client: Client) -> dict[str, dict[str, Any]]:
    """What each tool is asked, of what is there."""
    found: dict[str, dict[str, Any]] = {name: {} for name in ("list_tasks", "list_runs", "list_bundles")}
    found |= {"list_notebooks": {"limit": 5}, "query_files": {"keyvalues": {}, "limit": 5}}
    entries = await _asked(client, "list_tasks", {"category": "workflow", "limit": 1})
    if entries and entries["tasks"]:
        found["describe_task"] = {"name": entries["tasks"][0]["name"]}
    files = await _asked(client, "query_files", {"keyvalues": {}, "limit": 1})
    if files and files["files"]:
        name = files["files"][0]["id"]
        found |= {"describe_file": {"cid": name}, "trace": {"cid": name}, "download_file": {"cid": name}}
    runs = await _asked(client, "list_runs", {"limit": 1})
    if runs and runs["runs"]:
        run = runs["runs"][0]["run"]
        found |= {"read_log": {"name": run}, "wait_for_run": {"run": run, "wait": 0}}
    return found


async def _asked(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    answer = await client.call_tool(name, arguments)
    return answer.structured_content if not answer.is_error else None
