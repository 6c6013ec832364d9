"""Start a process that outlives the one that starts it: its terminal, its notebook, its session."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stargazer import config
from stargazer.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Beside", "is_alive", "machine", "run_briefly", "seconds_alive", "start_apart"]

BOOT = Path("/proc/sys/kernel/random/boot_id")
NUMBERS = Path("/proc/self/ns/pid")


def start_apart(argv: Sequence[str], *, folder: str, log: Path) -> int:
    """Start a process in a session of its own; return its number.

    Parameters
    ----------
    argv
        Its command.
    folder
        Where it begins.
    log
        File that gets what it says.
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as said:
        process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    # Where it ends before this process does, somebody must collect it: until then its number seems to live.
    threading.Thread(target=process.wait, name="stargazer-apart", daemon=True).start()
    return process.pid


class Beside:
    """A process that runs beside this one and ends with it: in a session of its own, so that no Ctrl-C reaches it.

    Parameters
    ----------
    argv
        Its command.
    log
        File that gets what it says.
    """

    def __init__(self, argv: Sequence[str], *, log: Path) -> None:
        try:
            with log.open("ab") as said:
                self._process = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
                )
        except OSError as error:
            raise ToolMissing(f"cannot start {argv[0]!r}: {error.strerror}") from None

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def end(self, seconds: float = 10.0) -> None:
        """Ask it to go, and end it where it does not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                return


def run_briefly(command: str, told: Mapping[str, str], *, seconds: float) -> str | None:
    """Run a command of the user's settings to its end; say what went wrong with it, if something did.

    Parameters
    ----------
    command
        For the shell.
    told
        Further variables of its environment.
    seconds
        After which it is ended.
    """
    env = config.user_environment(told)
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command], env=env, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command!r}: {error}"
    return f"{command!r} ended with exit code {done.returncode}" if done.returncode else None


def seconds_alive() -> float:
    """Seconds since this process was started, or the script of the job that it belongs to: that may do much before."""
    import psutil  # type: ignore[import-untyped]

    began = float(psutil.Process().create_time())
    with contextlib.suppress(psutil.Error, OSError):
        leader = psutil.Process(os.getsid(0))
        if (job := config.batch_job()) is not None and config.batch_job(leader.environ()) == job:
            began = min(began, float(leader.create_time()))
    return max(0.0, time.time() - began)


def machine() -> str:
    """What tells this machine, since it was started, from every other on which numbers of processes mean something."""
    boot = BOOT.read_text("ascii").strip() if BOOT.exists() else ""
    space = os.readlink(NUMBERS) if NUMBERS.is_symlink() else ""
    return f"{platform.node()} {boot} {space}".strip()


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number on this machine, dead ones that nobody collected aside."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in ("Z", "X")
