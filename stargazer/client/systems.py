"""Commands of batch systems: what is asked, with a limit of time, and how the answers are read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
from typing import TYPE_CHECKING, Any

from stargazer.client.hires import ACTIVE, UNKNOWN, Told
from stargazer.client.refusals import said
from stargazer.config import command_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["NoAnswer", "Refused", "System", "asked", "job_class", "read_job", "read_queue", "system_of"]

SUBMITTED_WITHIN, TOLD_WITHIN = 60.0, 10.0
"""Seconds that a batch system may take to take a job on, and to answer a question."""

UNHEARD = " 2> /dev/null"
"""What dask-jobqueue adds to the command that submits to LSF."""

GONE_WITHIN = 2.0
"""Seconds in which a command that was killed ends."""

DOUBTED = 3
"""Jobs that a listing leaves out, and that are asked after one by one, each time."""

GONE = re.compile(
    r"invalid job id|unknown job|job .*(not found|does not exist|is not found)|no such job|already (completed|finished)"
    r"|has finished|couldn't find|no (matching |unfinished )?jobs? (found|matching)|already (ended|terminated)"
    r"|state (of|for) job\b.*\bCOMPLETE",
    re.IGNORECASE,
)
"""As batch systems say that they have no such job."""


BARE = r"^(\d+)(?:[.;]\S*)?$"
"""A line with a number alone, or with the name of a server or cluster."""

TAKEN = {
    "slurm": (r"^Submitted batch job (\d+)\b", BARE),
    "pbs": (BARE,),
    "lsf": (r"^Job <(\d+)>", BARE),
    "sge": (r"^[Yy]our job (\d+)\b", BARE),
}
"""As batch systems say which number a job has got; sites have their commands say other numbers as well."""

CLUSTER = re.compile(r"^Submitted batch job \d+ on cluster (\S+)$|^\d+;(\S+)$", re.MULTILINE)
"""As SLURM says that another cluster than that of this machine has the job."""

UNCLEAR = re.compile(r"timed? ?out|connection (reset|aborted|lost)|broken pipe", re.IGNORECASE)
"""As commands say that nobody answered them: the batch system may have done what they asked for."""


class Refused(RuntimeError):
    """A command of the batch system ended with an error; the message is what it said."""


class NoAnswer(RuntimeError):
    """A command of the batch system said nothing in time, or nothing that can be read."""


async def asked(command: Sequence[str], limit: float, *, shell: bool = False) -> str:
    """Run a command of a batch system beside the event loop; return what it wrote.

    Raises
    ------
    Refused
        It ended with an error.
    NoAnswer
        It did not end in time, was killed, or is not there; nobody knows what it did.
    """
    pipe, words = asyncio.subprocess.PIPE, ("/bin/sh", "-c", *command) if shell else command
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
            env=command_environment(),
        )
    except OSError as error:
        raise Refused(f"{command[0]}: {error.strerror or error}") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if not isinstance(error, GeneratorExit):
            await _gone(process)
        if isinstance(error, TimeoutError):
            raise NoAnswer(f"{_program(command)} said nothing for {limit:.0f} s") from None
        raise
    text, trouble = out.decode(errors="replace"), err.decode(errors="replace")
    if process.returncode is not None and process.returncode < 0:
        raise NoAnswer(f"{_program(command)} was killed by signal {-process.returncode}")
    if process.returncode:
        raise Refused(said(trouble) if trouble.strip() else said(text))
    return text


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait until a killed command is gone: what is left when the event loop ends is an error in its last words."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_WITHIN):
            await process.communicate()
            await asyncio.sleep(0)


def _program(command: Sequence[str]) -> str:
    return command[0].split()[0]


def job_class(base: Any) -> Any:
    """dask-jobqueue's job of a batch system, whose commands have a limit of time."""

    class Timed(base):  # type: ignore[misc]
        """Submits as dask-jobqueue does."""

        @staticmethod
        async def _call(command: list[str], *, shell: bool = False, **_: Any) -> str:
            # What LSF says of a refusal would be thrown away, limits of the site among it.
            heard = [word.removesuffix(UNHEARD) for word in command] if shell else command
            return await asked(heard, SUBMITTED_WITHIN, shell=shell)

    Timed.__name__, Timed.__qualname__ = base.__name__, base.__qualname__
    return Timed


class System:
    """A batch system that takes jobs and cancels them, and cannot be asked: the scheduler tells which workers came.

    Parameters
    ----------
    job_cls
        Of dask-jobqueue.
    """

    can_tell = False
    array = 1

    def __init__(self, job_cls: Any) -> None:
        self.job_cls = job_cls
        self.name = str(job_cls.config_name)
        self._cancel_command = str(getattr(job_cls, "cancel_command", ""))

    async def submit(self, job: Any, number: int = 1) -> list[str]:
        """Submit a job; return its number, or those of an array.

        Raises
        ------
        Refused, NoAnswer
            It was not taken on, or nobody knows.
        """
        # With what the site adds to it, as the name of a schedd.
        self._cancel_command = str(getattr(job, "cancel_command", self._cancel_command))
        try:
            with job.job_file() as script:
                out = await job._submit_job(script)
        except Refused as error:
            if UNCLEAR.search(str(error)):
                raise NoAnswer(str(error)) from None
            raise
        try:
            return self.numbers(self.taken(job, out), number)
        except ValueError:
            raise NoAnswer(f"{_program([job.submit_command])} gave no number: {said(out)}") from None

    def taken(self, job: Any, out: str) -> str:
        """Read which number a job has got; where a site says more than that, the last that is said as it should be.

        Raises
        ------
        ValueError
            None.
        """
        for pattern in TAKEN.get(self.name, ()):
            if found := re.findall(pattern, out, re.MULTILINE):
                return str(found[-1])
        return self.taken_otherwise(job, out)

    def taken_otherwise(self, job: Any, out: str) -> str:
        """Read which number a job has got, where it is not said as it should be."""
        return str(job._job_id_from_submit_output(out))

    def numbers(self, job: str, number: int) -> list[str]:
        """Numbers of the members of an array."""
        return [job] if number == 1 else [f"{job}_{index}" for index in range(number)]

    async def cancel(self, jobs: Iterable[str]) -> None:
        """Cancel jobs.

        Raises
        ------
        Refused, NoAnswer
            Some may still be there.
        """
        command = shlex.split(self._cancel_command)
        for job in jobs:
            try:
                await asked([*command, job], TOLD_WITHIN)
            except Refused as error:
                if not GONE.search(str(error)):
                    raise

    async def tell(self, jobs: Mapping[str, str | None]) -> dict[str, Told]:
        """Say how jobs stand, by name of the worker; nothing where the batch system cannot be asked."""
        return {}

    async def left(self, prefixes: Iterable[str]) -> list[str]:
        """Numbers of the jobs that are there though they were given up; none where the batch system is not asked."""
        return []

    async def explain(self, job: str) -> Told | None:
        """Say why a job ended; None where nobody knows."""
        return None


class Slurm(System):
    """SLURM: takes arrays, and can be asked."""

    can_tell = True
    array = 100

    def __init__(self, job_cls: Any) -> None:
        super().__init__(job_cls)
        self._clusters: dict[str, None] = {}

    def taken(self, job: Any, out: str) -> str:
        """As of others, and remember which cluster has the job."""
        found = super().taken(job, out)
        self._clusters |= {one or other: None for one, other in CLUSTER.findall(out)}
        return found

    def taken_otherwise(self, job: Any, out: str) -> str:
        """A number that stands in other words may be that of any job, which nobody must cancel."""
        raise ValueError(out)

    def _of(self, command: str) -> list[str]:
        """A command, about the clusters that have our jobs: another cluster has other jobs of the same numbers."""
        return [command, *(["--clusters=" + ",".join(self._clusters)] if self._clusters else [])]

    async def cancel(self, jobs: Iterable[str]) -> None:
        """Cancel all with one command; those that it does not have are gone."""
        try:
            await asked([*self._of("scancel"), *jobs], TOLD_WITHIN)
        except Refused as error:
            if not all(GONE.search(part) for part in str(error).split(";")):
                raise

    async def tell(self, jobs: Mapping[str, str | None]) -> dict[str, Told]:
        """Ask with one listing by number and one by name; then, one by one, after some that are in neither."""
        found: dict[str, Told] = {}
        numbers = {job: name for name, job in jobs.items() if job}
        if numbers:
            listed = await self._listed("--jobs=" + ",".join(numbers))
            found = {numbers[each.job]: each for each in listed if each.job in numbers}
        for job in [job for job, name in numbers.items() if name not in found][:DOUBTED]:
            if (told := await self.explain(job)) is not None:
                found[numbers[job]] = told
        unknown = {name for name, told in found.items() if told.state == UNKNOWN}
        if nameless := unknown | {name for name, job in jobs.items() if not job}:
            # What sbatch said may have been wrong, or cut off: the names are ours.
            for each in await self._listed("--me"):
                for name in nameless & set(names_of(each.log, each.job or "")):
                    found[name] = each._replace(log="")
        return found

    async def left(self, prefixes: Iterable[str]) -> list[str]:
        """Numbers of the jobs that run or wait, and whose names begin like this."""
        known = tuple(f"{prefix}-" for prefix in prefixes)
        listed = await self._listed("--me")
        return [str(each.job) for each in listed if each.state in ACTIVE and each.log.startswith(known)]

    async def _listed(self, *which: str) -> list[Told]:
        command = [*self._of("squeue"), "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%j", *which]
        try:
            return list(read_queue(await asked(command, TOLD_WITHIN)))
        except Refused as error:
            if GONE.search(
                str(error)
            ):  # of a single number that it does not have; asked once more by the other command
                return []
            raise

    async def explain(self, job: str) -> Told | None:
        """Ask after one job, also after its end: the controller, then the accounts where a site keeps them."""
        try:
            text = await asked([*self._of("scontrol"), "--oneliner", "show", "job", job], TOLD_WITHIN)
        except Refused as error:
            return Told(UNKNOWN) if GONE.search(str(error)) else None
        except NoAnswer:
            return None
        return read_job(text)


def names_of(title: str, job: str) -> Iterable[str]:
    """Names of the workers of a job, or of the member of an array: ``stargazer-1f-4-9`` has workers 4 to 9."""
    index = job.partition("_")[2]
    found = re.fullmatch(r"(?P<stem>.+)-(?P<first>\d+)" + (r"-\d+" if index else ""), title)
    return [f"{found['stem']}-{int(found['first']) + int(index or 0)}"] if found else []


def read_queue(text: str) -> Iterable[Told]:
    """Read squeue's listing; lines that are none of it are left out."""
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) == 4 and re.fullmatch(r"\d+(_\d+)?", parts[0]) and parts[1].isupper():
            yield Told(parts[1], parts[2], job=parts[0], log=parts[3])


def read_job(text: str) -> Told | None:
    """Read what ``scontrol show job`` says; None where it says nothing of a job."""
    facts = dict(re.findall(r"(\w+)=(\S*)", text))
    if "JobState" not in facts or "JobId" not in facts:
        return None
    state = facts["JobState"].split(",")[0]
    exits = "" if state in ACTIVE else _exit(facts.get("ExitCode", ""))
    log = facts.get("StdOut", "")
    reason = facts.get("Reason", "")
    return Told(state, "" if reason == "None" else reason, exits, "" if log == "/dev/null" else log)


def _exit(code: str) -> str:
    """``"1:0"`` is exit code 1, ``"0:9"`` a signal."""
    number, _, sign = code.partition(":")
    return f"{number} (signal {sign})" if sign not in ("", "0") else number


def system_of(job_cls: Any) -> System:
    """The batch system of one of dask-jobqueue's classes."""
    return Slurm(job_cls) if job_cls.config_name == "slurm" else System(job_cls)
