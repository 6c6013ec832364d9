"""Runs of their own: they are asked for here, and driven by a process that outlives this one."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.calls.call import calls_in
from stargazer.errors import ArgumentError, ConfigError
from stargazer.profiles.profile import offer_of
from stargazer.profiles.settings import find_profiles, written
from stargazer.runs.given import Options, write_given
from stargazer.runs.history import Note
from stargazer.runs.kept import KeptRun
from stargazer.store import Store
from stargazer.tools.apart import start_apart

if TYPE_CHECKING:
    from distributed import Client

    from stargazer.calls.call import Call

__all__ = ["ask_for", "command", "detach", "options_like", "start_driver"]

DRIVER = "stargazer.driver"
"""What Python runs as the driver: it stands above what is here, and is never imported."""


def detach(what: Any, options: Options, name: str = "") -> KeptRun:
    """Let a process of its own, on this machine, run calls; return at once.

    Parameters
    ----------
    what
        A call, or lists, tuples and dicts of calls.
    options
        How to run them.
    name
        Of the run; by default that of the function that wired the calls.

    Raises
    ------
    ArgumentError
        There is nothing to run, or it cannot be given to another process.
    ConfigError
        There is no such profile.
    """
    store, note = ask_for(what, options, name)
    return start_driver(store, note, options.in_force().folder)


def ask_for(what: Any, options: Options, name: str = "") -> tuple[Store, Note]:
    """Check what can be checked, and keep a pending run with all that its driver needs."""
    calls = calls_in(what)
    if not calls:
        raise ArgumentError("there is no call to run")
    if options.on:
        find_profiles(options.on, workers=options.workers)
    store = _one_store(calls)
    options = options.in_force() if not options.folder else options
    spec = calls[0].spec
    workflow = name or (spec.wired.workflow if spec.wired else spec.name)
    fresh = replace(Note.new(options.on or "threads", 0, workflow, spec.stamped()), state="pending", pid=0, host="")
    note = fresh.claimed(store)
    digest = write_given(store, note.id, what, calls, options)
    note = replace(note, driver={"given": digest})
    note.write(store)
    return store, note


def start_driver(store: Store, note: Note, folder: str) -> KeptRun:
    """Start the process that drives a run which is pending."""
    log = config.cache_dir() / "drivers" / f"{note.id}.log"
    return KeptRun(store, note, start_apart(command(store, note), folder=folder, log=log))


def command(store: Store, note: Note, python: str | None = None) -> list[str]:
    """Return what starts the driver of a run; the digest binds it to what it was given."""
    # Python would look for modules in the folder where it starts, which may hold data.
    return [
        python or sys.executable,
        "-P",
        "-m",
        DRIVER,
        note.id,
        "--store",
        store.url,
        "--given",
        note.driver["given"],
    ]


def _one_store(calls: list[Call]) -> Store:
    urls = {call.spec.store for call in calls}
    if len(urls) > 1:
        raise ArgumentError(f"a run of its own is kept in one store, but these calls are of {', '.join(sorted(urls))}")
    return Store.open(urls.pop())


def options_like(client: Client | None, on: str | None, again: Any) -> Options:
    """Return options for a driver that connects anew to what a client is connected to.

    Raises
    ------
    ConfigError
        The client's scheduler is in this process, and nobody else can have it.
    ArgumentError
        `again` names calls, which are of this process.
    """
    if again is not None and again is not True:
        again = [again] if not isinstance(again, (list, tuple)) else again
        again = [each if isinstance(each, str) else _task_name(each) for each in again]
    options = Options(on=on, again=again)
    if on is not None or client is None:
        return options.in_force()
    offer = offer_of(client)
    if offer is not None and offer.kinds:
        return options._replace(on=offer.where).in_force()
    if offer is not None and offer.profile.kind != "address":
        options = options._replace(on=offer.profile.name).in_force()
        profiles = dict(options.settings.get("profiles") or {})
        profiles[offer.profile.name] = written(offer.profile)
        return options._replace(settings=options.settings | {"profiles": profiles})
    if getattr(client, "cluster", None) is not None:
        raise ConfigError(
            "the scheduler of this client ends with this process, and a run of its own would lose it: make the client "
            "with sg.connect, or say where to run: sg.run(…, detach=True, on='local')"
        )
    return options._replace(on=str(getattr(client.scheduler, "address", ""))).in_force()


def _task_name(each: Any) -> str:
    from stargazer.calls import Task

    if not isinstance(each, Task):
        raise ArgumentError(f"again={each!r}: a run of its own takes True, tasks, or names of tasks")
    return each.name
