"""From a request to an answer, in the order that `web.py` describes."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from frontgate import clock
from frontgate.console import texts
from frontgate.console.access import Person
from frontgate.console.accounts import Session
from frontgate.console.desk import Desk
from frontgate.console.guard import host_name
from frontgate.console.render import Renderer
from frontgate.console.web import (
    Answer,
    Data,
    Endpoint,
    Go,
    Html,
    Page,
    Sheet,
    Visit,
    as_json,
    clean,
    local_path,
)
from frontgate.errors import ConsoleError, FrontgateError
from frontgate.log import get_logger

log = get_logger()

NOBODY = Person("", "", "")
STATUS = {
    "FG-CON-001": 403,
    "FG-CON-002": 429,
    "FG-CON-003": 403,
    "FG-CON-004": 503,
    "FG-CON-006": 404,
    "FG-CON-007": 409,
    "FG-CON-010": 404,
    "FG-CON-011": 409,
    "FG-CON-012": 403,
    "FG-CON-013": 409,
    "FG-CON-014": 404,
    "FG-CON-017": 503,
    "FG-CON-018": 500,
    "FG-CON-021": 503,
}
MOST_FIELDS = 100


class Server:
    """One console's way of serving. is_tls: cookies are for TLS alone."""

    def __init__(self, desk: Desk, renderer: Renderer, *, is_tls: bool) -> None:
        self.desk = desk
        self.renderer = renderer
        self.is_tls = is_tls
        self.cookie = "__Host-frontgate" if is_tls else "frontgate"

    # -- who asks -------------------------------------------------------------------------------

    def language(self, request: Request) -> str:
        """Cookie, else Chinese unless the browser asks for English alone."""
        chosen = request.cookies.get("lang", "")
        if chosen in texts.LANGUAGES:
            return chosen
        accepted = request.headers.get("accept-language", "").lower()
        return "en" if accepted.startswith("en") and "zh" not in accepted else "zh"

    def session(self, request: Request) -> Session | None:
        return self.desk.accounts.session(request.cookies.get(self.cookie, ""))

    def bearer(self, request: Request) -> Person | None:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        return self.desk.accounts.bearer(secret.strip()) if scheme.lower() == "bearer" else None

    def set_cookie(self, response: Response, name: str, value: str, *, seconds: int | None) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            secure=self.is_tls,
            httponly=True,
            samesite="strict" if name == self.cookie else "lax",
        )

    # -- serving --------------------------------------------------------------------------------

    async def serve(self, endpoint: Endpoint, request: Request) -> Response:
        form = await read_form(request) if endpoint.method == "POST" else {}
        return await run_in_threadpool(self._serve, endpoint, request, form)

    def _serve(self, endpoint: Endpoint, request: Request, form: dict[str, str] | None) -> Response:
        language = self.language(request)
        visit = Visit(self.desk, NOBODY, language)
        try:
            session = None if endpoint.is_api else self.session(request)
            person = session.person if session else None
            if endpoint.is_api:
                person = self.bearer(request)
            if person is None:
                return self._unknown(endpoint, request, language)
            visit = Visit(
                self.desk,
                person,
                language,
                session,
                path=clean({k: str(v) for k, v in request.path_params.items()}, "path"),
                query=clean(dict(request.query_params), "query"),
            )
            if session is not None and session.must_change and endpoint.path != "/account":
                return RedirectResponse("/account?first=1", 303)
            if endpoint.right is not None and not person.may(endpoint.right):
                raise ConsoleError("FG-CON-014")
            if endpoint.method == "POST":
                visit.form = self.checked_form(request, form, session.csrf if session else "")
            answer = endpoint.serve(visit)
            if visit.entries:
                self.desk.recorder.record(visit.entries)
        except FrontgateError as error:
            return self.refuse(visit, error, is_api=endpoint.is_api)
        return self.respond(visit, answer, request)

    def checked_form(
        self, request: Request, form: Mapping[str, str] | None, csrf: str
    ) -> dict[str, str]:
        """The form, once it is sure that a page of ours sent it. Raises: ConsoleError FG-CON-003, 015."""
        if form is None:
            raise ConsoleError("FG-CON-015", what="form")
        if not came_from_here(request) or not csrf:
            raise ConsoleError("FG-CON-003")
        if not hmac.compare_digest(form.get("csrf", "").encode(), csrf.encode()):
            raise ConsoleError("FG-CON-003")
        return clean({k: v for k, v in form.items() if k != "csrf"}, "form")

    def _unknown(self, endpoint: Endpoint, request: Request, language: str) -> Response:
        if endpoint.is_api:
            body = {"code": "FG-CON-001", "zh": "", "en": "A bearer token is needed"}
            body["zh"] = "需要单位令牌"
            return Response(
                as_json(body), 401, {"WWW-Authenticate": "Bearer"}, media_type="application/json"
            )
        if "hx-request" in request.headers:  # a part of a page cannot show the login: load it whole
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        wanted = local_path(wanted) if endpoint.method == "GET" else "/"
        response = RedirectResponse("/login" if wanted == "/" else "/login?next=1", 303)
        if wanted != "/":
            self.set_cookie(response, "next", wanted, seconds=600)
        return response

    def respond(self, visit: Visit, answer: Answer, request: Request) -> Response:
        """The answer as bytes."""
        match answer:
            case Go(url):
                return RedirectResponse(url, 303)
            case Sheet(data, media_type, name):
                headers = {"Content-Disposition": f'attachment; filename="{name}"'}
                return Response(data, media_type=media_type, headers=headers)
            case Data(value, status):
                return Response(as_json(value), status, media_type="application/json")
            case Html():
                text = self.renderer.wrap(visit, answer, str(request.url.path))
                return Response(text, media_type="text/html")
            case Page(template, data, status):
                text = self.renderer.render(visit, template, data, str(request.url.path))
                return Response(text, status, media_type="text/html")

    def refuse(self, visit: Visit, error: FrontgateError, *, is_api: bool) -> Response:
        """An error as a page or as JSON: its code, its words, what to do; never its detail."""
        status = STATUS.get(error.code, 400 if isinstance(error, ConsoleError) else 409)
        if error.detail:
            log.warning("refused", code=error.code, detail=error.detail)
        if is_api:
            body: dict[str, Any] = {"code": error.code, "zh": error.message("zh")}
            body["en"] = error.message("en")
            return Response(as_json(body), status, media_type="application/json")
        text = self.renderer.error(visit, error)
        headers = {}
        if error.code == "FG-CON-002":
            headers["Retry-After"] = str(error.params.get("seconds", 60))
        return Response(text, status, headers, media_type="text/html")

    def broken(self, request: Request) -> Response:
        """An error that nobody expected: said so, without a word of what it was."""
        error = ConsoleError("FG-CON-018")
        visit = Visit(self.desk, NOBODY, self.language(request))
        log.error("page-failed", path=request.url.path, at=str(clock.now()))
        return self.refuse(visit, error, is_api=request.url.path.startswith("/api/"))


async def read_form(request: Request) -> dict[str, str] | None:
    """The fields of a urlencoded form; None for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return None
    try:
        body = await request.body()
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (ClientDisconnect, UnicodeDecodeError, ValueError):
        return None
    return dict(pairs)


def came_from_here(request: Request) -> bool:
    """Whether the browser says that a page of this very site sent the form. Browsers that say
    nothing are left to the token."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin", "")
    if not origin or origin == "null":
        return origin != "null"
    parts = urlsplit(origin)
    return parts.netloc.lower() == request.headers.get("host", "").lower() and bool(
        host_name(parts.netloc)
    )
