"""The server, put together; and how it is run over stdin and stdout."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp.server.mcpserver.resources.templates import ResourceSecurityError
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS
from pydantic import ValidationError

from stargazer.assets.fields import did_you_mean
from stargazer.errors import ArgumentError, NotFound, StargazerError
from stargazer.mcp.answers import check_size, told, told_wrong
from stargazer.mcp.catalog import CatalogTools
from stargazer.mcp.editing import EditTools
from stargazer.mcp.files import FileTools
from stargazer.mcp.flows import FlowTools
from stargazer.mcp.hints import tools_of
from stargazer.mcp.lineage import LineageTools
from stargazer.mcp.notebooks import NotebookTools
from stargazer.mcp.place import Place
from stargazer.mcp.prompts import add_prompts
from stargazer.mcp.resources import add_resources
from stargazer.mcp.runs import RunTools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.server.mcpserver import Context
    from mcp.types import CallToolResult, GetPromptResult, InputRequiredResult
    from pydantic.networks import AnyUrl

    from stargazer.store import Store

__all__ = ["Server", "make_server", "serve_stdio"]

PATIENCE = 8.0
"""Seconds in which runs end when their client is gone."""

INSTRUCTIONS = """\
Stargazer keeps typed files under their CIDs and runs tasks and workflows on them; what was run before is not run again.
Find what there is with list_tasks and query_files, look at one with describe_task, plan before you run (plan_task,
plan_workflow: nothing runs), then run_task or run_workflow. A run that takes longer than `wait` returns its handle: ask
wait_for_run. Tell people the CIDs of results; trace says where one came from, read_log why something failed.
Lists come in pages: pass next_cursor on as cursor."""


class Server(MCPServer[Any]):
    """An MCP server whose errors are ours: what was wrong, where, what to do."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; whatever goes wrong is told in words that help.

        Raises
        ------
        ToolError
            It did not work.
        """
        try:
            self._check(name, arguments)
            return await super().call_tool(name, arguments, context)
        except (ToolError, StargazerError) as error:
            cause = error.__cause__ if isinstance(error, ToolError) and error.__cause__ is not None else error
            raise ToolError(self._told(name, cause)) from None

    def _check(self, name: str, arguments: dict[str, Any]) -> None:
        known = [each.name for each in self._tool_manager.list_tools()]
        if name not in known:
            raise ArgumentError(f"there is no tool {name[:80]!r}.{did_you_mean(name[:80], known)}")
        check_size(arguments)
        takes = self._takes(name)
        if wrong := [each for each in arguments if each not in takes]:
            guess = did_you_mean(wrong[0][:80], takes)
            raise ArgumentError(f"{name} has no argument {wrong[0][:80]!r}.{guess} It takes {', '.join(takes)}")

    def _takes(self, name: str) -> list[str]:
        found = self._tool_manager.get_tool(name)
        return list(found.parameters.get("properties", {})) if found else []

    def _told(self, name: str, error: BaseException) -> str:
        if isinstance(error, ValidationError) and error.title.endswith("Arguments"):
            return told_wrong(error, name, self._takes(name))
        return str(error) if type(error) is ToolError else told(error, name)

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource; whatever goes wrong is told in words that help.

        Raises
        ------
        ResourceError
            It did not work.
        """
        try:
            return await super().read_resource(uri, context)
        except ResourceError as error:
            cause = _innermost(error)
            if cause is error:
                raise
            if isinstance(cause, ResourceSecurityError):
                raise ResourceError(f"{str(uri)[:200]}: no path has such parts") from None
            kind = ResourceNotFoundError if isinstance(cause, NotFound) else ResourceError
            raise kind(told(cause, f"reading {str(uri)[:200]}")) from None

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Give a prompt; whatever goes wrong is told in words that help.

        Raises
        ------
        MCPError
            There is none, or it cannot be written.
        """
        known = {prompt.name: prompt for prompt in self._prompt_manager.list_prompts()}
        if name not in known:
            raise MCPError(INVALID_PARAMS, f"there is no prompt {name[:80]!r}; there are {', '.join(known)}")
        takes = [each.name for each in known[name].arguments or ()]
        if wrong := [each for each in arguments or {} if each not in takes]:
            told_names = f"it takes {', '.join(takes) or 'none'}"
            raise MCPError(INVALID_PARAMS, f"{name} has no argument {wrong[0][:80]!r}; {told_names}")
        needed = [each.name for each in known[name].arguments or () if each.required]
        if missing := [each for each in needed if each not in (arguments or {})]:
            raise MCPError(INVALID_PARAMS, f"{name}: {', '.join(missing)} missing; it takes {', '.join(needed)}")
        try:
            return await super().get_prompt(name, arguments, context)
        except ValueError as error:
            raise MCPError(INVALID_PARAMS, told(_innermost(error), name)) from None


def _innermost(error: BaseException) -> BaseException:
    """What was raised first: libraries raise their own errors from ours."""
    while error.__cause__ is not None and not isinstance(error, StargazerError):
        error = error.__cause__
    return error


def make_server(place: Place) -> Server:
    """Return the server of a place, with its tools, resources and prompts."""
    from stargazer import __version__

    bus = InMemorySubscriptionBus()
    place.flights.bus = bus
    server = Server(
        "stargazer", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING", subscriptions=bus,
        description="Typed, content-addressed files and reproducible analyses of sequencing data.",
    )  # fmt: skip
    kinds = CatalogTools, RunTools, FileTools, LineageTools, NotebookTools, EditTools, FlowTools
    for owner in [kind(place) for kind in kinds]:
        for method, hints in tools_of(owner):
            server.add_tool(method, annotations=hints)
    add_resources(server, place)
    add_prompts(server, place)
    return server


def serve_stdio(store: Store | str | None = None, on: str | None = None) -> None:
    """Serve one client over stdin and stdout until it goes; its runs end with it.

    Parameters
    ----------
    store, on
        As for `stargazer.mcp.place.Place`.
    """
    place = Place(store, on=on)
    server = make_server(place)
    signal.signal(signal.SIGTERM, lambda *_: _leave(place, 128 + signal.SIGTERM))
    try:
        anyio.run(server.run_stdio_async)
    finally:
        place.flights.end_all(PATIENCE)
        place.flights.close()
        _leave_in_time()


def _leave(place: Place, code: int) -> None:
    """End everything from a signal: stdin may be read in a thread that nothing but its end brings back."""

    def work() -> None:
        place.flights.end_all(PATIENCE)
        os._exit(code)

    threading.Thread(target=work, daemon=True).start()


def _leave_in_time() -> None:
    """See that a thread which is still in a library holds the process up for seconds at most."""
    timer = threading.Timer(PATIENCE, os._exit, (0,))
    timer.daemon = True
    timer.start()
