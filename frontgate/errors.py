"""One hierarchy of errors, one table of codes.

Offers: `FrontgateError` and its families, and `describe(code)`, the bilingual text behind
every code that people or software see (findings, receipts, alarms, exit messages).
Guarantees: a code is never renumbered or reused; each has a text in Chinese and English that
is safe to show to a peer, and an advice that says what to do next.
The table lives in `frontgate/error_codes/*.toml`, one file a family, and is read once on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from frontgate.values import Struct

TRANSIENT = "transient"
PERMANENT = "permanent"


class CodeText(Struct, frozen=True):
    """What a code means. `zh`/`en` may hold `{name}` fields filled from the occurrence."""

    code: str
    disposition: str
    zh: str
    en: str
    advice_zh: str
    advice_en: str


class FrontgateError(Exception):
    """Root of all errors that frontgate raises on purpose.

    code: stable, from the table. params: values for the `{name}` fields of its text; they may
    reach a peer, so they never hold payload or secrets. detail: for the log only.
    """

    def __init__(self, code: str, *, detail: str = "", **params: object) -> None:
        self.code = code
        self.params = params
        self.detail = detail
        super().__init__(code)

    @property
    def text(self) -> CodeText:
        return describe(self.code)

    @property
    def is_transient(self) -> bool:
        """True where trying again later can help."""
        return self.text.disposition == TRANSIENT

    def message(self, lang: str = "en") -> str:
        """The sentence for people, in `zh` or `en`."""
        return render(self.code, self.params, lang)

    def __str__(self) -> str:
        text = f"{self.code}: {self.message('en')}"
        return f"{text} ({self.detail})" if self.detail else text


class ContainerError(FrontgateError):
    """A ZIP, folder or package that breaks the container rules (FG-CNT)."""


class XmlError(FrontgateError):
    """XML that is not well formed, not UTF-8, or over a limit (FG-XML)."""


class SpoolError(FrontgateError):
    """The spool cannot be read, claimed from or written to (FG-SPL)."""


class CatalogueError(FrontgateError):
    """The standard itself is unusable or does not know a type (FG-STD)."""


class SignatureError(FrontgateError):
    """A seal, receipt signature or certificate does not hold (FG-SIG)."""


class TrustError(FrontgateError):
    """Enrolment, certificates, directory (FG-TRU)."""


class JournalError(FrontgateError):
    """The journal cannot be read or written (FG-JRN)."""


class CaseError(FrontgateError):
    """A term, an act on a case, a saved question or a statistic that cannot be (FG-CAS)."""


class TransportError(FrontgateError):
    """The other side cannot be reached or answers wrongly (FG-TRN)."""


class BundleError(FrontgateError):
    """A transport bundle that breaks its form (FG-BND)."""


class ParcelError(FrontgateError):
    """An archive, evidence, transfer or backup file that does not hold (FG-PCL)."""


class KeepError(FrontgateError):
    """Archiving, pruning, backup, restore or resynchronising that cannot be done (FG-KEP)."""


class RoutingError(FrontgateError):
    """No way, no right or no such receiver (FG-RTE)."""


class SettingsError(FrontgateError):
    """Settings that cannot be used (FG-CFG)."""


class ConsoleError(FrontgateError):
    """What the console refuses: login, forms, rights, requests (FG-CON)."""


class InternalError(FrontgateError):
    """A broken promise inside frontgate itself (FG-INT)."""


def said(error: FrontgateError) -> dict[str, str]:
    """What people are told of an error, by language: its text with the fields filled."""
    return {lang: error.message(lang) for lang in ("zh", "en")}


def describe(code: str) -> CodeText:
    """The table's row for `code`.

    Raises: KeyError for a code that is not in the table (a programming error).
    """
    return _table()[code]


def all_codes() -> Mapping[str, CodeText]:
    """Every code, sorted."""
    return _table()


def render(code: str, params: Mapping[str, object], lang: str) -> str:
    """The text of `code` in `lang` with its fields filled; unknown fields show as `?`."""
    row = describe(code)
    return (row.zh if lang == "zh" else row.en).format_map(_Fields(params))


def advise(code: str, params: Mapping[str, object], lang: str) -> str:
    """The advice of `code` in `lang` with its fields filled."""
    row = describe(code)
    return (row.advice_zh if lang == "zh" else row.advice_en).format_map(_Fields(params))


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


@cache
def _table() -> Mapping[str, CodeText]:
    import tomllib
    from importlib import resources  # most processes show no code; these two are 20 ms

    rows: dict[str, CodeText] = {}
    for entry in sorted(resources.files("frontgate.error_codes").iterdir(), key=lambda e: e.name):
        if not entry.name.endswith(".toml"):
            continue
        for code, row in tomllib.loads(entry.read_text(encoding="utf-8")).items():
            if code in rows:
                raise RuntimeError(f"{code} is defined twice (again in {entry.name})")
            rows[code] = CodeText(
                code=code,
                disposition=row["disposition"],
                zh=row["zh"],
                en=row["en"],
                advice_zh=row["advice_zh"],
                advice_en=row["advice_en"],
            )
    return MappingProxyType(dict(sorted(rows.items())))
