"""Does a profile work? Its workers are asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stargazer.calls.options import chosen_tools
from stargazer.client.connecting import connect
from stargazer.client.enough import enough
from stargazer.client.finding import Finding
from stargazer.errors import StargazerError, StoreError, ToolMissing
from stargazer.tool import identify_tool, library_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from distributed import Client

    from stargazer.calls import Task
    from stargazer.profiles.profile import Profile
    from stargazer.store import Store

__all__ = ["Finding", "check_profile"]

PACKAGES = ("stargazer-dask", "dask", "distributed", "cloudpickle", "fsspec")


def check_profile(profile: Profile, store: Store, tasks: Iterable[Task] = (), *, strict: bool = True) -> list[Finding]:
    """Connect, and ask the workers.

    Parameters
    ----------
    profile
        To try.
    store
        That the workers must reach.
    tasks
        Whose tools must be there, and what else they need.
    strict
        Whether each task must be able to run: with tools that this process does not have itself, on workers that are
        large enough and live long enough.
    """
    tasks = list(tasks)
    tools, libraries = _wanted(tasks)
    if not strict:
        tools, libraries = list(filter(_is_here, tools)), []
    try:
        with connect(profile.name) as client:
            found = [came := _workers(client, profile), *enough(client, tasks, strict=strict)]
            if came.ok:
                found += [_store(client, store), _versions(client, libraries)]
                found += [_tool(client, name) for name in tools]
            return found
    except (StargazerError, OSError) as error:
        return [Finding("connection", False, str(error))]


def _wanted(tasks: Sequence[Task]) -> tuple[list[str], list[str]]:
    """Tools of the tasks, as their defaults choose them, and their libraries."""
    tools = {tool for task in tasks for tool in chosen_tools(task.tools, _defaults(task))}
    return sorted(tools), sorted({name for task in tasks for name in task.uses})


def _is_here(tool: str) -> bool:
    try:
        return bool(identify_tool(tool))
    except ToolMissing:
        return False


def _defaults(task: Task) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in task.signature.plains}


def _workers(client: Client, profile: Profile) -> Finding:
    from stargazer.profiles.offers import offer_of

    if profile.is_queue and profile.workers and not profile.workers.minimum:
        client.cluster.scale(1)  # type: ignore[union-attr]
    try:
        client.wait_for_workers(1, timeout=profile.patience)
    except TimeoutError:
        offer = offer_of(client)
        trouble = offer.trouble() if offer else None
        return Finding("workers", False, trouble or f"none came within {profile.patience:.0f} s")
    hosts = sorted({address.rpartition(":")[0].partition("://")[2] for address in client.run(os.getpid)})
    secure = "encrypted" if "tls" in str(client.scheduler.address) else "not encrypted"  # type: ignore[union-attr]
    return Finding("workers", True, f"on {', '.join(hosts)}, connections {secure}")


def _store(client: Client, store: Store) -> Finding:
    """Each worker writes something small that this process must find, in the same store."""
    try:
        store.put_bytes(b"stargazer\n")
    except (StoreError, OSError) as error:
        return Finding("store", False, str(error))
    served = 0
    for address, told in client.run(_write, store.url, store.id, on_error="return").items():
        if isinstance(told, Exception):
            return Finding("store", False, f"{address} cannot write to {store.url}: {told}")
        is_served, cid = told
        if not store.has(cid):
            return Finding("store", False, f"what {address} writes does not arrive in {store.url}")
        served += is_served
    if not served:
        return Finding("store", True, f"{store.url} is read and written from the workers")
    return Finding(
        "store", True, f"{store.url} is served to {served} worker{'s' * (served > 1)}, over Dask's connections"
    )


async def _write(url: str, identifier: str, dask_worker: Any) -> tuple[bool, str]:
    import asyncio

    from stargazer.served.reach import written

    return await asyncio.to_thread(written, dask_worker, url, identifier)


def _versions(client: Client, libraries: Iterable[str]) -> Finding:
    names = [*PACKAGES, *libraries]
    here = versions(names)
    differing = set(_differences(here, client.run(versions, names)))
    return Finding("versions", not differing, "; ".join(sorted(differing)) or "as here")


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


def _tool(client: Client, name: str) -> Finding:
    try:
        here = identify_tool(name)
    except ToolMissing as error:
        return Finding(name, False, f"not here: {error}")
    for address, told in client.run(identify_tool, name, on_error="return").items():
        if told != here:
            shown = told if isinstance(told, Exception) else f"{told.version} ({told.digest[:12]}…)"
            return Finding(name, False, f"{here.version} ({here.digest[:12]}…) here, but on {address} {shown}")
    return Finding(name, True, f"{here.version} on all workers")
