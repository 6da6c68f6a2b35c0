"""What checking costs: full check against bare libxml2, loading the standard, a message at the limit.

Ratios come from alternating runs in one process; medians with min..max. Run: python -m benchmarks.check
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from benchmarks.peak import peak_mib
from frontgate import safexml
from frontgate.core import identifiers
from frontgate.standard import Checker, Standards
from frontgate.standard.schema import driver

EACH = 60
"""Calls of each act in a round."""
ROOT = Path(__file__).resolve().parents[1] / "standards"
SAMPLE = ROOT / "1.0/flows/arrest-request/samples/valid/submit.xml"


def of_size(size_bytes: int) -> bytes:
    """The sample with its facts repeated until it has that size: still valid."""
    text = SAMPLE.read_text("utf-8")
    mark = "</t:Facts>"
    room = max(0, size_bytes - len(text.encode()))
    per = max(1, text.count(mark))
    words = "二人在南明区某商铺盗窃手机十二部，价值三万六千元。"
    share = min(room // per, 8000 * 3 - 200)
    filler = words * (share // len(words.encode()))
    text = text.replace(mark, filler[: 7900 - 60] + mark)
    # What is still missing goes into further documents on paper, which need no files.
    lack = size_bytes - len(text.encode())
    one = (
        "<m:Document><m:DocUid>{uid}</m:DocUid><m:DocType>7999</m:DocType><m:Title>其他材料</m:Title>"
        "<m:Carrier>paper</m:Carrier><m:CarrierCount>1</m:CarrierCount></m:Document>"
    )
    count = max(0, lack // len(one.format(uid="0" * 36).encode()))
    extra = "".join(one.format(uid=f"00000000-0000-4000-8000-{n:012d}") for n in range(count))
    return text.replace("</m:Documents>", extra + "</m:Documents>").encode()


def at_size(size_bytes: int) -> bytes:
    """A list of case property of about that size: valid however long."""
    text = (ROOT / "1.0/flows/case-property/samples/valid/submit.xml").read_text("utf-8")
    begin, end = text.index("<b:Property>"), text.index("</b:Property>") + len("</b:Property>")
    one = " ".join(text[begin:end].split())
    uid = one[one.index("<t:PropertyUid>") + 15 :][:36]
    count = (size_bytes - len(text.encode())) // len(one.encode())
    many = "\n".join(one.replace(uid, f"00000000-0000-4000-8000-{n:012d}") for n in range(count))
    return (text[:begin] + many + text[end:]).encode()


def alternate(
    acts: dict[str, Callable[[], object]], rounds: int, each: int
) -> dict[str, list[float]]:
    """Milliseconds a call, one value a round; the acts take turns."""
    found: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            began = time.thread_time()  # CPU: other work on the machine does not count
            for _ in range(each):
                act()
            found[name].append((time.thread_time() - began) * 1000 / each)
    return found


def pairs(rounds: int, size_bytes: int) -> dict[str, list[float]]:
    """Milliseconds of `bare` (parse and XSD) and `full` (all layers), one value a round."""
    text = of_size(size_bytes).decode()
    known = "C2026520102110000000016"
    # Each message of a case of its own: numbers are not known from the message before.
    many = [
        text.replace(known, identifiers.case_uid(2026, "5201021100X", n)).encode()
        for n in range(EACH)
    ]
    standards = Standards.load(ROOT)
    checker = Checker(standards)
    schema = etree.XMLSchema(etree.ElementTree(driver(standards.version("1.0"), "arrest-request")))
    turn = itertools.cycle(many)

    def bare() -> None:
        if not schema.validate(safexml.parse(next(turn))):
            raise SystemExit(str(schema.error_log))

    def full() -> None:
        report = checker.check(next(turn), files=None).report
        if report.is_refused:
            raise SystemExit(str(report.findings[0]))

    bare()
    full()
    return alternate({"bare": bare, "full": full}, rounds, EACH)


def ratio(rounds: int, size_bytes: int) -> dict[str, object]:
    found = pairs(rounds, size_bytes)
    ratios = [f / b for f, b in zip(found["full"], found["bare"], strict=True)]
    return {
        "size_bytes": len(of_size(size_bytes)),
        "bare_ms": round(statistics.median(found["bare"]), 3),
        "full_ms": round(statistics.median(found["full"]), 3),
        "ratio": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def loading() -> dict[str, object]:
    """Seconds to load one flow's tools, then all of the standard, in a fresh process each."""
    code = (
        "import time; from frontgate.standard import Checker, Standards; from pathlib import Path;"
        "import sys; root = Path(sys.argv[1]); names = sys.argv[2].split(); began = time.thread_time();"
        "s = Standards.load(root); c = Checker(s); v = s.version('1.0');"
        "[c.check((v.flow(n).folder / 'samples/valid' / (next(iter(v.flow(n).steps)) + '.xml')).read_bytes(),"
        " files=None) for n in (names or v.flow_names)];"
        "print(time.thread_time() - began)"
    )
    times: dict[str, object] = {}
    for label, names in (("one_flow_s", "arrest-request"), ("all_flows_s", "")):
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code, str(ROOT), names],
                    capture_output=True, text=True, check=True,
                ).stdout
            )
            for _ in range(3)
        ]  # fmt: skip
        times[label] = round(statistics.median(runs), 3)
    return times


def at_the_limit() -> dict[str, object]:
    """Peak memory of checking a message just below 32 MiB, in a process of its own."""
    code = (
        "from benchmarks.check import at_size, ROOT; from benchmarks.peak import peak_mib;"
        "from frontgate.standard import Checker, Standards; c = Checker(Standards.load(ROOT));"
        "data = at_size((32 << 20) - 262144); r = c.check(data, files=None);"
        "print(len(data), r.report.is_refused, round(peak_mib()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, refused, peak = done.stdout.split()
    return {"size_bytes": int(size), "refused": refused, "peak_mib": int(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="no message at the limit")
    options = parser.parse_args()
    result: dict[str, object] = {"check": ratio(options.rounds, options.size), "loading": loading()}
    if not options.quick:
        result["at_the_limit"] = at_the_limit()
    result["own_peak_mib"] = round(peak_mib())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
