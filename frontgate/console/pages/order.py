"""Order: approvals by a second person, accounts, tokens, and the audit chain."""

from __future__ import annotations

from typing import Any

from frontgate.console import approvals
from frontgate.console.access import ROLES, ROLES_OF_A_UNIT, Right, decides
from frontgate.console.accounts import check_role
from frontgate.console.approvals import Request
from frontgate.console.pages.units import STANDING
from frontgate.console.web import Answer, Endpoint, Go, Page, Visit, link
from frontgate.errors import ConsoleError, FrontgateError
from frontgate.journal import traffic

ROWS = 50


def requests(visit: Visit) -> Answer:
    before = visit.number("before", traffic.NEWEST)
    file = visit.desk.accounts.file
    visit.desk.lapse_requests()
    rows = approvals.listed(file, before, ROWS)
    more = link("/approvals", before=rows[-1].id) if len(rows) == ROWS else ""
    may = {r.id: decides(visit.person, r.asked_by) for r in rows}
    data = {"rows": rows, "more": more, "may_decide": may, "done": visit.word("done")}
    return Page("approvals.html", data)


def decide(visit: Visit) -> Answer:
    """Approve and carry out, or refuse. The decision is durable and in the chain before the act."""
    number, what = visit.path_number("request"), visit.path["decision"]
    if what not in ("approve", "refuse"):
        raise ConsoleError("FG-CON-014")
    file = visit.desk.accounts.file
    visit.desk.lapse_requests()
    before = approvals.get(file, number)
    if not decides(visit.person, before.asked_by):
        raise ConsoleError("FG-CON-012")
    if before.state not in approvals.OPEN:
        raise ConsoleError("FG-CON-013", state=told_state(visit, before))
    visit.act(what, request=str(number), act=before.act, asked_by=before.asked_by)
    request = approvals.decide(file, visit.person, number, approve=what == "approve")
    if what == "refuse":
        return Go("/approvals?done=refused")
    try:
        result = carry_out(visit, request)
    except FrontgateError as error:
        if error.is_transient:  # it stays approved, and may be carried out again
            raise
        approvals.finish(file, number, result={"code": error.code}, is_done=False)
        raise
    approvals.finish(file, number, result=result, is_done=True)
    visit.desk.lapse_requests()  # a change of role takes rights away
    return Go("/approvals?done=approved")


def told_state(visit: Visit, request: Request) -> str:
    """How a request stands, in words; of one that lapsed also why."""
    state = visit.t(f"request.{request.state}")
    why = visit.t(f"request.by_{request.lapsed_by}") if request.lapsed_by else ""
    return visit.pick(f"{state}：{why}", f"{state}: {why}") if why else state


def carry_out(visit: Visit, request: Request) -> dict[str, Any]:
    """Do what was approved. Doing it twice has the effect of once."""
    params = dict(request.params)
    actor, approver = f"console:{request.asked_by}", f"console:{visit.person.login}"
    if request.act == "role":
        lost = visit.desk.accounts.set_role(
            params["login"], params["role"], params["unit"], by=request.id
        )
        return {**params, "lapsed_requests": lost}
    if request.act == "replay-failed":
        reason = f"{request.reason} (approved by {approver})"
        asked = {"act": "bulk", "what": "replay", "scope": "failed", **params}
        job = visit.desk.ask({**asked, "actor": actor, "reason": reason})["job"]
        return {"job": job["job"], "planned": job["planned"]}
    asked = {"act": "unit-status", "unit": params["unit"], "status": STANDING[request.act]}
    asked |= {"actor": actor, "approver": approver, "reason": request.reason}
    reply = visit.desk.ask(asked)
    return {"unit": reply["unit"], "status": reply["status"]}


def users(visit: Visit) -> Answer:
    rows = visit.desk.accounts.all()
    data = {"rows": rows, "roles": ROLES, "unit_roles": sorted(ROLES_OF_A_UNIT)}
    return Page("users.html", data)


def ask_role(visit: Visit) -> Answer:
    """Another role for an account: asked for here, done when a second person approves."""
    login, role = visit.path["login"], visit.form.get("role", "")
    unit = visit.form.get("unit", "").strip() if role in ROLES_OF_A_UNIT else ""
    visit.desk.accounts.get(login)
    check_role(role, unit)
    reason = visit.reason()
    params = {"login": login, "role": role, "unit": unit}
    visit.act("ask", act="role", login=login, wanted=role, unit=unit, reason=reason)
    approvals.ask(visit.desk.accounts.file, visit.person, "role", params, reason)
    return Go("/approvals?done=asked")


def tokens(visit: Visit) -> Answer:
    return _tokens(visit, "", visit.number("before", traffic.NEWEST))


def _tokens(visit: Visit, secret: str, before: int = traffic.NEWEST) -> Page:
    rows = visit.desk.accounts.tokens(visit.person.units, before=before, limit=ROWS)
    more = link("/tokens", before=rows[-1].id) if len(rows) == ROWS else ""
    data = {"rows": rows, "more": more, "secret": secret, "done": visit.word("done")}
    return Page("tokens.html", data)


def make_token(visit: Visit) -> Answer:
    """A token for a unit's program. Its secret is on this answer and never again."""
    unit = visit.form.get("unit", "").strip() if visit.person.units is None else visit.person.unit
    if unit not in visit.desk.directory().units:
        raise ConsoleError("FG-CON-008", role="token", unit=unit[:20] or "-")
    label = visit.form.get("label", "").strip()[:80] or "API"
    number, secret = visit.desk.accounts.make_token(
        unit, label, visit.person.login, within=visit.person.role
    )
    visit.act("token-made", token=str(number), unit=unit)
    return _tokens(visit, secret)


def revoke_token(visit: Visit) -> Answer:
    number = visit.path_number("token")
    found = visit.desk.accounts.revoke_token(number, visit.person.units)
    visit.act("token-revoked", token=str(number), unit=found.unit)
    return Go("/tokens?done=revoked")


KINDS = (
    "",
    "console-look",
    "cli-look",
    "console-",
    "replay",
    "operator",
    "unit-status",
    "quarantined",
)


def audit(visit: Visit) -> Answer:
    """The chain, newest first. Reading it is itself a look."""
    kind = visit.word("kind", most=40)
    before = visit.number("before", traffic.NEWEST)
    rows, onward = traffic.events(visit.desk.journal(), kind=kind, before=before, limit=ROWS)
    visit.look("look-audit", kind=kind, before="" if before == traffic.NEWEST else str(before))
    more = link("/audit", kind=kind, before=onward) if onward else ""
    return Page("audit.html", {"rows": rows, "kind": kind, "kinds": KINDS, "more": more})


ENDPOINTS = (
    Endpoint("/approvals", requests, Right.ACCOUNTS),
    Endpoint("/approvals/{request}/{decision}", decide, Right.APPROVE, "POST"),
    Endpoint("/users", users, Right.ACCOUNTS),
    Endpoint("/users/{login}/role", ask_role, Right.DIRECTORY, "POST"),
    Endpoint("/tokens", tokens, Right.TOKENS),
    Endpoint("/tokens", make_token, Right.TOKENS, "POST"),
    Endpoint("/tokens/{token}/revoke", revoke_token, Right.TOKENS, "POST"),
    Endpoint("/audit", audit, Right.AUDIT),
)
