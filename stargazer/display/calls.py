"""Calls and records as cards."""

from __future__ import annotations

from typing import Any

from stargazer.display.assets import asset_line
from stargazer.display.html import (
    Markup,
    card,
    code,
    details,
    escape,
    facts_table,
    note,
    plural,
    seconds_text,
    short,
    size_text,
    state,
    table,
    value,
)
from stargazer.errors import StargazerError

__all__ = ["call_html", "record_html"]

SHOWN_INPUTS = 6


def call_html(call: Any) -> str:
    """A call: its task, whether the ledger knows it, and what it was bound to; one look-up, nothing runs.

    Parameters
    ----------
    call
        A call.
    """
    whole = call.whole
    inputs = [(name, _input(given)) for name, given in whole.inputs.items()]
    parameters = [(name, _parameter(given)) for name, given in whole.parameters.items()]
    place = "" if call.parent is None else f"element {call.index!r} of "
    facts = facts_table([*inputs, *parameters, ("key", code(short(call.plan_key)))])
    return card(call.name, _known(call), facts, subtitle=f"{place}call")


def record_html(record: Any) -> str:
    """What one call did.

    Parameters
    ----------
    record
        From the ledger.
    """
    parts = [_end(record), facts_table(_measured(record)), _values("parameter", record.parameters)]
    parts += [_values("input", record.inputs), _tools(record), _values("read", record.reads), _outputs(record)]
    parts += [note(line) for line in record.noted]
    return card(record.task, *parts, subtitle=f"record {short(record.id)}")


def _known(call: Any) -> Markup:
    try:
        known = call.known()
    except (StargazerError, OSError) as error:
        return Markup(f"<div>{state('failed', 'the ledger cannot be read')}: {escape(error)}</div>")
    if known is None:
        return Markup(f"<div>{state('run', 'not run yet')} — <code>.compute()</code> runs it</div>")
    return Markup(f"<div>{state('known')}: {escape(_result(known[0]))}</div>")


def _result(result: Any) -> Markup:
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return Markup(_listed([_one_result(each) for each in result]))
    return _one_result(result)


def _one_result(result: Any) -> Markup:
    if not hasattr(result, "asset_key"):
        return code(value(repr(result)))
    return Markup(f"{escape(asset_line(result))} {code(short(result.cid or ''))}")


def _input(given: Any) -> Markup:
    if given is None:
        return Markup("—")
    if isinstance(given, dict):
        return _listed([Markup(f"{escape(name)}: {_one_input(each)}") for name, each in given.items()])
    return _listed([_one_input(each) for each in given]) if isinstance(given, list) else _one_input(given)


def _one_input(given: Any) -> Markup:
    if hasattr(given, "plan_key"):
        return Markup(f"{escape(given.name)} {code(short(given.plan_key))}")
    return _one_result(given)


def _listed(items: list[Markup]) -> Markup:
    more = len(items) - SHOWN_INPUTS
    shown = "<br>".join(items[:SHOWN_INPUTS])
    return Markup(f"{shown}<br>… and {more:,} more" if more > 0 else shown)


def _parameter(given: Any) -> Any:
    return _one_input(given) if hasattr(given, "plan_key") else code(value(repr(given)))


def _end(record: Any) -> Markup:
    if record.status == "ok":
        return Markup("")
    return Markup(f"<div>{state('failed')}: {escape(record.error or '')}</div>")


def _measured(record: Any) -> list[tuple[str, Any]]:
    peak = f", {size_text(record.peak_bytes)} at most" if record.peak_bytes else ""
    took = f"{seconds_text(record.seconds)} ({seconds_text(record.cpu_seconds)} of processor time{peak})"
    where = f"{record.host}, Python {record.python}{f', by {record.user}' if record.user else ''}"
    where += f", in image {record.image}" if record.image else ""
    log = ("log", code(record.log) if record.log else "")
    wide = [("counts widely", reason) for reason in record.wide]
    return [("started", record.started), ("took", took), ("on", where), ("code", code(short(record.code))), *wide, log]


def _values(noun: str, values: dict[str, Any]) -> Markup:
    if not values:
        return Markup("")
    rows = [(name, code(_shortened(given))) for name, given in values.items()]
    return details(plural(len(rows), noun), facts_table(rows), shown=len(rows) <= SHOWN_INPUTS)


def _shortened(given: Any) -> str:
    """A parameter, or the id of an input, or several."""
    if isinstance(given, str):
        return short(given) if len(given) == 64 else given
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return value(", ".join(map(_shortened, given)))
    return value(given)


def _tools(record: Any) -> Markup:
    rows = [(tool["name"], tool["version"], code(short(tool["digest"]))) for tool in record.tools]
    rows += [(name, version, code("")) for name, version in record.libraries.items()]
    if not rows:
        return Markup("")
    return details(plural(len(rows), "tool"), table(("tool", "version", "digest"), rows), shown=True)


def _outputs(record: Any) -> Markup:
    cids = Markup("<br>".join(code(cid) for cid in record.output_cids))
    made = facts_table([("made", cids)]) if record.output_cids else Markup("")
    if not record.differs_from:
        return made
    return Markup(made + note(f"differs from record {short(record.differs_from)}: the task is not deterministic"))
