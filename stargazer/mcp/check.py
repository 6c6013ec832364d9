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

ABSENT = "none-such"
NOTHING: dict[str, dict[str, Any]] = {
    **{name: {"cid": ABSENT} for name in ("describe_file", "trace", "download_file")},
    **{name: {"path": f"{ABSENT}.py"} for name in ("plan_notebook", "read_notebook", "check_notebook")},
    "describe_task": {"name": ABSENT}, "plan_task": {"task_name": ABSENT}, "plan_workflow": {"workflow_name": ABSENT},
    **{name: {"folder": "."} for name in ("notebook_status", "audit_notebooks")},
    "why": {"name": ABSENT}, "read_log": {"name": ABSENT}, "wait_for_run": {"run": ABSENT, "wait": 0},
}  # fmt: skip
"""What is asked where there is nothing: the answer must be an error in words. No notebook runs for a check."""

UNFORESEEN = "nobody foresaw"


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
    # -P: a folder stargazer/ where it is started is not the program.
    arguments = ["-P", "-c", "from stargazer.cli import main; main()", "mcp", *options]
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
    real = await _arguments(client)
    for tool in tools:
        if not (tool.annotations and tool.annotations.read_only_hint):
            continue
        answer = await client.call_tool(tool.name, real.get(tool.name) or NOTHING.get(tool.name, {}))
        told = "" if not answer.is_error else str(getattr(answer.content[0], "text", ""))
        if tool.name in real:
            yield Finding(tool.name, ok=not answer.is_error, told=told[:300])
        else:
            said = f"nothing there to ask about; it said: {told[:200]}" if answer.is_error else ""
            yield Finding(tool.name, ok=UNFORESEEN not in told, told=said)


async def _arguments(client: Client) -> dict[str, dict[str, Any]]:
    """What each tool is asked, of what is there."""
    found: dict[str, dict[str, Any]] = {name: {} for name in ("list_tasks", "list_runs", "list_bundles")}
    found |= {"list_notebooks": {"limit": 5}, "query_files": {"keyvalues": {}, "limit": 5}}
    for kind in ("task", "workflow"):
        entries = (await _asked(client, "list_tasks", {"category": kind}) or {"tasks": []})["tasks"]
        if entries:
            found["describe_task"] = {"name": entries[0]["name"]}
        free = [each["name"] for each in entries if not any(param["required"] for param in each["params"])]
        found |= {f"plan_{kind}": {f"{kind}_name": name} for name in free[:1]}
    files = await _asked(client, "query_files", {"keyvalues": {}, "limit": 5})
    if files and files["files"]:
        name = min(files["files"], key=lambda each: each["size"] or sys.maxsize)["id"]
        found |= {each: {"cid": name} for each in ("describe_file", "trace", "download_file")}
    runs = await _asked(client, "list_runs", {"limit": 1})
    if runs and runs["runs"]:
        run = runs["runs"][0]["run"]
        found |= {"read_log": {"name": run}, "wait_for_run": {"run": run, "wait": 0}}
    books = await _asked(client, "list_notebooks", {"limit": 1})
    if books and books["notebooks"]:
        path = books["notebooks"][0]["path"]
        found |= {each: {"path": path} for each in ("read_notebook", "check_notebook")}
    return found


async def _asked(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    answer = await client.call_tool(name, arguments)
    return answer.structured_content if not answer.is_error else None
