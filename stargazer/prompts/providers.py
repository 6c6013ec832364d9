"""Who is asked: services that speak as OpenAI's chat completions, Anthropic's messages, and what packages add."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from stargazer import config, plugins
from stargazer.assets.fields import did_you_mean
from stargazer.errors import ArgumentError, ConfigError, ModelError
from stargazer.prompts.request import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stargazer.prompts.request import Request

__all__ = ["Service", "anthropic", "find_service", "openai", "provider_of"]

OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"
ANTHROPIC_VERSION = "2023-06-01"


class Service(NamedTuple):
    """Where a model is asked.

    Parameters
    ----------
    name
        As models are named after it: ``lab/qwen3``.
    kind
        What speaks with it: ``openai``, ``anthropic``, or a name that a package offers.
    url
        Of the service.
    key
        Name of the environment variable that holds its key; None where it wants none.
    """

    name: str
    kind: str
    url: str = ""
    key: str | None = None


KNOWN = {
    "openai": Service("openai", "openai", OPENAI, "OPENAI_API_KEY"),
    "anthropic": Service("anthropic", "anthropic", ANTHROPIC, "ANTHROPIC_API_KEY"),
}


def find_service(model: str) -> tuple[Service, str]:
    """Return the service of a model, and the model's name there.

    Parameters
    ----------
    model
        ``"anthropic/claude-…"``: what stands before the first slash is the service.

    Raises
    ------
    ArgumentError
        It names no service, or none that is known.
    ConfigError
        What the settings say of it is wrong.
    """
    name, slash, rest = model.partition("/")
    if not slash or not name or not rest:
        raise ArgumentError(f"model={model!r}: write SERVICE/MODEL, as anthropic/… or openai/…")
    said = config.prompt_settings()["providers"]
    if name in said:
        return _said(name, said[name]), rest
    if name in KNOWN:
        return KNOWN[name], rest
    if plugins.find(plugins.PROVIDERS, name) is not None:
        return Service(name, name), rest
    there = sorted({*KNOWN, *said, *(each.name for each in plugins.plugins(plugins.PROVIDERS))})
    guess = did_you_mean(name, there)
    raise ArgumentError(f"model={model!r}: there is no service {name}.{guess} There are {', '.join(there)}")


def _said(name: str, given: Mapping[str, Any]) -> Service:
    where = f"stargazer.prompts.providers.{name} ({config.origin_of('prompts')})"
    base = KNOWN.get(str(given.get("kind", name)))
    members = {"kind": name, "url": base.url if base else "", "key": base.key if base else None, **given}
    if unknown := sorted(set(members) - {"kind", "url", "key"}):
        raise ConfigError(f"{where} has no {', '.join(unknown)}; it has kind, url and key")
    kind, url, key = members["kind"], members["url"], members["key"]
    if not isinstance(kind, str) or (kind not in KNOWN and plugins.find(plugins.PROVIDERS, kind) is None):
        raise ConfigError(f"{where}: kind is openai, anthropic, or what a package offers, not {kind!r}")
    if not isinstance(url, str) or (url and (not url.startswith(("http://", "https://")) or urlsplit(url).username)):
        raise ConfigError(f"{where}: url is as https://HOST/v1, without names and passwords")
    if key is not None and (not isinstance(key, str) or not key.isidentifier() or key != key.upper()):
        raise ConfigError(f"{where}: key is the name of an environment variable, as LAB_API_KEY, never the key itself")
    return Service(name, kind, url, key)


def provider_of(service: Service) -> Callable[[Request], Answer]:
    """What speaks with a service."""
    ours: dict[str, Callable[[Request], Answer]] = {"openai": openai, "anthropic": anthropic}
    found: Any = ours.get(service.kind) or plugins.find(plugins.PROVIDERS, service.kind)
    if not callable(found):
        raise ConfigError(f"no package offers the provider {service.kind!r} any more")
    return found  # type: ignore[no-any-return]


def openai(request: Request) -> Answer:
    """Ask a service that speaks as OpenAI's chat completions, as llama.cpp, Ollama and vLLM do.

    References
    ----------
    https://platform.openai.com/docs/api-reference/chat/create
    """
    system = [{"role": "system", "content": request.system}] if request.system else []
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [*system, *({"role": turn.role, "content": turn.text} for turn in request.turns)],
        "max_completion_tokens" if request.url == OPENAI else "max_tokens": request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if isinstance(request.schema, dict):
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema},
        }
    elif request.schema:
        body["response_format"] = {"type": "json_object"}
    key = request.secret()
    told = request.post("/chat/completions", body, {"Authorization": f"Bearer {key}"} if key else {})
    try:
        choice = told["choices"][0]
        message, ended = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content") or "", message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        raise ModelError(f"{request.provider} sent no choice: is it a service of chat completions?") from None
    stop = "length" if ended == "length" else "refused" if refusal or ended == "content_filter" else "end"
    used = _counted(told.get("usage"))
    tokens = (used.get("prompt_tokens"), used.get("completion_tokens"))
    return Answer(refusal or text, stop, str(told.get("model", "")), tokens)


def anthropic(request: Request) -> Answer:
    """Ask a service that speaks as Anthropic's messages.

    References
    ----------
    https://docs.claude.com/en/api/messages
    """
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": [{"role": turn.role, "content": turn.text} for turn in request.turns],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if system := "\n\n".join(filter(None, (request.system, _as_words(request.schema)))):
        body["system"] = system
    headers = {"x-api-key": request.secret(), "anthropic-version": ANTHROPIC_VERSION}
    told = request.post("/v1/messages", body, headers)
    try:
        text = "".join(part["text"] for part in told["content"] if part.get("type") == "text")
        ended = told["stop_reason"]
    except (LookupError, TypeError, AttributeError):
        raise ModelError(f"{request.provider} sent no message: is it a service of messages?") from None
    cut = ended in ("max_tokens", "model_context_window_exceeded")
    used = _counted(told.get("usage"))
    tokens = (used.get("input_tokens"), used.get("output_tokens"))
    stop = "length" if cut else "refused" if ended == "refusal" else "end"
    return Answer(text, stop, str(told.get("model", "")), tokens)


def _counted(usage: Any) -> dict[str, Any]:
    """How many tokens there were, as a service says it; some say nothing, or something else."""
    return usage if isinstance(usage, dict) else {}


def _as_words(schema: Mapping[str, Any] | bool | None) -> str:
    """What to say to models that are given no schema in another way."""
    if not schema:
        return ""
    fits = f" that fits this JSON Schema: {json.dumps(schema, sort_keys=True)}" if isinstance(schema, dict) else ""
    return f"Answer with JSON alone{fits}, without any other words and without code fences."
