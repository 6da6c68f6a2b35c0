"""The commands: by name, where each lives and the first sentence of its help.

The sentence stands here too so that the list of commands imports none of them; a test holds the two
together.
"""

from __future__ import annotations

from collections.abc import Mapping

EVERYDAY: Mapping[str, tuple[str, str]] = {
    "demo": (
        "frontgate.cli.demo:demo",
        "Play the main job for real: hub, SFTP, five gateways, a two-suspect case.",
    ),
    "init": (
        "frontgate.cli.enrolment:init",
        "Make a gateway's home: settings, keys, spool folders and request.json.",
    ),
    "enrol": (
        "frontgate.cli.enrolment:enrol",
        "Take the hub's answer: certificates, trust, address and host keys.",
    ),
    "doctor": (
        "frontgate.cli.doctor:doctor",
        "Check keys, certificates, clock, disk, rights, host key, login, a message there and back.",
    ),
    "run": ("frontgate.cli.run:run", "Run the gateway."),
    "check": (
        "frontgate.cli.check:check",
        "Check drops as the gateway would: XML files, ZIPs, folders, or folders of these.",
    ),
    "sample": (
        "frontgate.cli.standard:sample",
        "Write a sample message with its files, as a folder that can be dropped into outbound/.",
    ),
    "standard": (
        "frontgate.cli.standard:standard",
        "The exchange standard: message types, their fields, a handbook, differences of versions.",
    ),
    "draft": (
        "frontgate.cli.draft:draft",
        "Write the next message of a case: persons, charges, measures and numbers that earlier messages of this gateway said are filled in; what is new is left open and listed.",
    ),
    "send": (
        "frontgate.cli.send:send",
        "Drop PATH into outbound/ and wait until every receiver has it.",
    ),
    "status": (
        "frontgate.cli.status:status",
        "Show queues by destination and age, links, troubles with advice.",
    ),
    "alarms": ("frontgate.cli.alarms:alarms", "List what needs somebody now."),
    "list": ("frontgate.cli.transfers:list_", "List transfers, newest first."),
    "show": (
        "frontgate.cli.transfers:show",
        "Show all about one message: by MessageId, transfer id, SenderRef or name of the drop.",
    ),
    "trace": (
        "frontgate.cli.transfers:trace",
        "Show the course of a case or message: every step and receipt in order of time.",
    ),
    "replay": ("frontgate.cli.acts:replay", "Send again: a new attempt with the same package."),
    "hold": (
        "frontgate.cli.acts:hold",
        "Keep waiting transfers (id, or MessageId) from being sent, until released.",
    ),
    "release": ("frontgate.cli.acts:release", "Let held transfers go on."),
    "cancel": (
        "frontgate.cli.acts:cancel",
        "End waiting or held transfers: their senders get a signed relay-failed with the reason.",
    ),
    "verify": (
        "frontgate.cli.verify:verify",
        "Verify a sealed package (.asice), a receipt, a control message, or an archive, evidence or backup file, offline.",
    ),
    "explain": (
        "frontgate.cli.verify:explain",
        "Explain a code of a report, receipt or alarm (its id will do), in both languages.",
    ),
    "volumes": (
        "frontgate.cli.volumes:volumes",
        "List case files that came as n of m packages, and which packages are missing.",
    ),
    "reconcile": (
        "frontgate.cli.reconcile:reconcile",
        "Show how each day came out with the hub, and every gap by its message.",
    ),
    "audit": (
        "frontgate.cli.audit:audit",
        "The audit chain of this node, and the invariants behind it.",
    ),
    "archive": (
        "frontgate.cli.keep:archive",
        "Write sealed originals, receipts and audit entries into self-verifying archive files.",
    ),
    "prune": (
        "frontgate.cli.keep:prune",
        "Remove what is archived and past its term: contents first, audit entries after 400 days.",
    ),
    "export": (
        "frontgate.cli.medium:export",
        "Write evidence about IDENT (a MessageId, FlowUid or CaseUid), or, with --waiting, a medium.",
    ),
    "import": (
        "frontgate.cli.medium:import_",
        "Take in a medium that the other side wrote with export --waiting.",
    ),
    "backup": (
        "frontgate.cli.keep:backup",
        "Back the node up while it runs: journal, packages, settings, what it trusts.",
    ),
    "restore": (
        "frontgate.cli.keep:restore",
        "Put a backup in place below HOME, which must not hold a journal.",
    ),
    "hub": ("frontgate.cli.main:hub", "The provincial hub: set up, admit units, run."),
}
HUB: Mapping[str, tuple[str, str]] = {
    "init": ("frontgate.cli.hub_admin:init", "Make a hub's home: CA, keys, settings, mailboxes."),
    "admit": (
        "frontgate.cli.hub_admin:admit",
        "Admit gateways: issue certificates and write one bundle per request.",
    ),
    "units": ("frontgate.cli.hub_admin:units", "The unit directory: import a table, list it."),
    "suspend": (
        "frontgate.cli.hub_admin:suspend",
        "Suspend a unit: what it sends is refused with a receipt, until --lift.",
    ),
    "revoke": (
        "frontgate.cli.hub_admin:revoke",
        "Revoke a unit: its certificate and its login count no more.",
    ),
    "sshd-config": (
        "frontgate.cli.hub_admin:sshd_config",
        "Print an OpenSSH configuration for the units; --prepare makes their accounts.",
    ),
    "reconcile": (
        "frontgate.cli.reconcile:hub_reconcile",
        "Show how each day came out with each gateway, and every gap by its message.",
    ),
    "run": (
        "frontgate.cli.run:hub_run",
        "Run the hub, with its SFTP server unless OpenSSH serves the units.",
    ),
    "project": (
        "frontgate.cli.cases:project",
        "Keep the projections up to date, in the foreground; the running hub does so by itself.",
    ),
    "rebuild": (
        "frontgate.cli.cases:rebuild",
        "Throw the projections away and make them anew from the journal.",
    ),
    "cases": (
        "frontgate.cli.cases:cases",
        "Find cases: by CaseUid, number, identity number, or the beginning of a name.",
    ),
    "admit-unit": (
        "frontgate.cli.cases:admit",
        "A party of a case confirms that UNIT takes part: it gets a view, its messages count.",
    ),
    "due": ("frontgate.cli.due:due", "List terms that are due or overdue, the earliest first."),
    "ask": (
        "frontgate.cli.ask:ask",
        "Ask a saved question of supervision; without NAME list all with their counts.",
    ),
    "stats": ("frontgate.cli.stats:stats", "Statistics of the exchange."),
    "replay-history": (
        "frontgate.cli.history:replay_history",
        "Play the seed platform's two years into a new hub below DIRECTORY, and show its table.",
    ),
    "console": ("frontgate.cli.console:console", "Serve the console until stopped."),
    "user": (
        "frontgate.cli.console:user",
        "Accounts of the console: add, list, disable, enable, password.",
    ),
    "token": ("frontgate.cli.console:token", "Tokens of units for the API: add, list, revoke."),
}
