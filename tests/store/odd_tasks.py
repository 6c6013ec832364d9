"""Tasks that run in a store with odd files in it."""

from __future__ import annotations

import stargazer as sg


@sg.task
def letters(work: sg.Workdir, source: sg.Asset, *, times: int) -> sg.Asset:
    out = work.file("letters.txt")
    out.write_bytes(source.path.read_bytes() * times)
    return sg.Asset(path=out)


@sg.task
def joined(work: sg.Workdir, parts: list[sg.Asset]) -> sg.Asset:
    out = work.file("joined.txt")
    out.write_bytes(b"".join(part.path.read_bytes() for part in parts))
    return sg.Asset(path=out)
