"""A notebook that runs in a process of its own: what its code does, it does not do to the server."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from stargazer import config
from stargazer.errors import Cancelled, NotebookError, RunFailed
from stargazer.runs import Status
from stargazer.tools.process import end, start, wait

__all__ = ["NotebookProcess"]

# -P: Python would look for modules in the notebook's folder before all others, where a folder stargazer/ may lie.
PROGRAM = "import os, sys; os.chdir(sys.argv.pop(1)); from stargazer.cli import main; main()"
TAIL = 2000


class NotebookProcess:
    """``stargazer nb run`` as a run: it can be waited for and cancelled.

    Parameters
    ----------
    notebook
        The file.
    store
        URL of the store.
    options
        Further options of the command.
    """

    id = ""
    notice = None

    def __init__(self, notebook: Path, store: str, options: list[str]) -> None:
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._cancelled = self._ended = False
        self._done = threading.Event()
        self._answer: dict[str, Any] = {}
        self._error: Exception | None = None
        self._argv = [sys.executable, "-P", "-c", PROGRAM, str(notebook.parent), "nb", "run", str(notebook), "--json"]
        self._argv += ["--store", store, *options]
        threading.Thread(target=self._work, name="stargazer-notebook", daemon=True).start()

    def _work(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="stargazer-mcp-") as folder:
                self._answer = self._ran(Path(folder))
        except Exception as error:  # noqa: BLE001 - it is raised where the run is waited for
            self._error = error
        finally:
            self._seconds = time.monotonic() - self._began
            self._ended = True
            self._done.set()

    def _ran(self, folder: Path) -> dict[str, Any]:
        out, told = folder / "out.json", folder / "err.txt"
        with out.open("wb") as stdout, told.open("wb") as stderr, open(os.devnull, "rb") as stdin:
            env = config.command_environment()
            tool = start(self._argv, cwd=folder, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
            try:
                wait([tool], lambda: self._cancelled)
            finally:
                end([tool])
        try:
            found = json.loads(out.read_text("utf-8", "replace"))
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        raise NotebookError(told.read_text("utf-8", "replace")[-TAIL:] or f"the process ended with {tool.code}")

    @property
    def answer(self) -> dict[str, Any]:
        """What the command printed, when it has ended.

        Raises
        ------
        NotebookError
            It printed nothing that can be read.
        """
        if self._error is not None:
            raise self._error
        return self._answer

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._ended

    @property
    def failures(self) -> dict[str, BaseException]:
        """Cells that failed."""
        rows = self._answer.get("cells", [])
        failed = [row for row in rows if row.get("state") == "failed"]
        return {str(row.get("name") or ", ".join(row.get("defs", [])) or "cell"): NotebookError(_why(row))
                for row in failed}  # fmt: skip

    def status(self) -> Status:
        """How long it has run; cells are told at the end."""
        return Status(time.monotonic() - self._began if self._seconds is None else self._seconds, {})

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end."""
        return self._done.wait(timeout)

    def cancel(self) -> None:
        """End the process and all that it started."""
        self._cancelled = True

    def result(self) -> Any:
        """Return the report: what became of each cell.

        Raises
        ------
        Cancelled
            It was cancelled.
        NotebookError
            It is wrong; nothing ran.
        RunFailed
            Cells failed.
        """
        self.wait()
        if self._cancelled:
            raise Cancelled("the notebook was cancelled; what was finished is kept")
        if self._error is not None:
            raise self._error
        if "error" in self._answer:
            raise NotebookError(str(self._answer["error"].get("message", "")))
        if failures := self.failures:
            raise RunFailed(f"{len(failures)} cells failed", failures)
        return self._answer


def _why(row: dict[str, Any]) -> str:
    return "; ".join(map(str, row.get("why", []))) or "it failed"
