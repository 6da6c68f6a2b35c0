"""One's own account: another password, logging out."""

from __future__ import annotations

from frontgate.console.web import Answer, Endpoint, Go, Page, Visit
from frontgate.errors import ConsoleError


def show(visit: Visit) -> Answer:
    return Page("account.html", {"first": bool(visit.word("first")), "done": visit.word("done")})


def change(visit: Visit) -> Answer:
    """Another password, for who knows the present one. Every other session of theirs ends."""
    session = visit.session
    assert session is not None
    new, again = visit.form.get("new", ""), visit.form.get("again", "")
    accounts = visit.desk.accounts
    accounts.verify(visit.person.login, visit.form.get("old", ""))
    if new != again:
        raise ConsoleError("FG-CON-019")
    accounts.set_password(visit.person.login, new, keep=session.digest)
    visit.act("password", login=visit.person.login)
    return Go("/account?done=1")


def log_out(visit: Visit) -> Answer:
    session = visit.session
    assert session is not None
    visit.desk.accounts.log_out(session.digest)
    return Go("/login")


ENDPOINTS = (
    Endpoint("/account", show, None),
    Endpoint("/account", change, None, "POST"),
    Endpoint("/logout", log_out, None, "POST"),
)
