"""A percent notebook in its kernel, the ledger loaded; what it shows goes into the ``.ipynb`` as that is by then."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import math
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from stargazer.config import command_environment
from stargazer.errors import NotebookError
from stargazer.fingerprint.parsing import parse
from stargazer.notebook.document import Cell
from stargazer.notebook.flow.files import read_file, write_all
from stargazer.notebook.flow.read import files_of
from stargazer.notebook.flow.results import Executed
from stargazer.notebook.flow.syncing import kernelspec
from stargazer.notebook.flow.texts import match, notebook_text, parts_of_ipynb, parts_of_py, read_ipynb, shared_of
from stargazer.notebook.secrets import masked, secret_names
from stargazer.store import active_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nbformat import NotebookNode

    from stargazer.notebook.flow.place import Book

__all__ = [
    "GIVEN",
    "TO_STARGAZER",
    "end_kernels",
    "outputs_digest",
    "run_in_kernel",
    "shown_book",
    "with_given",
    "without_secrets",
]

LOAD = "%load_ext stargazer"
GIVEN = "given"
STARTUP = 300
"""Seconds in which a kernel must be there; machines may be busy."""

TO_STARGAZER = "stargazer"
"""Under which name the notebook's metadata say what it was given."""


_clients: set[Any] = set()
"""Kernels that run now."""


def end_kernels() -> None:
    """End all kernels that run, at once; whoever waits for their cells learns it."""
    for client in list(_clients):
        pid = getattr(getattr(client.km, "provisioner", None), "pid", None)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def run_in_kernel(book: Book, timeout: float, given: Mapping[str, Any]) -> Executed:
    """Run a percent notebook, and write what its cells show.

    Parameters
    ----------
    book
        The notebook.
    timeout
        Seconds that a cell may take.
    given
        Values in place of those that cells make.
    """
    began = time.monotonic()
    shown = _fresh(book)
    problem, note, reads = _run(book, shown, timeout, given)
    problem, shown = masked(problem, _secrets(shown)), without_secrets(shown)
    wrote = _write(book, shown, given)
    state = "failed" if problem else "ran"
    values = {"outputs": outputs_digest(shown)}
    seconds = time.monotonic() - began
    return Executed(book.name, state, seconds, problem, note, book.told(wrote), values, files_of(book, reads))


def _secrets(shown: NotebookNode) -> list[str]:
    """Names of the secrets that its cells ask for."""
    return secret_names(Cell("", cell.source, sequential=True) for cell in shown.cells if cell.cell_type == "code")


def without_secrets(shown: NotebookNode) -> NotebookNode:
    """A notebook of which no output shows a secret that its cells ask for."""
    from nbformat import from_dict

    names = _secrets(shown)
    for cell in shown.cells if names else ():
        if cell.get("outputs"):
            cell.outputs = [from_dict(json.loads(masked(json.dumps(each), names))) for each in cell.outputs]
    return shown


def _fresh(book: Book) -> NotebookNode:
    """The cells of the source, without outputs."""
    text = read_file(book.source)
    if text is None:
        raise NotebookError(f"{book.told(book.source)} is not there")
    kernel = book.kernel or _stated_kernel(book) or "python3"
    return read_ipynb(notebook_text(None, parts_of_py(text), {"kernelspec": kernelspec(kernel)}), str(book.source))


def _stated_kernel(book: Book) -> str:
    text = read_file(book.ipynb)
    metadata = read_ipynb(text, str(book.ipynb)).metadata if text is not None else {}
    return str(metadata.get("kernelspec", {}).get("name", ""))


def _run(book: Book, shown: NotebookNode, timeout: float, given: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """What failed, and what is odd, each in one line; and what the cells read."""
    try:
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ImportError:
        raise NotebookError("kernels want nbclient: pip install 'stargazer-dask[notebook]'") from None
    name = shown.metadata.kernelspec.name
    resources = {"metadata": {"path": str(book.workspace)}}
    client = NotebookClient(
        shown,
        timeout=math.ceil(timeout),
        kernel_name=name,
        resources=resources,
        record_timing=False,
        coalesce_streams=True,
        startup_timeout=STARTUP,
    )
    number, note, reads = 0, "", dict[str, str]()
    _clients.add(client)
    try:
        with open(os.devnull, "wb") as nowhere, client.setup_kernel(stderr=nowhere, env=_environment()):
            note = _loaded(client, shown)
            for number in range(1, len(shown.cells) + 1):
                _run_cell(client, shown, number - 1, given)
            reads = _reads(client, shown) if not note else {}
    except NoSuchKernel:
        return f"there is no kernel {name!r} here; `jupyter kernelspec list` shows those that are", note, reads
    except CellExecutionError as error:
        return f"{_place(shown, number)}: {error.ename}: {_one_line(error.evalue)}", note, reads
    except CellTimeoutError:
        return f"{_place(shown, number)}: it took longer than {timeout:g} s", note, reads
    except DeadKernelError:
        return f"{_place(shown, number)}: the kernel ended", note, reads
    finally:
        _clients.discard(client)
    return "", note, reads


def _reads(client: Any, shown: NotebookNode) -> dict[str, str]:
    """What the cells read, as the ledger in the kernel noted it; nothing where it was switched off."""
    from nbclient.exceptions import CellExecutionError

    if not shown.cells:
        return {}
    with contextlib.suppress(CellExecutionError, ValueError):
        return dict(json.loads(_run_hidden(client, shown, 0, "%sg reads")))
    return {}


def _environment() -> dict[str, str]:
    """The user's own, with the store that is active here."""
    return {**command_environment(), "DASK_STARGAZER__STORE": active_store().url}


def _loaded(client: Any, shown: NotebookNode) -> str:
    """Load the ledger, unless the notebook does; what is odd about it."""
    from nbclient.exceptions import CellExecutionError

    if not shown.cells or any(LOAD in cell.source for cell in shown.cells):
        return ""
    try:
        told = _run_hidden(client, shown, 0, LOAD)
    except CellExecutionError as error:
        return f"its kernel has no stargazer ({error.ename}): no cell is taken from the ledger, and none is kept"
    return _one_line(told) if "Error" in told else ""


def _run_hidden(client: Any, shown: NotebookNode, index: int, source: str) -> str:
    """Run what stands in no cell; nbclient puts what it ran into the notebook, from which it is taken again."""
    import nbformat.v4 as v4

    own, cell = shown.cells[index], v4.new_code_cell(source)
    try:
        client.execute_cell(cell, index, store_history=False)
    finally:
        shown.cells[index] = own
    return " ".join(output.get("text", "") for output in cell.outputs).strip()


def _run_cell(client: Any, shown: NotebookNode, index: int, given: Mapping[str, Any]) -> None:
    cell = shown.cells[index]
    if cell.cell_type != "code":
        return
    source, (changed, after) = cell.source, with_given(cell.source, given)
    cell.source = changed
    try:
        client.execute_cell(cell, index)
    finally:
        cell.source = source
    if after:
        _run_hidden(client, shown, index, "\n".join(f"{name} = {given[name]!r}" for name in after))


def with_given(source: str, given: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Put given values in the place of those that a cell assigns.

    Returns
    -------
    str, list of str
        The cell, and names that it binds in another way, for which the values are to be set after it.
    """
    from stargazer.notebook.names import names_of

    try:
        body = parse(source).body if given else []
    except SyntaxError:
        return source, [name for name in given if name in source]
    lines = source.encode().splitlines(keepends=True)
    done: set[str] = set()
    for node in reversed(body):
        name = _assigned(node)
        if name in given and node.value is not None:
            lines = _replaced(lines, node.value, repr(given[name]).encode())
            done.add(name)
    bound = names_of(source).defs if body else frozenset()
    return b"".join(lines).decode(), sorted(name for name in given if name in bound and name not in done)


def _assigned(node: ast.stmt) -> str:
    """Name that an assignment binds, if it binds one and no more."""
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    target = node.target if isinstance(node, ast.AnnAssign) else target
    return target.id if isinstance(target, ast.Name) else ""


def _replaced(lines: list[bytes], value: ast.expr, text: bytes) -> list[bytes]:
    assert value.end_lineno is not None
    assert value.end_col_offset is not None
    first, last = value.lineno - 1, value.end_lineno - 1
    line = lines[first][: value.col_offset] + text + lines[last][value.end_col_offset :]
    return [*lines[:first], line, *lines[last + 1 :]]


def _place(shown: NotebookNode, number: int) -> str:
    if not number:
        return "before its first cell"
    code = sum(cell.cell_type == "code" for cell in shown.cells[:number])
    first = next((line for line in shown.cells[number - 1].source.splitlines() if line.strip()), "")
    return f"code cell {code} ({first[:50]})"


def _one_line(text: str) -> str:
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _write(book: Book, shown: NotebookNode, given: Mapping[str, Any]) -> Path:
    """Write what was shown into the ``.ipynb`` as it is now: somebody may have edited it while this ran."""
    text = read_file(book.ipynb)
    place = book.ipynb if text is not None else book.noted("executed", ".ipynb")
    target = read_ipynb(text, str(book.ipynb)) if text is not None else shown
    if target is not shown:
        was, now = parts_of_ipynb(shown), parts_of_ipynb(target)
        kept = [cell for cell in target.cells if cell.source.strip()]
        for (i, same), cell in zip(match(was, now), kept, strict=True):
            if same and i is not None and cell.cell_type == "code":
                cell.outputs = shown.cells[i].outputs
                cell.execution_count = shown.cells[i].execution_count
    target.metadata.pop(TO_STARGAZER, None)
    if given:
        target.metadata[TO_STARGAZER] = {GIVEN: dict(given)}
    with contextlib.suppress(KeyError):
        target.metadata.setdefault("language_info", shown.metadata["language_info"])
    made = notebook_text(target, parts_of_ipynb(target), {})
    write_all(book.flow, {place: made}, {book.ipynb: text})
    return place


def shown_book(book: Book) -> NotebookNode:
    """Return the notebook as it last ran.

    Raises
    ------
    NotebookError
        It has not run, or its source is another one by now.
    """
    place = book.ipynb if book.ipynb.exists() else book.noted("executed", ".ipynb")
    text = read_file(place)
    if text is None:
        raise NotebookError(f"{book.name} has not run: `stargazer nb exec --entry {book.name}`")
    shown = read_ipynb(text, str(place))
    parts = parts_of_py(read_file(book.source) or "")
    if parts_of_ipynb(shown, shared_of(parts)) != parts:
        raise NotebookError(f"{book.told(place)} is not in step with {book.told(book.source)}: nb sync, then nb exec")
    return shown


def outputs_digest(shown: NotebookNode) -> str:
    """Digest of what the cells of a Jupyter notebook show; in which order they ran does not count."""
    told = []
    for cell in shown.cells:
        if cell.cell_type == "code":
            told.append([{k: v for k, v in output.items() if k != "execution_count"} for output in cell.outputs])
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def ran_whole(book: Book) -> bool:
    """Whether a notebook ran to its end: all cells of its ``.ipynb`` ran, and none failed."""
    text = read_file(book.ipynb)
    if text is None:
        return book.noted("ran", ".json").exists()
    cells = [
        cell for cell in read_ipynb(text, str(book.ipynb)).cells if cell.cell_type == "code" and cell.source.strip()
    ]
    failed = any(output.output_type == "error" for cell in cells for output in cell.outputs)
    return bool(cells) and not failed and all(cell.execution_count for cell in cells)
