"""Acts on many transfers on the command line: the plan, the wait, the list of what is under way."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from frontgate.cli.node import Node, actor
from frontgate.cli.output import Output, progress, say

if TYPE_CHECKING:
    from frontgate.journal.bulk import Choice

LOOK_S = 0.2
LOOKS = 10
"""After so many looks at the journal the daemon is asked whether it still lives."""


def act_in_bulk(
    out: Output,
    node: Node,
    choice: Choice,
    *,
    per_s: float,
    dry_run: bool,
    detach: bool,
    reason: str,
) -> None:
    """Plan, preview, ask for a reason, begin, and follow to the end."""
    from frontgate.pipeline import operate

    reader = node.reader()
    plan = operate.shown(operate.plan(reader, choice))
    reader.close()
    if not out.as_json:
        _show_plan(out, plan)
    if dry_run or not plan["count"]:
        if out.as_json:
            out.json(plan)
        raise click.exceptions.Exit(0 if dry_run else 1)
    reason = reason or click.prompt(out.pick("原因", "Reason"))
    request = {"act": "bulk", "per_s": per_s, "actor": actor(), "reason": reason}
    fields = {n: getattr(choice, n) for n in ("scope", "to", "kind", "since", "until")}
    # `act` of the request is the socket's word; the choice's own act travels as `what`.
    reply = node.ask({**request, **fields, "what": choice.act})
    if reply is None:
        job = _offline(out, node, choice, per_s, reason)
    else:
        job = reply["job"]
        if not detach:
            job = _follow(out, node, int(job["job"]), int(plan["count"]))
    if out.as_json:
        out.json({**plan, "job": job})
    elif detach and reply is not None:
        out.line(
            f"任务 {job['job']} 已开始：frontgate replay --status",
            f"Job {job['job']} has begun: frontgate replay --status",
        )
    else:
        out.line(
            f"任务 {job['job']}：{job['done']} 件，{_size(job['bytes'])}（{job['state']}）",
            f"Job {job['job']}: {job['done']} packages, {_size(job['bytes'])} ({job['state']})",
        )


def _show_plan(out: Output, plan: dict[str, Any]) -> None:
    head = (
        out.pick("目的地", "destination"),
        out.pick("类型", "type"),
        out.pick("原因", "reason"),
        out.pick("件数", "count"),
        out.pick("大小", "size"),
    )
    if plan["count"]:
        say(f"{head[0]:<28} {head[1]:<28} {head[2]:<12} {head[3]:>8} {head[4]:>10}")
    for g in plan["plan"]:
        say(
            f"{g['destination']:<28} {g['kind']:<28} {g['reason'] or '-':<12} {g['count']:>8}"
            f" {_size(g['bytes']):>10}"
        )
    out.line(
        f"共 {plan['count']} 件，{_size(plan['bytes'])}",
        f"{plan['count']} in all, {_size(plan['bytes'])}",
    )


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _offline(out: Output, node: Node, choice: Choice, per_s: float, reason: str) -> dict[str, Any]:
    """No daemon runs: begin it here and take all that is begun to its end, or leave it to the daemon."""
    from frontgate.errors import JournalError
    from frontgate.journal import bulk
    from frontgate.pipeline import operate
    from frontgate.pipeline.bulk import BulkWorker

    if choice.act == "cancel":
        raise JournalError("FG-JRN-007")
    with node.journal() as journal:
        work, _ = operate.begin_bulk(journal, choice, per_s=per_s, actor=actor(), reason=reason)
        worker = BulkWorker(journal, None, lambda: None)
        reader = journal.reader()
        shown = _Progress(work.planned, out)
        while True:
            pause = worker.turn()
            found = bulk.find(reader, work.work_id)
            assert found is not None
            shown.to(found.done)
            if found.state != "running":
                break
            time.sleep(min(pause or 0.0, 1.0))
        shown.close()
        reader.close()
        return found.as_dict()


def _follow(out: Output, node: Node, job_id: int, planned: int) -> dict[str, Any]:
    """Watch the daemon's work. Ctrl-C ends the watching, not the work."""
    from frontgate.journal import bulk

    reader = node.reader()
    shown = _Progress(planned, out)
    looks = 0
    try:
        while True:
            looks += 1
            work = bulk.find(reader, job_id)
            assert work is not None, "it was journaled before the daemon answered"
            shown.to(work.done)
            if work.state != "running":
                return work.as_dict()
            if looks % LOOKS == 0 and node.ask({"act": "status"}) is None:
                return work.as_dict()  # it ended; the journal keeps how far it came
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        out.line(
            f"\n守护进程继续执行任务 {job_id}：replay --status 查看，replay --stop {job_id} 停止",
            f"\nThe daemon goes on with job {job_id}: replay --status, or replay --stop {job_id}",
        )
        raise click.exceptions.Exit(4) from None
    finally:
        shown.close()
        reader.close()


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, total: int, out: Output) -> None:
        self._shown = sys.stderr.isatty() and not out.as_json
        self._total = max(1, total)
        self._began = time.monotonic()

    def to(self, done: int) -> None:
        if self._shown:
            share = min(1.0, done / self._total)
            bar = "█" * int(share * 30)
            per_s = done / max(0.001, time.monotonic() - self._began)
            progress(f"{bar:<30} {done}/{self._total} {per_s:.0f}/s ")

    def close(self) -> None:
        if self._shown:
            say("", err=True)


def show_jobs(out: Output, node: Node) -> None:
    from frontgate.journal import bulk

    reader = node.reader()
    jobs = [work.as_dict() for work in bulk.newest(reader)]
    reader.close()
    if out.as_json:
        out.json({"jobs": jobs})
        return
    for j in jobs:
        choice: Any = j["choice"]
        wanted = " ".join(f"{k}={v}" for k, v in choice.items() if v and k != "act")
        say(
            f"{j['job']:>5}  {j['state']:<8} {choice['act']:<8} {j['done']}/{j['planned']}"
            f"  {j['begun_at']}  {wanted}  ({j['actor']}: {j['reason']})"
        )
    if not jobs:
        out.line("没有批量任务", "No bulk acts")


def stop_job(out: Output, node: Node, job_id: int, reason: str) -> None:
    from frontgate.journal import bulk

    reason = reason or click.prompt(out.pick("原因", "Reason"))
    reply = node.ask({"act": "bulk-stop", "job": job_id, "actor": actor(), "reason": reason})
    if reply is not None:
        stopped = bool(reply["stopped"])
    else:
        with node.journal() as journal, journal.write() as tx:
            stopped = bulk.stop(tx, job_id, actor=actor(), reason=reason)
    out.emit(
        {"stopped": stopped},
        f"任务 {job_id} 已停止" if stopped else f"任务 {job_id} 并未在执行",
        f"Job {job_id} is stopped" if stopped else f"Job {job_id} was not running",
    )
    if not stopped:
        raise click.exceptions.Exit(1)
