"""``sg.prompt``: a question to a model, as a call."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stargazer import config
from stargazer.calls import Call
from stargazer.calls.unwatched import Unwatched
from stargazer.errors import ArgumentError, ModelError, ToolMissing
from stargazer.prompts.providers import Service, find_service, provider_of
from stargazer.prompts.request import Answer, Request, Turn
from stargazer.prompts.template import check_secrets, render
from stargazer.tools import Workdir  # noqa: TC001 - the signature of a task is read
from stargazer.visible import visible

__all__ = ["Options", "ask", "ask_call", "check_schema", "prompt"]

TEXT, JSON, SCHEMA = "text", "json", "schema"
FENCE = "```"
FENCED = re.compile(r"[A-Za-z]*\s*")
"""What may stand behind the fence before an answer."""
SHOWN = 200


class Options(NamedTuple):
    """How a model is asked; all of it counts.

    Parameters
    ----------
    model
        ``SERVICE/MODEL``.
    temperature
        0 for the likeliest words; None for the model's own.
    max_tokens
        That it may write; an answer that is cut off is an error.
    system
        What stands above the question.
    output
        ``"text"``; ``"json"`` for any JSON; ``"schema"`` for JSON that fits `schema`.
    schema
        JSON Schema.
    validate_retries
        Times that the model is told what is wrong with its JSON, and asked again.
    """

    model: str
    temperature: float | None = 0.0
    max_tokens: int = 1024
    system: str = ""
    output: str = TEXT
    schema: Mapping[str, Any] | None = None
    validate_retries: int = 1


def prompt(
    template: str,
    values: Mapping[str, Any] | None = None,
    *,
    model: str,
    schema: Mapping[str, Any] | None = None,
    temperature: float | None = 0,
    max_tokens: int = 1024,
    system: str = "",
    output: str = "",
    validate_retries: int = 1,
) -> Any:
    """Return a call that asks a model; with these words and options it is asked once.

    Parameters
    ----------
    template
        The question; ``{{ expressions }}`` of the values are filled in now.
    values
        What their names mean.
    model
        ``"SERVICE/MODEL"``: services are ``anthropic``, ``openai``, those of the setting
        ``stargazer.prompts.providers``, and those that packages offer.
    schema
        JSON Schema that the answer has to fit; its value is the result then.
    temperature
        0 for the likeliest words; None for the model's own.
    max_tokens
        That it may write.
    system
        What stands above the question; filled in as it is.
    output
        ``"text"``, ``"json"`` for any JSON, or ``"schema"``; by default as there is a schema or none.
    validate_retries
        Times that the model is told what is wrong with its JSON, and asked again.

    Returns
    -------
    Call
        Of a text, or of the value of the JSON.

    Raises
    ------
    ArgumentError
        An option is wrong, there is no such service, or the text cannot be filled in.
    ToolMissing
        There is a schema, and no jsonschema.

    Examples
    --------
    >>> import stargazer as sg
    >>> call = sg.prompt("What is {{ gene }}, in a sentence?", {"gene": "TP53"}, model="anthropic/claude-sonnet-4-5")
    >>> call.name
    'ask'
    """
    kind = output or (SCHEMA if schema is not None else TEXT)
    if lazy := [name for name, value in (values or {}).items() if isinstance(value, Call)]:
        raise ArgumentError(f"{', '.join(lazy)} of a prompt is a call: its words are not there yet; compute it first")
    above = render(system, values or {}) if isinstance(system, str) else system
    options = Options(model, temperature, max_tokens, above, kind, schema, validate_retries)
    return ask_call(render(template, values or {}), options)


def ask_call(text: str, options: Options) -> Call:
    """Return the call of a question whose words are there; parameters and errors as `prompt`."""
    _check(text, options)
    service, model = find_service(options.model)
    members = options._asdict() | {
        "model": model,
        "schema": None if options.schema is None else _written(options.schema),
    }
    # The service counts by what it is and where, not by what somebody calls it.
    call: Call = ask(text=text, kind=service.kind, url=service.url, **members)
    return call


def _check(text: str, options: Options) -> None:
    wrong = {
        "the text is empty": not text.strip(),
        f"temperature={options.temperature!r} is no number from 0 to 2": options.temperature is not None
        and not (_is_number(options.temperature) and 0 <= options.temperature <= 2),
        f"max_tokens={options.max_tokens!r} is no whole number from 1": type(options.max_tokens) is not int
        or options.max_tokens < 1,
        f"validate_retries={options.validate_retries!r} is no whole number": type(options.validate_retries) is not int
        or options.validate_retries < 0,
        f"output={options.output!r} is neither text, json nor schema": options.output not in (TEXT, JSON, SCHEMA),
        "output is schema, and there is none": options.output == SCHEMA and options.schema is None,
        "there is a schema, and output is not schema": options.output != SCHEMA and options.schema is not None,
        "system is no text": not isinstance(options.system, str),
    }
    if told := [what for what, is_wrong in wrong.items() if is_wrong]:
        raise ArgumentError(f"a prompt: {'; '.join(told)}")
    if options.schema is not None:
        check_schema(options.schema)
        check_secrets(_written(options.schema))
    check_secrets(text, options.system)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _written(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True)


def _validator(schema: Mapping[str, Any] | None = None) -> Any:
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        raise ToolMissing("a prompt with a schema wants jsonschema: pip install 'stargazer-dask[prompts]'") from None
    return Draft202012Validator if schema is None else Draft202012Validator(dict(schema))


def check_schema(schema: Any) -> None:
    """Refuse what is no JSON Schema, before anybody is asked.

    Raises
    ------
    ArgumentError
        Says what is wrong in it.
    """
    kind = _validator()
    from jsonschema import SchemaError

    if not isinstance(schema, Mapping):
        raise ArgumentError(f"schema of a prompt is an object of JSON Schema, not {schema!r:.80}")
    try:
        _written(schema)
        kind.check_schema(dict(schema))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"schema of a prompt is no JSON: {error}") from None
    except SchemaError as error:
        raise ArgumentError(f"schema of a prompt is no JSON Schema: {error.message} at {error.json_path}") from None


@functools.partial(Unwatched, version="1", uses=())
def ask(
    work: Workdir,
    *,
    text: str,
    kind: str,
    url: str,
    model: str,
    temperature: float | None,
    max_tokens: int,
    system: str,
    output: str,
    schema: str | None,
    validate_retries: int,
) -> Any:
    """Ask a model; the version stands in place of the code, so that questions stay known when that is mended.

    Parameters
    ----------
    text
        The question.
    kind, url
        Of the service.
    model
        Its name there.
    temperature, max_tokens, system, output, validate_retries
        As in `Options`.
    schema
        JSON Schema, as text.
    """
    service = _service(kind, url)
    asked = Request(
        service.name, model, (Turn("user", text),), system, temperature, max_tokens,
        json.loads(schema) if schema is not None else output == JSON or None, url, service.key,
        config.prompt_settings()["budget"], work.is_cancelled,
    )  # fmt: skip
    return _answered(work, provider_of(service), asked, output, validate_retries)


def _service(kind: str, url: str) -> Service:
    """The service of a kind at a place, as the settings here have it: they know the name of its key."""
    names = [*config.prompt_settings()["providers"], kind]
    found = (find_service(f"{name}/any")[0] for name in names)
    known = next((each for each in found if (each.kind, each.url) == (kind, url)), None)
    if known is None:
        raise ModelError(f"this process knows no service {kind} at {url}: setting stargazer.prompts.providers")
    return known


def _answered(work: Workdir, provider: Any, asked: Request, output: str, retries: int) -> Any:
    from dataclasses import replace

    for left in range(retries, -1, -1):
        answer = _usable(provider(asked), asked)
        told = f"{answer.model or asked.model}: {answer.tokens[0]} tokens read, {answer.tokens[1]} written"
        work.note(f"{asked.provider}/{asked.model}", told.encode())
        if output == TEXT:
            return answer.text
        value, problem = _parsed(answer.text, asked.schema)
        if not problem:
            return value
        if not left:
            raise ModelError(f"{asked.provider}/{asked.model} gave no such JSON as is asked for: {problem}")
        again = f"That is not what was asked for: {problem}. Answer once more, with the JSON alone."
        asked = replace(asked, turns=(*asked.turns, Turn("assistant", answer.text), Turn("user", again)))
    raise AssertionError("unreachable")


def _usable(answer: Any, asked: Request) -> Answer:
    who = f"{asked.provider}/{asked.model}"
    if not isinstance(answer, Answer):
        raise ModelError(f"the provider of {who} gave {answer!r:.80}, and no Answer")
    if not isinstance(answer.text, str):
        raise ModelError(f"{who} answered with {answer.text!r:.80}, which is no text")
    shown = visible(answer.text[:SHOWN], lines=True)
    if answer.stop == "refused":
        raise ModelError(f"{who} refused to answer: {shown or 'it does not say why'}")
    if answer.stop == "length":
        raise ModelError(f"the answer of {who} was cut off after {asked.max_tokens} tokens (max_tokens): {shown}")
    if not answer.text.strip():
        raise ModelError(f"{who} gave an empty answer")
    return answer


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _unfenced(text: str) -> str:
    """What stands between the fences of an answer, or all of it; a pattern would take the cube of its blank lines."""
    bare = text.strip()
    if len(bare) < 2 * len(FENCE) or not (bare.startswith(FENCE) and bare.endswith(FENCE)):
        return text
    first, end, inner = bare[len(FENCE) : -len(FENCE)].partition("\n")
    return inner if end and FENCED.fullmatch(first) else text


def _parsed(text: str, schema: Mapping[str, Any] | bool | None) -> tuple[Any, str]:
    """The value of an answer, and what is wrong with it; models like to put fences around JSON."""
    try:
        value = json.loads(_unfenced(text), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return None, f"it is no JSON ({error}): {visible(text[:SHOWN], lines=True)}"
    if not isinstance(schema, Mapping):
        return value, ""
    problems = sorted(_validator(schema).iter_errors(value), key=lambda each: each.json_path)
    return value, "; ".join(f"{each.json_path}: {each.message[:SHOWN]}" for each in problems[:5])
