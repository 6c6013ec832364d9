"""What the comments at the top of a cell ask for: ``# @timeout 30``, ``# @cache forever``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.fingerprint.parsing import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Annotations", "Asked", "Loop", "Mount", "Problem", "read_annotations"]

LINE = re.compile(r"#\s*@(\w+)\b\s*(.*)$")
NAME = re.compile(r"[A-Za-z_]\w*")
UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
FOREVER, OFF = "forever", "off"


class Problem(NamedTuple):
    """Something wrong in a notebook: the line, counted from 1, and what it is."""

    line: int
    message: str


class Mount(NamedTuple):
    """A place that a cell reads under a name; writable ones make it live."""

    name: str
    uri: str
    writable: bool = False


class Loop(NamedTuple):
    """A cell that runs again and again with what it made: at most so often, until something holds."""

    rounds: int
    carry: str
    until: str = ""


class Asked(NamedTuple):
    """How a cell asks a model: ``# @prompt`` and what stands beside it; None where nothing is said.

    Parameters
    ----------
    model
        ``SERVICE/MODEL``.
    temperature, max_tokens, system, validate_retries
        As of `stargazer.prompts.prompt`.
    output
        ``text``, ``json`` or ``schema``.
    schema
        JSON of a schema, or a name of the notebook that means one.
    """

    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    system: str = ""
    output: str = "text"
    schema: str = ""
    validate_retries: int | None = None


class Annotations(NamedTuple):
    """What a cell asks for.

    Parameters
    ----------
    name
        Its name, in place of the file's.
    worker
        Name of a worker, or of a profile.
    timeout
        Seconds.
    env
        Variables of its own process; None for those that are passed on, and are secrets.
    mounts, after, loop
        Places that it reads; cells that run before it; whether it is repeated.
    cache
        ``"forever"``, ``"off"``, seconds that a result is good for, or None for the usual rule.
    cpus, memory, gpus, retries
        As a task's.
    prompt
        How it asks a model, where it is a question.
    """

    name: str = ""
    worker: str | None = None
    timeout: float | None = None
    env: dict[str, str | None] = {}  # noqa: RUF012 - never changed
    mounts: tuple[Mount, ...] = ()
    after: tuple[str, ...] = ()
    loop: Loop | None = None
    cache: str | float | None = None
    cpus: int = 1
    memory: str | None = None
    gpus: int = 0
    retries: int = 0
    prompt: Asked | None = None


def read_annotations(source: str, line: int = 1) -> tuple[Annotations, list[Problem]]:
    """Read the leading comments of a cell.

    Parameters
    ----------
    source
        Text of the cell.
    line
        Line of the file at which it begins, for messages.

    Returns
    -------
    Annotations, list of Problem
        What was understood; and every annotation that was not, for none is passed over in silence.
    """
    members: dict[str, Any] = {}
    problems: list[Problem] = []
    for number, text in enumerate(lines_of(source), line):
        stripped = text.strip()
        if stripped and not stripped.startswith("#"):
            break
        if (found := LINE.match(stripped)) is None:
            continue
        name, rest = found[1], found[2].strip()
        reader = READERS.get(name)
        try:
            if reader is None:
                raise ValueError(f"there is no annotation @{name}; there are {', '.join(f'@{n}' for n in READERS)}")
            reader(members, rest)
        except ValueError as error:
            problems.append(Problem(number, str(error)))
    until = members.pop("until", "")
    loop = members.get("loop")
    if until and loop is None:
        problems.append(Problem(line, "@loop_until stands without @loop max_iter=N carry=x"))
    elif until and loop is not None:
        members["loop"] = loop._replace(until=until)
    asked, is_asked = members.pop("asked", {}), members.pop("is_asked", False)
    if asked and not is_asked:
        problems.append(Problem(line, f"@{next(iter(asked))} stands without @prompt"))
    return Annotations(**members, prompt=Asked(**asked) if is_asked else None), problems


def _name(members: dict[str, Any], text: str) -> None:
    if not NAME.fullmatch(text):
        raise ValueError(f"@name {text}: a name is letters, digits and underscores")
    members["name"] = text


def _worker(members: dict[str, Any], text: str) -> None:
    if not text or " " in text:
        raise ValueError("@worker NAME takes one name")
    members["worker"] = text


def seconds_of(text: str) -> float:
    """Seconds of ``30``, ``30s``, ``2 h`` or ``1d``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip())
    if found is None or (found[2] or "s") not in UNITS:
        raise ValueError(f"{text!r} is no time; write 30, 30s, 10m, 2h or 1d")
    return float(found[1]) * UNITS[found[2] or "s"]


def _timeout(members: dict[str, Any], text: str) -> None:
    members["timeout"] = seconds_of(text)


def _env(members: dict[str, Any], text: str) -> None:
    name, equal, value = text.partition("=")
    if not NAME.fullmatch(name.strip()):
        raise ValueError(f"@env {text}: write @env NAME=VALUE, or @env NAME for a secret that is passed on")
    members["env"] = members.get("env", {}) | {name.strip(): value.strip() if equal else None}


def _mount(members: dict[str, Any], text: str) -> None:
    words = text.split()
    if len(words) not in (2, 3) or not NAME.fullmatch(words[0]) or words[2:] not in ([], ["ro"], ["rw"]):
        raise ValueError(f"@mount {text}: write @mount NAME URL, with ro or rw after it if need be")
    members["mounts"] = (*members.get("mounts", ()), Mount(words[0], words[1], words[2:] == ["rw"]))


def _after(members: dict[str, Any], text: str) -> None:
    if not (names := re.split(r"[\s,]+", text) if text else []):
        raise ValueError("@after takes names of cells")
    members["after"] = (*members.get("after", ()), *names)


def _loop(members: dict[str, Any], text: str) -> None:
    given = dict(word.partition("=")[::2] for word in text.split())
    if given.keys() != {"max_iter", "carry"} or not NAME.fullmatch(given["carry"]):
        raise ValueError(f"@loop {text}: write @loop max_iter=N carry=NAME")
    if not given["max_iter"].isdigit() or int(given["max_iter"]) < 1:
        raise ValueError(f"@loop {text}: max_iter is not a number of at least 1")
    members["loop"] = Loop(int(given["max_iter"]), given["carry"])


def _until(members: dict[str, Any], text: str) -> None:
    try:
        compile(text, "@loop_until", "eval")
    except SyntaxError as error:
        raise ValueError(f"@loop_until {text}: {error.msg}") from None
    members["until"] = text


def _cache(members: dict[str, Any], text: str) -> None:
    if text in (FOREVER, OFF):
        members["cache"] = text
    elif text.startswith("ttl="):
        members["cache"] = seconds_of(text.removeprefix("ttl="))
    else:
        raise ValueError(f"@cache {text}: write @cache forever, @cache ttl=1d or @cache off")


def _memory(members: dict[str, Any], text: str) -> None:
    from dask.utils import parse_bytes

    try:
        parse_bytes(text)
    except ValueError:
        raise ValueError(f"@memory {text} is no size; write @memory 8GiB") from None
    members["memory"] = text


def _number(name: str, least: int) -> Callable[[dict[str, Any], str], None]:
    def read(members: dict[str, Any], text: str) -> None:
        if not text.isdigit() or int(text) < least:
            raise ValueError(f"@{name} {text} is not a number of at least {least}")
        members[name] = int(text)

    return read


def _prompt(members: dict[str, Any], text: str) -> None:
    if text:
        raise ValueError(f"@prompt {text}: write @prompt alone, and below it a name and the question in quotes")
    members["is_asked"] = True


def _of_prompt(name: str, read: Callable[[str], Any]) -> Callable[[dict[str, Any], str], None]:
    def note(members: dict[str, Any], text: str) -> None:
        try:
            value = read(text)
        except ValueError:
            raise ValueError(f"@{name} {text} is not understood") from None
        asked = members.setdefault("asked", {})
        asked[name] = f"{asked[name]}\n{value}" if name == "system" and name in asked else value

    return note


def _output(members: dict[str, Any], text: str) -> None:
    kind, _, schema = text.partition(" ")
    if kind not in ("text", "json", "schema") or bool(schema.strip()) != (kind == "schema"):
        raise ValueError(f"@output {text}: write @output text, @output json, or @output schema NAME or {{…}}")
    members.setdefault("asked", {}).update(output=kind, schema=schema.strip())


def _some(text: str) -> str:
    if not text:
        raise ValueError("nothing")
    return text


READERS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "name": _name,
    "worker": _worker,
    "timeout": _timeout,
    "env": _env,
    "mount": _mount,
    "after": _after,
    "loop": _loop,
    "loop_until": _until,
    "cache": _cache,
    "cpus": _number("cpus", 1),
    "memory": _memory,
    "gpus": _number("gpus", 0),
    "retries": _number("retries", 0),
    "prompt": _prompt,
    "model": _of_prompt("model", _some),
    "temperature": _of_prompt("temperature", float),
    "max_tokens": _of_prompt("max_tokens", int),
    "system": _of_prompt("system", _some),
    "output": _output,
    "validate_retries": _of_prompt("validate_retries", int),
}
"""How each annotation is read."""
