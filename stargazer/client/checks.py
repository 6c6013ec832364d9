"""Does a profile work? Its workers are asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls.resources import amount_text, capacity_of
from stargazer.client.connect import connect
from stargazer.errors import ConfigError, StargazerError, StoreError, ToolMissing
from stargazer.profiles.kinds import kind_of
from stargazer.profiles.settings import clock_of
from stargazer.tools import identify_tool, library_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from distributed import Client

    from stargazer.calls import Task
    from stargazer.calls.resources import Capacity
    from stargazer.profiles.profile import Profile
    from stargazer.store import Store

__all__ = ["NOT_SEEN", "CheckResult", "check_needs", "check_profile"]

PACKAGES = ("stargazer-dask", "dask", "distributed", "cloudpickle", "fsspec")


def check_profile(
    profile: Profile, store: Store, tasks: Iterable[Task] = (), *, strict: bool = True, named: str | None = None
) -> list[CheckResult]:
    """Connect, and ask the workers.

    Parameters
    ----------
    profile
        To try.
    store
        That the workers must reach.
    tasks
        Whose tools must be there, and what else they need.
    named
        What was asked for, where it is several profiles; this is the first of them.
    strict
        Whether each task must be able to run: with tools that this process does not have itself, on workers that are
        large enough and live long enough.
    """
    tasks = list(tasks)
    kind = kind_of(profile.kind)
    if kind is not None and kind.check:
        return list(kind.call("check", profile, tasks))
    tools, libraries = _wanted(tasks)
    if not strict:
        tools, libraries = list(filter(_is_here, tools)), []
    found = [CheckResult("script", True, script)] if (script := _script(profile)) else []
    try:
        with connect(named or profile.name) as client:
            if profile.is_queue:
                found = [CheckResult("script", True, text) for text in _scripts(client)]
            found.append(came := _workers(client, profile))
            found += check_needs(capacity_of(client), tasks, strict=strict, seen=bool(came.ok))
            if not came.ok:
                return [*found, *_here_alone(store, tools, NOT_SEEN)]
            found += [_store(client, store), _versions(client, libraries)]
            return found + [_tool(client, name) for name in tools]
    except (StargazerError, OSError) as error:
        return [
            *found,
            CheckResult("connection", False, str(error)),
            *_here_alone(store, tools, "there is no connection"),
        ]


def _script(profile: Profile) -> str | None:
    """The batch script that would be sent; None where there is none, or where trying to connect will tell why."""
    if not profile.is_queue:
        return None
    from stargazer.client.jobqueue import batch_script

    try:
        return batch_script(profile)
    except (ConfigError, ValueError, TypeError, OSError):
        return None


def _scripts(client: Client) -> list[str]:
    """The batch scripts that are sent, one a kind of workers."""
    cluster: Any = client.cluster
    return [cluster.script_of(each) for each in cluster.staff.asked.values()]


def _here_alone(store: Store, tools: Iterable[str], why: str) -> Iterator[CheckResult]:
    """What can be seen without workers: whether anything is missing here already."""
    try:
        store.blobs.put_bytes(b"stargazer\n")
        yield CheckResult("store", None, f"{why}; here it can be written to")
    except (StoreError, OSError) as error:
        yield CheckResult("store", False, str(error))
    yield CheckResult("versions", None, why)
    for name in tools:
        try:
            yield CheckResult(name, None, f"{why}; here it is {identify_tool(name).version}")
        except ToolMissing as error:
            yield CheckResult(name, False, f"not here: {error}")


def _wanted(tasks: Sequence[Task]) -> tuple[list[str], list[str]]:
    """Tools of the tasks, as their defaults choose them, and their libraries."""
    tools = {tool for task in tasks for tool in task.identified(_defaults(task))}
    return sorted(tools), sorted({name for task in tasks for name in task.uses or ()})


def _is_here(tool: str) -> bool:
    try:
        return bool(identify_tool(tool))
    except ToolMissing:
        return False


def _defaults(task: Task) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in task.signature.plains}


def _workers(client: Client, profile: Profile) -> CheckResult:
    from stargazer.profiles.profile import offer_of

    if profile.is_queue and profile.workers and not profile.workers.minimum:
        client.cluster.scale(1)  # type: ignore[union-attr]
    try:
        client.wait_for_workers(1, timeout=profile.patience)
    except TimeoutError:
        offer = offer_of(client)
        trouble = offer.trouble() if offer else None
        return CheckResult("workers", False, trouble or f"none came within {profile.patience:.0f} s")
    hosts = sorted({address.rpartition(":")[0].partition("://")[2] for address in client.run(os.getpid)})
    address = str(client.scheduler.address)  # type: ignore[union-attr]
    ways = {"tls": "connections encrypted", "wss": "connections encrypted", "inproc": "within this process"}
    where = f"on {', '.join(filter(None, hosts))}" if any(hosts) else "threads"
    return CheckResult(
        "workers", True, f"{where}, {ways.get(address.partition('://')[0], 'connections not encrypted')}"
    )


def _store(client: Client, store: Store) -> CheckResult:
    """Each worker writes something small that this process must find, in the same store."""
    try:
        store.blobs.put_bytes(b"stargazer\n")
    except (StoreError, OSError) as error:
        return CheckResult("store", False, str(error))
    served = 0
    for address, told in client.run(_write, store.url, store.id, on_error="return").items():
        if isinstance(told, Exception):
            return CheckResult("store", False, f"{address} cannot write to {store.url}: {told}")
        is_served, cid = told
        if not store.has(cid):
            return CheckResult("store", False, f"what {address} writes does not arrive in {store.url}")
        served += is_served
    if not served:
        return CheckResult("store", True, f"{store.url} is read and written from the workers")
    return CheckResult(
        "store", True, f"{store.url} is served to {served} worker{'s' * (served > 1)}, over Dask's connections"
    )


async def _write(url: str, identifier: str, dask_worker: Any) -> tuple[bool, str]:
    import asyncio

    from stargazer.relay.worker import written

    return await asyncio.to_thread(written, dask_worker, url, identifier)


def _versions(client: Client, libraries: Iterable[str]) -> CheckResult:
    names = [*PACKAGES, *libraries]
    here = versions(names)
    differing = set(_differences(here, client.run(versions, names)))
    return CheckResult("versions", not differing, "; ".join(sorted(differing)) or "as here")


def _differences(here: dict[str, str], there: dict[str, dict[str, str]]) -> Iterator[str]:
    for versions_there in there.values():
        for name, version in here.items():
            if versions_there[name] != version:
                yield f"{name} is {versions_there[name]} on the workers, {version} here"


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of some packages in this process."""
    import platform

    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = library_version(name)
        except ToolMissing:
            found[name] = "not installed"
    return found


def _tool(client: Client, name: str) -> CheckResult:
    try:
        here = identify_tool(name)
    except ToolMissing as error:
        return CheckResult(name, False, f"not here: {error}")
    for address, told in client.run(identify_tool, name, on_error="return").items():
        if told != here:
            shown = told if isinstance(told, Exception) else f"{told.version} ({told.digest[:12]}…)"
            return CheckResult(name, False, f"{here.version} ({here.digest[:12]}…) here, but on {address} {shown}")
    return CheckResult(name, True, f"{here.version} on all workers")


def check_executor(profile: Profile, tasks: Sequence[Task]) -> Iterator[CheckResult]:
    """Ask an executor what it takes, and let it run a cell of one line."""
    from stargazer.executors.asking import CELL, VERSION
    from stargazer.executors.place import place_of
    from stargazer.executors.tasks import TASK
    from stargazer.executors.values import PICKLE

    place = place_of(profile)
    try:
        executor = place.executor()
        told = executor.health().get("capabilities") or {}
        refs, inputs = told.get("transform_refs") or [], (told.get("features") or {}).get("inputs")
        speaks = VERSION in (told.get("protocol_versions") or []) and CELL in refs
        yield CheckResult("executor", speaks, f"{place.url} takes {', '.join(refs) or 'nothing that is known here'}")
        done = executor.execute("print(1 + 1)", timeout=60.0)
        yield CheckResult("cells", done.stdout == "2\n", done.error or "a cell of one line ran there")
    except StargazerError as error:
        yield CheckResult("executor", False, str(error))
        return
    if tasks:
        takes = TASK in refs
        yield CheckResult("tasks", takes, f"it {'takes' if takes else 'does not take'} bodies of tasks")
    if place.trust:
        takes = inputs is None or PICKLE in inputs
        yield CheckResult("trust", takes, "pickles go there" if takes else "pickles are not taken there: --trust")
    named = f"{place.runtime}; what it made is known under that name"
    yield CheckResult("runtime", True if place.runtime else None, named if place.runtime else NO_RUNTIME)


NO_RUNTIME = "none is named, so nothing that is made there is taken for an answer later: option runtime"


# Whether the workers of a profile have what tasks declare to need, and live as long.


NOT_SEEN = "no worker came"

NAMED = 3
"""Tasks that are named of those that lack the same."""


def check_needs(
    capacity: Capacity, tasks: Sequence[Task], *, strict: bool = True, seen: bool = True
) -> Iterator[CheckResult]:
    """Compare what workers have, or may be started with, with what tasks need.

    Parameters
    ----------
    capacity
        Of the workers; they need not be there yet, if a profile starts them.
    tasks
        That shall run there.
    strict
        Whether a task that cannot run there is a failure, or a remark.
    seen
        Whether a worker is there: what nobody has seen is not taken for granted.

    Yields
    ------
    CheckResult
        One a resource: what there is, and which task needs the most, or what is missing.
    """
    lacking = [capacity.lacking(task.name, task.needs) for task in tasks]
    kinds = dict.fromkeys([*sorted(capacity.largest), *(kind for each in lacking for kind in each)])
    if capacity.walltime is not None or any(task.needs.walltime for task in tasks):
        kinds["walltime"] = None
    if not capacity.largest:
        yield CheckResult("resources", True, "the workers count none: each of their threads takes one call at a time")
    for kind in kinds:
        short = [(task, why[kind]) for task, why in zip(tasks, lacking, strict=True) if kind in why]
        if short and strict:
            yield CheckResult(kind, False, _missing(kind, short))
        else:
            told = _there(kind, capacity, tasks, [task for task, _ in short])
            yield (
                CheckResult(kind, True, told)
                if seen
                else CheckResult(kind, None, f"{NOT_SEEN}; the profile says: {told}")
            )


def _missing(kind: str, short: list[tuple[Task, str]]) -> str:
    """What the task that needs the most lacks, and which others lack of the same."""
    worst, why = max(short, key=lambda each: _need(kind, each[0]))
    others = _names([task for task, _ in short if task is not worst])
    return f"{why}; not enough for {others} either" if others else why


def _there(kind: str, capacity: Capacity, tasks: Sequence[Task], short: Sequence[Task]) -> str:
    has = _has(kind, capacity)
    if short:
        return f"{has}, not enough for {_names(short)}"
    wanting = max(tasks, key=lambda task: _need(kind, task), default=None)
    if wanting is None or not _need(kind, wanting):
        return has
    clamped = "" if _need(kind, wanting) <= capacity.largest.get(kind, _need(kind, wanting)) else ", and takes all"
    return f"{has}; {wanting.name} {_uses(kind, _need(kind, wanting))}{clamped}"


def _has(kind: str, capacity: Capacity) -> str:
    if kind == "walltime":
        return f"workers end after {clock_of(capacity.walltime)}" if capacity.walltime else "workers have no set end"
    return "there are workers of that name" if ":" in kind else f"a worker has {_amount(kind, capacity.largest[kind])}"


def _uses(kind: str, amount: float) -> str:
    if kind == "walltime":
        return f"takes up to {clock_of(amount)}"
    return "wants it" if ":" in kind else f"wants the most, {_amount(kind, amount)}"


def _need(kind: str, task: Task) -> float:
    return task.needs.walltime or 0.0 if kind == "walltime" else task.needs.resources().get(kind, 0.0)


def _amount(kind: str, amount: Any) -> str:
    return amount_text(kind, amount).removesuffix(" of memory").removesuffix(f" {kind}")


def _names(tasks: Sequence[Task]) -> str:
    names = list(dict.fromkeys(task.name for task in tasks))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


# What a check of a profile finds.


class CheckResult(NamedTuple):
    """One thing that was checked.

    Parameters
    ----------
    what
        Was checked.
    ok
        Whether it is as it should be; None where that could not be seen.
    told
        What was found.
    """

    what: str
    ok: bool | None
    told: str
