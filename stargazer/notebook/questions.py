"""Cells that ask a model: ``# @prompt``, and below it a name and the question."""

from __future__ import annotations

import ast
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.errors import ArgumentError, NotebookError, StargazerError
from stargazer.notebook.annotations import Problem
from stargazer.notebook.graphs import reason_of
from stargazer.notebook.here import bind_live
from stargazer.notebook.names import PRESENT, names_of
from stargazer.prompts.template import expressions, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.calls import Call
    from stargazer.notebook.annotations import Annotations, Asked
    from stargazer.notebook.document import Cell
    from stargazer.notebook.walk import Walk

__all__ = ["Question", "ask_cell", "read_question"]

WRITTEN = 'a cell of @prompt is one line: name = """… {{ x }} …"""'


class Question(NamedTuple):
    """What a cell asks.

    Parameters
    ----------
    name
        That the answer gets.
    template
        The question, with places for values.
    refs
        Names that it reads.
    asked
        How it asks.
    """

    name: str
    template: str
    refs: frozenset[str]
    asked: Asked

    def call(self, values: Mapping[str, Any]) -> Call:
        """The call that it is, with the values of its names.

        Raises
        ------
        ArgumentError
            It cannot be filled in, or an option is wrong.
        """
        from stargazer.prompts.asking import Options, ask_call

        asked = self.asked
        given = {"max_tokens": asked.max_tokens, "validate_retries": asked.validate_retries}
        options = Options(
            asked.model,
            0.0 if asked.temperature is None else asked.temperature,
            system=render(asked.system, values),
            output=asked.output,
            schema=self._schema(values),
            **{name: value for name, value in given.items() if value is not None},
        )
        return ask_call(render(self.template, values), options)

    def _schema(self, values: Mapping[str, Any]) -> Any:
        text = self.asked.schema
        if not text:
            return None
        return json.loads(text) if text.startswith("{") else values[text]


def read_question(
    tree: ast.Module, notes: Annotations, line: int, hidden: frozenset[str] = frozenset()
) -> Question | Problem:
    """Read a cell of ``# @prompt``; or say what is wrong with it.

    Parameters
    ----------
    tree
        Its syntax tree.
    notes
        What its comments ask for.
    line
        Where it begins, for messages.
    hidden
        Names of Python's own that other cells bind.
    """
    assert notes.prompt is not None
    if told := _refused(notes):
        return Problem(line, told)
    node = tree.body[0] if len(tree.body) == 1 else None
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    value = node.value if isinstance(node, ast.Assign) else None
    if not isinstance(target, ast.Name) or not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return Problem(line, WRITTEN)
    asked = notes.prompt
    try:
        found = [each for text in (value.value, asked.system) for each in expressions(text)]
        refs = {name for each in found for name in names_of(ast.unparse(each), private=False, hidden=hidden).refs}
        refs |= _names_in_schema(asked.schema)
    except (ArgumentError, ValueError) as error:
        return Problem(line, str(error))
    return Question(target.id, value.value, frozenset(refs - (PRESENT - hidden)), asked)


def _refused(notes: Annotations) -> str:
    """What does not go with a question, which runs nowhere here."""
    own: dict[str, Any] = {"worker": notes.worker, "timeout": notes.timeout, "env": notes.env, "mount": notes.mounts}
    own |= {"loop": notes.loop, "memory": notes.memory, "gpus": notes.gpus, "retries": notes.retries}
    own |= {"cpus": notes.cpus > 1, "cache ttl": isinstance(notes.cache, float)}
    if wrong := [f"@{name}" for name, value in own.items() if value]:
        return f"{', '.join(wrong)} does not go with @prompt"
    if notes.prompt is None or not notes.prompt.model:
        return "@prompt wants a model: write # @model SERVICE/MODEL, as anthropic/…"
    return ""


def _names_in_schema(text: str) -> set[str]:
    if not text or text.startswith("{"):
        json.loads(text or "{}")
        return set()
    if not text.isidentifier():
        raise ValueError(f"@output schema {text}: write JSON on that line, or the name of a schema of the notebook")
    return {text}


def ask_cell(walk: Walk, cell: Cell) -> None:
    """Ask what a cell asks, once what it reads is there; what was asked before is known.

    Parameters
    ----------
    walk
        Through the notebook.
    cell
        Of ``# @prompt``.
    """
    question = cell.question
    if not isinstance(question, Question):
        walk.rows[cell] = walk.failed(cell, NotebookError(WRITTEN))
        return
    names = walk.reads[cell] - walk.split.names
    if walk.is_made_later(cell, names):
        return
    began = time.perf_counter()
    walk.pure = False  # a service may be another one under its name
    space = {**walk.prelude.namespace, **{name: walk.value(name) for name in names if walk.has(name)}}
    try:
        with walk.store:
            call = question.call(space)
        known = None if walk.again or cell.notes.cache == "off" else call.known()
        if known is None and walk.dry:
            walk.hand_on(cell, "run", reason_of(call))
            return
        value = known[0] if known is not None else _answered(walk, call)
    except StargazerError as error:
        walk.rows[cell] = walk.failed(cell, error, time.perf_counter() - began)
        return
    _take(walk, cell, question, call, value, "known" if known is not None else "ran", time.perf_counter() - began)


def _answered(walk: Walk, call: Call) -> Any:
    from stargazer.execute.execute import Attempt

    return Attempt(call.spec, call.plan_key, call.inputs, call.given, walk.ledger).run(lambda: False)


def _take(walk: Walk, cell: Cell, question: Question, call: Call, value: Any, state: str, seconds: float) -> None:
    from stargazer.notebook.shown import Captured

    record, out = walk.ledger.find(call.plan_key), Captured()
    if record is not None:
        walk.records.append(record)
    out.result(value)
    bind_live(walk, cell, {question.name: value})
    since = f"since {record.started[:10]}" if record is not None and state == "known" else ""
    walk.rows[cell] = walk.row(
        cell, state, since, seconds=seconds, outputs=out.outputs, record=record.id if record is not None else ""
    )
