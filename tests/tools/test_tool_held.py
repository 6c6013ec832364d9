"""No process is left alone where a call is cancelled at the moment in which its tool is started."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stargazer.errors import Cancelled
from stargazer.tools import Workdir, process
from stargazer.tools.ending import Ending


@pytest.mark.parametrize("pause", [0.0, 0.15])
def test_a_tool_that_is_just_being_started_is_ended(
    pause: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, started = threading.Event(), []
    popen = process.subprocess.Popen

    def slowly(*args: Any, **options: Any) -> Any:
        """Start it, and take a while to say so: the watcher looks at bodies each tenth of a second."""
        made = popen(*args, **options)
        if args[0][0] == "sleep":
            started.append(made)
            wanted.set()
            deadline = time.monotonic() + 0.5 + pause
            while time.monotonic() < deadline:
                time.sleep(0.001)
        return made

    monkeypatch.setattr(process.subprocess, "Popen", slowly)
    ending = Ending("sleeper", wanted.is_set)
    work = Workdir(tmp_path, cancelled=ending.is_due)
    with pytest.raises(Cancelled):
        ending.run(lambda: work.run(["sleep", "93"]))
    assert [each.returncode for each in started] == [-15]
