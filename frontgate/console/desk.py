"""What one console process holds: accounts, readers, directory, standard, and the way to the hub.

Every handle on the hub's data is read-only. What must change is asked of the hub.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from frontgate.cases.read import Cases
from frontgate.cases.rules import CaseRules
from frontgate.console import approvals, texts
from frontgate.console.accounts import Accounts
from frontgate.console.recorder import Recorder
from frontgate.errors import CatalogueError, ConsoleError, FrontgateError, JournalError
from frontgate.journal import Reader, open_reader
from frontgate.log import get_logger
from frontgate.model.unit import Directory
from frontgate.pipeline.service import ask
from frontgate.settings import HubSettings
from frontgate.standard import Catalogue, Standards
from frontgate.trust.store import load_trust

log = get_logger()


class Desk:
    """Shared by the threads that serve pages."""

    def __init__(self, settings: HubSettings) -> None:
        self.settings = settings
        self.state: Path = settings.path(settings.node.state)
        self.accounts = Accounts(self.state)
        self.standards = Standards.load(
            settings.path(settings.node.standards) if settings.node.standards else None
        )
        self.recorder = Recorder(self._ask)
        self._trust = settings.path(settings.node.keys) / "trust"
        self._lock = threading.Lock()
        self._local = threading.local()
        self._stamp: tuple[int, int] | None = None
        self._directory: Directory | None = None
        self._known_ties: tuple[tuple[str, str], ...] | None = None

    @property
    def catalogue(self) -> Catalogue:
        """The newest version of the standard."""
        return self.standards.version(self.standards.newest)

    def journal(self) -> Reader:
        """This thread's read-only handle on the journal. Raises: JournalError FG-JRN-001."""
        reader: Reader | None = getattr(self._local, "journal", None)
        if reader is None:
            reader = self._local.journal = open_reader(self.state / "journal.db")
        return reader

    def cases(self) -> Cases:
        """This thread's read-only handle on the projections, opened anew where they were built anew.

        Raises: ConsoleError FG-CON-021 where they are not there yet.
        """
        path = self.state / "cases.db"
        try:
            inode = os.stat(path).st_ino
            held: tuple[int, Cases] | None = getattr(self._local, "cases", None)
            if held is not None and held[0] == inode:
                return held[1]
            if held is not None:
                held[1].close()
            found = Cases(path, self._ties())
        except (OSError, JournalError) as error:
            raise ConsoleError("FG-CON-021", detail=str(error)) from error
        self._local.cases = (inode, found)
        return found

    def _ties(self) -> tuple[tuple[str, str], ...]:
        with self._lock:
            if self._known_ties is None:
                self._known_ties = CaseRules(self.catalogue).ties
            return self._known_ties

    def directory(self) -> Directory:
        """The signed unit directory, read again where it was replaced."""
        info = os.stat(self._trust / "directory.json")
        stamp = (info.st_ino, info.st_mtime_ns)
        with self._lock:
            if self._directory is None or stamp != self._stamp:
                self._directory = load_trust(self._trust).directory
                self._stamp = stamp
            return self._directory

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        return ask(self.state / "control.sock", request, timeout_s=20.0)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have the hub do something. Raises: ConsoleError FG-CON-017 where it does not run, and
        what it answered as an error."""
        try:
            reply = self._ask(request)
        except (OSError, ValueError) as error:
            raise ConsoleError("FG-CON-017", detail=str(error)) from error
        if reply is None:
            raise ConsoleError("FG-CON-017")
        if not reply.get("ok"):
            raise FrontgateError(
                str(reply.get("code", "FG-INT-001")),
                detail=str(reply.get("detail", "")),
                **dict(reply.get("params", {})),
            )
        return reply

    def lapse_requests(self) -> None:
        """Let requests lapse whose time or asker is gone. Their lapses go into the chain as soon as the
        hub answers: now, or at the next call."""
        try:
            approvals.tell_lapsed(self.accounts.file, self.recorder.record)
        except ConsoleError as error:
            log.warning("lapses-not-recorded", code=error.code)

    def status(self) -> dict[str, Any] | None:
        """The hub's live status, None where it does not run."""
        try:
            return self.ask({"act": "status"})
        except FrontgateError:
            return None

    # -- names ----------------------------------------------------------------------------------

    def unit_name(self, code: str, language: str) -> str:
        """The name of a unit; its code where it is not in the directory."""
        unit = self.directory().units.get(code)
        if unit is None:
            return code
        return (unit.name_en if language == "en" else "") or unit.name_zh or code

    def type_name(self, message_type: str, language: str) -> str:
        """`flow: step` in words; the type itself where the standard does not know it."""
        flow, _, step = message_type.partition(".")
        try:
            found = self.catalogue.flow(flow)
        except CatalogueError:
            return message_type
        known = found.steps.get(step)
        if language == "en":
            return f"{found.en}: {known.en}" if known else found.en
        return f"{found.zh}·{known.zh}" if known else found.zh

    def flow_name(self, flow: str, language: str) -> str:
        try:
            found = self.catalogue.flow(flow)
        except CatalogueError:
            return flow
        return found.en if language == "en" else found.zh

    def step_name(self, message_type: str, language: str) -> str:
        flow, _, step = message_type.partition(".")
        try:
            known = self.catalogue.flow(flow).steps.get(step)
        except CatalogueError:
            return step or flow
        return step if known is None else known.en if language == "en" else known.zh

    def rule_name(self, rule: str, part: str, language: str) -> str:
        """A deadline's rule in words, with its part where it has several."""
        found = self.catalogue.deadlines.get(rule)
        if found is None:
            return rule
        name = found.en if language == "en" else found.zh
        if not part:
            return name
        key = f"part.{part}"
        words = texts.text(key, language) if texts.has(key) else part
        return f"{name} ({words})" if language == "en" else f"{name}（{words}）"

    def reason_name(self, reason: str, language: str) -> str:
        """Why a term was paused, in words: a code's, or what the message names for it."""
        codes, _, code = reason.partition(":")
        known = code and codes in self.catalogue.list_names
        return self.code_name(codes, code, language) if known else reason

    def rule_basis(self, rule: str) -> str:
        """The law behind a deadline's rule."""
        found = self.catalogue.deadlines.get(rule)
        return "；".join(found.basis) if found else ""

    def code_name(self, code_list: str, code: str, language: str) -> str:
        """A code in words; the code itself where the list does not have it."""
        try:
            return self.catalogue.code_list(code_list).text(code, language) or code
        except (CatalogueError, KeyError):
            return code
