"""A task that can be held up from outside."""

from __future__ import annotations

import stargazer as sg


@sg.task
def held_up(work: sg.Workdir, *, name: str, log: str, until: str) -> sg.Asset:
    with open(log, "a") as file:
        file.write(f"{name}\n")
    out = work.file(f"{name}.txt")
    work.run(["sh", "-c", f"until test -e {until}; do sleep 0.05; done; echo {name}"], stdout=out)
    return sg.Asset(path=out)
