"""What would run, what is known, and why something is not."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.calls.call import Call
from stargazer.calls.elements import element
from stargazer.calls.growth import would_wire
from stargazer.calls.renewed import renewed
from stargazer.calls.resources import default_client
from stargazer.calls.walk import check_no_call_lost, needs
from stargazer.errors import ArgumentError
from stargazer.fingerprint import wide_of
from stargazer.ledger import Ledger, Record
from stargazer.ledger.keys import call_key, input_keys, plain
from stargazer.ledger.reads import Present, read_name
from stargazer.ledger.rebuilt import readable
from stargazer.ledger.record import digest, ids_of, tools_digest, walk_assets
from stargazer.ledger.signatures import whose
from stargazer.profiles.profile import offer_of
from stargazer.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dask.typing import Key

    from stargazer.execute import TaskSpec
    from stargazer.runs.estimate import Estimate
    from stargazer.store.context import Known

__all__ = ["Plan", "Planned", "Planner", "Reason", "calls_of", "ordered", "plan", "reasons_for", "roots_of"]


@dataclass(frozen=True, repr=False)
class Plan:
    """What would run, and why; shown as a table by ``print`` and in notebooks.

    Parameters
    ----------
    calls
        In an order in which they could run. Below a known call, nothing is looked at.
    on
        Profile on which they would run; None for threads of this process.
    """

    calls: tuple[Planned, ...]
    on: str | None = None

    @property
    def known(self) -> list[Planned]:
        """Calls that the ledger answers."""
        return [planned for planned in self.calls if planned.state == "known"]

    @property
    def to_run(self) -> list[Planned]:
        """Calls that run, or may."""
        return [planned for planned in self.calls if planned.state != "known"]

    @property
    def wide(self) -> dict[str, tuple[str, ...]]:
        """What is not understood whole of each task's code, and what to write in its place: such keys are wide."""
        found = {planned.call.name: wide_of(planned.call.spec.manifest) for planned in self.calls}
        return {name: reasons for name, reasons in found.items() if reasons}

    @functools.cached_property
    def estimate(self) -> Estimate | None:
        """What the calls that would run will take; None where nothing would, or no record tells of any of them."""
        from stargazer.runs.estimate import estimated

        return estimated(self.calls, self.on) if self.to_run else None

    @functools.cached_property
    def whose(self) -> dict[str, str]:
        """Whose the records of the calls are that this store knows, by id; looked up when it is asked for.

        ``yours``, ``signed by NAME``, ``unsigned`` or ``not as signed``.
        """
        found: dict[str, str] = {}
        by_store: dict[str, list[Record]] = {}
        for planned in self.calls:
            if planned.record is not None and not planned.where:
                by_store.setdefault(planned.call.spec.store, []).append(planned.record)
        for url, records in by_store.items():
            found |= whose(Store.open(url).records, records)
        return found

    @property
    def growing(self) -> list[Planned]:
        """Calls that wire others, of which nobody knows yet how many: what these need has not ended."""
        return [planned for planned in self.calls if planned.grows is not None]

    def __iter__(self) -> Iterator[Planned]:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    def __repr__(self) -> str:
        from stargazer.display import plan_text

        return plan_text(self)

    def _repr_html_(self) -> str:
        from stargazer.display import plan_html

        return plan_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "known": len(self.known),
            "to_run": len(self.to_run),
            "estimate": self.estimate.to_dict() if self.estimate else None,
            "wide": {name: list(reasons) for name, reasons in self.wide.items()},
            "calls": [
                {
                    "task": planned.call.name,
                    "key": planned.call.plan_key,
                    "state": planned.state,
                    "where": planned.where,
                    "grows": planned.grows._asdict() if planned.grows else None,
                    "whose": self.whose.get(planned.record.id, "") if planned.record else "",
                    "reasons": [{"kind": reason.kind, "text": reason.text} for reason in planned.reasons],
                }
                for planned in self.calls
            ],
        }


def plan(*calls: Any, again: Any = None, on: str | None = None) -> Plan:
    """Say what computing `calls` would run, what is known, and why something is not; nothing runs.

    Parameters
    ----------
    *calls
        Calls, or lists, tuples and dicts of them.
    again
        What would be asked to run once more, as for `stargazer.run`.
    on
        Profile for which time is estimated; by default that of the active client, or threads of this process.

    Raises
    ------
    CodeChanged
        A task's code is no longer what it was when the call was made.

    Examples
    --------
    >>> import stargazer as sg
    >>> from stargazer.tasks import samtools_faidx
    >>> index = samtools_faidx(sg.add("ref.fa", sg.Reference(build="b37")))
    >>> print(sg.plan(index))
    1 of 1 call would run, 0 are known
      run  samtools_faidx  never ran
    >>> made = index.compute()
    >>> print(sg.plan(index))
    nothing would run...
    """
    planner, roots = Planner(), roots_of(calls)
    if again is not None:
        roots = list(renewed(roots, again).values())
    planner.plan(roots)
    return Plan(tuple(planner.planned.values()), on or _active_profile())


def _active_profile() -> str | None:
    """Name of the profile of the active client; None where there is none, or it was made without a profile."""
    client = default_client()
    offer = offer_of(client) if client is not None else None
    return offer.where if offer is not None and offer.profile.kind != "address" else None


def roots_of(value: Any) -> list[Call]:
    """Return the whole calls in `value`: an element stands for the call that it is part of."""
    try:
        return _roots_of(value)
    except RecursionError:
        raise ArgumentError("a list of calls holds itself, or is nested too deeply") from None


def _roots_of(value: Any) -> list[Call]:
    if isinstance(value, Call):
        return [value.whole]
    if isinstance(value, (dict, list, tuple)):
        return [call for item in (value.values() if isinstance(value, dict) else value) for call in _roots_of(item)]
    check_no_call_lost(value)
    return []


def ordered(roots: Iterable[Call], stop: Any) -> list[Call]:
    """Return all calls below `roots`, each after what it needs; nothing below a call for which `stop` holds."""
    done: dict[str, Call] = {}
    todo = [(call, False) for call in reversed(list(roots))]
    while todo:
        call, expanded = todo.pop()
        if call.key in done:
            continue
        if expanded or stop(call):
            done[call.key] = call
            continue
        todo.append((call, True))
        todo += [(needed.whole, False) for needed in needs(call)]
    return list(done.values())


# Which calls the ledger knows, and which would run.


CANDIDATES = 50
"""Newest records of a task with which a call is compared."""


class Grows(NamedTuple):
    """What is not known yet of a call that wires others.

    Parameters
    ----------
    after
        Names of the tasks that must have ended before it wires.
    last
        Number of calls that it wired last time; None where it never did.
    wired
        Their plan keys.
    """

    after: tuple[str, ...]
    last: int | None
    wired: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """Say it, as in "those of per_cluster when split has ended (12 last time)"."""
        when = f" when {' and '.join(self.after)} {'has' if len(self.after) == 1 else 'have'} ended"
        last = "" if self.last is None else f" ({self.last:,} last time)"
        return f"those of {name}{when if self.after else ''}{last}"


@dataclass(frozen=True)
class Planned:
    """One call in a plan.

    Parameters
    ----------
    call
        The call.
    state
        ``"known"``; ``"run"``; or ``"maybe"``: it runs unless the calls before it make the same bytes as last time.
    record
        What the ledger knows of it.
    where
        Name of the remote that knows it, if this store does not.
    grows
        Of one that wires: what is not known yet; None where its calls stand in the plan.
    wired
        Those calls.
    """

    call: Call
    state: str
    record: Record | None = None
    where: str = ""
    grows: Grows | None = None
    wired: tuple[Call, ...] = ()
    _why: Callable[[], list[Reason]] = field(default=list, repr=False, compare=False)

    @functools.cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it is not known; looked up when asked for."""
        return tuple(self._why())


class Planner:
    """Looks calls up, level by level, and then says of each what would become of it."""

    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}
        self._found: dict[Key, Known | None] = {}
        self._checked: dict[int, TaskSpec] = {}
        self._newest: dict[tuple[str, str], list[Record]] = {}
        self._parts_of: dict[tuple[str, str], set[tuple[str, str, str]]] = {}
        self._grown: dict[Key, str] = {}
        self._wires: dict[Key, tuple[Call, ...]] = {}

    def plan(self, roots: list[Call]) -> None:
        """Plan calls and all that they need, also what is wired on the way, as far as that can be told now."""
        self.look_up(roots)
        todo = [iter(ordered(roots, self.is_known))]
        while todo:
            call = next(todo[-1], None)
            if call is None:
                todo.pop()
            elif call.key not in self.planned:
                wired = self._wired(call)
                self._wires[call.key] = self._wires.get(call.key) or tuple(wired)
                self.look_up(wired)
                if wired:
                    todo.append(iter([*ordered(roots_of(wired), self.is_known), call]))
                else:
                    self.add(call)

    def _wired(self, call: Call) -> list[Call]:
        """What a call wires whose inputs are known, the first time that this is asked; errors are told later."""
        if not call.spec.wires or call.key in self._grown or self.is_known(call):
            return []
        needed = [self.planned[need.whole.key] for need in needs(call)]
        if any(each.state != "known" for each in needed) or self._by_content(call) is not None:
            return []
        self._grown[call.key] = ""
        try:
            return would_wire(call, self._inputs(call), {name: self._resolved(v) for name, v in call.given.items()})
        except Exception as error:  # noqa: BLE001 - the user's own; it is told as the reason
            self._grown[call.key] = f"wiring it fails: {type(error).__name__}: {error}"
            return []

    def _grows(self, call: Call) -> Grows | None:
        """What is not known yet of a call that wires."""
        if not call.spec.wires or call.key in self._grown:
            return None
        waits = dict.fromkeys(need.name for need in needs(call) if self.planned[need.whole.key].state != "known")
        last = next(iter(Ledger(call.store.records).newest(call.name, 1)), None)
        return Grows(tuple(waits), None if last is None else len(last.wired), tuple(last.wired if last else ()))

    def look_up(self, calls: Iterable[Call]) -> None:
        """Ask the ledger for calls, then for what those need that it does not know: level by level, many at once."""
        level = {call.key: call for call in calls if call.key not in self._found}
        while level:
            by_store: dict[str, list[Call]] = {}
            for call in level.values():
                by_store.setdefault(call.spec.store, []).append(call)
            for url, asked in by_store.items():
                known = [call for call in asked if not call.spec.renewal]
                found = Ledger(Store.open(url).records).find_anywhere(call.plan_key for call in known)
                self._found |= {call.key: None for call in asked}
                self._found |= {call.key: found.get(call.plan_key) for call in known}
            unknown = (call for call in level.values() if self._found[call.key] is None)
            following = {needed.whole.key: needed.whole for call in unknown for needed in needs(call)}
            level = {key: call for key, call in following.items() if key not in self._found}

    def is_known(self, call: Call) -> bool:
        """Whether the ledger answers a call that was looked up."""
        return self._found[call.key] is not None

    def add(self, call: Call) -> None:
        """Plan a call after those that it needs."""
        if id(call.spec) not in self._checked:
            call.spec.check_code()
            self._checked[id(call.spec)] = call.spec
        record, where = self._found[call.key] or (self._by_content(call), "")
        if record is not None:
            self.planned[call.key] = Planned(call, "known", record, where)
            return
        planned = (self.planned[needed.whole.key] for needed in needs(call))
        waits = any(each.state != "known" for each in planned)
        state = "maybe" if waits and self._parts(call) in self._known_parts(call) else "run"
        if call.spec.again:
            self.planned[call.key] = Planned(call, "run", _why=lambda: [Reason("again", "asked for again")])
            return
        grows, past = self._grows(call), self._candidates(call)

        def why() -> list[Reason]:
            fails = [Reason("error", error)] if (error := self._grown.get(call.key)) else []
            told = [Reason("grows", _last_time(call, grows))] if grows else []
            return [*fails, *told, *reasons_for(call, self._inputs(call), past)]

        self.planned[call.key] = Planned(call, state, None, "", grows, self._wires.get(call.key, ()), why)

    def _candidates(self, call: Call) -> list[Record]:
        place = (call.spec.store, call.name)
        if place not in self._newest:
            self._newest[place] = Ledger(call.store.records).newest(call.name, CANDIDATES)
        return self._newest[place]

    def _known_parts(self, call: Call) -> set[tuple[str, str, str]]:
        place = (call.spec.store, call.name)
        if place not in self._parts_of:
            parts = [record.parts() for record in self._candidates(call)]
            self._parts_of[place] = {(each["code"], each["parameters"], each["tools"]) for each in parts}
        return self._parts_of[place]

    def _parts(self, call: Call) -> tuple[str, str, str] | None:
        """Code, parameters and tools of a call, as digests in a record."""
        if any(isinstance(value, Call) for value in call.given.values()):
            return None
        values = {name: plain(value) for name, value in call.given.items()}
        spec = call.spec
        tools = tools_digest([tool._asdict() for tool in spec.tools], spec.libraries, spec.env)
        return spec.code, digest(values), tools

    def _by_content(self, call: Call) -> Record | None:
        """Early cut-off can be told before the run where all inputs are known; without calls, both keys are one."""
        if call.spec.again or not needs(call):
            return None
        inputs = self._inputs(call)
        if any(isinstance(value, Call) for value in call.given.values()) or calls_of(inputs):
            return None
        values = {name: plain(value) for name, value in call.given.items()}
        keys = {name: input_keys(value, call.spec.kinds) for name, value in inputs.items()}
        return Ledger(call.store.records).find(call_key(call.spec.key, values, keys))

    def _inputs(self, call: Call) -> dict[str, Any]:
        """Inputs with known calls replaced by their results."""
        return {name: self._resolved(value) for name, value in call.inputs.items()}

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolved(item) for item in value]
        if isinstance(value, dict):
            return {name: self._resolved(item) for name, item in value.items()}
        if not isinstance(value, Call):
            return value
        planned = self.planned[value.whole.key]
        if planned.record is None:
            return value
        whole = Ledger(value.store.records).results(planned.record)
        return whole if value.parent is None else element(whole, value.index, value.label)


# Why a call is not known: compared with what the ledger has of its task.


@dataclass(frozen=True)
class Reason:
    """Why a call is not known.

    Parameters
    ----------
    kind
        ``"never ran"``, ``"code"``, ``"parameter"``, ``"input"``, ``"tool"``, ``"read"``, ``"lost"``, ``"whose"``,
        ``"forgotten"`` or ``"again"``; of one that wires, ``"grows"`` or ``"error"``.
    text
        In words: what changed, from what to what.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def _last_time(call: Call, grows: Grows) -> str:
    """What it wired last time, by task."""
    if not grows.wired:
        return "what it wires is known only then"
    found = Ledger(call.store.records).lookup(grows.wired)
    tasks = Counter(record.task for record in found.values())
    told = ", ".join(f"{name} ×{number:,}" if number > 1 else name for name, number in tasks.items())
    return f"wired last time: {told}" if told else f"wired {grows.last:,} calls last time"


def calls_of(value: Any) -> list[Call]:
    """The call that `value` is, or those that a list or dict holds."""
    if isinstance(value, Call):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [call for item in items for call in calls_of(item)]


def reasons_for(call: Call, inputs: dict[str, Any], candidates: list[Record]) -> list[Reason]:
    """Compare with the newest record of the task that agrees in most."""
    if not candidates:
        return [Reason("never ran", "never ran")]
    compared = [_differences(call, inputs, record) for record in candidates]
    best = min(range(len(compared)), key=lambda place: _distance(compared[place]))
    return compared[best] or [_hidden_reason(call.store, candidates[best])]


def _hidden_reason(store: Store, record: Record) -> Reason:
    """Nothing differs that a key tells: what it read, its result is lost, or the same inputs stand in another order."""
    ledger = Ledger(store.records)
    if not ledger.accepts(record):
        verdict = whose(store.records, [record])[record.id]
        return Reason("whose", f"its result is {verdict}, and that is not accepted (record {record.id[:12]})")
    if changed := Present().differences(record.reads):
        return Reason("read", f"{', '.join(map(read_name, changed))} changed since it was read")
    if ledger.forgotten(record.content_key) is not None:
        return Reason("forgotten", f"it was forgotten (record {record.id[:12]})")
    if ledger.is_complete(record):
        if ledger.find(record.content_key) is None:
            return Reason("whose", f"the keys of record {record.id[:12]} lead to another one, which is not accepted")
        return Reason("input", "inputs in another order")
    return Reason("lost", f"its result is no longer in the store (record {record.id[:12]})")


def _distance(reasons: list[Reason]) -> tuple[int, int]:
    return len({reason.kind for reason in reasons}), len(reasons)


def _differences(call: Call, inputs: dict[str, Any], record: Record) -> list[Reason]:
    return [
        *_code_differences(call, record),
        *_parameter_differences(call, record),
        *_tool_differences(call, record),
        *_input_differences(call.store, inputs, record),
    ]


def _code_differences(call: Call, record: Record) -> Iterator[Reason]:
    if call.spec.code != record.code:
        then, now = record.manifest, call.spec.manifest
        changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
        yield Reason("code", f"code changed: {', '.join(changed) or call.name}")


def _parameter_differences(call: Call, record: Record) -> Iterator[Reason]:
    for name, value in call.given.items():
        if isinstance(value, Call):
            yield Reason("input", f"parameter {name} comes from {value.name}, which runs first")
        elif name not in record.parameters:
            yield Reason("parameter", f"parameter {name} is new")
        elif record.parameters[name] != plain(value):
            then, now = _shown(record.parameters[name]), _shown(plain(value))
            told = f"{then} → {now}" if then != now else f"the code of {now} changed"
            yield Reason("parameter", f"parameter {name}: {told}")


def _tool_differences(call: Call, record: Record) -> Iterator[Reason]:
    then = {tool["name"]: (tool["version"], tool["digest"]) for tool in record.tools}
    now = {tool.name: (tool.version, tool.digest) for tool in call.spec.tools}
    then |= {name: (version, "") for name, version in record.libraries.items()}
    now |= {name: (version, "") for name, version in call.spec.libraries.items()}
    then |= {f"${name}": (_value(value), "") for name, value in record.env.items()}
    now |= {f"${name}": (_value(value), "") for name, value in call.spec.env.items()}
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield Reason("tool", f"tool {name}: {_version(then.get(name))} → {_version(now.get(name), then.get(name))}")


def _value(variable: str | None) -> str:
    return "not set" if variable is None else repr(variable)


def _input_differences(store: Store, inputs: dict[str, Any], record: Record) -> Iterator[Reason]:
    for name, value in inputs.items():
        if calls := calls_of(value):
            makers = dict.fromkeys(maker.name for maker in calls)
            yield Reason("input", f"input {name} is made anew by {', '.join(makers)}")
        elif ids_of(value) != record.inputs.get(name):
            yield Reason("input", f"input {name}: {_files(store, record.inputs.get(name))} → {_names(value)}")


def _files(store: Store, identifiers: Any) -> str:
    listed = (
        identifiers
        if isinstance(identifiers, list)
        else list(identifiers.values())
        if isinstance(identifiers, dict)
        else [identifiers]
    )
    known = store.assets.read([identifier for identifier in listed if identifier])
    return _names([known[identifier] for identifier in listed if identifier in known])


def _names(value: Any) -> str:
    if isinstance(value, Asset):
        return f"{value.name} ({(value.cid or '')[-6:]})"
    if isinstance(value, (list, dict)):
        items = list(walk_assets(value))
        return _names(items[0]) if len(items) == 1 else f"{len(items)} files"
    return "none"


def _version(now: tuple[str, str] | None, then: tuple[str, str] | None = None) -> str:
    if now is None:
        return "none"
    return f"{now[0]} (another build)" if then is not None and then[0] == now[0] else now[0]


def _shown(value: Any) -> str:
    text = repr(readable(value))
    return text if len(text) <= 40 else f"{text[:37]}…"
