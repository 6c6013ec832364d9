"""Ask for a run of its own: what can be checked is checked first, then a process or a job drives it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stargazer.calls.call import calls_in
from stargazer.calls.elements import element
from stargazer.calls.graph import flatten
from stargazer.calls.node import run as node
from stargazer.client.capacity import offered
from stargazer.config import batch_job, user_name
from stargazer.errors import ArgumentError, ConfigError, NotFound
from stargazer.profiles.kinds import batch_system
from stargazer.profiles.settings import find_profiles
from stargazer.runs.detached import ask_for, command, start_driver
from stargazer.runs.given import read_options
from stargazer.runs.history import JOB_UNKNOWN, read_job, whose_may_go_on
from stargazer.runs.kept import KeptRun
from stargazer.store import layout

if TYPE_CHECKING:
    from stargazer.profiles.profile import Profile
    from stargazer.runs.given import Options
    from stargazer.runs.history import Note
    from stargazer.store import Store

__all__ = ["ask", "cancel", "pending_job_ended", "resume", "submit_job"]

GOES_ON = ("lost", "failed", "cancelled")


def ask(what: Any, options: Options, name: str = "", *, submit: bool = False) -> KeptRun:
    """Let a process of its own run calls, or a job of the batch system; return at once.

    Parameters
    ----------
    what
        A call, or lists, tuples and dicts of calls.
    options
        How to run them.
    name
        Of the run; by default that of the function that wired the calls.
    submit
        Whether the driver is a job.

    Raises
    ------
    NeedUnmet
        No worker that the profile may start could ever run some call.
    ConfigError
        There is no such profile, or the batch system refuses the driver.
    """
    options = options.in_force()
    profile = _batch_profile(options.on) if submit else None
    if profile is not None:
        options = options._replace(on=options.on or profile.name)
    check_needs(what, options)
    store, note = ask_for(what, options, name)
    if profile is None:
        return start_driver(store, note, options.folder)
    try:
        return _submitted(store, note, profile)
    except ConfigError:
        for place in (layout.run(note.id), layout.driver(note.id, "given")):
            store.backend.remove(place)
        raise


def check_needs(what: Any, options: Options) -> None:
    """Refuse calls that would wait for ever, as far as that is known before their inputs are."""
    capacity = offered(find_profiles(options.on, workers=options.workers)) if options.on else None
    if capacity is None:
        return
    _, missing = flatten(calls_in(what), node, element)
    capacity.check(call for call in missing.values() if call.spec.needs.are_given)


def _batch_profile(name: str | None) -> Profile:
    profile = find_profiles(name)[0]
    if not batch_system(profile):
        raise ConfigError(
            f"the profile {profile.name} is of kind {profile.kind}, which takes no jobs: name a batch system, as "
            "--submit --on slurm, or let a process of this machine drive the run: --detach"
        )
    return profile


def _submitted(store: Store, note: Note, profile: Profile) -> KeptRun:
    """Submit the job that drives a pending run.

    The note says that a job was asked for before it is: it may begin at once, and writes the note then.
    """
    note = replace(note, driver=note.driver | {"job": JOB_UNKNOWN, "times": 1})
    note.write(store)
    submit_job(store, note, profile)
    return KeptRun(store, note)


def submit_job(store: Store, note: Note, profile: Profile) -> None:
    """Submit a job for the driver of a run, the first or a next one.

    Raises
    ------
    ConfigError
        The batch system refuses it, or it was driven often enough.
    """
    from stargazer.client.apart import driver_walltime, submit_driver

    times = int(note.driver["times"])
    if times > profile.driver.times:
        raise ConfigError(
            f"{times - 1} drivers, one after the other, have not come to its end, and driver.times of the profile "
            f"{profile.name} allows no more; stargazer resume {note.id} goes on"
        )
    told = [*command(store, note, profile.python), "--times", str(times), "--profile", profile.name]
    told += ["--walltime", str(walltime)] if (walltime := driver_walltime(profile)) else []
    job = submit_driver(profile, note.id, told, after=batch_job() if times > 1 else None)
    store.backend.replace(layout.driver(note.id, "job"), json.dumps({"job": job}).encode())


def resume(run: KeptRun) -> KeptRun:
    """Go on with a run that was lost or cancelled, or failed: the same calls, options, and place for results.

    Also with one whose job has ended before it began, as far as the batch system says so.

    Raises
    ------
    ArgumentError
        It goes on, has ended well, or was no run of its own.
    NotFound
        What it was given is not there any more, or is not what somebody you trust has signed.
    """
    note, state = run.note, run.state
    if state not in GOES_ON and not (state == "pending" and pending_job_ended(run)):
        told = "has ended well" if state == "done" else f"is {state}"
        raise ArgumentError(f"{run.id} {told}; what is resumed was lost or cancelled, or has failed")
    if not note.driver.get("given"):
        raise ArgumentError(
            f"{run.id} was run by a process of {note.user} and is not kept with its code; run the workflow again: what "
            "it finished is known"
        )
    if not whose_may_go_on(run.store, note):
        raise NotFound(
            f"{run.id} is {note.whose}, and would run code as you: name who ran it in stargazer.trust, or run the "
            "workflow yourself: what it finished is known"
        )
    options = read_options(run.store, run.id, note.driver["given"])
    for what in ("cancel", "result"):
        run.store.backend.remove(layout.driver(run.id, what))
    is_job = bool(note.driver.get("job"))
    driver = {name: value for name, value in note.driver.items() if name == "given"}
    note = replace(note, user=user_name(), state="pending", pid=0, host="")
    fresh = replace(note, driver=driver, failures={}, records={}, updated=0.0)
    fresh.write(run.store)
    if is_job:
        return _submitted(run.store, fresh, _batch_profile(options.on))
    return start_driver(run.store, fresh, options.folder)


def cancel(run: KeptRun) -> None:
    """Cancel a run, wherever it is driven; a job that has not begun is taken back, too, where that can be done here."""
    import contextlib

    pending = run.state == "pending"
    run.cancel()
    job = read_job(run.store, run.id)
    if pending and job:
        with contextlib.suppress(ConfigError):
            from stargazer.client.apart import cancel_job

            cancel_job(_batch_profile(run.note.where), job)


def pending_job_ended(run: KeptRun) -> str | None:
    """Why the job of a pending run will not begin, as the batch system says; None where it may, or nobody knows."""
    import contextlib

    job = read_job(run.store, run.id)
    if run.note.state != "pending" or not job:
        return None
    with contextlib.suppress(ConfigError):
        from stargazer.client.apart import has_ended

        return has_ended(_batch_profile(run.note.where), job)
    return None
