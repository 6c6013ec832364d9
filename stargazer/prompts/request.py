"""What a provider is given, and what it gives: a dozen lines of it are enough."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from stargazer import config
from stargazer.errors import ModelError
from stargazer.executors.waiting import awaited
from stargazer.hosts import certificates
from stargazer.remotes.patience import wait_read
from stargazer.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Answer", "Request", "Turn"]

BUSY = (408, 409, 429, 500, 502, 503, 504, 529)
"""What passes: too many requests, and servers that are not well."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
ANSWERS_WITHIN = 600.0
LONGEST_TOLD = 500


class Turn(NamedTuple):
    """One turn of a conversation: ``"user"`` or ``"assistant"``, and what it said."""

    role: str
    text: str


class Answer(NamedTuple):
    """What a model said.

    Parameters
    ----------
    text
        Its words.
    stop
        Why it ended: ``"end"``; ``"length"``, where it was cut off; ``"refused"``, where it would not.
    model
        Which model it was, by its own word.
    tokens
        Read and written; None where nobody says.
    """

    text: str
    stop: str = "end"
    model: str = ""
    tokens: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Request:
    """What is asked of a provider.

    Parameters
    ----------
    provider
        Its name, for messages.
    model
        The model's name there.
    turns
        What was said so far; the last one is the question.
    system
        What stands above all of them.
    temperature
        None: the model's own.
    max_tokens
        That it may write.
    schema
        JSON Schema that the answer shall fit; True for any JSON, None for text.
    url
        Of the service.
    key
        Name of the environment variable that holds the key; None where it wants none.
    budget
        Seconds to wait, in all, where the service is busy.
    cancelled
        Whether the answer is wanted no more.
    """

    provider: str
    model: str
    turns: tuple[Turn, ...]
    system: str = ""
    temperature: float | None = 0.0
    max_tokens: int = 1024
    schema: Mapping[str, Any] | bool | None = None
    url: str = ""
    key: str | None = None
    budget: float = 120.0
    cancelled: Callable[[], bool] = field(default=lambda: False)

    def secret(self) -> str:
        """The key; it stands in no record, log or message.

        Raises
        ------
        ModelError
            It is not in the environment.
        """
        found = config.secret(self.key) if self.key else ""
        if found is None:
            raise ModelError(f"{self.provider} wants a key: set the environment variable {self.key}")
        return found

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Send JSON, and return the JSON that comes; while the service is busy, wait as it says, within the budget.

        Raises
        ------
        ModelError
            The service cannot be reached, refuses, or is busy for too long.
        """
        return awaited(lambda: self._posted(path, body, headers or {}), self.cancelled, f"what {self.provider} says")

    async def _posted(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        left, pause = self.budget, FIRST_PAUSE
        url = f"{self.url.rstrip('/')}{path}"
        limit = httpx.Timeout(ANSWERS_WITHIN, connect=10.0)
        async with httpx.AsyncClient(timeout=limit, verify=certificates()) as client:
            while True:
                try:
                    answer = await client.post(url, json=body, headers=headers)
                except httpx.HTTPError as error:
                    raise ModelError(f"{self.provider} cannot be asked: {error or type(error).__name__}") from error
                if answer.status_code not in BUSY:
                    return self._read(answer)
                wait = wait_read(answer.headers.get("retry-after", "").strip())
                wait = pause if wait is None else wait
                if wait > left:
                    raise ModelError(self._busy(answer, wait, left))
                left, pause = left - wait, min(2 * pause, LONGEST_PAUSE)
                await asyncio.sleep(wait)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in (401, 403):
            which = f"the key in {self.key}" if self.key else "no key, and one is wanted"
            raise ModelError(f"{self.provider} does not let in with {which}: {self._told(answer)}")
        if answer.status_code == 404:
            raise ModelError(f"{self.provider} has no {self.model}, or is not at {self.url}: {self._told(answer)}")
        if answer.is_error:
            raise ModelError(f"{self.provider} refuses the request ({answer.status_code}): {self._told(answer)}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ModelError(f"{self.provider} answered with something that is no JSON: {self._told(answer)}")
        return found

    def _busy(self, answer: httpx.Response, wait: float, left: float) -> str:
        return (
            f"{self.provider} is busy ({answer.status_code}) and says to wait {wait:.0f} s, of {left:.0f} s that are "
            f"left (setting stargazer.prompts.budget): {self._told(answer)}"
        )

    def _told(self, answer: httpx.Response) -> str:
        """What a service says, without the key, which some repeat."""
        try:
            error = answer.json().get("error")
            text = str(error.get("message") if isinstance(error, dict) else error or answer.text)
        except (ValueError, AttributeError):
            text = answer.text
        key = config.secret(self.key) if self.key else None
        return visible((text.replace(key, config.MASK) if key else text)[:LONGEST_TOLD]) or answer.reason_phrase
