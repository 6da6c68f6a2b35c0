"""Logging in and choosing a language: the two pages that need no session.

The login form carries a token that a cookie must match, so that nobody can be logged in to an
account of somebody else's by a form on another site. A login always makes a new session; what the
browser sent before it is never taken over.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Collection

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from frontgate.console import known, texts
from frontgate.console.serve import NOBODY, STATUS, Server, came_from_here, read_form
from frontgate.console.web import Visit, clean, local_path
from frontgate.errors import ConsoleError, FrontgateError

PRE = "frontgate-pre"


def origin(request: Request, proxies: Collection[str]) -> str:
    """The address that a browser comes from. proxies: whose word for it counts; nobody else's does."""
    address = request.client.host if request.client else ""
    if address not in proxies:
        return address
    told = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return address


class Login:
    """`/login` and `/language/…` of one server. proxies: see `origin`."""

    def __init__(self, server: Server, proxies: Collection[str] = ()) -> None:
        self._server = server
        self._proxies = frozenset(proxies)

    async def show(self, request: Request) -> Response:
        return await run_in_threadpool(self._form, request, None, "")

    def _form(self, request: Request, error: FrontgateError | None, login: str) -> Response:
        server = self._server
        language = server.language(request)
        pre = secrets.token_urlsafe(24)
        row = error.text if error else None
        data = {
            "pre": pre,
            "login": login,
            "code": error.code if error else "",
            "message": error.message(language) if error else "",
            "advice": (row.advice_zh if language == "zh" else row.advice_en) if row else "",
        }
        visit = Visit(server.desk, NOBODY, language)
        status = STATUS.get(error.code, 400) if error else 200
        text = server.renderer.render(visit, "login.html", data)
        headers = {}
        if error is not None and error.code == "FG-CON-002":
            headers["Retry-After"] = str(error.params.get("seconds", 60))
        response = Response(text, status, headers, media_type="text/html")
        server.set_cookie(response, PRE, pre, seconds=3600)
        return response

    async def enter(self, request: Request) -> Response:
        form = await read_form(request)
        return await run_in_threadpool(self._enter, request, form or {})

    def _enter(self, request: Request, form: dict[str, str]) -> Response:
        server, login, shown = self._server, "", ""
        accounts = server.desk.accounts
        address = origin(request, self._proxies)
        try:
            form = clean(form, "form")
            login = form.get("login", "").strip()[:40]
            expected = request.cookies.get(PRE, "")
            sent = form.get("csrf", "")
            if not came_from_here(request) or len(expected) < 20:
                raise ConsoleError("FG-CON-003")
            if not hmac.compare_digest(sent.encode(), expected.encode()):
                raise ConsoleError("FG-CON-003")
            shown = request.cookies.get(known.cookie(login), "")
            secret, session = accounts.log_in(login, form.get("password", ""), address, shown)
            try:
                self._keep("console-login", login, address)
            except ConsoleError:  # no login without its place in the chain
                accounts.log_out(session.digest)
                raise
        except FrontgateError as error:
            if error.code == "FG-CON-002":
                self._keep_if_possible(login, address, shown)
            return self._form(request, error, login)
        accounts.log_out_secret(request.cookies.get(server.cookie, ""))
        wanted = local_path(request.cookies.get("next", "/"))
        response = RedirectResponse("/account?first=1" if session.must_change else wanted, 303)
        server.set_cookie(response, server.cookie, secret, seconds=None)
        name, mark = known.cookie(login), accounts.know(login, shown)
        server.set_cookie(response, name, mark, seconds=known.KEPT_S)
        response.delete_cookie("next", path="/")
        response.delete_cookie(PRE, path="/")
        return response

    def _keep(self, kind: str, login: str, address: str) -> None:
        entry = (kind, {"actor": login, "address": address})
        self._server.desk.recorder.record([entry])

    def _keep_if_possible(self, login: str, address: str, shown: str) -> None:
        """That somebody guesses passwords is worth a line, once a wait; it holds nobody up."""
        if self._server.desk.accounts.tell_once(login, address, shown):
            try:
                self._keep("console-login-refused", login, address)
            except ConsoleError:
                return

    async def language(self, request: Request) -> Response:
        """Choose a language for a year, and back to the page."""
        chosen = str(request.path_params["language"])
        response = RedirectResponse(local_path(request.query_params.get("next", "/")), 303)
        if chosen in texts.LANGUAGES:
            self._server.set_cookie(response, "lang", chosen, seconds=365 * 86400)
        return response
