"""Tools on what can be called: list, describe, plan."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from anyio import to_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from stargazer import catalog, config
from stargazer.bounded import read_within
from stargazer.catalog import Entry
from stargazer.catalog.composite import given_paths
from stargazer.errors import ArgumentError
from stargazer.hosts import addresses_of, is_public
from stargazer.mcp.answers import page
from stargazer.mcp.hints import READS, tool
from stargazer.mcp.place import Place
from stargazer.mcp.roots import roots_of
from stargazer.mcp.shapes import EntryOut, OutputOut, ParamOut, PlanOut, StepOut, TaskOut, TasksOut
from stargazer.runs.planner import Plan, plan

__all__ = ["CatalogTools", "bound_calls", "check_path"]

WITH_HOSTS = ("https://", "http://", "ftp://")
ELSEWHERE = (*WITH_HOSTS, "s3://", "gs://")
"""What addresses of files that are not on this machine begin with; those of buckets name no host."""

Cursor = Annotated[str | None, Field(description="next_cursor of the page before.", max_length=200)]
Filters = Annotated[
    dict[str, Any] | None,
    Field(description="Facts by which assets are found, as {\"build\": \"GRCh38\", \"sample_id\": \"s1\"}: each asset "
                      "parameter gets those that its type knows; a list of values holds alternatives."),
]  # fmt: skip
Inputs = Annotated[
    dict[str, Any] | None,
    Field(description="Arguments by name. An asset is a CID, an id, name@version or an object of facts."),
]
Again = Annotated[
    bool | list[str] | None,
    Field(description="Run once more what is known: true for all, or names of tasks."),
]


class CatalogTools:
    """Tools on tasks and workflows.

    Parameters
    ----------
    place
        What the server works on.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @tool(READS)
    def list_tasks(
        self,
        category: Literal["task", "workflow"] | None = None,
        word: Annotated[
            str | None, Field(description="Only those that have it in name, summary, types or tools.", max_length=200)
        ] = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 100,
        cursor: Cursor = None,
    ) -> TasksOut:
        """List tasks and workflows with their parameters and outputs; describe_task tells all of one."""
        found = catalog.list(category, word)
        rows, following = page(found, cursor, limit, ["list_tasks", category, word], lambda e: _row(e).model_dump())
        return TasksOut(tasks=[_row(entry) for entry in rows], total=len(found), next_cursor=following)

    @tool(READS)
    def describe_task(self, name: Annotated[str, Field(max_length=300)]) -> TaskOut:
        """Describe a task or workflow: what it takes (with JSON Schema), gives, needs, and which tools it runs."""
        entry = catalog.get(name)
        params = [ParamOut(**param.to_dict()) for param in entry.params]
        row = _row(entry).model_dump() | {"params": params}
        tools = [each._asdict() for each in entry.tools]
        return TaskOut(**row, text=entry.text, input_schema=entry.schema(), needs=entry.needs, tools=tools)

    @tool(READS)
    async def plan_task(
        self,
        task_name: str,
        ctx: Context[Any, Any],
        filters: Filters = None,
        inputs: Inputs = None,
        again: Again = None,
        cursor: Cursor = None,
    ) -> PlanOut:
        """Say whether a task would run or is known, and why. Nothing runs."""
        roots = await roots_of(ctx)

        def planned() -> PlanOut:
            calls = bound_calls(self.place, "task", task_name, filters, inputs, roots)
            return _planned(plan(calls, again=again or None), cursor, [task_name, filters, inputs, again])

        return await to_thread.run_sync(planned)

    @tool(READS)
    async def plan_workflow(
        self,
        workflow_name: str,
        ctx: Context[Any, Any],
        inputs: Inputs = None,
        again: Again = None,
        cursor: Cursor = None,
    ) -> PlanOut:
        """Say what a workflow would run, what is known already, and why something is not. Nothing runs."""
        roots = await roots_of(ctx)

        def planned() -> PlanOut:
            calls = bound_calls(self.place, "workflow", workflow_name, None, inputs, roots)
            return _planned(plan(calls, again=again or None), cursor, [workflow_name, inputs, again])

        return await to_thread.run_sync(planned)


def bound_calls(
    place: Place,
    category: str,
    name: str,
    filters: dict[str, Any] | None,
    inputs: dict[str, Any] | None,
    roots: list[Path] | None = None,
) -> Any:
    """Return the calls that a task or workflow makes of its inputs.

    Raises
    ------
    UnknownName
        There is none of that name.
    ArgumentError
        It is of the other category; or arguments do not fit, all of them told.
    """
    entry = catalog.get(name)
    if entry.category != category:
        other = f"{entry.name} is a {entry.category}"
        raise ArgumentError(f"{other}: use run_{entry.category} or plan_{entry.category} instead")
    judge = partial(check_path, place, roots)
    for param in entry.params:
        for text in given_paths(param.kind, (inputs or {}).get(param.name)):
            judge(text)
    with place.store, read_within(judge):
        return catalog.bind_filtered(entry, filters or {}, inputs or {}, store=place.store).wire()


def check_path(place: Place, roots: list[Path] | None, text: str) -> list[str] | None:
    """Refuse a path or an address of a file that a client may not have read; sheets name such, too.

    Returns
    -------
    list
        IP addresses that may be asked for it; None of what has no host that is looked at.

    Raises
    ------
    ArgumentError
        Over HTTP all of them; else what lies outside of the folders, or is an address of this machine's files.
    """
    if place.is_remote:
        raise ArgumentError("this server is reached over HTTP and reads no paths, nor sheets that name some: send "
                            "files by begin_upload, and give them as assets")  # fmt: skip
    if "://" not in text:
        place.folders.file(os.path.join(os.getcwd(), text), roots)  # `..` behind a link is that of where it leads
    elif "::" in text or not text.lower().startswith(ELSEWHERE):
        raise ArgumentError(f"{text[:200]}: addresses that are read begin with {', '.join(ELSEWHERE)}")
    elif text.lower().startswith(WITH_HOSTS):
        return _checked_host(text)
    return None


def _checked_host(address: str) -> list[str]:
    """Refuse an address of this machine's own networks: what is there is for who can reach it, and not for clients."""
    try:
        host = "" if "\\" in address else urlsplit(address).hostname or ""
        found = addresses_of(host) if host else []
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{address[:200]}: there is no such host: {error}") from None
    if not host:
        raise ArgumentError(f"{address[:200]!r} names no host")
    inner = [each for each in found if not is_public(each)]
    if inner and host not in {str(each).lower() for each in config.mcp_setting("hosts") or ()}:
        raise ArgumentError(f"{host} ({inner[0]}) is this machine, or lies in a private network: files of public hosts "
                            "are read, and of those that the setting stargazer.mcp.hosts names")  # fmt: skip
    return found


def _row(entry: Entry) -> EntryOut:
    params = [
        ParamOut(name=name, type=kind, required=required, default=default)
        for name, kind, required, default in (
            (each["name"], each["type"], each["required"], each["default"])
            for each in (param.to_dict() for param in entry.params)
        )
    ]
    outputs = [OutputOut(**output._asdict()) for output in entry.outputs]
    return EntryOut(
        name=entry.name, category=entry.category, description=entry.summary, params=params, outputs=outputs,
        how=entry.how or None,
    )  # fmt: skip


def _planned(made: Plan, cursor: str | None, of: Any) -> PlanOut:
    groups: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for each in made:
        key = each.call.name, each.state, tuple(dict.fromkeys(str(reason) for reason in each.reasons))
        groups[key] = groups.get(key, 0) + 1
    steps = [
        StepOut(task=task, state=state, calls=count, reasons=list(reasons))  # type: ignore[arg-type]
        for (task, state, reasons), count in groups.items()
    ]
    rows, following = page(steps, cursor, 200, ["plan", of], lambda step: step.model_dump())
    return PlanOut(known=len(made.known), to_run=len(made.to_run), steps=rows, next_cursor=following)
