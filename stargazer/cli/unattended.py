"""``stargazer attach``, ``cancel`` and ``resume``: runs of their own, from any machine that shares their store."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stargazer.cli.options import JSON, STORE, open_made_store, print_json, say, show_progress

if TYPE_CHECKING:
    from stargazer.runs.kept import KeptRun
    from stargazer.runs.state import Status

__all__ = ["ask", "attach", "cancel", "plain", "print_assets", "resume"]

RUN = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or how it begins; `stargazer runs` lists them.")]

FIRST_LOOK = 0.5
LOOKED_EVERY = 10.0
"""Seconds between two questions after a job that has not begun."""


def ask(calls: Any, *, name: str, submit: bool, json: bool, **options: Any) -> None:
    """Let a process of its own run calls, or a job, and say which."""
    from stargazer.driver.asking import ask as asked
    from stargazer.runs.given import Options

    if options["out"]:
        options["out"] = os.path.abspath(options["out"])
    _tell_begun(asked(calls, Options(**options), name, submit=submit), json=json)


def attach(run: RUN, store: STORE = None, json: JSON = False) -> None:
    """Watch a run of its own until it ends.

    Shows its progress, then what it gave, and exits as the run itself. Ctrl-C leaves it alive.
    """
    from stargazer.display import show_run
    from stargazer.driver.asking import pending_job_ended
    from stargazer.errors import RunError, RunLost

    found = _found(run, store)
    try:
        asked = time.monotonic()
        while found.state == "pending" and not found.wait(FIRST_LOOK):
            if time.monotonic() - asked > LOOKED_EVERY:
                asked = time.monotonic()
                if why := pending_job_ended(found):
                    raise RunLost(f"the job of {found.id} ended before it began ({why}); stargazer resume {found.id}")
        show_run(Watched(found), show_progress())
        found.wait()
        result = found.result()
    except KeyboardInterrupt:
        say(f"stargazer: {found.id} goes on; stargazer attach {found.id}", err=True)
        raise typer.Exit(130) from None
    except RunError as error:
        if json:
            print_json({"error": {"type": type(error).__name__, "message": str(error)}} | _json(found))
            error.is_told = True  # type: ignore[attr-defined]
        raise
    if json:
        print_json({"result": plain(result), **_json(found)})
        return
    print_assets(result)
    _tell_end(found)


def cancel(run: RUN, store: STORE = None, json: JSON = False) -> None:
    """Cancel a run.

    Its tools and workers are gone within seconds, wherever it is driven; what was finished is kept.
    """
    from stargazer.driver.asking import cancel as cancelled
    from stargazer.errors import ArgumentError

    found = _found(run, store)
    if found.state in ("done", "failed", "cancelled"):
        raise ArgumentError(f"{found.id} has ended: it is {found.state}")
    cancelled(found)
    ended = found.wait(CANCELLED_WITHIN)
    if json:
        print_json(_json(found))
    elif ended:
        say(f"{found.id}: {found.state}")
    else:
        say(f"{found.id}: asked to end; its driver ({found.note.driver_text or 'a job'}) has not answered yet")


CANCELLED_WITHIN = 30.0
"""Seconds for which `stargazer cancel` waits for the answer of a driver."""


def resume(run: RUN, store: STORE = None, json: JSON = False) -> None:
    """Go on with a run of its own that was lost or cancelled, or that failed.

    The same calls with the same options, whatever was edited since; results go to the same place. What it finished is
    not run again.
    """
    from stargazer.driver.asking import resume as resumed

    _tell_begun(resumed(_found(run, store)), json=json)


def _found(run: str, store: str | None) -> KeptRun:
    from stargazer.errors import NotFound
    from stargazer.runs.kept import get

    try:
        return get(run, open_made_store(store))
    except NotFound as error:
        raise typer.BadParameter(str(error)) from None


def _tell_begun(run: KeptRun, *, json: bool) -> None:
    where = run.where
    driver = {"job": where["job"]} if where["job"] else {"pid": where["pid"]}
    if json:
        print_json({"run": run.id, **driver})
        return
    say(run.id)
    number = f"job {where['job']}" if where["job"] else f"process {where['pid']}"
    say(f"{number} drives it; stargazer attach {run.id}", err=True)


def _json(run: KeptRun) -> dict[str, Any]:
    counts = run.counts
    told = {"run": run.id, "state": run.state, "tasks_run": counts.get("done", 0), "seconds": round(run.seconds, 3)}
    return told | {"failures": run.failures, "where": run.where}


def _tell_end(run: KeptRun) -> None:
    from stargazer.display import plural, seconds_text

    say(f"{plural(run.counts.get('done', 0), 'task')} run, {seconds_text(run.seconds)}, {run.id}", err=True)


class Watched:
    """A kept run as `stargazer.display.show_run` watches runs of this process.

    Parameters
    ----------
    run
        The run.
    """

    def __init__(self, run: KeptRun) -> None:
        self.run = run
        self._note = run.note

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end."""
        return self.run.wait(timeout)

    def status(self) -> Status:
        """Calls in each state, as noted last."""
        from stargazer.runs.state import State, Status

        self._note = self.run.note
        tasks = {
            task: {State(state): number for state, number in states.items()}
            for task, states in self._note.tasks.items()
        }
        return Status(self._note.seconds, tasks)

    @property
    def known(self) -> int:
        """Number of calls that the ledger answered when it began."""
        return self._note.known

    @property
    def failures(self) -> dict[str, str]:
        """Errors by call."""
        return self._note.failures

    @property
    def lost_workers(self) -> list[str]:
        """How workers ended that nobody gave back."""
        return self._note.lost

    def log(self, label: str) -> str:
        """Nothing: the log is shown by the command."""
        return ""

    def log_command(self, label: str) -> str:
        """What shows the log of a call that failed."""
        from stargazer.ledger.logs import SHOWN_DIGITS

        record = self._note.records.get(label)
        return f"stargazer log {record[:SHOWN_DIGITS]}" if record else ""


# What a run gave, as `stargazer run` and `attach` tell it.


def plain(result: Any) -> Any:
    """Return a result as JSON."""
    from stargazer.cli.options import asset_json

    if isinstance(result, (list, tuple)):
        names = getattr(result, "_fields", None)
        return dict(zip(names, map(plain, result), strict=True)) if names else [plain(each) for each in result]
    if isinstance(result, dict):
        return {name: plain(each) for name, each in result.items()}
    return asset_json(result) if hasattr(result, "asset_key") else result


def print_assets(result: Any) -> None:
    """Print a line for each asset of a result, or the result itself where it has none."""
    from stargazer.ledger.record import walk_assets
    from stargazer.visible import visible

    assets = list(walk_assets(result))
    for asset in assets:
        say(f"{asset.cid}  {visible(asset.name)}")
    if not assets:
        say(result)
