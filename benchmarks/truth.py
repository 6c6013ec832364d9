"""How many changes that change a result are served stale: ours, joblib's and redun's cache over one table.

Each change of ``tests/fingerprint/changes.txt`` is run as a script, before and after, over one cache; and without any.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.rounds import Ratio, compare, temporary

TABLE = Path(__file__).parents[1] / "tests" / "fingerprint"

ENDS = {
    "stargazer": """
import stargazer as sg
@sg.task
def answer(work: sg.Workdir) -> str:
    return repr(body(None))
if __name__ == "__main__":
    print("RESULT", answer().compute(scheduler="sync"))
""",
    "joblib": """
import joblib, os
memory = joblib.Memory(os.environ["CACHE"], verbose=0)
@memory.cache
def answer():
    return repr(body(None))
if __name__ == "__main__":
    print("RESULT", answer())
""",
    "redun": """
import os, redun
from redun import Scheduler
from redun.config import Config
redun_namespace = "truth"
@redun.task()
def answer():
    return repr(body(None))
if __name__ == "__main__":
    scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{os.environ['CACHE']}.db"}}))
    scheduler.load()
    print("RESULT", scheduler.run(answer()))
""",
}
"""What makes a cached call of ``body``, by tool."""

PLAIN = 'if __name__ == "__main__": print("RESULT", repr(body(None)))\n'
"""What calls it anew."""

RESULT = "RESULT"
"""How the line begins in which each tells what it got."""


def measure(*, quick: bool = False) -> Iterator[Ratio]:
    """Count the changes that each serves stale, in one run over the same changes."""
    sys.path.insert(0, str(TABLE))
    from changes import changes

    whole = [each for each in changes() if not any("ARGUMENTS" in text for text in each.before.values())]
    chosen = whole[:: 48 if quick else 4]
    with temporary() as folder:
        stale = {tool: sum(_is_stale(folder, tool, each.before, each.after) for each in chosen) for tool in ENDS}
    for tool in ("joblib", "redun"):
        case = f"of {len(chosen)} changes, served stale in silence"
        yield compare("truth", case, tool, [stale["stargazer"]], [stale[tool]], "changes", aim=0, of="ours")


def _is_stale(folder: Path, tool: str, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether what the old text made is served for the new one, without a warning; who fails serves nothing."""
    place = Path(mkdtemp(dir=folder))
    _run(place, ENDS[tool], before, "cache")
    served, warned = _run(place, ENDS[tool], after, "cache")
    if warned or not served.startswith(RESULT) or served == _run(place, PLAIN, after, "")[0]:
        return False
    return served != _run(place, ENDS[tool], after, "fresh")[0]  # where it is the tool that changes results


def _run(place: Path, end: str, files: Mapping[str, str], cache: str) -> tuple[str, bool]:
    for name, text in files.items():
        file = place / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + (end if name == "pipeline" else ""))
    own = {"CACHE": str(place / cache), "DASK_STARGAZER__STORE": str(place / cache), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "pipeline.py"]
    done = subprocess.run(command, cwd=place, env=os.environ | own, capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
    return (found or [done.stderr[-200:]])[0], "Warning" in done.stderr or "Uncertain" in done.stderr
