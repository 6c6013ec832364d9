"""The scratch directory that a task's body sees."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer.errors import Cancelled, ToolFailed
from stargazer.workdir import process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Argument: TypeAlias = str | Path | int | float

__all__ = ["EMBEDDED", "Workdir"]

EMBEDDED = ("python", "-m", "stargazer.embedded")
"""Start of the argument list of a tool that lives in a Python package: ``[*EMBEDDED, "samtools", "sort", …]``."""

LOGS = ".logs"
TAIL_LINES = 20


class Workdir:
    r"""A task's scratch directory; tools run with it as their current directory.

    Parameters
    ----------
    path
        An existing directory, or what gives one when it is first asked for.
    cpus
        Threads that the tools may use. In no key: results must not depend on it.
    memory
        Bytes that the task may use, or None where nothing is declared.
    cancelled
        Asked now and then while a tool runs; True ends the tool.

    Examples
    --------
    >>> import tempfile
    >>> work = Workdir(tempfile.mkdtemp())
    >>> work.run(["sh", "-c", "echo hello"], stdout=work.file("hello.txt"))
    >>> work.file("hello.txt").read_text()
    'hello\n'
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Callable[[], Path],
        *,
        cpus: int = 1,
        memory: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._place = path
        self.cpus, self.memory = cpus, memory
        self._cancelled = cancelled
        self._commands = 0
        self.cpu_seconds, self.peak_bytes = 0.0, 0

    def __repr__(self) -> str:
        return f"Workdir({str(self.path)!r}, cpus={self.cpus})"

    @functools.cached_property
    def path(self) -> Path:
        """The directory itself."""
        return self._place() if callable(self._place) else Path(self._place).resolve()

    def file(self, name: str) -> Path:
        """Path of a file to write; directories in `name` are made."""
        path = self.path / name
        if os.sep in os.fspath(name):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def directory(self, name: str) -> Path:
        """A new directory below this one."""
        path = self.path / name
        path.mkdir(parents=True)
        return path

    def run(self, argv: Sequence[Argument], *, stdin: Path | None = None, stdout: Path | None = None) -> None:
        """Run one command.

        Parameters
        ----------
        argv
            The command and its arguments. Paths below this directory are passed relative to it, and the
            command ``python`` is the interpreter that runs this.
        stdin, stdout
            Files to read from and write to. Without `stdout`, what the tool prints goes to the log.

        Raises
        ------
        ToolFailed
            It ended with another exit code than 0, or by a signal.
        ToolMissing
            There is no such program.
        Cancelled
            The call was cancelled while the tool ran; its whole process group has been ended.
        """
        self.pipe(argv, stdin=stdin, stdout=stdout)

    def pipe(self, *stages: Sequence[Argument], stdin: Path | None = None, stdout: Path | None = None) -> None:
        """Run commands side by side, each reading what the one before it writes.

        Fails if *any* stage fails, as a shell does under ``pipefail``. Parameters and errors as in `run`.
        """
        commands = [self._argv(stage) for stage in stages]
        logs = [self._new_log(command) for command in commands]
        with contextlib.ExitStack() as files:
            source: Any = files.enter_context(open(stdin, "rb")) if stdin else subprocess.DEVNULL
            target = files.enter_context(open(stdout, "wb")) if stdout else None
            running: list[process.Tool] = []
            files.callback(self._end, running)
            for command, log in zip(commands, logs, strict=True):
                last = len(running) == len(commands) - 1
                error = files.enter_context(open(log, "ab"))
                sink = (target or error) if last else subprocess.PIPE
                running.append(
                    process.start(_resolved(command), cwd=self.path, stdin=source, stdout=sink, stderr=error)
                )
                if running[:-1]:
                    _close(source)
                source = running[-1].process.stdout if not last else source
            finished = process.wait(running, self._cancelled)
        if not finished:
            raise Cancelled(f"cancelled while {shlex.join(commands[0])} was running")
        self._raise_failed(commands, running, logs)

    def output(self, argv: Sequence[Argument]) -> str:
        """Run a short command and return what it prints; errors as in `run`."""
        printed = self.file(f"tmp/output-{self._commands}")
        self.run(argv, stdout=printed)
        text = printed.read_text("utf-8", "replace")
        printed.unlink()
        return text

    def log(self) -> bytes:
        """Every command so far, each with what it wrote to stderr."""
        if not self._commands:
            return b""
        return b"".join(path.read_bytes() for path in sorted((self.path / LOGS).glob("*")))

    def _end(self, running: Sequence[process.Tool]) -> None:
        process.end(running)
        self.cpu_seconds += sum(tool.cpu_seconds for tool in running)
        self.peak_bytes = max([self.peak_bytes, *(tool.peak_bytes for tool in running)])

    def _argv(self, argv: Sequence[Argument]) -> list[str]:
        root = f"{self.path}{os.sep}"
        return ["." if str(arg) == str(self.path) else str(arg).replace(root, "") for arg in argv]

    def _new_log(self, command: Sequence[str]) -> Path:
        directory = self.path / LOGS
        directory.mkdir(exist_ok=True)
        self._commands += 1
        log = directory / f"{self._commands:04d}"
        log.write_text(f"$ {shlex.join(command)}\n", "utf-8")
        return log

    @staticmethod
    def _raise_failed(commands: Sequence[Sequence[str]], ended: Sequence[process.Tool], logs: Sequence[Path]) -> None:
        failed = [stage for stage, done in enumerate(ended) if done.code]
        # A stage whose reader died is a victim, not the cause.
        causes = [stage for stage in failed if (ended[stage].code or 0) != -signal.SIGPIPE] or failed
        for stage in causes[:1]:
            raise ToolFailed(shlex.join(commands[stage]), (ended[stage].code or 0), _tail(logs[stage]))


def _close(stream: Any) -> None:
    if hasattr(stream, "close"):
        stream.close()


def _resolved(command: Sequence[str]) -> list[str]:
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()[1:]
    return "\n".join(lines[-TAIL_LINES:])
