"""A function that wires calls, as one call: watched while it wires, recorded when what it wired has ended.

Between the two, what it wired runs like all other calls of the graph. Its record holds the results and the records
that they came from. It is an answer only as long as the tools, libraries and variables of the calls that it wired are
as they were; none of these is in its own key, so they stand among what it read.
"""

from __future__ import annotations

import contextlib
import re
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer import config
from stargazer.errors import OutputError, StoreError, WiringError
from stargazer.execute.execute import cut_off, described
from stargazer.execute.findings import Findings
from stargazer.ledger import Ledger, Record
from stargazer.ledger.logs import origin_text, remember
from stargazer.ledger.reads import ALWAYS, CHANGED
from stargazer.ledger.record import check_plain, encode, walk_assets
from stargazer.store import Store
from stargazer.store.context import WIRING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stargazer.execute.spec import TaskSpec

__all__ = ["Place", "Sketch", "Wiring", "check_stored", "filled"]

REMEDY = "a function that wires decides which calls are made, and does no work: let a task do that, and pass its result"


CALL_FOR_RESULT = re.compile(r"Truth of Delayed objects|whether its result is true|(\bnot |')Call\b|\bCall\.__")
"""As Python and Dask say that they got a call where they wanted a number or a truth."""


class Place(NamedTuple):
    """Stands for the result of a call in what a function wired."""

    number: int


class Sketch(NamedTuple):
    """What a function wired, on its way to where the results come together.

    Parameters
    ----------
    shape
        What it returned, with a `Place` for each call.
    wired
        Plan keys of these calls, by their numbers.
    reads
        What counts beside the key, as `stargazer.ledger.reads` writes it.
    noted
        What a person should know of the wiring.
    """

    shape: Any
    wired: tuple[str, ...]
    reads: Mapping[str, str]
    noted: tuple[str, ...] = ()


def filled(shape: Any, results: Sequence[Any]) -> Any:
    """Return what a function wired with the results of the calls in their places."""
    if type(shape) is Place:
        return results[shape.number]
    if isinstance(shape, tuple):
        items = [filled(item, results) for item in shape]
        return type(shape)(*items) if hasattr(shape, "_fields") else tuple(items)
    if isinstance(shape, list):
        return [filled(item, results) for item in shape]
    return {name: filled(item, results) for name, item in shape.items()} if isinstance(shape, dict) else shape


class Wiring:
    """One call of a function that wires others.

    Parameters
    ----------
    spec, plan_key
        Of the call.
    inputs, parameters
        Stored assets and plain values by name.
    before
        Plan keys of the calls whose results it takes.
    strict
        Whether hidden inputs are errors.
    warn
        Called with a message and a category of warnings.

    Raises
    ------
    ArgumentError
        What a call before this one gave does not fit.
    """

    def __init__(
        self,
        spec: TaskSpec,
        plan_key: str,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        *,
        before: Sequence[str] = (),
        strict: bool = False,
        warn: Any = warnings.warn,
    ) -> None:
        self.spec, self.store = spec, Store.open(spec.store)
        self.ledger = Ledger(self.store.records)
        self.inputs, self.parameters = spec.task.bound(inputs, parameters)
        self.known = described(spec, plan_key, self.inputs, self.parameters, self.store)
        self._before, self._strict, self._warn = before, strict or config.strict(), warn
        self._clock = time.perf_counter()

    def found(self) -> list[Any]:
        """The result in a list, where the same inputs were there once before; else an empty one."""
        record = cut_off(self.ledger, self.spec, self.known, self._before)
        return [] if record is None else [self.ledger.results(record, self.spec.task.result_type)]

    def wire(self) -> tuple[Any, dict[str, str], tuple[str, ...]]:
        """Run the function; return what it returned, what it read of its surroundings, and what is noted of that.

        Raises
        ------
        WiringError
            It opened a file, listed a folder, ran a program or asked the network.
        Exception
            Whatever it raises; the record of the failure has the traceback.
        """
        try:
            return self.look()
        except Exception as error:
            self.failed(error)
            raise

    def failed(self, error: Exception) -> None:
        """Keep the record of a failure; a store that cannot take it is no reason for another."""
        with contextlib.suppress(StoreError, OSError):
            text = origin_text(error, self.spec.task.body)
            log = self.store.blobs.put_bytes(text.encode("utf-8", "replace")) if text else None
            told = f"{type(error).__name__}: {error}"
            remember(error, self.ledger.append(self._record(status="failed", error=told, log=log)))

    def end(self, sketch: Sketch, results: Sequence[Any]) -> Any:
        """Record what came of the calls that were wired, and return it in the shape in which they were.

        Raises
        ------
        OutputError
            It is something else than the function declares to return.
        """
        made = self.spec.task.checked(filled(sketch.shape, results))
        check_plain(made)
        outputs = list(walk_assets(made))
        record = self._record(
            status="ok",
            outputs=encode(made),
            reads={**sketch.reads, **self._read_below(sketch.wired)},
            noted=list(sketch.noted),
            wired=list(sketch.wired),
            input_cids=[*self.known["input_cids"], *(each.cid for each in outputs if each.cid)],
            makers={each.id: each.source.record for each in outputs if each.source and each.source.record},
        )
        before = self.ledger.readers(self._before)
        kept = self.ledger.append(record, before, newest=self.spec.again)
        return self.ledger.results(kept, self.spec.task.result_type) if kept.outputs != record.outputs else made

    def look(self) -> tuple[Any, dict[str, str], tuple[str, ...]]:
        """As `wire`; nothing is recorded if it fails."""
        self.spec.check_code()
        findings = Findings(
            self.spec, (), self.parameters, strict=self._strict, alone_online=self.store.context.is_offline
        )
        findings.body.wires = True
        with self.store, _no_work(self.spec.name, findings):
            made = self.spec.wiring.called(self.spec, self.inputs, self.parameters)
        findings.tell(self._warn)
        return made, findings.reads, tuple(findings.noted)

    def _read_below(self, wired: Sequence[str]) -> dict[str, str]:
        """What the bodies of the wired calls read beside their inputs; never an answer where that is not known."""
        readers = self.ledger.readers(dict.fromkeys(wired))
        if readers is None:
            return {ALWAYS: CHANGED}
        found = (self.ledger.get(name) for name in readers)
        return {name: value for record in found if record is not None for name, value in record.reads.items()}

    def _record(self, **members: Any) -> Record:
        seconds = round(time.perf_counter() - self._clock, 6)
        return Record(**{**self.known, **members}, seconds=seconds, wires=True)


@contextlib.contextmanager
def _no_work(name: str, findings: Findings) -> Iterator[None]:
    """Run a function that wires in here; what only bodies may do is an error, whatever else it led to."""
    token = WIRING.set(name)
    try:
        with findings.watched():
            yield
    except Exception as error:
        if did := _work(findings) or _path_asked_for(error):
            raise WiringError(f"{name} {did}: {REMEDY}") from error
        if line := _result_asked_for(error):
            raise WiringError(
                f"{name} asks what a call gave before it has run ({line}): pass the call to a function that wires, "
                "which gets its result"
            ) from error
        raise
    finally:
        WIRING.reset(token)
    if did := _work(findings):
        raise WiringError(f"{name} {did}: {REMEDY}")


def _path_asked_for(error: Exception) -> str:
    """What a function did that took a handle for a file, in words: where calls are wired handles have no path."""
    if not isinstance(error, (AttributeError, TypeError)) or "NoneType" not in str(error):
        return ""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"asked a handle for its path ({(last.line or '').strip()})" if ".path" in (last.line or "") else ""


def _result_asked_for(error: Exception) -> str:
    """Where a function used a call as if it were its result, or what Dask makes of one, as ``range(call)``."""
    if not isinstance(error, TypeError) or not CALL_FOR_RESULT.search(str(error)):
        return ""
    frames = (each for each in traceback.extract_tb(error.__traceback__) if each.name != "__bool__")
    return ([each.line for each in frames][-1] or "").strip()


def _work(findings: Findings) -> str:
    """What a function did that is no wiring, in words."""
    seen = findings.body
    done = (
        ("opened", [*seen.files, *seen.written, *seen.given]),
        ("listed", list(seen.folders)),
        ("ran", [" ".join(words) for words in seen.commands]),
        ("asked the network for", list(seen.addresses)),
    )
    return next((f"{verb} {things[0]}" for verb, things in done if things), "")


def check_stored(task: str, asset: Any, store: Store) -> None:
    """Refuse an asset, in what a function wired, that no call could be given.

    Raises
    ------
    OutputError
        It is a draft, or of another store.
    """
    if asset.cid is None:
        raise OutputError(f"{task} returned {asset!r}, which is not in the store: tasks make files, it wires them")
    if (asset.source is None or asset.source.url != store.url) and not store.exists(asset):
        raise OutputError(f"{task} returned {asset!r}, but {store.url} has no such bytes")
