"""What went wrong, as clients read it: one shape, with the engine's own words.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from stargazer import errors
from stargazer.errors import StargazerError
from stargazer.service.answers import JSONAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stargazer.service.settings import Principal
    from stargazer.store import Store

__all__ = ["Refusal", "hidden_from", "problem", "problem_of", "status_of", "without"]

MEDIA = "application/problem+json"
TYPE = "urn:stargazer:error:"

STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.NotFound, 404),
    (errors.UnknownName, 404),
    (errors.RemoteLacks, 404),
    (errors.CIDMismatch, 422),
    (errors.StoreFull, 507),
    (errors.StoreGone, 503),
    (errors.StoreReadOnly, 409),
    (errors.BlobLost, 410),
    (errors.Cancelled, 409),
    (errors.ConfigError, 500),
    (errors.RunError, 500),
    (errors.ToolMissing, 501),
    (errors.ToolError, 500),
    (errors.OutputError, 500),
    (errors.TaskError, 422),
    (errors.CIDError, 422),
    (errors.AssetError, 422),
    (errors.DataError, 422),
    (errors.StoreError, 409),
    (errors.RemoteError, 502),
)
"""Which error is whose fault; the first that fits counts."""


class Refusal(Exception):
    """A request that is answered with a problem.

    Parameters
    ----------
    status
        Of HTTP.
    name
        Short name of the problem.
    detail
        What is wrong, and what to do.
    where
        Part of the request.
    headers
        Of the answer.
    """

    def __init__(
        self, status: int, name: str, detail: str, where: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.name, self.detail, self.where = status, name, detail, where
        self.headers = dict(headers or {})


def status_of(error: BaseException) -> int:
    """Status of HTTP for an error of the engine."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def hidden_from(principal: Principal, store: Store) -> dict[str, str]:
    """Texts that are nobody's business, each with what is said instead: where a store lies."""
    return {} if principal.local else {store.url: "the store", store.url.removeprefix("file://"): "the store"}


def problem(error: BaseException, hidden: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what is told of an error; nothing of those that nobody raised on purpose.

    Parameters
    ----------
    error
        What was raised.
    hidden
        Texts that are not told, each with what is said instead.
    """
    told = _told(error)
    told["detail"] = without(told["detail"], hidden)
    if "failures" in told:
        told["failures"] = {label: without(each, hidden) for label, each in told["failures"].items()}
    return told


def without(text: str, hidden: Mapping[str, str] | None) -> str:
    """A text without those that are hidden."""
    for each, shown in (hidden or {}).items():
        text = text.replace(each, shown)
    return text


def _told(error: BaseException) -> dict[str, Any]:
    if isinstance(error, Refusal):
        return _members(error.name, error.status, error.detail, error.where)
    if not isinstance(error, StargazerError):
        told = "the service itself failed; its log says more"
        return _members("InternalError", 500, told, "")
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    found = _members(type(error).__name__, status_of(error), f"{error}{notes}", "")
    title = (inspect.getdoc(type(error)) or "").partition("\n")[0].rstrip(".")
    failures = getattr(error, "failures", None)
    if failures:
        found["failures"] = {label: f"{type(each).__name__}: {each}" for label, each in failures.items()}
    return {**found, "title": title or found["title"]}


def _members(name: str, status: int, detail: str, where: str) -> dict[str, Any]:
    return {"type": f"{TYPE}{name}", "title": name, "status": status, "detail": detail, "where": where}


def problem_of(error: BaseException, where: str, hidden: Mapping[str, str] | None = None) -> JSONAnswer:
    """Answer a request with what went wrong.

    Parameters
    ----------
    error
        What was raised.
    where
        Method and path of the request, unless the error knows better.
    hidden
        What `hidden_from` gives.
    """
    members = problem(error, hidden)
    members["where"] = members["where"] or where
    headers = error.headers if isinstance(error, Refusal) else {}
    return JSONAnswer(members, members["status"], {**headers, "Cache-Control": "no-store"}, media_type=MEDIA)
