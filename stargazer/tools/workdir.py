"""The scratch directory that a task's body sees."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import Cancelled, DataError, DataWarning, MemoryExceeded, ToolFailed
from stargazer.tools.ending import held
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from stargazer.tools.enclosure import Enclosure
    from stargazer.tools.process import Tool

    Argument: TypeAlias = str | Path | int | float

__all__ = ["EMBEDDED", "Workdir"]

EMBEDDED = ("python", "-m", "stargazer.embedded")
"""Start of the argument list of a tool that lives in a Python package: ``[*EMBEDDED, "samtools", "sort", …]``."""

OBEYED = tuple("-@+~=")
"""First characters of a word for which programs take it as something else than the name of a file."""

OBEYED_BY_SCREENS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Controls and marks of direction: reports of other programs, such as MultiQC, draw what files are called."""

SETTINGS = frozenset(
    (
        *(".Rprofile", ".Renviron", ".RData", ".curlrc", ".wgetrc", ".netrc", ".hotspotrc", ".hotspot_compiler"),
        *(".bcftoolsrc", ".perltidyrc", "matplotlibrc", "multiqc_config.yaml", ".multiqc_config.yaml", "pyvenv.cfg"),
        *("sitecustomize.py", "usercustomize.py", ".pdbrc", ".gdbinit", ".lesskey"),
    )
)
"""Files that programs look for in the folder where they start: a data file of such a name must not get there."""

PYTHON = re.compile(r"python[\d.]*")
LOGS = ".logs"

BLOCK = 1 << 20
"""Bytes of a log that are looked through at once."""

SHELLS_SIGNAL = 128
"""What shells, and programs that run containers, add to the number of a signal to make an exit code of it."""

LONGEST_OUTPUT = 256 << 20
"""Bytes that `Workdir.output` reads at most: headers of files, which may claim any size."""
TAIL_LINES, LONGEST_TAIL = 20, 1 << 16
LONGEST_LOG = 1 << 24
"""Bytes of the beginning and of the end of a command's stderr that are kept."""


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
    own_memory
        Tells how many bytes the body itself takes, which count with those of its tools.
    env
        Environment variables that tools get beside those that all get; None takes one away.
    secrets
        Names of further ones, whose values are taken from here and masked in logs and errors.
    noted
        Told of every command before it is started.
    warned
        Told of what `warn` is given; without it, it is a warning at once.
    enclosure
        The environment that tools run in; None for the machine itself.

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
        own_memory: Callable[[], int] = lambda: 0,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[str] = (),
        noted: Callable[[Sequence[Argument]], None] = lambda argv: None,
        warned: Callable[[str], None] | None = None,
        enclosure: Enclosure | None = None,
    ) -> None:
        self._enclosure = enclosure
        self._env, self._secrets = env or {}, tuple(secrets)
        self._place, self._own_memory, self._noted, self._warned = path, own_memory, noted, warned
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
        """Path of a file to write; directories in `name` are made.

        Raises
        ------
        ValueError
            It would lie elsewhere.
        """
        path = self._place_of(name)
        if os.sep in os.fspath(name):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def directory(self, name: str) -> Path:
        """A new directory below this one; errors as in `file`."""
        path = self._place_of(name)
        path.mkdir(parents=True)
        return path

    def _place_of(self, name: str) -> Path:
        path = self.path / name
        if "\0" in os.fspath(name):
            raise DataError(f"{name!r} is no name of a file: it has a NUL byte in it")
        if OBEYED_BY_SCREENS.search(os.fspath(name)):
            raise ValueError(f"{name!r} is no name for a file: terminals and pages would obey what is in it")
        if name in SETTINGS:
            raise ValueError(f"{name!r} is a file whose text programs obey where they start; give it another name")
        if (os.sep in os.fspath(name) or name in ("", ".", "..")) and not os.path.normpath(path).startswith(
            f"{self.path}{os.sep}"
        ):
            raise ValueError(f"{name!r} is no place in the work directory {self.path}")
        return path

    def run(self, argv: Sequence[Argument], *, stdin: Path | None = None, stdout: Path | None = None) -> None:
        """Run one command.

        Parameters
        ----------
        argv
            The command and its arguments. Paths below this directory are passed relative to it, and the
            command ``python`` is the interpreter that runs this.
        stdin, stdout
            Files to read from and write to, here if they are relative. Without `stdout`, what the tool prints goes to
            the log.

        Raises
        ------
        ToolFailed
            It ended with another exit code than 0, or by a signal.
        ToolMissing
            There is no such program.
        MemoryExceeded
            It took much more memory than the task declares, or nearly all that the machine has.
        Cancelled
            The call was cancelled while the tool ran; its whole process group has been ended.
        """
        self.pipe(argv, stdin=stdin, stdout=stdout)

    def pipe(self, *stages: Sequence[Argument], stdin: Path | None = None, stdout: Path | None = None) -> None:
        """Run commands side by side, each reading what the one before it writes.

        Fails if *any* stage fails, as a shell does under ``pipefail``. Parameters and errors as in `run`.
        """
        from stargazer.tools import process

        commands = [self._argv(stage) for stage in stages]
        if not all(commands) or not commands:
            raise ValueError("a command has at least a name")
        if self._cancelled():
            raise Cancelled(f"cancelled before {_joined(commands[0])} was started")
        for place, stage in enumerate(stages):
            self._note(stage, stdin if not place else None)
        logs = [self._new_log(command) for command in commands]
        with held(), contextlib.ExitStack() as files:
            source: Any = files.enter_context(open(self.path / stdin, "rb")) if stdin else subprocess.DEVNULL
            target = files.enter_context(open(self.path / stdout, "wb")) if stdout else None
            running: list[Tool] = []
            files.callback(self._end, running)
            for command, log in zip(commands, logs, strict=True):
                error = files.enter_context(open(log, "ab"))
                sink = (target or error) if len(running) == len(commands) - 1 else subprocess.PIPE
                streams = {"stdin": source, "stdout": sink, "stderr": error}
                running.append(process.start(**self._started(command), cwd=self.path, **streams))
                if running[:-1]:
                    source.close()
                source = running[-1].process.stdout
                if source is not None:
                    files.callback(source.close)
            finished = process.wait(running, self._cancelled, lambda: self._check_memory(commands, running))
        if not finished:
            raise Cancelled(f"cancelled while {_joined(commands[0])} was running")
        self._raise_failed(commands, running, logs)

    def output(self, argv: Sequence[Argument]) -> str:
        """Run a short command and return what it prints; errors as in `run`."""
        printed = self.file(f"tmp/output-{self._commands}")
        self.run(argv, stdout=printed)
        if printed.stat().st_size > LONGEST_OUTPUT:
            raise DataError(f"{self.masked(_joined(self._argv(argv)))} printed more than {LONGEST_OUTPUT >> 20} MiB")
        text = printed.read_text("utf-8", "replace")
        printed.unlink()
        return text

    def warn(self, text: str) -> None:
        """Tell that the data is odd: whoever runs the call is warned (`DataWarning`), and its record says it."""
        if self._warned is not None:
            self._warned(self.masked(text))
        else:
            warnings.warn(visible(self.masked(text)), DataWarning, stacklevel=2)

    def is_cancelled(self) -> bool:
        """Whether what runs here is wanted no more: tools are ended by themselves, other waiting asks."""
        return self._cancelled()

    def note(self, title: str, text: bytes) -> None:
        """Put into the log what was written elsewhere in the name of this call."""
        with self._new_log([title]).open("ab") as log:
            log.write(text if text.endswith(b"\n") else text + b"\n")

    def log(self) -> bytes:
        """Every command so far, each with what it wrote to stderr; the middle of what is huge is left out."""
        if not self._commands:
            return b""
        return self._masked(b"".join(map(_excerpt, sorted((self.path / LOGS).glob("*")))))

    def mask_logs(self) -> None:
        """Take secrets out of the logs themselves: the directory of a call that failed is kept for people to see."""
        longest = max(map(len, self._values), default=0)
        for log in filter(Path.is_file, (self.path / LOGS).glob("*")) if longest else ():
            place = self.path / f"{log.name}.masked"
            with open(log, "rb") as told, open(place, "wb") as masked:
                left = b""  # of the block before: a secret may begin in it
                while block := told.read(BLOCK):
                    text = self._masked(left + block)
                    cut = max(0, len(text) - longest + 1)
                    masked.write(text[:cut])
                    left = text[cut:]
                masked.write(left)
            place.replace(log)

    def passed(self) -> dict[str, str]:
        """What the tools were given that may hold other code; nothing where none ran."""
        return config.told_environment(self._secrets) if self._commands else {}

    def masked(self, text: str) -> str:
        """A text without the values of secrets."""
        return self._masked(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def _masked(self, text: bytes) -> bytes:
        for value in self._values:
            text = text.replace(value, config.MASK.encode())
        return text

    @property
    def _values(self) -> list[bytes]:
        """Values of the secrets that its tools get."""
        names = (*self._secrets, *filter(config.is_secret, config.passed_names()))
        return [os.fsencode(value) for value in config.secrets(names).values() if value]

    @functools.cached_property
    def _environment(self) -> dict[str, str]:
        return config.environment(self._env, self._secrets)

    def _note(self, stage: Sequence[Argument], stdin: Path | None) -> None:
        """Tell of a command; what is in an environment says by its digest what it is, and sees no file elsewhere."""
        if self._enclosure is not None and self._enclosure.holds(stage) and self._enclosure.has(str(stage[0])):
            if stdin:
                self._noted(["cat", stdin])
        else:
            self._noted([*stage, stdin] if stdin else stage)

    def _started(self, command: Sequence[str]) -> dict[str, Any]:
        """What starts a command, on the machine itself or in its environment."""
        argv, env, inside = _resolved(command), self._environment | _guard(command), self._enclosure
        if inside is None or not inside.holds(command):
            return {"argv": argv, "env": env}
        passed = config.environment_inside(self._env, self._secrets) | _guard(command)
        argv = inside.command(argv, self.path, self._shown, passed)
        return {"argv": argv, "env": inside.environ(passed), "again": inside.again}

    @functools.cached_property
    def _shown(self) -> list[str]:
        """Return the folders that hold the bytes of inputs: tools in an environment of their own see nothing else."""
        from stargazer.tools.scratch import INPUTS

        return _shown_paths(self.path / INPUTS)

    def _check_memory(self, commands: Sequence[Sequence[str]], running: Sequence[Tool]) -> None:
        """End a call that takes much more than its task declares, before the machine swaps."""
        from stargazer.tools.memory import limit_of, memory_of

        limit = limit_of(self.memory)
        used = memory_of(self._processes(running), limit) + self._own_memory()
        if used > limit:
            raise MemoryExceeded(" | ".join(map(_joined, commands)), used, limit)

    def _processes(self, running: Sequence[Tool]) -> set[int]:
        """Numbers of the processes of tools, those that their environment runs beside them among these."""
        from stargazer.tools.process import OWNER
        from stargazer.tools.reaper import bearers

        found = {tool.process.pid for tool in running}
        if self._enclosure is not None and self._enclosure.is_beside:
            found |= {pid for tool in running for pid in bearers(f"{OWNER}={tool.token}\0".encode())}
        return found

    def _end(self, running: Sequence[Tool]) -> None:
        from stargazer.tools import process

        process.end(running)
        self.cpu_seconds += sum(tool.cpu_seconds for tool in running)
        self.peak_bytes = max([self.peak_bytes, *(tool.peak_bytes for tool in running)])

    def _argv(self, argv: Sequence[Argument]) -> list[str]:
        root = f"{self.path}{os.sep}"
        if any("\0" in str(arg) for arg in argv):
            raise DataError(f"an argument of {str(argv[0])!r} has a NUL byte in it, which no command can be given")
        words = ["." if str(arg) == str(self.path) else str(arg).replace(root, "") for arg in argv]
        paths = (isinstance(arg, os.PathLike) or str(arg).startswith(root) for arg in argv)
        return [f"./{word}" if path and _is_obeyed(word) else word for word, path in zip(words, paths, strict=True)]

    def _new_log(self, command: Sequence[str]) -> Path:
        directory = self.path / LOGS
        directory.mkdir(exist_ok=True)
        self._commands += 1
        log = directory / f"{self._commands:04d}"
        log.write_text(f"$ {_joined(command)}\n", "utf-8", "surrogateescape")
        return log

    def _raise_failed(self, commands: Sequence[Sequence[str]], ended: Sequence[Tool], logs: Sequence[Path]) -> None:
        codes = [self._code(command, done.code or 0) for command, done in zip(commands, ended, strict=True)]
        failed = [stage for stage, code in enumerate(codes) if code]
        # A stage whose reader died is a victim, not the cause; so are those that failed after it, or had to be ended.
        causes = [stage for stage in failed if codes[stage] != -signal.SIGPIPE] or failed
        for stage in sorted(causes, key=lambda stage: ended[stage].ended)[:1]:
            command, tail = self.masked(_joined(commands[stage])), self.masked(_tail(logs[stage]))
            raise ToolFailed(command, codes[stage], tail)

    def _code(self, command: Sequence[str], code: int) -> int:
        """Exit code of a command, negative for a signal; what runs containers tells of signals as shells do."""
        inside = self._enclosure is not None and self._enclosure.tells_as_shells and self._enclosure.holds(command)
        return SHELLS_SIGNAL - code if inside and SHELLS_SIGNAL < code <= SHELLS_SIGNAL + signal.NSIG else code


def _is_obeyed(word: str) -> bool:
    """Whether a path could be taken for an option, or for an address: htslib reads the name ``data:,x`` itself."""
    return word[:1] in OBEYED or ":" in word.partition("/")[0]


def _joined(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)


def _resolved(command: Sequence[str]) -> list[str]:
    """The command with the interpreter that runs this, and without the habit of running what lies where it starts."""
    name, *arguments = command
    if name == "R":
        return [name, "--no-restore", *arguments]
    if name != "python":
        return [*command]
    return [sys.executable, *([] if _runs_a_script(arguments) else ["-P"]), *arguments]


def _guard(command: Sequence[str]) -> dict[str, str]:
    """What keeps another Python, which may be too old for ``-P``, from running what lies where it starts."""
    name, *arguments = command
    is_other = PYTHON.fullmatch(os.path.basename(name)) is not None and name != "python"
    return {"PYTHONSAFEPATH": "1"} if is_other and not _runs_a_script(arguments) else {}


def _runs_a_script(arguments: Sequence[str]) -> bool:
    """Whether Python is given a file, beside which it then looks for modules, and not ``-c``, ``-m`` or its stdin."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-") or word == "-":
            return word != "-"
        if not word.startswith("--") and set("cm") & set(word):
            return False
        if word in ("-W", "-X", "--check-hash-based-pycs"):
            next(words, "")
    return False


def _tail(log: Path) -> str:
    with open(log, "rb") as file:
        command = len(file.readline())
        file.seek(max(command, os.fstat(file.fileno()).st_size - LONGEST_TAIL))
        lines = file.read().splitlines()
    return b"\n".join(lines[-TAIL_LINES:]).decode("utf-8", "replace")


def _excerpt(log: Path) -> bytes:
    with open(log, "rb") as file:
        left_out = os.fstat(file.fileno()).st_size - 2 * LONGEST_LOG
        if left_out <= 0:
            return file.read()
        first = file.read(LONGEST_LOG)
        file.seek(-LONGEST_LOG, os.SEEK_END)
        return b"%b\n[... %d bytes left out ...]\n%b" % (first, left_out, file.read())


MOST_BINDS = 200
"""Files that are shown to a container one by one; of more, their common folder is."""


def _shown_paths(folder: Path) -> list[str]:
    """What links in a folder lead to, outside of it: the bytes of inputs."""
    found: dict[str, None] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            if os.path.islink(path) and os.path.exists(path):
                found[os.path.realpath(path)] = None
    if len(found) <= MOST_BINDS:
        return list(found)
    return [os.path.commonpath(found)]
