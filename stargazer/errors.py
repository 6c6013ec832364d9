"""Every error that Stargazer raises on purpose.

::

    StargazerError
    ├── ConfigError                 a setting is wrong: names the file and the key
    ├── PluginError                 what an installed package offers cannot be used: names the package
    ├── CIDError (ValueError)       not a CID that we read, or an entry that cannot be named
    │   ├── CIDMismatch             bytes that are not what their CID says; `parts` tells where
    │   └── NotAReference           a text that names no asset: no CID, id, part of one, NAME@3 or URI
    ├── AssetError                  a fact, a field or a companion of an asset is wrong
    │   └── UnknownField, InvalidField (TypeError)
    ├── StoreError
    │   ├── NotFound (LookupError)  no such CID, record, pin or asset in the store
    │   ├── BlobLost                bytes that were known are gone or corrupt
    │   ├── InputChanged            a tool wrote to its input
    │   ├── StoreFull (OSError)     no space left; nothing half-written is visible
    │   ├── StoreReadOnly (PermissionError)     nothing can be written there
    │   └── StoreUnseen             a worker does not see the store, and nobody who does answers it
    ├── TaskError
    │   ├── DefinitionError (TypeError)   the task's signature or options are wrong
    │   ├── ArgumentError (TypeError)     a call's arguments do not fit the task
    │   ├── UnknownName (LookupError)     no task or workflow is called so, or several are
    │   ├── OutputError                   a body returned something that is no result
    │   ├── CodeChanged                   code changed between wiring and running
    │   ├── UncertainCode                 code depends on what is in no key (`stargazer.strict`)
    │   ├── UndeclaredInput               with `strict`: a body read what is not among its inputs
    │   ├── ProcessChanged                a body would change what its whole process shares
    │   ├── WorkerMismatch                this worker has other code, tools or libraries
    │   └── StoresMixed                   one graph, two stores
    ├── RemoteError                 a place outside the store failed; names it
    │   ├── RemoteRefused           what it sent is not what was asked for, or breaks a limit
    │   ├── RemoteCannot, RemoteLacks (LookupError)     it does not offer it, or have it
    │   ├── NotPublic               reads that may be a person's would become public
    │   └── TokenMissing (ConfigError)    the variable that holds its token is not set
    ├── DataError (ValueError)      input data is malformed: truncated FASTQ, other contigs, …
    ├── ToolError
    │   ├── ToolMissing             not installed here; says how to get it
    │   ├── ToolFailed              command, exit code or signal, last lines of stderr
    │   └── MemoryExceeded          its processes took more memory than the task declares
    │       └── WorkerOutOfMemory   the batch system ended its worker for that
    ├── NotebookError               a notebook is wrong: cycles, names defined twice or nowhere, …
    │   └── NotKept (TypeError)     a value of a cell has no bytes, or may not be kept
    ├── Conflict                    what is there stands in the way: a name that is taken, a file that changed
    └── RunError
        ├── RunFailed               some calls failed; `failures` has each
        ├── NeedUnmet               no worker has, or may be started with, what a call needs
        ├── WalltimeExceeded        a body took longer than its task declares
        ├── WorkerLost              a body ends the process that it runs in, whenever it is tried
        └── Cancelled
"""

from __future__ import annotations

from stargazer.visible import visible

__all__ = [
    "ArgumentError",
    "AssetError",
    "BlobLost",
    "CIDError",
    "CIDMismatch",
    "Cancelled",
    "CodeChanged",
    "ConfigError",
    "Conflict",
    "DataError",
    "DataWarning",
    "DefinitionError",
    "InputChanged",
    "InvalidField",
    "MemoryExceeded",
    "NeedUnmet",
    "NotAReference",
    "NotFound",
    "NotKept",
    "NotPublic",
    "NotebookError",
    "OutputError",
    "PluginError",
    "ProcessChanged",
    "RemoteCannot",
    "RemoteError",
    "RemoteLacks",
    "RemoteRefused",
    "RunError",
    "RunFailed",
    "StargazerError",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnseen",
    "StoresMixed",
    "TaskError",
    "TokenMissing",
    "ToolError",
    "ToolFailed",
    "ToolMissing",
    "UncertainCode",
    "UndeclaredInput",
    "UnknownField",
    "UnknownName",
    "Unreadable",
    "WalltimeExceeded",
    "WorkerLost",
    "WorkerMismatch",
    "WorkerOutOfMemory",
]


# The root of the tree, settings and input data.


class StargazerError(Exception):
    """Base of all errors raised on purpose; of what they quote from files and tools, terminals obey nothing."""

    def __str__(self) -> str:
        return visible(super().__str__(), lines=True)


class ConfigError(StargazerError):
    """A setting is missing or malformed."""


class PluginError(StargazerError):
    """What another installed package offers cannot be used; the message names the package."""


class DataError(StargazerError, ValueError):
    """Input data is malformed."""


class DataWarning(UserWarning):
    """A body was given data that a person should look at: `Workdir.warn`."""


# Names of bytes, assets and the store.


class CIDError(StargazerError, ValueError):
    """A string is no CID that Stargazer reads, or a path cannot be named by one."""


class NotAReference(CIDError):
    """A text that names no asset: neither a CID, an id, part of one, a name with its version, nor a URI."""


class CIDMismatch(CIDError):
    """Bytes are not those that their CID names.

    Parameters
    ----------
    message
        What differs and what to do.
    parts
        The differing parts: byte ranges of a file, names in a directory.
    """

    def __init__(self, message: str, parts: list[str] | tuple[str, ...] = ()) -> None:
        super().__init__(message, tuple(parts))
        self.parts = tuple(parts)

    def __str__(self) -> str:
        return str(self.args[0])


class AssetError(StargazerError):
    """An asset's facts, fields or companions are wrong."""


class UnknownField(AssetError, TypeError):
    """A field that the asset type does not declare."""


class InvalidField(AssetError, TypeError):
    """A field whose value has the wrong type."""


class StoreError(StargazerError):
    """The store cannot do what was asked."""


class NotFound(StoreError, LookupError):
    """Nothing in the store answers to that name."""


class BlobLost(StoreError):
    """Bytes that a record promises are gone or corrupt.

    Parameters
    ----------
    cid
        Name of the lost bytes.
    reason
        What was found in their place.
    """

    def __init__(self, cid: str, reason: str = "missing") -> None:
        super().__init__(cid, reason)
        self.cid, self.reason = cid, reason

    def __str__(self) -> str:
        return f"{self.cid} is {self.reason} in the store; compute again what made it, or add the file again"


class InputChanged(StoreError):
    """A tool wrote to one of its inputs."""


class StoreFull(StoreError, OSError):
    """No space is left where the store writes."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class StoreReadOnly(StoreError, PermissionError):
    """Nothing can be written to the store from here."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class StoreGone(StoreError, OSError):
    """A store that was there is not any more: a disk that is not mounted, a folder that was moved or deleted."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()


class Unreadable(StoreError):
    """Bytes are there and cannot be read now, as in an archive from which they must be restored first."""


class StoreUnseen(StoreError):
    """A worker does not see the store, and nobody who does answers it."""


# Places outside the store.


class RemoteError(StargazerError):
    """A place outside the store could not do what was asked of it; the message names it."""


class ModelError(RemoteError):
    """A model gave no answer that could be used: it is not there, refused, was cut off, or does not fit its schema."""


class RemoteRefused(RemoteError):
    """What a remote sent was refused: other bytes, too many, too few or too slowly."""


class RemoteCannot(RemoteError):
    """A remote does not offer what was asked of it."""


class NotPublic(RemoteError):
    """What may be a person's would become public, and nobody said that it may."""


class RemoteLacks(RemoteError, LookupError):
    """A remote, or each of several, does not have what was asked for."""


class TokenMissing(RemoteError, ConfigError):
    """The environment variable that holds the token of a remote is not set."""


# Tasks, calls and runs.


class TaskError(StargazerError):
    """A task is wrongly defined or called."""


class DefinitionError(TaskError, TypeError):
    """A task's signature or options are wrong."""


class ArgumentError(TaskError, TypeError):
    """A call's arguments do not fit the task's signature."""


class UnknownName(TaskError, LookupError):
    """No task or workflow is called so here, or several are."""


class OutputError(TaskError):
    """A body returned something that is not a result."""


class UncertainCode(TaskError):
    """What a task reaches came from outside when it was imported, or has no source, and `stargazer.strict` is set."""


class CodeChanged(TaskError):
    """A task's code changed between wiring and running."""


class UndeclaredInput(TaskError):
    """With `stargazer.strict`: a body read what is not among its inputs, or ran what its task does not declare."""


class WiringError(TaskError):
    """A function that wires calls did what only tasks do, or wired what can never end."""


class ProcessChanged(TaskError):
    """A body would change what everything in its process shares."""


class WorkerMismatch(TaskError):
    """The worker has other code, tools or libraries than the call was keyed with."""


class StoresMixed(TaskError):
    """Calls of two stores meet in one graph."""


class NotebookError(StargazerError):
    """A notebook cannot be read or run as it is written."""


class NotKept(NotebookError, TypeError):
    """A value of a cell cannot be kept: it has no bytes, is too large, or holds what may not be pickled."""


class Conflict(StargazerError):
    """What is there stands in the way: a name is taken, a notebook is open, a file changed meanwhile."""


class RunError(StargazerError):
    """A run did not end well."""


class RunFailed(RunError):
    """Some calls of a run failed.

    Parameters
    ----------
    message
        Which calls, and why, in a few lines.
    failures
        The error of each failed call, by its label.
    """

    def __init__(self, message: str, failures: dict[str, BaseException] | None = None) -> None:
        super().__init__(message, failures or {})
        self.failures = failures or {}

    def __str__(self) -> str:
        return str(self.args[0])


class NeedUnmet(RunError):
    """No worker has what a call needs, nor may one be started that has it."""


class WalltimeExceeded(RunError):
    """A body took longer than its task declares, and was ended with its tools."""


class WorkerLost(RunError):
    """A call's workers ended while they ran it, again and again; the message says how the last one did.

    Parameters
    ----------
    message
        Which, and what to do.
    memory
        Whether it probably lacked memory.
    """

    def __init__(self, message: str, memory: bool = False) -> None:
        super().__init__(message, memory)
        self.memory = memory

    def __str__(self) -> str:
        return str(self.args[0])


class RunLost(RunError):
    """The process that drove a run died; what was finished is kept."""


class Cancelled(RunError):
    """The call was cancelled; its tools were ended."""


# Command-line tools.


class ToolError(StargazerError):
    """A command-line tool is missing or failed."""


class ToolMissing(ToolError):
    """A tool is not installed here."""


class ToolFailed(ToolError):
    """A command ended badly.

    Parameters
    ----------
    command
        The command line, as a shell would show it.
    code
        Exit code; negative for the signal that ended it.
    tail
        The last lines of its stderr.
    """

    def __init__(self, command: str, code: int, tail: str = "") -> None:
        super().__init__(command, code, tail)
        self.command, self.code, self.tail = command, code, tail

    def __str__(self) -> str:
        import signal

        names = {each.value: each.name for each in signal.Signals}
        end = (
            f"was ended by signal {names.get(-self.code, -self.code)}{self._guess}"
            if self.code < 0
            else f"failed with exit code {self.code}"
        )
        tail = f"; its last words:\n{self.tail.rstrip()}" if self.tail.strip() else ""
        return visible(f"{self.command}\n{end}{tail}", lines=True)

    @property
    def killed(self) -> bool:
        """Whether it was ended as the system ends processes where memory runs out."""
        import signal

        return self.code == -signal.SIGKILL

    @property
    def _guess(self) -> str:
        return " (the system does that where memory runs out)" if self.killed else ""


class MemoryExceeded(ToolError):
    """The processes of a call took more memory than its task declares and were ended, or had no more to take.

    Parameters
    ----------
    command
        The command line, as a shell would show it.
    used, limit
        Bytes.
    tail
        The last lines of its stderr, where it said itself that memory was not enough.
    """

    def __init__(self, command: str, used: int, limit: int, tail: str = "") -> None:
        super().__init__(command, used, limit, tail)
        self.command, self.used, self.limit, self.tail = command, used, limit, tail

    def __str__(self) -> str:
        used, limit = (f"{size / (1 << 30):.2f} GiB" for size in (self.used, self.limit))
        if self.tail:
            return (
                f"{self.command}\nran out of memory with {limit}; declare more: @sg.task(memory=…); its last words:\n"
                f"{self.tail.rstrip()}"
            )
        return f"{self.command}\ntook {used} of memory, but was to stay below {limit}; declare more: @sg.task(memory=…)"


class WorkerOutOfMemory(MemoryExceeded):
    """The batch system ended a worker for its memory, and this call was what it ran.

    Parameters
    ----------
    told
        What the batch system said, with the number of the job and its log.
    """

    def __init__(self, told: str, used: int = 0, limit: int = 0, tail: str = "") -> None:
        super().__init__(told, used, limit, tail)

    def __str__(self) -> str:
        return f"{self.command}; declare more: @sg.task(memory=…), or sizes to be tried: memory=['8 GiB', '16 GiB']"
