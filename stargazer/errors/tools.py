"""Command-line tools."""

from __future__ import annotations

from stargazer.errors.base import StargazerError

__all__ = ["MemoryExceeded", "ToolError", "ToolFailed", "ToolMissing"]


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
        return f"{self.command}\n{end}" + (f"; its last words:\n{self.tail.rstrip()}" if self.tail.strip() else "")

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
