"""The bearer token that a server over HTTP asks for: made once, kept where only its user reads it."""

from __future__ import annotations

import hmac
import importlib
import inspect
import logging
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["kept_token", "verifier"]

logger = logging.getLogger("stargazer.mcp")


def kept_token() -> tuple[str, bool]:
    """Return this user's token, and whether it was made just now: then it is to be shown, once.

    Raises
    ------
    ConfigError
        Others can read the file, or there is no token in it.
    """
    file = config.token_file()
    made = secrets.token_urlsafe(32)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _read(), False
    with os.fdopen(descriptor, "w") as opened:
        opened.write(made + "\n")
    return made, True


def _read() -> str:
    file = config.token_file()
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor) as opened:
        mode = os.fstat(opened.fileno())
        if mode.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or mode.st_uid != os.geteuid():
            raise ConfigError(
                f"{file} holds a token, and others can read it: remove it; the next start makes a new one"
            )
        token = opened.read(1000).strip()
    if len(token) < 16:
        raise ConfigError(f"{file} holds no token: remove it; the next start makes a new one")
    return token


def verifier(token: str | Callable[[str], Any] | None) -> Callable[[str], Awaitable[bool]]:
    """Return what says whether a bearer token is right.

    Parameters
    ----------
    token
        The token; or what is asked of each; None for the function of the settings, or this user's own token.

    Raises
    ------
    ConfigError
        The settings name no function.
    """
    named = config.mcp_setting("verify") if token is None else None
    ask = _function(named) if named else kept_token()[0] if token is None else token

    async def verify(given: str) -> bool:
        if isinstance(ask, str):
            return hmac.compare_digest(given.encode(), ask.encode())
        try:
            answer = ask(given)
            return bool(await answer if inspect.isawaitable(answer) else answer)
        except Exception as error:  # noqa: BLE001 - who cannot be judged is not let in; the message may hold the token
            logger.error("what judges tokens failed with %s; nobody is let in by it", type(error).__name__)
            return False

    return verify


def _function(named: str) -> Callable[[str], Any]:
    module, _, name = named.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"stargazer.mcp.verify is {named!r}, which cannot be had: {error}") from error
    if not callable(found):
        raise ConfigError(f"stargazer.mcp.verify is {named!r}, which is no function")
    return found  # type: ignore[no-any-return]
