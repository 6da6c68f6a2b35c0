"""How every page and every call of the API is served: one way in, in one order.

1 who asks (session cookie or bearer token) · 2 may their role open this at all · 3 for a form: it
came from here and carries the session's token · 4 the page's function runs · 5 what it looked at
is in the audit chain · 6 only then is it rendered. A page's function gets a `Visit` and returns a
value; it never sees a request, a cookie or a header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from frontgate.console import texts
from frontgate.console.access import Person, Right
from frontgate.console.accounts import Session
from frontgate.console.desk import Desk
from frontgate.console.recorder import Entry
from frontgate.core.visible import is_hidden
from frontgate.errors import ConsoleError
from frontgate.values import Struct

MOST_FORM_BYTES = 64 * 1024
MOST_TEXT = 200
LEAST_REASON = 4
_SECRETS = frozenset({"password", "old", "new", "again"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


class Page(Struct, frozen=True):
    """A template with its values."""

    template: str
    data: Mapping[str, Any]
    status: int = 200


class Go(Struct, frozen=True):
    """On to another page of the console; `url` is made by the program, never taken from a request."""

    url: str


class Sheet(Struct, frozen=True):
    """A file to be saved."""

    data: bytes
    media_type: str
    name: str


class Data(Struct, frozen=True):
    """A JSON value of the API."""

    value: Any
    status: int = 200


class Html(Struct, frozen=True):
    """A page that was rendered elsewhere, to stand within the layout."""

    title: str
    body: str
    script: str = ""


Answer = Page | Go | Sheet | Data | Html


@dataclass(slots=True)
class Visit:
    """One request as a page's function sees it. query, form, path: plain texts, checked for length
    and control characters. `look` notes what will be shown; the page is withheld until it is kept."""

    desk: Desk
    person: Person
    language: str
    session: Session | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def t(self, key: str, **params: object) -> str:
        return texts.text(key, self.language, **params)

    def pick(self, zh: str, en: str) -> str:
        return zh if self.language == "zh" else en

    def may(self, right: Right) -> bool:
        return self.person.may(right)

    def look(self, what: str, **data: str) -> None:
        """Put a look at `what` into the audit chain before the answer leaves."""
        self.entries.append(
            (f"console-{what}", {"actor": self.person.login, "role": self.person.role, **data})
        )

    def act(self, what: str, **data: str) -> None:
        """Put an act into the audit chain now. Raises: ConsoleError FG-CON-004."""
        data = {"actor": self.person.login, "role": self.person.role, **data}
        self.desk.recorder.record([(f"console-{what}", data)])

    def word(self, name: str, *, most: int = MOST_TEXT) -> str:
        """A text of the query, stripped."""
        return self.query.get(name, "")[:most].strip()

    def number(self, name: str, default: int) -> int:
        """A number of the query. Raises: ConsoleError FG-CON-015."""
        return _number(self.query.get(name, ""), name, default)

    def path_number(self, name: str) -> int:
        """A number of the path. Raises: ConsoleError FG-CON-010."""
        text = self.path[name]
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise ConsoleError("FG-CON-010", value=text[:40])
        return int(text)

    def reason(self) -> str:
        """The form's reason. Raises: ConsoleError FG-CON-016."""
        text = self.form.get("reason", "").strip()
        if len(text) < LEAST_REASON:
            raise ConsoleError("FG-CON-016", least=LEAST_REASON)
        return text[:300]


def _number(text: str, name: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ConsoleError("FG-CON-015", what=name)
    return int(text)


def clean(pairs: Mapping[str, str], what: str) -> dict[str, str]:
    """Plain texts of a query or form. Raises: ConsoleError FG-CON-015 for what cannot be one."""
    found: dict[str, str] = {}
    for name, value in pairs.items():
        plain = value.replace("\r\n", " ")
        # What does something instead of being seen, in a reason that another person decides by.
        hides = name not in _SECRETS and any(map(is_hidden, plain))
        if len(name) > 60 or len(value) > 4000 or _CONTROL.search(plain) or hides:
            raise ConsoleError("FG-CON-015", what=what)
        found[name] = value
    return found


def link(path: str, **query: object) -> str:
    """A URL of the console with a query; empty values are left out."""
    pairs = {k: str(v) for k, v in query.items() if v not in ("", None)}
    return f"{path}?{urlencode(pairs)}" if pairs else path


def local_path(text: str) -> str:
    """`text` where it is a path of this console, else the first page. Never another site."""
    if re.fullmatch(r"/(?![/\\])[\w\-./?=&%:+,]*", text, re.ASCII) and len(text) < 500:
        return text
    return "/"


class Endpoint(Struct, frozen=True):
    """One URL. right: what a role must allow; None: everybody who is logged in. opens: it needs no
    login at all. method: GET reads, POST changes. is_api: JSON, by token."""

    path: str
    serve: Callable[[Visit], Answer]
    right: Right | None
    method: str = "GET"
    is_api: bool = False


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()
