"""What S3, Google Cloud Storage and Azure say when something fails, in the exceptions that Python has for it.

Their fsspec packages pass on what their libraries raise, each its own: some of it is no `OSError`, and what is
forbidden has no class of its own at Google.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "advice",
    "first_told",
    "is_archived",
    "is_conflict",
    "is_empty",
    "is_no_bucket",
    "is_no_upload",
    "is_of_service",
    "keep_quiet",
    "plain",
    "plainly",
]

_UNREACHABLE = (
    ("botocore.exceptions", "BotoCoreError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("aiohttp", "ClientError"),
    ("requests.exceptions", "RequestException"),
)
"""What libraries raise without credentials or without an answer."""

_FORBIDDEN = (401, 403)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Raise what a service's library raises, meanwhile, as Python's own exception of that meaning."""
    try:
        yield
    except Exception as error:
        found = plain(error)
        if found is error:
            raise
        raise found from error


@contextlib.contextmanager
def first_told() -> Iterator[None]:
    """Raise the failure that came first, where a service also refused to have an upload ended that had failed.

    It stands where files are sent and nowhere around that: a second one, further out, would turn the two round.
    """
    handled = sys.exception()
    try:
        yield
    except OSError as error:
        first = _first(error, handled)
        if first is error:
            raise
        raise first from first.__cause__


def plain(error: Exception) -> Exception:
    """Python's exception for what a service's library raised; that itself where it is one, or means nothing to us."""
    if isinstance(error, _classes(("azure.core.exceptions", "AzureError"))):
        return _of_azure(error)
    if isinstance(error, _classes(("gcsfs.retry", "HttpError"))):
        return _of_status(error, getattr(error, "code", None))
    if isinstance(error, _classes(*_UNREACHABLE)):
        return ConnectionError(str(error))
    if isinstance(error, ValueError) and ("requester pays" in str(error) or str(error).startswith("Bad Request")):
        return PermissionError(errno.EACCES, str(error)) if "requester pays" in str(error) else OSError(str(error))
    if isinstance(error, OSError) and error.errno is None and str(error).startswith("Forbidden:"):
        return PermissionError(errno.EACCES, str(error))
    return error


def _of_azure(error: Exception) -> Exception:
    status = getattr(error, "status_code", None)
    if status is None:
        return ConnectionError(str(error))
    return _of_status(error, status)


def _of_status(error: Exception, status: object) -> Exception:
    told = str(error)
    if status in _FORBIDDEN:
        return PermissionError(errno.EACCES, told)
    if status == 404:
        return FileNotFoundError(errno.ENOENT, f"{os.strerror(errno.ENOENT)} ({told})")
    return OSError(told)


def _first(error: OSError, handled: BaseException | None) -> OSError:
    """What a service refused first while it was asked; what is `handled` was refused before that."""
    before = error.__context__
    while isinstance(before, OSError) and before not in (error.__cause__, handled):
        if not (_code_of(error) and _code_of(before)):
            break
        error, before = before, before.__context__
    return error


def is_empty(error: BaseException) -> bool:
    """Whether a server refused a part of an object because it has no bytes at all."""
    return _says(error, "InvalidRange", "416", "not satisfiable")


def keep_quiet(logger: str) -> None:
    """Keep a package from printing the trace of an error that it raises then: whoever asked is told, or it was none.

    A part of an object without bytes is such an error, and half of a store's marks have none.

    Parameters
    ----------
    logger
        By which the package prints it.
    """
    logging.getLogger(logger).addFilter(_is_not_raised)


def _is_not_raised(record: logging.LogRecord) -> bool:
    return record.funcName != "retry_request" or not record.exc_info


def is_archived(error: BaseException) -> bool:
    """Whether an answer says that an object must be restored before it can be read."""
    return _says(error, "InvalidObjectState", "object's storage class", "BlobArchived", "archived blob")


def is_no_bucket(error: BaseException) -> bool:
    """Whether an answer says that there is no bucket, which is not the same as no object."""
    return _says(error, "NoSuchBucket", "specified bucket does not exist", "ContainerNotFound", "No such container")


def is_no_upload(error: BaseException) -> bool:
    """Whether an answer says that there is no such upload in parts: it was completed, or ended."""
    return _code_of(error) == "NoSuchUpload"


def is_conflict(error: BaseException) -> bool:
    """Whether another one put the same object at the same moment, so that nobody knows whose it is: try again."""
    return _code_of(error) in ("ConditionalRequestConflict", "OperationAborted")


_ELSEWHERE = "the bucket is in another region, or at another endpoint: name it by region= or endpoint= in the address"
_BUSY = "the service is too busy, or has failed, and was asked several times: try again later"
_ADVICE = {
    "PermanentRedirect": _ELSEWHERE, "TemporaryRedirect": _ELSEWHERE, "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE, "301": _ELSEWHERE, "307": _ELSEWHERE,
    "SlowDown": _BUSY, "ServiceUnavailable": _BUSY, "InternalError": _BUSY, "500": _BUSY, "503": _BUSY,
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "ExpiredToken": "the token of the session has expired: log in again",
    "TokenRefreshRequired": "the token of the session has expired: log in again",
    "InvalidToken": "the token of the session is none that the service knows: log in again",
    "InvalidAccessKeyId": "the service does not know the access key",
    "SignatureDoesNotMatch": "the secret key is not the one that belongs to the access key",
}  # fmt: skip
"""What a person can do about it, by the codes of S3's answers."""


def advice(error: BaseException) -> str:
    """What is wrong for all objects alike, and what to do about it; empty where it may be about one object."""
    return _ADVICE.get(_code_of(error), "")


def is_of_service(error: BaseException) -> bool:
    """Whether a service answered so, and not this machine."""
    return bool(_code_of(error)) or (isinstance(error, OSError) and error.errno is None)


def _code_of(error: BaseException | None) -> str:
    """Code of the answer of S3 that an exception was made of; empty of others."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""


def _says(error: BaseException, *words: str) -> bool:
    texts = (str(error), str(getattr(error, "__cause__", "")))
    return any(word in text for text in texts for word in words)


def _classes(*names: tuple[str, str]) -> tuple[type[Exception], ...]:
    """Those classes of which the module was imported: what was not cannot have raised anything."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(each for each in found if each is not None)
