"""The simulated province: one hub, four gateways, their folders and wires, laid out per seed.

Keys and certificates are made once in a process and copied: a seed costs no key.
"""

from __future__ import annotations

import math
import random
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from faults.gap import Device, put_between

from frontgate import clock
from frontgate.gateway import daemon as gateway_daemon
from frontgate.gateway import inbound as gateway_inbound
from frontgate.gateway import intake as gateway_intake
from frontgate.gateway import uplink
from frontgate.gateway.daemon import Gateway
from frontgate.gateway.setup import make_home, take_bundle
from frontgate.hub import intake as hub_intake
from frontgate.hub.admin import Administration, lay_out_mailboxes, set_up
from frontgate.hub.daemon import Hub
from frontgate.pipeline import dispatch, take
from frontgate.settings import GatewaySettings, HubSettings, load_gateway, load_hub
from frontgate.standard import Checker, Standards
from frontgate.transports import Transport
from frontgate.trust.unit_bundle import read_unit_bundle

from .wire import Wire
from .world import START, Node, World

HUB = "52000090005"
POLICE, PROCURATORATE = "5201021100X", "52010221005"
COURT, DETENTION = "52010231000", "52010213005"
ROLES = {
    POLICE: "police",
    PROCURATORATE: "procuratorate",
    COURT: "court",
    DETENTION: "detention",
}
NAMES = {POLICE: "police", PROCURATORATE: "procuracy", COURT: "court", DETENTION: "detention"}
SMALL_SIZES = {"LARGE_BYTES": 64_000, "LARGE_ENTRY_BYTES": 96_000, "RESUME_BLOCK": 8192}
"""Here packages of this size count as large: lanes and resuming are tried without moving megabytes."""
_SIZED = (gateway_daemon, gateway_inbound, gateway_intake, hub_intake, dispatch, uplink, take)
_REAL_SIZES = {
    (module.__name__, name): getattr(module, name)
    for module in _SIZED
    for name in SMALL_SIZES
    if hasattr(module, name)
}

_RELAY = "[relay]\nretry_first_s = 0.5\nretry_max_s = 8\noverdue_s = 40\nbundle_members = 8\n"
_GATEWAY = "heartbeat_s = 86400\n[intake]\nsettle_s = 1\nrescan_s = 5\nincomplete_after_s = 10\n"
_DISK = "[disk]\nhigh_water_percent = 100\nreserve_bytes = 0\n"

_standards = Standards.load()
_checker = Checker(_standards)
_template: list[Path] = []


def _shared(_: Standards) -> Checker:
    return _checker  # one thread: compiled schemas may be shared


def shared_memory() -> Path | None:
    """Where files cost nothing to sync; None: the usual temporary folder."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() else None


def template() -> Path:
    """A province that was never started, made once in this process."""
    if not _template:
        home = Path(tempfile.mkdtemp(prefix="frontgate-sim-", dir=shared_memory()))
        clock.use(lambda: START - timedelta(days=60), None)
        try:
            _make(home)
        finally:
            clock.use(None, None)
        _template.append(home)
    return _template[0]


def forget_template() -> None:
    """Remove it."""
    while _template:
        shutil.rmtree(_template.pop(), ignore_errors=True)


def _make(home: Path) -> None:
    set_up(home / "hub", HUB, "省级交换平台")
    text = f'unit = "{HUB}"\n[sftp]\nserver = "openssh"\n{_RELAY}'
    (home / "hub" / "hub.toml").write_text(text)
    administration = Administration(load_hub(home / "hub" / "hub.toml"))
    table = ["code,name_zh,name_en,roles"]
    table += [f"{code},{role},{role},{role}" for code, role in ROLES.items()]
    administration.import_units("\n".join(table).encode(), "units.csv")
    requests = [make_home(home / code, [code], "ecdsa-p256-sha256") for code in ROLES]
    results = administration.admit(requests, home / "bundles")
    assert all(r.error is None for r in results)
    for code in ROLES:
        settings = home / code / "gateway.toml"
        bundle = read_unit_bundle((home / "bundles" / f"{code}.bundle").read_bytes())
        take_bundle(home / code, settings, bundle)
        with settings.open("a") as file:
            file.write("\n" + _RELAY + _GATEWAY + _DISK)
    settings = load_hub(home / "hub" / "hub.toml")
    lay_out_mailboxes(settings, administration.trust.directory)
    # Folders, `reference/` and empty journals are made beforehand: steps that no message needs.
    for code in ROLES:
        gateway = Gateway(load_gateway(home / code / "gateway.toml"), standards=_standards)
        gateway.publish_reference()
        gateway.journal.close()
    Hub(settings, standards=_standards).journal.close()


class Province:
    """The nodes of one seed below `home`. In every seventh seed one unit lies behind a gap device."""

    def __init__(self, world: World, home: Path) -> None:
        self.world = world
        self.home = home
        shutil.copytree(template(), home, dirs_exist_ok=True)
        self.carried = ""
        self.device: Device | None = None
        if world.seed % 7 == 0:
            # By its own luck: the events of all other seeds stay what they were.
            self.carried = random.Random(world.seed).choice(list(ROLES))
            self.device = put_between(
                home / self.carried, home / "hub", self.carried, world.seed, most=math.inf
            )
        self.hub = Node("hub", home / "hub", self._make_hub)
        self.gateways: dict[str, Node] = {}
        self.wires: dict[str, Wire] = {}
        world.nodes["hub"] = self.hub
        for code in ROLES:
            node = Node(NAMES[code], home / code, lambda code=code: self._make_gateway(code))
            box = home / "hub" / "sftp" / f"u{code.lower()}"
            self.gateways[code] = world.nodes[NAMES[code]] = node
            self.wires[code] = Wire(world, node, self.hub, box)

    def _make_hub(self) -> Hub:
        settings = load_hub(self.hub.home / "hub.toml")
        return Hub(settings, standards=_standards, new_checker=_shared)

    def _make_gateway(self, code: str) -> Gateway:
        settings = load_gateway(self.home / code / "gateway.toml")

        def through_device() -> Transport:
            assert made._device is not None
            transport = made._device.connect()

            def wait(timeout_s: float) -> bool:  # in virtual time that is said, not done
                is_new = bool(transport.entries())
                self.gateways[code].slept = 0.05 if is_new else timeout_s
                return is_new

            transport.wait = wait  # type: ignore[method-assign]
            return transport

        made = Gateway(
            settings,
            connect=through_device if code == self.carried else self.wires[code].connect,
            standards=_standards,
            new_checker=_shared,
        )
        return made

    def settings(self) -> list[GatewaySettings | HubSettings]:
        """Of every node."""
        gateways = [load_gateway(self.home / code / "gateway.toml") for code in ROLES]
        return [load_hub(self.hub.home / "hub.toml"), *gateways]

    def start(self) -> None:
        for node in self.world.nodes.values():
            self.world.start(node)

    def spool(self, code: str) -> Path:
        return self.home / code / "spool"

    def journal(self, code: str) -> Path:
        """The journal's file of a unit's gateway, or of the hub."""
        return (self.hub.home if code == "hub" else self.home / code) / "state" / "journal.db"


def use_small_packages(is_small: bool) -> None:
    """Let lanes part and transfers resume at `SMALL_SIZES`, or at the real sizes again."""
    for module in _SIZED:
        for name, size in SMALL_SIZES.items():
            real = _REAL_SIZES.get((module.__name__, name))
            if real is not None:
                setattr(module, name, size if is_small else real)
