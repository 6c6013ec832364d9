"""Times, sizes and names as people read them."""

from __future__ import annotations

__all__ = ["plural", "reason", "seconds_text", "short", "size_text"]

LONGEST_REASON = 200


def short(name: str, head: int = 8, tail: int = 4) -> str:
    """A CID or digest cut down to its ends."""
    return name if len(name) <= head + tail + 1 else f"{name[:head]}…{name[-tail:]}"


def size_text(size: float) -> str:
    """A number of bytes: ``999 B``, ``1.5 kB``, ``3.0 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError(size)


def seconds_text(seconds: float) -> str:
    """A time in seconds: ``32 ms``, ``0.4 s``, ``12 s``, ``3 min 07 s``, ``2 h 05 min``."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(number: int, noun: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def reason(error: BaseException) -> str:
    """An error in one line: of a tool that failed, its command, how it ended, and the last that it said."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 2:
        lines = [*lines[:2], lines[-1]]
    shown = " · ".join(line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…" for line in lines)
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
