"""Tasks and workflows of a user's own, for agents to find; some take long."""

from __future__ import annotations

import stargazer as sg


@sg.task
def part(work: sg.Workdir, *, i: int, seconds: float = 0.0, mark: str = "") -> sg.Asset:
    """Write one number, slowly."""
    if seconds:
        work.run(["sleep", str(seconds)])
    out = work.file(f"{i}.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    """Add numbers up."""
    out = work.file("total.txt")
    out.write_text(str(sum(int(n.path.read_text()) for n in numbers)))
    return sg.Asset(path=out)


@sg.task
def letters(work: sg.Workdir, reads: sg.R1, ref: sg.Reference | None = None, *, upper: bool = False) -> sg.Asset:
    """Count letters of reads."""
    out = work.file("letters.txt")
    out.write_text(str(len(reads.path.read_text())))
    return sg.Asset(path=out)


@sg.task
def broken(work: sg.Workdir, *, secret: str = "") -> sg.Asset:
    """Fail, in a tool."""
    work.run(["sh", "-c", f"echo this is why {secret} >&2; exit 3"])
    return sg.Asset(path=work.file("x"))


def adding(n: int, seconds: float = 0.0, mark: str = ""):  # type: ignore[no-untyped-def]
    """Make n numbers and add them up."""
    return total([part(i=i, seconds=seconds, mark=mark) for i in range(n)])
