-- The journal of one node, version 1. Written by one process only (WAL, synchronous=FULL).
-- Times: *_at is RFC 3339 UTC text with milliseconds; *_ms is milliseconds since 1970 for queues.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- The audit chain (core/chain.py). Rows are only ever added.
CREATE TABLE event (
  seq  INTEGER PRIMARY KEY,
  at   TEXT NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL,
  head TEXT NOT NULL
) STRICT;
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'append only'); END;
-- What left for a self-verifying archive. Each row is a signed checkpoint of the chain: event_head is
-- the head at its last archived event. *_to: the last row of each table that some archive holds.
CREATE TABLE archive (
  number        INTEGER PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  size_bytes    INTEGER NOT NULL,
  digest        TEXT NOT NULL,
  package_to    INTEGER NOT NULL,
  quarantine_to INTEGER NOT NULL,
  receipt_to    INTEGER NOT NULL,
  event_to      INTEGER NOT NULL,
  event_head    TEXT NOT NULL,
  epoch         INTEGER NOT NULL,
  xml           BLOB NOT NULL,
  made_at       TEXT NOT NULL
) STRICT;
CREATE TRIGGER archive_no_update BEFORE UPDATE ON archive BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER archive_no_delete BEFORE DELETE ON archive BEGIN SELECT RAISE(ABORT, 'append only'); END;
-- An event goes only behind a checkpoint.
CREATE TRIGGER event_no_delete BEFORE DELETE ON event
  WHEN OLD.seq > coalesce((SELECT max(event_to) FROM archive), 0)
  BEGIN SELECT RAISE(ABORT, 'append only'); END;

-- Immutable files that hold packages: sealed here, or bundles taken from the other side.
CREATE TABLE segment (
  id         INTEGER PRIMARY KEY,
  path       TEXT NOT NULL UNIQUE,
  size_bytes INTEGER NOT NULL,
  origin     TEXT NOT NULL CHECK (origin IN ('sealed', 'taken')),
  made_at    TEXT NOT NULL,
  state      TEXT NOT NULL DEFAULT 'kept' CHECK (state IN ('kept', 'going', 'gone'))
) STRICT;
-- going: archived and past its term, its file may be removed at any moment. The row stays for ever.
CREATE INDEX segment_going ON segment (id) WHERE state = 'going';

-- One row per package (or refused drop). direction: out = sealed here, in = came by bundle.
-- is_adopted: bound again by receipts that came back after a restore; its bytes may be missing.
CREATE TABLE package (
  id             INTEGER PRIMARY KEY,
  direction      TEXT NOT NULL CHECK (direction IN ('out', 'in')),
  state          TEXT NOT NULL,
  sender         TEXT NOT NULL,
  message_id     TEXT NOT NULL,
  message_type   TEXT NOT NULL DEFAULT '',
  flow_uid       TEXT NOT NULL DEFAULT '',
  in_reply_to    TEXT NOT NULL DEFAULT '',
  case_uid       TEXT NOT NULL DEFAULT '',
  sender_ref     TEXT NOT NULL DEFAULT '',
  urgency        INTEGER NOT NULL DEFAULT 1,
  test_flag      INTEGER NOT NULL DEFAULT 0,
  business_time  TEXT NOT NULL DEFAULT '',
  recipients     TEXT NOT NULL DEFAULT '',
  content_digest TEXT NOT NULL DEFAULT '',
  seal_digest    TEXT NOT NULL DEFAULT '',
  unit           TEXT NOT NULL DEFAULT '',
  app            TEXT NOT NULL DEFAULT '',
  drop_name      TEXT NOT NULL DEFAULT '',
  drop_digest    TEXT NOT NULL DEFAULT '',
  claim_id       TEXT,
  segment_id     INTEGER REFERENCES segment(id),
  offset_bytes   INTEGER NOT NULL DEFAULT 0,
  size_bytes     INTEGER NOT NULL DEFAULT 0,
  digest         TEXT NOT NULL DEFAULT '',
  report         TEXT NOT NULL DEFAULT '[]',
  is_adopted     INTEGER NOT NULL DEFAULT 0,
  made_at        TEXT NOT NULL
) STRICT;
-- Exactly-once effect: an admitted (sender, MessageId) is bound for ever.
CREATE UNIQUE INDEX package_identity ON package (direction, sender, message_id) WHERE state = 'ADMITTED';
-- A claim found again after a crash is recognised by its id and only finished.
CREATE UNIQUE INDEX package_claim ON package (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX package_message ON package (message_id);
CREATE INDEX package_drop ON package (drop_name);
CREATE INDEX package_segment ON package (segment_id);
-- What was refused, newest first.
CREATE INDEX package_refused ON package (id) WHERE state = 'REJECTED';
CREATE INDEX package_ref ON package (sender_ref);
CREATE INDEX package_flow ON package (flow_uid) WHERE state = 'ADMITTED';
CREATE INDEX package_case ON package (case_uid) WHERE case_uid <> '';

-- One row per package, destination, receiver and attempt. The state column is written by
-- journal/transfers.py alone, through core/lifecycle.py.
CREATE TABLE transfer (
  id          INTEGER PRIMARY KEY,
  package_id  INTEGER NOT NULL REFERENCES package(id),
  destination TEXT NOT NULL,
  receiver    TEXT NOT NULL DEFAULT '',
  attempt     INTEGER NOT NULL DEFAULT 1,
  state       TEXT NOT NULL,
  urgency     INTEGER NOT NULL DEFAULT 1,
  flow_uid    TEXT NOT NULL DEFAULT '',
  is_large    INTEGER NOT NULL DEFAULT 0,
  is_bulk     INTEGER NOT NULL DEFAULT 0,
  failures    INTEGER NOT NULL DEFAULT 0,
  due_ms      INTEGER NOT NULL DEFAULT 0,
  warned      INTEGER NOT NULL DEFAULT 0,
  bundle_id   TEXT NOT NULL DEFAULT '',
  entry       TEXT NOT NULL DEFAULT '',
  reason      TEXT NOT NULL DEFAULT '',
  made_at     TEXT NOT NULL,
  made_ms     INTEGER NOT NULL,
  changed_at  TEXT NOT NULL,
  changed_ms  INTEGER NOT NULL DEFAULT 0,
  UNIQUE (package_id, destination, receiver, attempt)
) STRICT;
CREATE INDEX transfer_queue ON transfer (destination, is_large, is_bulk, urgency DESC, id)
  WHERE state = 'QUEUED';
CREATE INDEX transfer_large ON transfer (id) WHERE state = 'QUEUED' AND is_large = 1;
CREATE INDEX transfer_due ON transfer (destination, due_ms) WHERE state = 'QUEUED' AND due_ms > 0;
CREATE INDEX transfer_bundle ON transfer (bundle_id) WHERE bundle_id <> '';
CREATE INDEX transfer_open ON transfer (state, destination, changed_ms)
  WHERE state IN ('QUEUED', 'SENDING', 'SENT', 'HELD', 'UNCONFIRMED');
CREATE INDEX transfer_age ON transfer (warned, made_ms) WHERE state IN ('QUEUED', 'SENDING', 'SENT', 'HELD');
CREATE INDEX transfer_flow ON transfer (destination, flow_uid, id)
  WHERE state IN ('QUEUED', 'SENDING', 'SENT');
CREATE INDEX transfer_package ON transfer (package_id);
CREATE INDEX transfer_failed ON transfer (id) WHERE state IN ('FAILED', 'CANCELLED', 'UNCONFIRMED');

-- Acts of an operator on many transfers (replay, hold, release, cancel): a walk by transfer id from
-- at_id to end_id, in small transactions, going on where it was after any stop.
CREATE TABLE bulk (
  id       INTEGER PRIMARY KEY,
  act      TEXT NOT NULL CHECK (act IN ('replay', 'hold', 'release', 'cancel')),
  choice   TEXT NOT NULL,
  per_s    REAL NOT NULL DEFAULT 0,
  actor    TEXT NOT NULL,
  reason   TEXT NOT NULL,
  state    TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped')),
  at_id    INTEGER NOT NULL,
  end_id   INTEGER NOT NULL,
  planned  INTEGER NOT NULL,
  done     INTEGER NOT NULL DEFAULT 0,
  bytes    INTEGER NOT NULL DEFAULT 0,
  begun_at TEXT NOT NULL,
  ended_at TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX bulk_running ON bulk (id) WHERE state = 'running';
-- What waits for a person; small, whatever the journal's size.
CREATE INDEX transfer_troubled ON transfer (id) WHERE state IN ('FAILED', 'UNCONFIRMED', 'HELD');

-- A bundle's receipts share one signature; each receipt verifies with it alone.
CREATE TABLE signature (
  id     INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  xml    BLOB NOT NULL
) STRICT;
CREATE TABLE receipt (
  id           INTEGER PRIMARY KEY,
  receipt_id   TEXT NOT NULL UNIQUE,
  kind         TEXT NOT NULL,
  sender       TEXT NOT NULL,
  message_id   TEXT NOT NULL,
  receiver     TEXT NOT NULL,
  issuer       TEXT NOT NULL,
  issuer_node  TEXT NOT NULL,
  event_time   TEXT NOT NULL,
  attempt      INTEGER NOT NULL,
  audit_seq    INTEGER NOT NULL,
  audit_head   TEXT NOT NULL,
  digest       TEXT NOT NULL,
  xml          BLOB NOT NULL,
  signature_id INTEGER NOT NULL REFERENCES signature(id),
  package_id   INTEGER REFERENCES package(id),
  kept_at      TEXT NOT NULL
) STRICT;
CREATE INDEX receipt_message ON receipt (message_id, receiver, id);
CREATE INDEX receipt_package ON receipt (package_id);

-- Receipts that still have to travel. bundle_id: empty until a bundle took them; the row stays until
-- the other side answered that bundle.
CREATE TABLE receipt_out (
  receipt     INTEGER NOT NULL REFERENCES receipt(id),
  destination TEXT NOT NULL,
  bundle_id   TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (destination, receipt)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_out_waiting ON receipt_out (destination, receipt) WHERE bundle_id = '';
CREATE INDEX receipt_out_bundle ON receipt_out (bundle_id) WHERE bundle_id <> '';

-- Receipt files in the spool: projections. flushed = 1 once they are on stable storage. asked: how often
-- it was to be written; one asked for again while it is flushed is not flushed by that.
CREATE TABLE receipt_file (
  receipt INTEGER NOT NULL REFERENCES receipt(id),
  spool   TEXT NOT NULL,
  stem    TEXT NOT NULL,
  name    TEXT NOT NULL,
  flushed INTEGER NOT NULL DEFAULT 0,
  asked   INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (spool, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_file_unflushed ON receipt_file (spool, receipt) WHERE flushed = 0;
CREATE INDEX receipt_file_stem ON receipt_file (spool, stem);

-- Signed control messages waiting for a destination, and the highest number seen per issuer.
CREATE TABLE control_out (
  id          INTEGER PRIMARY KEY,
  destination TEXT NOT NULL,
  name        TEXT NOT NULL,
  xml         BLOB NOT NULL,
  bundle_id   TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX control_out_waiting ON control_out (destination, id) WHERE bundle_id = '';
CREATE INDEX control_out_bundle ON control_out (bundle_id) WHERE bundle_id <> '';
CREATE TABLE control_in (
  issuer TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL, xml BLOB NOT NULL,
  PRIMARY KEY (issuer, kind)
) STRICT, WITHOUT ROWID;

-- Bundles composed here: members and order are journaled before the first byte travels.
CREATE TABLE bundle_out (
  bundle_id   TEXT PRIMARY KEY,
  destination TEXT NOT NULL,
  sequence    INTEGER NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('composed', 'sent')),
  members     TEXT NOT NULL,
  extra       BLOB NOT NULL,
  size_bytes  INTEGER NOT NULL,
  made_at     TEXT NOT NULL,
  sent_ms     INTEGER NOT NULL DEFAULT 0,
  UNIQUE (destination, sequence)
) STRICT;
CREATE INDEX bundle_out_open ON bundle_out (destination, sequence) WHERE state = 'composed';

-- Bundles taken from a peer; a repeat is recognised by its id. is_answered = 0: owed a bundle-taken.
CREATE TABLE bundle_in (
  bundle_id  TEXT NOT NULL,
  peer       TEXT NOT NULL,
  segment_id INTEGER NOT NULL REFERENCES segment(id),
  taken_at   TEXT NOT NULL,
  is_answered INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (peer, bundle_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX bundle_in_owed ON bundle_in (peer, bundle_id) WHERE is_answered = 0;

-- Restored and replaced nodes: what was asked of a peer (asked) and what is being told it (served).
-- epoch: of the node that asked. since_epoch, since_seq, since_at: what that node knew last. cursor: place in the paging.
CREATE TABLE resync (
  peer      TEXT NOT NULL,
  side      TEXT NOT NULL CHECK (side IN ('asked', 'served')),
  epoch     INTEGER NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('open', 'draining', 'answered', 'closed')),
  since_epoch INTEGER NOT NULL DEFAULT 0,
  since_seq INTEGER NOT NULL DEFAULT 0,
  since_at  TEXT NOT NULL DEFAULT '',
  cursor    INTEGER NOT NULL DEFAULT 0,
  receipts  INTEGER NOT NULL DEFAULT 0,
  packages  INTEGER NOT NULL DEFAULT 0,
  missing   INTEGER NOT NULL DEFAULT 0,
  began_at  TEXT NOT NULL,
  ended_at  TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (peer, side)
) STRICT, WITHOUT ROWID;

-- What admitted messages said and later ones are held against (standard/context.py); hub only.
CREATE TABLE fact (
  package_id INTEGER NOT NULL REFERENCES package(id),
  name       TEXT NOT NULL,
  key        TEXT NOT NULL,
  value      TEXT NOT NULL
) STRICT;
CREATE INDEX fact_key ON fact (name, key, package_id);
CREATE INDEX fact_package ON fact (package_id, name);

-- What projections need of a message once its package is pruned: head (JSON) and the message itself
-- without white space, compressed (standard/extract.py); hub only, never of test traffic.
CREATE TABLE extract (
  package_id INTEGER PRIMARY KEY REFERENCES package(id),
  head       TEXT NOT NULL,
  body       BLOB NOT NULL
) STRICT;

-- Entries of the chain that projections follow, kept when the chain's own go behind a checkpoint; hub only.
CREATE TABLE told (
  seq  INTEGER PRIMARY KEY,
  at   TEXT NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL,
  head TEXT NOT NULL
) STRICT;

-- CaseUids minted by this gateway, by unit, app and SenderRef, so that a repeat gets the same.
CREATE TABLE minted_case (key TEXT PRIMARY KEY, case_uid TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- What is waiting for a person, or was refused without a package of its own (damaged members).
CREATE TABLE quarantine (
  id         INTEGER PRIMARY KEY,
  at         TEXT NOT NULL,
  origin     TEXT NOT NULL,
  name       TEXT NOT NULL,
  segment_id INTEGER REFERENCES segment(id),
  offset_bytes INTEGER NOT NULL DEFAULT 0,
  size_bytes INTEGER NOT NULL DEFAULT 0,
  code       TEXT NOT NULL,
  detail     TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_segment ON quarantine (segment_id);

-- Reconciliation. A message belongs to the day at which the hub relayed it, by its signed receipt.
CREATE INDEX receipt_relayed ON receipt (event_time) WHERE kind = 'relay-accepted';
CREATE INDEX package_day ON package (direction, made_at);
-- Control messages `tally` that wait to be worked on.
CREATE TABLE tally_in (
  id   INTEGER PRIMARY KEY,
  peer TEXT NOT NULL,
  xml  BLOB NOT NULL
) STRICT;
-- How each day came out with each peer, at the newest run. hours: a bit for each that is not compared.
CREATE TABLE tally_day (
  peer      TEXT NOT NULL,
  day       TEXT NOT NULL,
  direction TEXT NOT NULL CHECK (direction IN ('up', 'down')),
  state     TEXT NOT NULL CHECK (state IN ('agreed', 'comparing', 'gaps')),
  hours     INTEGER NOT NULL,
  count     INTEGER NOT NULL,
  digest    TEXT NOT NULL,
  as_of     TEXT NOT NULL,
  run       TEXT NOT NULL,
  told_at   TEXT NOT NULL,
  PRIMARY KEY (peer, day, direction)
) STRICT, WITHOUT ROWID;
-- Open gaps, by message and receiver; closed ones stand in the audit chain.
CREATE TABLE gap (
  peer       TEXT NOT NULL,
  message_id TEXT NOT NULL,
  sender     TEXT NOT NULL,
  receiver   TEXT NOT NULL,
  direction  TEXT NOT NULL,
  bucket     TEXT NOT NULL,
  kind       TEXT NOT NULL,
  hub_says   TEXT NOT NULL,
  unit_says  TEXT NOT NULL,
  since      TEXT NOT NULL,
  PRIMARY KEY (peer, message_id, sender, receiver, direction)
) STRICT, WITHOUT ROWID;
CREATE INDEX gap_bucket ON gap (peer, direction, bucket, message_id);

-- What each unit sent by hour (UTC+08:00), and who is silent against that habit; hub only.
CREATE TABLE sent_hour (
  unit    TEXT NOT NULL,
  hour    TEXT NOT NULL,
  count   INTEGER NOT NULL,
  last_at TEXT NOT NULL,
  PRIMARY KEY (unit, hour)
) STRICT, WITHOUT ROWID;
CREATE TABLE silence (
  unit     TEXT PRIMARY KEY,
  since    TEXT NOT NULL,
  expected REAL NOT NULL,
  usual    REAL NOT NULL
) STRICT, WITHOUT ROWID;
-- Since when each alarm stands.
CREATE TABLE alarm (id TEXT PRIMARY KEY, code TEXT NOT NULL, since TEXT NOT NULL) STRICT, WITHOUT ROWID;
