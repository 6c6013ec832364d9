"""The service as an ASGI application."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from stargazer.errors import StargazerError
from stargazer.service.access import Gate, Meter
from stargazer.service.builds import Builds
from stargazer.service.metrics import Requests
from stargazer.service.problems import Refusal, hidden_from, problem_of
from stargazer.service.routes import ROUTES
from stargazer.service.settings import Settings, read_settings
from stargazer.service.uploads import Uploads
from stargazer.service.visit import Engine, Visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping

    from distributed import Client
    from starlette.requests import Request

    from stargazer.service.routes import Endpoint

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]

__all__ = ["application"]

EXPOSED = ("ETag", "Location", "X-Ipfs-Path", "X-Ipfs-Roots", "Upload-Offset", "Upload-Length", "Content-Range")
AT_ONCE = 16 << 20
"""Sent bytes that are counted together."""


def application(
    settings: Settings | None = None, *, client: Client | None = None, mounts: Mapping[str, App] | None = None
) -> Starlette:
    """Return the service.

    Parameters
    ----------
    settings
        Who may ask, and of which stores; those of ``stargazer.service`` by default.
    client
        Where runs go; threads of this process by default.
    mounts
        Further applications by their path, such as ``{"/mcp": …}``, which find out themselves who asks; they live as
        long as the service where they have a `lifespan`.

    Returns
    -------
    starlette.applications.Starlette
        For uvicorn or any other ASGI server.
    """
    chosen = settings or read_settings()
    builds = Builds(chosen.limits, client)
    engine = Engine(chosen, Gate(chosen), Meter(chosen.limits), builds, Uploads())
    others = dict(mounts or {})
    routes: list[Any] = [Route("/health", _health)]
    routes += [Route(each.path, _answering(each, engine), methods=[each.method]) for each in ROUTES]
    routes += [made for path, app in others.items() for made in (Route(path, app), Mount(path, app))]
    made = Starlette(
        routes=routes,
        middleware=_middleware(chosen, engine),
        exception_handlers={HTTPException: _unrouted},
        lifespan=lambda app: _alive(engine, list(others.values())),
    )
    made.state.requests, made.state.engine = Requests(), engine
    return made


def _middleware(settings: Settings, engine: Engine) -> list[Middleware]:
    found = [Middleware(_Metered, engine=engine)]
    if settings.origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
        found.insert(0, cors)
    return found


@contextlib.asynccontextmanager
async def _alive(engine: Engine, others: list[Any]) -> AsyncIterator[None]:
    """While the service runs; what it began ends with it, and what was finished is kept."""
    async with contextlib.AsyncExitStack() as stack:
        for app in others:
            if hasattr(app, "lifespan"):
                await stack.enter_async_context(app.lifespan())
        try:
            yield
        finally:
            engine.builds.close()


async def _health(request: Request) -> Response:
    """Say that the service is here; anybody may ask."""
    from stargazer import __version__

    return JSONResponse({"status": "ok", "version": __version__}, headers={"Cache-Control": "no-store"})


async def _unrouted(request: Request, error: Exception) -> Response:
    """A path or method that there is not, in the shape of all problems."""
    status = getattr(error, "status_code", 500)
    told = {404: f"there is no {request.url.path}", 405: f"{request.url.path} takes no {request.method}"}
    detail = told.get(status, str(getattr(error, "detail", error)))
    headers = getattr(error, "headers", None)
    return problem_of(
        Refusal(status, "NotFound" if status == 404 else "HTTPError", detail, headers=headers), _where(request)
    )


def _where(request: Request) -> str:
    return f"{request.method} {request.url.path}"


def _answering(endpoint: Endpoint, engine: Engine) -> Callable[[Request], Awaitable[Response]]:
    """What answers a route: who asks is found out first, and every failure has one shape."""

    async def answer(request: Request) -> Response:
        began, tenant = time.perf_counter(), ""
        hidden: dict[str, str] = {}
        try:
            principal, store = engine.gate.admit(request, endpoint.scope)
            tenant = request.state.tenant = principal.tenant
            request.state.principal = principal
            hidden = hidden_from(principal, store)
            engine.meter.check(principal)
            endpoint.check(request)
            response = await endpoint.answer(Visit(request, principal, store, engine))
        except (Refusal, StargazerError) as error:
            response = problem_of(error, _where(request), hidden)
        except Exception as error:
            logging.getLogger("stargazer").exception("%s failed", _where(request))
            response = problem_of(error, _where(request))
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if not engine.settings.is_open:  # a cache in front would give one tenant what another one asked for
            kept = response.headers.get("Cache-Control", "no-cache")
            response.headers["Cache-Control"] = f"private, {kept.removeprefix('public, ')}"
        if tenant:
            seconds = time.perf_counter() - began
            request.app.state.requests.note(tenant, endpoint.method, endpoint.path, response.status_code, seconds)
        return response

    return answer


class _Metered:
    """Counts the bytes that are sent to each principal."""

    def __init__(self, app: App, engine: Engine) -> None:
        self.app, self.engine = app, engine

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        sent = 0

        async def counted(message: Mapping[str, Any]) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))
            principal = scope.get("state", {}).get("principal")
            if principal is not None and (sent >= AT_ONCE or (sent and not message.get("more_body", False))):
                self.engine.meter.add(principal, sent)
                sent = 0
            await send(message)

        await self.app(scope, receive, counted if scope["type"] == "http" else send)
