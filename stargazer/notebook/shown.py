"""What a cell shows: its last value, what it prints, its errors; as Jupyter's format of outputs has them."""

from __future__ import annotations

import ast
import base64
import contextlib
import html
import io
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from stargazer.errors import StargazerError
from stargazer.notebook.names import tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["Captured", "bundle_of", "captured", "error_output", "html_of", "last_name", "text_of"]

LONGEST_TEXT = 1 << 20
"""Characters of printed text that are kept of one cell."""

REPRESENTATIONS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
}


class Captured:
    """Outputs of one cell, in the order in which they came."""

    def __init__(self) -> None:
        self._outputs: list[dict[str, Any]] = []
        self._size, self._is_cut = 0, False
        self._stream, self._written = "", list[str]()

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """All outputs so far; what is appended comes after what was printed."""
        self._flush()
        return self._outputs

    def _flush(self) -> None:
        text, last = "".join(self._written), self._outputs[-1] if self._outputs else {}
        self._written.clear()
        if text and last.get("output_type") == "stream" and last["name"] == self._stream:
            last["text"] += text
        elif text:
            self._outputs.append({"output_type": "stream", "name": self._stream, "text": text})

    def write(self, name: str, text: str) -> None:
        """Take what was written to ``stdout`` or ``stderr``; joined later, as each join copies what is there."""
        left = LONGEST_TEXT - self._size
        self._size += len(text)
        if self._is_cut or not text:
            return
        if name != self._stream:
            self._flush()
            self._stream = name
        self._is_cut = len(text) > left
        self._written.append(f"{text[:left]}\n… more was printed than is kept\n" if self._is_cut else text)

    def display(self, *values: Any, **_: Any) -> None:
        """Show values, as ``display`` does in Jupyter."""
        for value in values:
            self.outputs.append({"output_type": "display_data", "data": bundle_of(value), "metadata": {}})

    def result(self, value: Any) -> None:
        """Show the value of the last line."""
        if value is not None:
            shown = {"data": bundle_of(value), "metadata": {}, "execution_count": None}
            self.outputs.append({"output_type": "execute_result", **shown})


class _Stream:
    """A stream that writes to the cell that runs on this thread, or else to where it did before."""

    def __init__(self, base: Any, name: str) -> None:
        self._base, self._name = base, name

    def write(self, text: str) -> int:
        """Write a text."""
        found = _here.captured
        if found is None:
            return int(self._base.write(text))
        found.write(self._name, text)
        return len(text)

    def flush(self) -> None:
        """Flush what is below."""
        self._base.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


class _Here(threading.local):
    captured: Captured | None = None


_here = _Here()
_lock = threading.Lock()


@contextlib.contextmanager
def captured() -> Iterator[Captured]:
    """Take what is printed and shown on this thread."""
    with _lock:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not isinstance(stream, _Stream) and stream is not None:
                setattr(sys, name, _Stream(stream, name))
    outer, found = _here.captured, Captured()
    _here.captured = found
    try:
        yield found
    finally:
        _here.captured = outer


def bundle_of(value: Any) -> dict[str, Any]:
    """How a value shows itself, by kind of content; showing never fails a cell."""
    found: dict[str, Any] = {}
    try:
        found |= _figure(value)
        found |= _of_marimo(value)
        bundle = getattr(value, "_repr_mimebundle_", None)
        made = bundle(include=None, exclude=None) if callable(bundle) and not found else None
        found |= _texts(made[0] if isinstance(made, tuple) else made or {})
        for name, kind in REPRESENTATIONS.items():
            method = getattr(value, name, None)
            if kind not in found and callable(method) and not isinstance(value, type):
                made = method()
                found |= _texts({kind: made[0] if isinstance(made, tuple) else made}) if made is not None else {}
    except Exception as error:  # noqa: BLE001 - whatever a library raises when it shows something
        found.setdefault("text/plain", f"<{type(value).__qualname__}, which cannot be shown: {error}>")
    if "text/plain" not in found:
        found["text/plain"] = _repr(value)
    return found


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - as above
        return f"<{type(value).__qualname__}, which cannot be shown: {error}>"


def _texts(bundle: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: base64.b64encode(content).decode() if isinstance(content, bytes) else content
        for kind, content in bundle.items()
    }


def _of_marimo(value: Any) -> dict[str, Any]:
    method = getattr(value, "_mime_", None)
    if not callable(method) or not type(value).__module__.startswith("marimo"):
        return {}
    kind, content = method()
    return {kind: content}


def _figure(value: Any) -> dict[str, Any]:
    """A picture of one of matplotlib's figures, the same bytes each time."""
    pyplot = sys.modules.get("matplotlib.figure")
    figure = getattr(value, "figure", value)
    if pyplot is None or not isinstance(figure, pyplot.Figure):
        return {}
    made = io.BytesIO()
    figure.savefig(made, format="png", bbox_inches="tight", metadata={"Software": None})
    return {"image/png": base64.b64encode(made.getvalue()).decode()}


def last_name(source: str) -> str | None:
    """The bare name that the last line of a cell is, or None."""
    body = tree_of(source).body
    last = body[-1] if body else None
    shown = last.value if isinstance(last, ast.Expr) else None
    return shown.id if isinstance(shown, ast.Name) else None


def error_output(error: BaseException) -> dict[str, Any]:
    """An error as an output, with its traceback in the cell's own lines; what the engine says needs no lines of it."""
    shown = own_traceback(error.__traceback__)
    if isinstance(error, StargazerError) and shown is not None and _in_a_cell(shown) is None:
        shown = None
    return {
        "output_type": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": traceback.format_exception(type(error), error, shown, chain=shown is not None),
    }


def own_traceback(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in a cell; all of it where none is in it."""
    return _in_a_cell(trace) or trace


def _in_a_cell(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<cell "):
        trace = trace.tb_next
    return trace


def text_of(outputs: Sequence[dict[str, Any]]) -> str:
    """Outputs as plain text."""
    parts = []
    for output in outputs:
        if output["output_type"] == "stream":
            parts.append(output["text"])
        elif output["output_type"] == "error":
            parts.append("".join(output["traceback"]))
        else:
            parts.append(f"{output['data'].get('text/plain', '')}\n")
    return "".join(parts)


def html_of(outputs: Sequence[dict[str, Any]]) -> str:
    """Outputs as HTML; errors and what was written to stderr in colour."""
    return "\n".join(map(_html, outputs))


def _html(output: dict[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        style = ' style="color:#b3261e"' if output["name"] == "stderr" else ""
        return f"<pre{style}>{html.escape(output['text'])}</pre>"
    if kind == "error":
        return f'<pre style="color:#b3261e">{html.escape("".join(output["traceback"]))}</pre>'
    data = output["data"]
    if "text/html" in data:
        return str(data["text/html"])
    if "image/svg+xml" in data:
        return str(data["image/svg+xml"])
    for picture in ("image/png", "image/jpeg"):
        if picture in data:
            return f'<img alt="" src="data:{picture};base64,{data[picture]}">'
    text = data.get("text/markdown") or data.get("text/plain") or ""
    return f"<pre>{html.escape(str(text))}</pre>"
