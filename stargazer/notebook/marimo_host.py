"""Cells of marimo's editor, ``marimo run``, ``marimo export`` and ``python FILE``, by the entry point for executors.

Every marimo of an environment loads it, so it does nothing for a notebook that does not ask: by its header
``[tool.stargazer] cells = true``, or by the setting ``stargazer.notebook.live``. This is the one module that knows
names of marimo's that are not public.
"""

from __future__ import annotations

import contextlib
import functools
import html
import logging
import os
from typing import TYPE_CHECKING, Any

from stargazer.errors import StargazerError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from stargazer.notebook.document import Document
    from stargazer.notebook.live import Live, Looked

__all__ = ["Executor", "make"]

DIM = '<div style="opacity:.5;font-size:.75rem;line-height:1.6">{}</div>'


def make() -> Any:
    """The executor that marimo asks for; marimo's own where this one cannot be."""
    from marimo._runtime.executor.executor import DefaultExecutor

    return Executor(DefaultExecutor())


class Executor:
    """Runs a cell as marimo does, unless the ledger knows it.

    Parameters
    ----------
    base
        Marimo's own.
    """

    name = "stargazer"

    def __init__(self, base: Any) -> None:
        self._base = base
        self._live: dict[str, Live] = {}

    def execute_cell(self, cell: Any, glbls: MutableMapping[str, Any]) -> Any:
        """Run a cell."""
        looked, live = self._look(cell, glbls)
        if looked is None or live is None:
            return self._base.execute_cell(cell, glbls)
        if (found := self._restored(live, looked, glbls)) is not None:
            return found[0]
        with self._noted(live, looked, glbls) as out:
            out.append(self._base.execute_cell(cell, glbls))
        return out[0]

    async def execute_cell_async(self, cell: Any, glbls: MutableMapping[str, Any]) -> Any:
        """Run a cell that waits for something."""
        looked, live = self._look(cell, glbls)
        if looked is None or live is None:
            return await self._base.execute_cell_async(cell, glbls)
        if (found := self._restored(live, looked, glbls)) is not None:
            return found[0]
        with self._noted(live, looked, glbls) as out:
            out.append(await self._base.execute_cell_async(cell, glbls))
        return out[0]

    def _look(self, cell: Any, glbls: MutableMapping[str, Any]) -> tuple[Looked | None, Live | None]:
        path = str(glbls.get("__file__") or "")
        try:
            if not _wanted(path):
                return None, None
            live = self._of(path)
            return live.look(cell.code, glbls, str(cell.cell_id)), live
        except Exception as error:  # noqa: BLE001 - a cell of marimo's never fails for us
            logging.getLogger("stargazer").warning("a cell runs as if nothing were known of it: %s", error)
            return None, None

    def _of(self, path: str) -> Live:
        from stargazer.notebook.live import Live
        from stargazer.store import active_store

        if path not in self._live:
            self._live[path] = Live(active_store(), sequential=False)
        self._live[path].seed(cell for cell in _document(path).cells if cell.role)
        return self._live[path]

    def _restored(self, live: Live, looked: Looked, glbls: MutableMapping[str, Any]) -> tuple[Any] | None:
        """What a known cell shows, in a tuple; None where it is to run."""
        if looked.record is None:
            return None
        try:
            outputs = live.restore(looked, glbls)
        except Exception as error:  # noqa: BLE001 - as above
            logging.getLogger("stargazer").warning("a known cell runs once more: %s", error)
            return None
        return (_shown(looked, outputs, glbls),)

    @contextlib.contextmanager
    def _noted(self, live: Live, looked: Looked, glbls: MutableMapping[str, Any]) -> Any:
        """Let the cell run in here, and keep what it made."""
        from stargazer.notebook.live import teed
        from stargazer.notebook.shown import Captured

        captured, out = Captured(), list[Any]()
        try:
            with live.watched(looked), teed(captured):
                yield out
        except BaseException:
            live.forget()
            raise
        if looked.call is not None and out[0] is not None:
            captured.outputs.append(_bundle(out[0]))
        try:
            live.record(looked, glbls, captured.outputs)
        except Exception as error:  # noqa: BLE001 - as above
            logging.getLogger("stargazer").warning("what a cell made is not kept: %s", error)


def _bundle(value: Any) -> dict[str, Any]:
    import marimo

    data = {"text/html": marimo.as_html(value).text, "text/plain": repr(value)[:10_000]}
    return {"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": None}


def _shown(looked: Looked, outputs: list[dict[str, Any]], glbls: MutableMapping[str, Any]) -> Any:
    """What a known cell shows: a bare name by its restored value, so that tables stay what they are."""
    import marimo

    from stargazer.notebook.shown import html_of, last_name

    for output in outputs:
        if output["output_type"] == "stream":
            print(output["text"], end="")
    assert looked.record is not None
    told = marimo.Html(
        DIM.format(html.escape(f"from the ledger, since {looked.record.started[:16].replace('T', ' ')}"))
    )
    shown = [each for each in outputs if each["output_type"] in ("execute_result", "display_data")]
    name = last_name(looked.cell.source)
    if name is not None and name in glbls:
        return marimo.vstack([glbls[name], told])
    return marimo.vstack([marimo.Html(html_of(shown)), told]) if shown else told


def _wanted(path: str) -> bool:
    """Whether the cells of a notebook are calls: its header or the settings say so."""
    from stargazer.config import notebook_setting

    if notebook_setting("live"):
        return os.path.isfile(path)
    try:
        tools = _document(path).script.get("tool", {})
    except (StargazerError, OSError):
        return False
    return bool(tools.get("stargazer", {}).get("cells"))


def _document(path: str) -> Document:
    found = os.stat(path)
    return _read(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=64)
def _read(path: str, changed: int, size: int) -> Document:
    from stargazer.notebook.document import read_document

    return read_document(path, "marimo")
