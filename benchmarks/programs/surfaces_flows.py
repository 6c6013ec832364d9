"""A workflow of three calls, which is known after the first time."""

from __future__ import annotations

import stargazer as sg


@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    """Write a number."""
    out = work.file(f"{i}.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    """Add numbers up."""
    out = work.file("total.txt")
    out.write_text(str(sum(int(each.path.read_text()) for each in numbers)))
    return sg.Asset(path=out)


def known(n: int):
    """Make numbers, and add them up."""
    return total([number(i=i) for i in range(n)])
