"""Ends the tools of a process that died; run as ``python -I -S reaper.py TOKEN PID``.

A killed worker cannot clean up after itself, and a death signal from the kernel reaches children only, not
grandchildren. So each process that starts tools has one reaper at its side. It learns the process groups through
stdin; end of file, or the end of the owner itself where a forked child holds the pipe open, means that the owner is
gone, however it went. Tools carry the token in their environment, which finds those that left their group or were
started in the very last moment.
"""

import contextlib
import os
import select
import signal
import sys
import time

GOODBYE = "!"
"""What an owner says that ends with no tool running."""


def kill_groups(groups: set[int]) -> None:
    """End whole process groups."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def kill_bearers(token: bytes, rounds: int = 5) -> None:
    """End every process whose environment holds `token`; several times, for they may start others meanwhile."""
    for _ in range(rounds if os.path.isdir("/proc/self") else 0):
        found = bearers(token)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.01)


def bearers(token: bytes) -> list[int]:
    """Every process whose environment holds `token`."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _bears(pid, token)]


def _bears(pid: int, token: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return pid != os.getpid() and token in environ.read()
    except OSError:
        return False


def follow(owner: int) -> set[int]:
    """Return the process groups that were left when the owner ended."""
    groups: set[int] = set()
    poller, text = select.poll(), ""
    poller.register(0, select.POLLIN | select.POLLHUP)
    with contextlib.suppress(AttributeError, OSError):
        poller.register(os.pidfd_open(owner), select.POLLIN)
    while os.getppid() == owner:
        events = poller.poll(1000)
        if any(descriptor == 0 for descriptor, _ in events):
            received = os.read(0, 1 << 16).decode()
            if not received:
                break
            *lines, text = (text + received).split("\n")
            for line in lines:
                if line == GOODBYE:
                    os._exit(0)
                (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    return groups


def main(token: str, owner: int) -> None:
    """Follow the owner's tools until it is gone, then end those that are left."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    kill_groups(follow(owner))
    kill_bearers(token.encode())
    time.sleep(0.1)
    kill_bearers(token.encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
