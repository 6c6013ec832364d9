"""Tasks of which the results are somebody's."""

from __future__ import annotations

import stargazer as sg


@sg.task
def made(work: sg.Workdir, *, sample: str) -> sg.Asset:
    out = work.file("r.txt")
    out.write_text(f"true result of {sample}")
    return sg.Asset(path=out)


@sg.task
def constant(work: sg.Workdir, *, sample: str) -> sg.Asset:
    """The same bytes whatever it is given, so that what follows is cut off early."""
    out = work.file("c.txt")
    out.write_text("the same")
    return sg.Asset(path=out)


@sg.task
def after(work: sg.Workdir, given: sg.Asset) -> sg.Asset:
    out = work.file("after.txt")
    out.write_text(given.path.read_text() + "!")
    return sg.Asset(path=out)
