"""Recorded calls run once more, aside, and their results compared: whatever the rules of identity miss, this finds."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.calls.call import Call
from stargazer.calls.task import Task
from stargazer.errors import ArgumentError, StargazerError
from stargazer.execute.execute import Attempt
from stargazer.ledger import Ledger
from stargazer.ledger.believed import strangers
from stargazer.ledger.chosen import above, below, chosen
from stargazer.ledger.differences import differences
from stargazer.ledger.reads import Present, read_name
from stargazer.ledger.rebuilt import find_named, value_of
from stargazer.ledger.signatures import YOURS, whose
from stargazer.store import Store, active_store
from stargazer.tools import interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stargazer.assets import Asset
    from stargazer.ledger import Record

__all__ = ["Verification", "Verified", "verify"]

SAME, DIFFERENT, FAILED = "same", "different", "failed"
OTHER_CODE, OTHER_TOOLS, LOST, UNKNOWN = "other code", "other tools", "inputs lost", "cannot be made again"
OTHER_READS = "other files"
WRONG = (DIFFERENT, FAILED)


class Verified(NamedTuple):
    """What became of one recorded call.

    Parameters
    ----------
    record
        The call.
    outcome
        ``"same"``, ``"different"`` or ``"failed"``; of a call that could not run here: ``"other code"``,
        ``"other tools"``, ``"inputs lost"`` or ``"cannot be made again"``. ``"other files"``: it differs or fails, and
        what it read beside its inputs, which its record names, is not as it was.
    why
        In words, where it is not the same.
    differences
        Place in the result, what the record says, and what was made now.
    seconds
        That it took.
    """

    record: Record
    outcome: str
    why: str = ""
    differences: tuple[tuple[str, str, str], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, repr=False)
class Verification:
    """Recorded calls that were run once more, and how their results compare; ``print`` shows a table.

    Parameters
    ----------
    calls
        What became of each.
    among
        Number of calls of which these are a sample.
    """

    calls: tuple[Verified, ...]
    among: int

    @property
    def ok(self) -> bool:
        """Whether no call gave another result, or failed."""
        return not any(call.outcome in WRONG for call in self.calls)

    @property
    def checked(self) -> int:
        """Number of calls that could run here."""
        return sum(call.outcome in (SAME, *WRONG) for call in self.calls)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        counts = Counter(call.outcome for call in self.calls)
        told = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.most_common()) or "nothing to check"
        sample = f", a sample of {self.among:,}" if len(self.calls) < self.among else ""
        yield f"{len(self.calls):,} recorded calls{sample}: {told}"
        width = max((len(call.record.task) for call in self.calls), default=0)
        for call in self.calls:
            if call.outcome != SAME:
                yield f"  {call.outcome:<20}  {call.record.task:<{width}}  {call.record.id[:12]}  {call.why}"
                yield from (f"    {place}: {then} → {now}" for place, then, now in call.differences)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "ok": self.ok,
            "checked": self.checked,
            "among": self.among,
            "calls": [
                {
                    "record": call.record.id,
                    "task": call.record.task,
                    "outcome": call.outcome,
                    "why": call.why,
                    "differences": [
                        {"place": place, "recorded": then, "now": now} for place, then, now in call.differences
                    ],
                    "seconds": round(call.seconds, 3),
                }
                for call in self.calls
            ],
        }


def verify(
    result: Asset | str | None = None,
    *,
    down: bool = False,
    sample: float = 1.0,
    seed: int | None = None,
    store: Store | None = None,
    tasks: Iterable[Task] = (),
    told: Callable[[Verified], None] = lambda _: None,
) -> Verification:
    """Run recorded calls once more, aside, and compare what they make with what the records say.

    The ledger stays as it is. A call runs only with the code, tools and libraries of its record; where this process has
    others, the report says so. Each runs on the recorded inputs, so that a difference is told where it arises.

    Parameters
    ----------
    result
        A stored asset, a CID, first digits of a record, or the name of a task: that call, and all that led to it. None
        for all calls that the store has.
    down
        That call, and all that was made of its result, instead.
    sample
        The part of these calls that is checked, chosen at random: ``0.01`` for one percent, but at least one.
    seed
        Of the choice; another each time if there is none.
    store
        Where the calls are recorded; by default that of the result, else the active one.
    tasks
        Tasks to look among before their modules are imported, as those of a script.
    told
        Called with what became of each call.

    Raises
    ------
    NotFound
        Nothing recorded goes by that name.

    Examples
    --------
    >>> import stargazer as sg
    >>> from stargazer.tasks import samtools_faidx
    >>> index = samtools_faidx(sg.add("ref.fa", sg.Reference(build="b37")))
    >>> report = sg.verify(index.compute())
    >>> report.ok, report.checked
    (True, 1)
    """
    if not (isinstance(sample, (int, float)) and 0 < sample <= 1):
        raise ArgumentError(f"sample={sample!r} must be a part of the whole: more than 0, at most 1")
    ledger = Ledger((store or _home(result)).records)
    wanted, among = _wanted(ledger, result, down=down, part=sample, seed=seed)
    finder = _Finder(ledger, tasks)
    calls = []
    for record in wanted:
        calls.append(finder.verified(record))
        told(calls[-1])
    return Verification(tuple(calls), among)


def _home(result: Asset | str | None) -> Store:
    source = getattr(result, "source", None)
    return Store.open(source.url) if source is not None else active_store()


def _wanted(
    ledger: Ledger, result: Asset | str | None, *, down: bool, part: float, seed: int | None
) -> tuple[list[Record], int]:
    """The records of those calls that are checked, and the number of those among which they were chosen."""
    if result is None and part < 1:  # of a whole store, those that are not chosen are not even read
        names = ledger.records.ids()
        read = (ledger.get(name) for name in _sampled(names, part, seed))
        drawn = [record for record in read if record is not None and not record.wires]
        return _newest(drawn), len(names)
    found = ledger.everything() if result is None else (below if down else above)(ledger, chosen(ledger, result))
    found = [record for record in found if not record.wires]  # what they wired is among them
    newest = {record.id: record for record in _newest(found)}
    return [newest[name] for name in _sampled(list(newest), part, seed)], len(newest)


def _newest(found: Iterable[Record]) -> list[Record]:
    """The newest record of each call."""
    newest: dict[str, Record] = {}
    for record in sorted(found, key=lambda each: each.started, reverse=True):
        newest.setdefault(record.content_key, record)
    return list(newest.values())


def _sampled(names: list[str], part: float, seed: int | None) -> list[str]:
    """Some of these, at least one, chosen at random; all of them in their spec."""
    if part == 1 or not names:
        return names
    return random.Random(seed).sample(sorted(names), max(1, round(len(names) * part)))


class _Finder:
    """Makes calls of records, and runs them."""

    def __init__(self, ledger: Ledger, tasks: Iterable[Task]) -> None:
        self._ledger, self._store = ledger, Store.open(ledger.url)
        self._tasks: dict[str, list[Task]] = {}
        for task in tasks:
            self._tasks.setdefault(task.name, []).append(task)
        self._found: dict[tuple[str, str], list[Task]] = {}

    def verified(self, record: Record) -> Verified:
        """Run a recorded call once more."""
        try:
            call = self._call(record)
        except _Unfit as error:
            return Verified(record, error.outcome, str(error))
        clock = time.perf_counter()
        try:
            made = Attempt(call.spec, call.plan_key, call.inputs, call.given, self._ledger).tried(interruption())
        except Exception as error:  # noqa: BLE001 - whatever a body raises; it is reported
            why = f"it fails now: {type(error).__name__}: {error}".splitlines()[0]
            return _explained(Verified(record, FAILED, why, seconds=time.perf_counter() - clock))
        seconds, found = time.perf_counter() - clock, tuple(differences(record.outputs, made))
        if not found:
            return Verified(record, SAME, seconds=seconds)
        why = f"{record.task} is not deterministic, or reads something that is not part of its key"
        return _explained(Verified(record, DIFFERENT, why, found, seconds))

    def _call(self, record: Record) -> Call:
        """The call that a record tells of, with all that is in its key."""
        if strangers(self._store.records, {record.id: record}):
            verdict = whose(self._store.records, [record])[record.id]
            told = f"it is {verdict}, and what it was given would run as you: name who ran it in stargazer.trust"
            raise _Unfit(UNKNOWN, told)
        try:
            inputs, parameters = self._inputs(record), self._parameters(record)
            candidates = self._candidates(record)
        except LookupError as error:
            raise _Unfit(UNKNOWN, str(error.args[0] if error.args else error)) from error
        made = [self._made(task, inputs, parameters) for task in candidates]
        same = [call for call in made if isinstance(call, Call) and call.plan_key == record.content_key]
        if same:
            self._check_inputs(same[0])
            return same[0]
        raise _why_not(record, made)

    def _made(
        self, task: Task, inputs: dict[str, Any], parameters: dict[str, Any]
    ) -> Call | tuple[Task, StargazerError]:
        """A call of a task; of one that takes no such arguments, its error in a tuple."""
        try:
            with self._store:
                made: Call = task(**inputs, **parameters)
                return made
        except StargazerError as error:
            return (task, error)

    def _inputs(self, record: Record) -> dict[str, Any]:
        names = [name for value in record.inputs.values() for name in _ids(value)]
        known = self._store.assets.read(names)
        absent = [name for name in names if name not in known]
        if absent:
            raise _Unfit(LOST, f"{len(absent)} of {len(names)} inputs are no longer known")
        handles = {name: self._store.assets.handle(asset, record.producers.get(name)) for name, asset in known.items()}
        return {name: _replaced(value, handles) for name, value in record.inputs.items()}

    @staticmethod
    def _parameters(record: Record) -> dict[str, Any]:
        return {name: value_of(value) for name, value in record.parameters.items()}

    def _check_inputs(self, call: Call) -> None:
        from stargazer.ledger import walk_assets
        from stargazer.store.context import fetch_missing

        wanted = list(walk_assets(list(call.inputs.values())))
        try:
            fetch_missing(self._store, wanted)
        except StargazerError as error:
            raise _Unfit(LOST, str(error)) from error
        gone = [asset for asset in wanted if not self._store.exists(asset)]
        if gone:
            raise _Unfit(LOST, f"the bytes of {gone[0].name or gone[0].cid} are gone")

    def _candidates(self, record: Record) -> list[Task]:
        """Tasks that may be the one of a record: those that were given, then that of its module."""
        place = (record.task, record.home)
        if place not in self._found:
            given = self._tasks.get(record.task, [])
            self._found[place] = [*given, *self._imported(record, needed=not given)]
        return self._found[place]

    def _imported(self, record: Record, *, needed: bool) -> list[Task]:
        module, _, name = record.home.partition(":")
        try:
            if not module:
                raise LookupError(f"the record does not say where the task {record.task} is; it is an older one")
            found = find_named(module, name, load=whose(self._store.records, [record])[record.id] == YOURS)
        except LookupError:
            if needed:
                raise
            return []
        return [found] if isinstance(found, Task) else []


class _Unfit(Exception):
    """A call cannot run here as it ran then."""

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


def _explained(call: Verified) -> Verified:
    """A call that gives something else, as no fault of its task where what it is known to read was changed since.

    The ledger does not take its record for an answer then either.
    """
    changed = Present().differences(call.record.reads)
    if not changed:
        return call
    return call._replace(outcome=OTHER_READS, why=f"changed since: {', '.join(map(read_name, changed))}")


def _why_not(record: Record, made: list[Call | tuple[Task, StargazerError]]) -> _Unfit:
    """Why none of the tasks that are here makes the call of a record."""
    if not made:
        return _Unfit(OTHER_CODE, f"{record.home} is no task here")
    call = made[0]
    if isinstance(call, tuple):
        return _Unfit(OTHER_CODE, f"{call[0].name} cannot be called like that here: {call[1]}")
    spec = call.spec
    if spec.code != record.code:
        names = {*spec.manifest, *record.manifest}
        changed = sorted(name for name in names if spec.manifest.get(name) != record.manifest.get(name))
        return _Unfit(OTHER_CODE, f"changed since: {', '.join(changed) or record.task}")
    tools = [tool._asdict() for tool in spec.tools]
    if tools != record.tools or dict(spec.libraries) != record.libraries:
        then = ", ".join(f"{tool['name']} {tool['version']}" for tool in record.tools)
        then += "".join(f", {name} {version}" for name, version in record.libraries.items())
        return _Unfit(OTHER_TOOLS, f"it ran with {then.lstrip(', ') or 'none'}")
    return _Unfit(UNKNOWN, "its parameters or inputs cannot be made again exactly")


def _ids(value: Any) -> list[str]:
    each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return [name for name in each if name is not None]


def _replaced(value: Any, handles: dict[str, Asset]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, handles) for name, item in value.items()}
    return [_replaced(item, handles) for item in value] if isinstance(value, list) else handles.get(value)
