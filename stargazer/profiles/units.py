"""Amounts as people write them."""

from __future__ import annotations

import re

__all__ = ["bytes_of", "clock_of", "seconds_of"]

CLOCK = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d{1,2}){0,2})")


def bytes_of(value: object) -> int:
    """Size in bytes of ``"8 GiB"``, or of a number of bytes.

    Raises
    ------
    ValueError
        It is no size.
    """
    from dask.utils import parse_bytes

    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("no size")
    if (size := int(parse_bytes(value))) < 1:
        raise ValueError("no size")
    return size


def seconds_of(value: object) -> float:
    """Seconds of ``"02:30:00"``, ``"1-12:00:00"`` (a day and a half), ``"90 min"``, or of a number of seconds.

    Raises
    ------
    ValueError
        It is no time.
    """
    from dask.utils import parse_timedelta

    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("no time")
    if isinstance(value, str) and (":" in value or "-" in value):
        seconds = _clock_seconds(value)
    else:
        try:
            minutes = re.sub(r"(?<=\d)\s*mins?$", "m", value.strip()) if isinstance(value, str) else value
            seconds = float(parse_timedelta(minutes, default="s"))
        except (KeyError, TypeError):
            raise ValueError("no time") from None
    if seconds <= 0:
        raise ValueError("no time")
    return seconds


def _clock_seconds(text: str) -> float:
    found = CLOCK.fullmatch(text.strip())
    if not found:
        raise ValueError("no time")
    parts = [int(part) for part in found["clock"].split(":")]
    if found["days"]:  # D-HH, D-HH:MM, D-HH:MM:SS
        parts += [0] * (3 - len(parts))
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return float(int(found["days"] or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)


def clock_of(seconds: float) -> str:
    """Seconds as batch systems write them: ``"26:30:00"``.

    Parameters
    ----------
    seconds
        Rounded up to whole ones.
    """
    whole = int(-(-seconds // 1))
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
