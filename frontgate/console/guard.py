"""The outermost layer: which hosts we answer to, how large a request may be, what every answer carries.

Host header: against a list (Accellion's was the way into its database). Content-Security-Policy:
scripts and styles from here alone, none inline, no framing, no other site. Nothing is cached but
the static files, whose URLs carry their digest.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontgate.console.web import MOST_FORM_BYTES

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
MOST_URL = 4096


class Guard:
    """ASGI middleware. hosts: names and addresses, lower case, without ports."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], *, is_tls: bool) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._is_tls = is_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._is_tls:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
                if not is_static:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, _limited(receive), send_guarded)

    def _refusal(self, headers: Headers, scope: Scope) -> PlainTextResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self._hosts:
            return PlainTextResponse("400 Host", status_code=400)
        if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MOST_URL:
            return PlainTextResponse("414 URI", status_code=414)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_FORM_BYTES:
            return PlainTextResponse("413 Content", status_code=413)
        return None


def _limited(receive: Receive) -> Receive:
    """A body without a stated length is cut off at the same limit."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_FORM_BYTES:
            return {"type": "http.disconnect"}
        return message

    return limited


def host_name(header: str) -> str:
    """The host of a Host header, lower case, without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]
