"""Tasks that tests run from the pages."""

from __future__ import annotations

from typing import Literal

import stargazer as sg


@sg.task
def greet(
    work: sg.Workdir, text: sg.Asset, *, loud: bool = False, times: int = 1, by: Literal["a", "b"] = "a"
) -> sg.Asset:
    """Greet whoever is named in a text.

    Parameters
    ----------
    text
        Who.
    times
        How often.
    """
    out = work.file("greeting.txt")
    said = f"hello {text.path.read_text().strip()}\n" * times
    out.write_text(said.upper() if loud else said)
    return sg.Asset(path=out)


@sg.task
def shell(work: sg.Workdir, *, script: str) -> sg.Asset:
    """Run a script."""
    out = work.file("out.txt")
    work.run(["sh", "-c", script], stdout=out)
    return sg.Asset(path=out)
