"""How much of a package does one warm trip touch? Files and functions of it, beside joblib.Memory and redun.

Who mends a fault on a way reads the files along it. What counts is where the code of a called function lies below the
package's folder, wherever in it. Aims are numbers of files; ``programs/trips_stargazer.py FOLDER`` prints which
they are, with the functions that are called in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.overhead import OTHERS, missing
from benchmarks.rounds import PROGRAMS, Ratio, compare, process, temporary

__all__ = ["measure"]

AIMS = {"call": 35, "known": 12, "run": 45, "add": 15, "fetch": 12, "trace": 12}
CASES = {
    "call": "a call that runs",
    "known": "a known call",
    "run": "sg.run of a call",
    "add": "add",
    "fetch": "fetch",
    "trace": "trace",
}
OURS = "our known call"
"""What stands beside a trip that others do not make."""

Trips = Mapping[str, Mapping[str, Any]]


def measure(quick: bool = False) -> Iterator[Ratio]:
    """Yield each ratio as it is known.

    Parameters
    ----------
    quick
        Makes no difference: a trip is counted once, for counts do not vary.
    """
    absent = missing()
    with temporary() as directory:
        ours = _trips("stargazer", directory)
        found = {name: _trips(module, directory) for module, name in OTHERS.items() if name not in absent}
    for trip in CASES:
        beside = {name: trips[trip] for name, trips in found.items() if trip in trips} or {OURS: ours["known"]}
        for name, theirs in beside.items():
            yield _ratio(trip, "files", ours[trip], name, theirs, aim=AIMS[trip], of="ours")
            yield _ratio(trip, "functions", ours[trip], name, theirs)


def _trips(program: str, directory: Path) -> Trips:
    return process(PROGRAMS / f"trips_{program}.py", directory / program).printed


def _ratio(trip: str, unit: str, ours: Mapping[str, Any], name: str, theirs: Mapping[str, Any], **aim: Any) -> Ratio:
    case = CASES[trip] if unit == "files" else f"{CASES[trip]}, functions"
    return compare("trips", case, name, [ours[unit]], [theirs[unit]], unit, **aim)
