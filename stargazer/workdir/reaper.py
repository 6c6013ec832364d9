"""Ends the tools of a process that died; run as ``python -I -S reaper.py TOKEN``.

A killed worker cannot clean up after itself, and a death signal from the kernel reaches children only, not
grandchildren. So each process that starts tools has one reaper at its side. It learns the process groups through
stdin; end of file means that the owner is gone, however it went. Tools carry the token in their environment, which
finds those that left their group or were started in the very last moment.
"""

import contextlib
import os
import signal
import sys
import time


def kill_groups(groups: set[int]) -> None:
    """End whole process groups."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def kill_bearers(token: bytes) -> None:
    """End every process whose environment holds `token`."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environ:
            if token in environ.read() and int(pid) != os.getpid():
                os.kill(int(pid), signal.SIGKILL)


def main(token: str) -> None:
    """Follow the owner's tools until it is gone, then end those that are left."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        (groups.add if sign == "+" else groups.discard)(group)
    kill_groups(groups)
    for _ in range(2 if os.path.isdir("/proc/self") else 0):
        kill_bearers(token.encode())
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
