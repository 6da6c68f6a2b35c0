"""`frontgate demo`: a hub and five units on loopback, driven by files alone."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from frontgate.cli.output import Output, say

if TYPE_CHECKING:
    from frontgate.cli.scenario import Play


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this folder (must be empty or new).",
)
@click.option(
    "--packages",
    default=0,
    metavar="N",
    help="Also send N generated messages; prints throughput and latency.",
)
@click.option("--serve", is_flag=True, help="Keep hub and gateways running until Ctrl-C.")
@click.pass_obj
def demo(out: Output, directory: Path | None, packages: int, serve: bool) -> None:
    """Play the main job for real: hub, SFTP, five gateways, a two-suspect case.

    Case software is played by dropping and reading files, under another account where that is
    possible. Three bad messages are dropped as well. Exit 0 only if everything expected came true.
    """
    from frontgate.cli.scenario import Play

    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty")
    home = directory or Path(tempfile.mkdtemp(prefix="frontgate-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT):  # the latter is ignored below nohup or `&`
        signal.signal(number, signal.default_int_handler)
    play = Play(home.resolve(), say=_teller(out), console=serve)
    try:
        play.set_up()
        play.run_case()
        play.run_bad_drops()
        if packages:
            play.run_bulk(packages)
        ok = play.conclude()
        _summary(out, play, home if directory else None, time.monotonic() - began)
        if serve:
            _console(out, play)
            unit = home.resolve() / "5201021100X"
            out.line(
                f"试一试：frontgate -c {unit} send 报文；frontgate -c {unit} status；按 Ctrl-C 结束",
                f"try: frontgate -c {unit} send PATH; frontgate -c {unit} status; Ctrl-C stops all",
            )
            try:
                while True:
                    time.sleep(1)
            except KeyboardInterrupt:
                pass
    finally:
        play.stop()
        if directory is None and not serve:
            shutil.rmtree(home, ignore_errors=True)
    if not ok:
        raise click.exceptions.Exit(1)


def _console(out: Output, play: Play) -> None:
    """Where the console is, and a login of each role to try."""
    url, accounts = play.open_console()
    out.line(f"\n控制台：{url}", f"\nConsole: {url}")
    for login, password, zh, en in accounts:
        say(f"  {login:<10} {password}   {out.pick(zh, en)}")


def _teller(out: Output) -> Any:
    """How each hop is told: with marks and colour on a terminal, plainly elsewhere."""
    if out.as_json:
        return lambda *_: None
    if not sys.stdout.isatty():
        return lambda mark, zh, en: say(f"{mark} {out.pick(zh, en)}")
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    colours = {"✓": "green", "✗": "red", "→": "cyan", "▸": "bold"}

    def tell(mark: str, zh: str, en: str) -> None:
        line = Text(f"{mark} ", style=colours.get(mark, ""))
        line.append(out.pick(zh, en), style="bold" if mark == "▸" else "")
        console.print(line)

    return tell


def _summary(out: Output, play: Play, kept: Path | None, seconds: float) -> None:
    result = play.result()
    if out.as_json:
        out.json({**result, "seconds": round(seconds, 2), "dir": str(kept) if kept else ""})
        return
    say()
    for step in play.course:
        say(
            f"  {step['time'][11:23]}  {step['what']:<20} {step['type']:<26} {step['from']} → {step['to'] or '*'}"
        )
    say()
    if play.bulk:
        b = play.bulk
        out.line(
            f"批量：{b['packages']} 件，{b['per_second']:.0f} 件/秒，延迟 p50 {b['p50_ms']:.0f} ms、p99 {b['p99_ms']:.0f} ms",
            f"Bulk: {b['packages']} packages, {b['per_second']:.0f}/s, latency p50 {b['p50_ms']:.0f} ms, p99 {b['p99_ms']:.0f} ms",
        )
    passed, failed = len(play.passed), len(play.failed)
    out.line(
        f"{passed} 项预期成立，{failed} 项不成立，用时 {seconds:.1f} 秒",
        f"{passed} expectations came true, {failed} did not, in {seconds:.1f} s",
    )
    for text in play.failed:
        say(f"  ✗ {text}")
    if kept:
        out.line(
            f"文件在 {kept}（<单位>/spool/ 为投放文件夹）",
            f"Everything lies in {kept} (<unit>/spool/ is a unit's spool)",
        )
