"""Layer `codes`: code lists at the record's date and check characters, in one pass.

The XSD holds the pattern of a code; whether the code exists and is in force is judged here, so
that lists change without a new schema. Source: exchange standard 1.0, layers of checking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta, timezone

from lxml import etree

from frontgate.core import identifiers
from frontgate.model.finding import Finding, Severity, finding
from frontgate.standard.catalogue import MESSAGE_TYPES, Catalogue
from frontgate.standard.codelists import LOCAL_PREFIX, CodeList
from frontgate.standard.declarations import Checks
from frontgate.standard.places import Places
from frontgate.standard.tree import text_of

_CHINA_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?\+08:00", re.ASCII
)
LEGAL_ZONE = timezone(timedelta(hours=8))
"""Legal days are days in China Standard Time."""

CHECKS: Mapping[str, tuple[Callable[[str], bool], str, str]] = {
    "unit-code": (identifiers.is_unit_code, "单位代码", "unit code"),
    "case-uid": (identifiers.is_case_uid, "协同案件号", "CaseUid"),
    "person-uid": (identifiers.is_person_uid, "人员编号", "PersonUid"),
    "citizen-id": (identifiers.is_citizen_id, "公民身份号码", "citizen id number"),
    "uscc": (identifiers.is_uscc, "统一社会信用代码", "unified social credit code"),
}
"""Names of `fg:check` → (judge, name zh, name en)."""

MAX_FINDINGS = 200
"""Findings shown of this layer."""


def record_date(business_time: str) -> date:
    """The legal day (UTC+08:00) of a time with offset, as XSD 1.0 writes it.

    Raises: ValueError for what is not such a time or lies outside the years 1 to 9999.
    """
    text = business_time.strip()
    if _CHINA_TIME.fullmatch(text):  # nearly all: the day stands there
        return date.fromisoformat(text[:10])
    day_over = text[11:19] == "24:00:00"  # XSD dateTime allows it, for the day after
    if day_over:
        text = f"{text[:11]}00:00:00{text[19:]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without offset has no legal day")
    try:
        return (moment.astimezone(LEGAL_ZONE) + timedelta(days=1 if day_over else 0)).date()
    except OverflowError as error:
        raise ValueError(str(error)) from None


class CodeCheck:
    """Judges the codes of one flow's messages, for one thread.

    Codes found in force on a day are remembered for the next messages of that day.
    """

    MOST_DAYS = 16
    """Days remembered at most; a backlog of old records must not fill memory."""
    MOST_VALUES = 20_000
    """Values remembered of a day."""

    def __init__(self, catalogue: Catalogue, flow: str) -> None:
        self._catalogue = catalogue
        self._marks = catalogue.marks(flow)
        self._names = self._marks.names
        self.open = tuple(n for n in self._names if n not in self._marks.settled)
        """Names that are still to be asked about where the standard's schema has accepted."""
        unjudged = catalogue.quick(flow).unjudged
        self.left = tuple(n for n in self.open if n in unjudged)
        """The same where the quick schema has answered for the codes that it knows."""
        self._judges = {
            name: CHECKS[checks.check][0]
            for name, checks in self._marks.by_name.items()
            if checks.check and not checks.list
        }
        self._days: dict[date, set[tuple[str, str]]] = {}

    def check(
        self,
        root: etree._Element,
        on: date,
        places: Places,
        *,
        names: tuple[str, ...] | None = None,
    ) -> Iterator[Finding]:
        """Findings FG-COD-001..005 in the order of the document.

        on: see `record_date`. names: elements to ask about; None = all. What a schema has settled
        need not be asked again.
        """
        asked = self._names if names is None else names
        if not asked or (asked is self.left and self._is_clean(root)):
            return
        by_name, by_place = self._marks.by_name, self._marks.of
        good = self._good_on(on)
        shown = 0
        for element in root.iter(*asked):
            tag, text = element.tag, text_of(element)
            if (tag, text) in good:
                continue
            checks = by_name.get(tag) or by_place(element)
            if checks.list:
                if not _is_in_force(self._catalogue, checks.list, text, on):
                    codes = self._catalogue.code_list(checks.list)
                    yield _refused(element, codes, text, on, places)
                    shown += 1
                elif not checks.check and tag in by_name:
                    self._remember(good, tag, text)
            if checks.check and not CHECKS[checks.check][0](text) and _applies(element, checks):
                yield _unchecked(element, checks.check, text, places)
                shown += 1
            if shown >= MAX_FINDINGS:
                yield finding("FG-XSD-016", limit=MAX_FINDINGS)
                return

    def _is_clean(self, root: etree._Element) -> bool:
        """Whether all check characters are right, where they are all that is left to judge."""
        judges = self._judges
        for element in root.iter(*self.left):
            judge = judges.get(element.tag)
            text = text_of(element) if len(element) else element.text
            if judge is None or not text or not judge(text):
                return False
        return True

    def _remember(self, good: set[tuple[str, str]], tag: str, text: str) -> None:
        if len(good) >= self.MOST_VALUES:
            good.clear()
        good.add((tag, text))

    def _good_on(self, on: date) -> set[tuple[str, str]]:
        """Names and codes found in force on that day already."""
        found = self._days.get(on)
        if found is None:
            if len(self._days) >= self.MOST_DAYS:
                self._days.clear()
            found = self._days[on] = set()
        return found


def _unchecked(element: etree._Element, check: str, text: str, places: Places) -> Finding:
    _, zh, en = CHECKS[check]
    if check == "unit-code" and not identifiers.has_unit_form(text):
        return finding(
            "FG-COD-005",
            line=places.line(element),
            xpath=places.xpath(element),
            value=text,
            **places.names(element),
        )
    return finding(
        "FG-COD-002",
        line=places.line(element),
        xpath=places.xpath(element),
        value=text,
        check_zh=zh + _should_be(check, text, "，末位应为 "),
        check_en=en + _should_be(check, text, "; it should end in "),
        **places.names(element),
    )


def _should_be(check: str, text: str, words: str) -> str:
    """The check character that the digits before it ask for: for numbers that units mint. Not for
    those of people and companies, where it would help to make one up.
    """
    end = {"unit-code": 10, "case-uid": 22, "person-uid": 22}.get(check, 0)
    digits = text[1:22] if end == 22 else text[:10]
    if not end or len(text) <= end or not (digits.isascii() and digits.isdigit()):
        return ""
    right = identifiers.mod11_2(digits)
    return f"{words}{right}" if right != text[end] else ""


def _is_in_force(catalogue: Catalogue, name: str, text: str, on: date) -> bool:
    if name == MESSAGE_TYPES:  # judged by its own flow: the list would read all flows
        return catalogue.has_message_type(text)
    return catalogue.code_list(name).has(text, on)


def _refused(
    element: etree._Element, codes: CodeList, text: str, on: date, places: Places
) -> Finding:
    rows = codes.codes.get(text)
    if rows:
        row = rows[-1]
        return finding(
            "FG-COD-003",
            line=places.line(element),
            xpath=places.xpath(element),
            value=text,
            **places.names(element),
            text_zh=row.zh,
            text_en=row.en,
            on=on.isoformat(),
            valid_from=row.valid_from.isoformat() if row.valid_from else "…",
            valid_to=row.valid_to.isoformat() if row.valid_to else "…",
        )
    is_local = text.startswith(LOCAL_PREFIX) and len(text) > 1
    near = codes.nearest(text)
    return finding(
        "FG-COD-004" if is_local else "FG-COD-001",
        Severity.WARNING if is_local else Severity.ERROR,
        line=places.line(element),
        xpath=places.xpath(element),
        value=text,
        **places.names(element),
        list=codes.name,
        near_zh="、".join(f"{c} {codes.text(c)}" for c in near) or "无",
        near_en=", ".join(f"{c} {codes.text(c, 'en')}" for c in near) or "none",
    )


def _applies(element: etree._Element, checks: Checks) -> bool:
    if element.get("scheme"):
        return False  # an external code, written in another numbering system
    if not checks.when_sibling:
        return True
    name, _, wanted = checks.when_sibling.partition("=")
    parent = element.getparent()
    if parent is None:
        return False
    return any(
        text_of(sibling) == wanted
        for sibling in parent.iterchildren(f"{{{etree.QName(element).namespace}}}{name}")
    )
