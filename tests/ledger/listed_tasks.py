"""Tasks that make a list, and that read what is no input."""

from __future__ import annotations

from pathlib import Path

import stargazer as sg


@sg.task
def pieces(work: sg.Workdir, *, count: int) -> list[sg.Asset]:
    made = []
    for number in range(count):
        out = work.file(f"{number}.txt")
        out.write_text(str(number))
        made.append(sg.Asset(path=out))
    return made


@sg.task
def reading(work: sg.Workdir, *, beside: str) -> sg.Asset:
    out = work.file("out.txt")
    out.write_text(Path(beside).read_text())
    return sg.Asset(path=out)
