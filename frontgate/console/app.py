"""The console's composition root: every page, the API, the guard around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from frontgate.console import api
from frontgate.console.desk import Desk
from frontgate.console.guard import Guard, host_name
from frontgate.console.login import Login
from frontgate.console.pages import (
    account,
    cases,
    deadlines,
    failures,
    handbook,
    order,
    overview,
    questions,
    statistics,
    units,
)
from frontgate.console.render import Renderer
from frontgate.console.serve import NOBODY, Server
from frontgate.console.web import Endpoint, Visit
from frontgate.errors import ConsoleError
from frontgate.settings import ConsoleSettings

ENDPOINTS: tuple[Endpoint, ...] = (
    *overview.ENDPOINTS,
    *cases.ENDPOINTS,
    *deadlines.ENDPOINTS,
    *questions.ENDPOINTS,
    *statistics.ENDPOINTS,
    *api.ENDPOINTS,
    *failures.ENDPOINTS,
    *units.ENDPOINTS,
    *order.ENDPOINTS,
    *account.ENDPOINTS,
    *handbook.ENDPOINTS,
)


class Static(StaticFiles):
    """The program's own files. Their URLs carry a digest, so a browser may keep them for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def hosts_of(settings: ConsoleSettings) -> frozenset[str]:
    """The names that a Host header may hold."""
    names = {settings.host, *settings.hosts}
    if settings.url:
        names.add(host_name(settings.url.partition("://")[2]))
    if settings.host in ("127.0.0.1", "::1", "localhost"):
        names |= {"127.0.0.1", "localhost", "[::1]"}
    return frozenset(n.lower() for n in names if n not in ("0.0.0.0", "::"))


def is_tls(settings: ConsoleSettings) -> bool:
    return bool(settings.certificate) or settings.url.startswith("https://")


def build(desk: Desk, settings: ConsoleSettings) -> Starlette:
    """The ASGI application over a desk."""
    server = Server(desk, Renderer(desk), is_tls=is_tls(settings))
    login = Login(server, settings.proxies)

    def route(endpoint: Endpoint) -> Route:
        async def serve(request: Request) -> Response:
            return await server.serve(endpoint, request)

        return Route(endpoint.path, serve, methods=[endpoint.method])

    def refusal(code: str) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def refuse(request: Request, _: Exception) -> Response:
            visit = Visit(desk, NOBODY, server.language(request))
            is_api = request.url.path.startswith("/api/")
            return server.refuse(visit, ConsoleError(code, what="method"), is_api=is_api)

        return refuse

    async def broken(request: Request, _: Exception) -> Response:
        return server.broken(request)

    folder = Path(str(resources.files("frontgate.console").joinpath("static")))
    app = Starlette(
        routes=[
            Route("/login", login.show, methods=["GET"]),
            Route("/login", login.enter, methods=["POST"]),
            Route("/language/{language}", login.language, methods=["GET"]),
            Mount("/static", Static(directory=folder)),
            *(route(e) for e in ENDPOINTS),
        ],
        middleware=[Middleware(Guard, hosts=hosts_of(settings), is_tls=server.is_tls)],
        exception_handlers={
            404: refusal("FG-CON-014"),
            405: refusal("FG-CON-015"),
            500: broken,
        },
    )
    # A path is one of ours or is not: no redirect is built from what was asked.
    app.router.redirect_slashes = False
    return app
