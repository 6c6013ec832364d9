"""The REST service at ``/v1`` of the app, for the user alone: made when a program first asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stargazer import config

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from stargazer.store import Store

__all__ = ["Rest"]


class Rest:
    """Answers programs of the user, who show the app's token.

    Parameters
    ----------
    store
        The only tenant's.
    token
        Of the app.
    """

    def __init__(self, store: Store, token: str) -> None:
        self._store, self._token = store, token
        self._app: Any = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        async with self._lock:
            if self._app is None:
                self._app = await asyncio.to_thread(_made, self._store, self._token)
        await self._app(scope, receive, send)

    async def stop(self) -> None:
        """End the builds that go on."""
        if self._app is not None:
            await asyncio.to_thread(self._app.state.engine.builds.close)


def _made(store: Store, token: str) -> Any:
    from stargazer.service.application import application
    from stargazer.service.settings import SCOPES, Principal, Settings, Token, digest_of

    tenant = "default"
    user = Principal(config.user_name(), tenant, frozenset(SCOPES), tables=("*",), local=True)
    return application(Settings({tenant: store.url}, (Token(digest_of(token), user),)))
