"""What takes longer than a page waits: commands in processes of their own, asked for again and again until they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import NotFound, StargazerError
from stargazer.tools.process import end, start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["CommandFailed", "Job", "Jobs", "command", "unforeseen_text"]

KEPT = 100
LOOKED_EVERY = 0.1
ENDING = 4000
COMMAND = "from stargazer.cli import main; main()"


def unforeseen_text(error: Exception) -> str:
    """What people are told of an error that is none of ours; the rest is for who started the app."""
    kind = type(error).__name__
    return f"that failed in a way that nobody foresaw ({kind}); where the app was started it says more"


class CommandFailed(StargazerError):
    """A command ended badly; the message is what it said.

    Parameters
    ----------
    message
        For people.
    answer
        The JSON that it printed, if any.
    """

    def __init__(self, message: str, answer: Any = None) -> None:
        super().__init__(message)
        self.answer = answer


@dataclass(eq=False)
class Job:
    """Something under way, or ended.

    Parameters
    ----------
    name
        For people: ``freeze first``.
    state
        ``"running"``, ``"done"`` or ``"failed"``.
    said
        What came of it.
    go
        Page to show then.
    """

    name: str
    state: str = "running"
    said: str = ""
    go: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def to_dict(self) -> dict[str, str]:
        """As JSON."""
        return {"job": self.id, "name": self.name, "state": self.state, "said": self.said, "go": self.go}


class Jobs:
    """Jobs of an app; they end with it."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, name: str, work: Callable[[], Awaitable[tuple[str, str]]]) -> Job:
        """Begin a job, or find the one of that name that is under way.

        Parameters
        ----------
        name
            For people.
        work
            Does it, and gives what to say and the page to show.
        """
        for there in self._jobs.values():
            if there.name == name and there.state == "running":
                return there
        ended = [each.id for each in self._jobs.values() if each.state != "running"]
        for each in ended[: max(0, len(ended) - KEPT + 1)]:
            del self._jobs[each]
        job = Job(name)
        self._jobs[job.id] = job
        task = asyncio.create_task(self._done(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def _done(self, job: Job, work: Callable[[], Awaitable[tuple[str, str]]]) -> None:
        try:
            job.said, job.go = await work()
            job.state = "done"
        except (StargazerError, OSError) as error:
            job.state, job.said = "failed", str(error)
        except Exception as error:
            logging.getLogger("stargazer").exception("%s failed", job.name)
            job.said = unforeseen_text(error)
        finally:
            job.state = "failed" if job.state == "running" else job.state

    def find(self, identifier: str) -> Job:
        """Return a job.

        Raises
        ------
        NotFound
            There is none of that id.
        """
        if identifier not in self._jobs:
            raise NotFound("there is no such job; the app was started anew, or it ended long ago")
        return self._jobs[identifier]

    async def stop(self) -> None:
        """End all of them."""
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def command(arguments: Sequence[str], *, cwd: Path, profile: str = "") -> Any:
    """Run a command of Stargazer in a process of its own, and return the JSON that it prints.

    Code of notebooks runs in it, and not in the app.

    Raises
    ------
    CommandFailed
        It ended badly; the message is what it said.
    """
    folder = Path(tempfile.mkdtemp(prefix="stargazer-job-"))
    env = config.command_environment() | ({"DASK_STARGAZER__PROFILE": profile} if profile else {})
    env |= {"PWD": os.fspath(cwd)}
    try:
        with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err, open(os.devnull, "rb") as nothing:
            argv = [
                sys.executable,
                "-P",
                "-c",
                f"import os; os.chdir({os.fspath(cwd)!r}); {COMMAND}",
                *arguments,
                "--json",
            ]
            tool = start(argv, cwd=folder, env=env, stdin=nothing, stdout=out, stderr=err)
        try:
            while not tool.poll():
                await asyncio.sleep(LOOKED_EVERY)
        finally:
            await asyncio.shield(asyncio.to_thread(end, [tool]))
        return _answer(folder, tool.code)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answer(folder: Path, code: int | None) -> Any:
    text = (folder / "out").read_text("utf-8", "replace")
    answer = None
    with contextlib.suppress(ValueError):
        answer = json.loads(text)
    if code == 0 and answer is not None:
        return answer
    told = answer["error"]["message"] if isinstance(answer, dict) and isinstance(answer.get("error"), dict) else ""
    told = told or (folder / "err").read_text("utf-8", "replace")[-ENDING:] or f"it ended with exit code {code}"
    raise CommandFailed(str(told).strip(), answer)
