"""Tasks small enough to read at a glance."""

from __future__ import annotations

from pathlib import Path

import stargazer as sg


@sg.task
def number(work: sg.Workdir, *, i: int) -> sg.Asset:
    out = work.file(f"{i}.txt")
    out.write_text(str(i))
    return sg.Asset(path=out)


@sg.task
def total(work: sg.Workdir, numbers: list[sg.Asset]) -> sg.Asset:
    out = work.file("total.txt")
    out.write_text(str(sum(int(n.path.read_text()) for n in numbers)))
    return sg.Asset(path=out)


@sg.task
def shell(work: sg.Workdir, given: sg.Asset | None = None, *, script: str) -> sg.Asset:
    out = work.file("out.txt")
    work.run(["sh", "-c", script], stdin=given.path if given else None, stdout=out)
    return sg.Asset(path=out)


def unseen(path: Path) -> str:
    """Script that writes a file unseen by what watches bodies: its path stands nowhere in the command."""
    return f'cat "$(echo {str(path)[::-1]} | rev)"'
