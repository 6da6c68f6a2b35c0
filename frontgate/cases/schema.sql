-- Projections of the hub's journal. Every row follows from events and messages alone, never from the
-- present moment: what is due or overdue is judged when read. Times: RFC 3339 UTC with milliseconds,
-- so that they sort as text. relayed_at, known_at: when the hub knew; effective_at, at: when it was.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- One row per admitted message (id: package in the journal). is_outside: its sender was brought in by
-- nobody, so that it says nothing to the case until a party confirms. flags: findings as JSON.
CREATE TABLE message (
  id           INTEGER PRIMARY KEY,
  seq          INTEGER NOT NULL,
  relayed_at   TEXT NOT NULL,
  effective_at TEXT NOT NULL,
  sent_at      TEXT NOT NULL DEFAULT '',
  sender       TEXT NOT NULL,
  message_id   TEXT NOT NULL,
  type         TEXT NOT NULL,
  flow         TEXT NOT NULL,
  step         TEXT NOT NULL,
  flow_uid     TEXT NOT NULL,
  in_reply_to  TEXT NOT NULL,
  replaces     TEXT NOT NULL,
  case_uid     TEXT NOT NULL,
  stage        TEXT NOT NULL,
  urgency      INTEGER NOT NULL,
  conf         TEXT NOT NULL,
  vendor       TEXT NOT NULL,
  product      TEXT NOT NULL,
  version      TEXT NOT NULL,
  standard     TEXT NOT NULL,
  digest       TEXT NOT NULL,
  original     TEXT NOT NULL,
  is_outside   INTEGER NOT NULL DEFAULT 0,
  is_sequence  INTEGER NOT NULL DEFAULT 0,
  flags        TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE UNIQUE INDEX message_identity ON message (message_id, sender);
CREATE INDEX message_case ON message (case_uid, id);
CREATE INDEX message_flow ON message (flow_uid, flow, id);
CREATE INDEX message_original ON message (original);
-- For supervision: the messages of one type.
CREATE INDEX message_type ON message (type, is_outside);
CREATE INDEX message_return ON message (case_uid, flow) WHERE step = 'return';

CREATE TABLE recipient (
  message      INTEGER NOT NULL,
  unit         TEXT NOT NULL,
  mode         TEXT NOT NULL,
  delivered_at TEXT NOT NULL DEFAULT '',
  delivered_known_at TEXT NOT NULL DEFAULT '',
  handed_at    TEXT NOT NULL DEFAULT '',
  failed_at    TEXT NOT NULL DEFAULT '',
  failed_kind  TEXT NOT NULL DEFAULT '',
  delayed_at   TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (message, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipient_waiting ON recipient (unit, message) WHERE delivered_at = '';
CREATE INDEX recipient_unit ON recipient (unit, message);

-- Narrowed copies that a message must have: each is a package of its own (message.original names this).
CREATE TABLE narrowed (
  message INTEGER NOT NULL, unit TEXT NOT NULL,
  PRIMARY KEY (message, unit)
) STRICT, WITHOUT ROWID;

CREATE TABLE document (
  message  INTEGER NOT NULL,
  position INTEGER NOT NULL,
  doc_uid  TEXT NOT NULL,
  type     TEXT NOT NULL,
  title    TEXT NOT NULL,
  carrier  TEXT NOT NULL,
  digest   TEXT NOT NULL,
  bytes    INTEGER NOT NULL,
  PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;

-- owner: the unit that the CaseUid is bound to. is_bound = 0: the unit in the CaseUid was not heard of yet.
CREATE TABLE casefile (
  case_uid     TEXT PRIMARY KEY,
  owner        TEXT NOT NULL,
  is_bound     INTEGER NOT NULL,
  division     TEXT NOT NULL,
  opened_at    TEXT NOT NULL,
  last_at      TEXT NOT NULL,
  messages     INTEGER NOT NULL,
  persons      INTEGER NOT NULL DEFAULT 0,
  name         TEXT NOT NULL DEFAULT '',
  crime        TEXT NOT NULL DEFAULT '',
  stage        TEXT NOT NULL DEFAULT '',
  stage_at     TEXT NOT NULL DEFAULT '',
  police_no    TEXT NOT NULL DEFAULT '',
  procuratorate_no TEXT NOT NULL DEFAULT '',
  court_no     TEXT NOT NULL DEFAULT '',
  handling_unit TEXT NOT NULL DEFAULT '',
  filed_on     TEXT NOT NULL DEFAULT '',
  conf         TEXT NOT NULL DEFAULT '',
  is_joint     INTEGER NOT NULL DEFAULT 0,
  is_juvenile  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- Cases that another unit had used before the unit whose code the CaseUid carries.
CREATE TABLE bound (case_uid TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE INDEX casefile_last ON casefile (last_at, case_uid);
CREATE INDEX casefile_stage ON casefile (stage, last_at);
CREATE INDEX casefile_police ON casefile (police_no);
CREATE INDEX casefile_procuratorate ON casefile (procuratorate_no);
CREATE INDEX casefile_court ON casefile (court_no);
CREATE INDEX casefile_name ON casefile (name);

CREATE TABLE person (
  person_uid     TEXT PRIMARY KEY,
  case_uid       TEXT NOT NULL,
  name           TEXT NOT NULL DEFAULT '',
  role           TEXT NOT NULL DEFAULT '',
  id_type        TEXT NOT NULL DEFAULT '',
  id_no          TEXT NOT NULL DEFAULT '',
  sex            TEXT NOT NULL DEFAULT '',
  birth          TEXT NOT NULL DEFAULT '',
  is_minor       INTEGER NOT NULL DEFAULT 0,
  crime          TEXT NOT NULL DEFAULT '',
  stage          TEXT NOT NULL DEFAULT '',
  stage_at       TEXT NOT NULL DEFAULT '',
  custody        TEXT NOT NULL DEFAULT '',
  custody_at     TEXT NOT NULL DEFAULT '',
  custody_due    TEXT NOT NULL DEFAULT '',
  custody_due_at TEXT NOT NULL DEFAULT '',
  detention_unit TEXT NOT NULL DEFAULT '',
  measure        TEXT NOT NULL DEFAULT '',
  measure_at     TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX person_case ON person (case_uid);
CREATE INDEX person_name ON person (name);
CREATE INDEX person_id ON person (id_no);
CREATE INDEX person_custody ON person (custody, custody_due);

-- Every state of custody ever told of a person, for terms that depend on it.
CREATE TABLE custody (
  person_uid TEXT NOT NULL, at TEXT NOT NULL, message INTEGER NOT NULL, known_at TEXT NOT NULL,
  case_uid TEXT NOT NULL, status TEXT NOT NULL,
  PRIMARY KEY (person_uid, at, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX custody_case ON custody (case_uid);

-- Units that may see a case. how: owner, opener, receiver, copy, jurisdiction, confirmed.
CREATE TABLE party (
  case_uid TEXT NOT NULL, unit TEXT NOT NULL, how TEXT NOT NULL, since TEXT NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (case_uid, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX party_unit ON party (unit, case_uid);

CREATE TABLE outcome (
  message INTEGER NOT NULL, position INTEGER NOT NULL,
  case_uid TEXT NOT NULL, person_uid TEXT NOT NULL, flow TEXT NOT NULL, step TEXT NOT NULL,
  field TEXT NOT NULL, list TEXT NOT NULL, code TEXT NOT NULL, doc_no TEXT NOT NULL,
  decided_on TEXT NOT NULL, decided_by TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX outcome_case ON outcome (case_uid, at);
CREATE INDEX outcome_person ON outcome (person_uid, at);

-- Who a message names, so that a person's course can be told alone.
CREATE TABLE concerns (
  person_uid TEXT NOT NULL, message INTEGER NOT NULL,
  PRIMARY KEY (person_uid, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX concerns_message ON concerns (message);

-- A flow's instance. state: submitted, accepted, returned, decided, executed, withdrawn.
CREATE TABLE instance (
  flow TEXT NOT NULL, flow_uid TEXT NOT NULL, case_uid TEXT NOT NULL,
  opener TEXT NOT NULL, receiver TEXT NOT NULL, opened_at TEXT NOT NULL, opened_message INTEGER NOT NULL,
  last_step TEXT NOT NULL, last_at TEXT NOT NULL, returns INTEGER NOT NULL DEFAULT 0,
  is_closed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (flow, flow_uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX instance_case ON instance (case_uid, opened_at);
CREATE INDEX instance_receiver ON instance (receiver, is_closed);

-- Cases that belong together. kind: same-person, persons-moved (split or merge), replaces, shared-flow.
CREATE TABLE link (
  case_uid TEXT NOT NULL, other_uid TEXT NOT NULL, kind TEXT NOT NULL, person_uid TEXT NOT NULL,
  message INTEGER NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY (case_uid, other_uid, kind, person_uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_other ON link (other_uid);

-- What a person must look at: case-clash, person-clash, outside, moved.
CREATE TABLE alarm (
  case_uid TEXT NOT NULL, kind TEXT NOT NULL, unit TEXT NOT NULL, message INTEGER NOT NULL,
  at TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (case_uid, kind, unit, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX alarm_at ON alarm (at);

CREATE TABLE property (
  property_uid TEXT NOT NULL, case_uid TEXT NOT NULL, name TEXT NOT NULL DEFAULT '',
  category TEXT NOT NULL DEFAULT '', custodian TEXT NOT NULL DEFAULT '', action TEXT NOT NULL DEFAULT '',
  disposal TEXT NOT NULL DEFAULT '', at TEXT NOT NULL, message INTEGER NOT NULL,
  PRIMARY KEY (case_uid, property_uid)
) STRICT, WITHOUT ROWID;

-- Marks: what messages said about a term (rule and part). kind: start, stop, extend, pause, resume,
-- restart. scope: case, or instance where there is no case. subject: person, item or message; empty
-- for the case. said_at: the message's own time. at is empty while a delivery is waited for. reason: why a
-- pause began, a code as list:code (message-type:… where nothing is stated) or a document's number.
CREATE TABLE mark (
  term TEXT NOT NULL, scope TEXT NOT NULL, subject TEXT NOT NULL, message INTEGER NOT NULL,
  kind TEXT NOT NULL, at TEXT NOT NULL, known_at TEXT NOT NULL, unit TEXT NOT NULL, flow_uid TEXT NOT NULL,
  due TEXT NOT NULL DEFAULT '', said_at TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (term, scope, subject, message, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX mark_waiting ON mark (message, unit) WHERE at = '';
CREATE INDEX mark_scope ON mark (scope, subject);

-- Terms as known now. state: open, paused, met, met-late, cancelled; due-soon and overdue are told when
-- read. paused_at, pause_reason: of the pause that nothing has ended. is_lapsing: its end makes nobody late. custody: kind of term; in_custody: the person was. warn_at: the instants of yellow and red.
CREATE TABLE deadline (
  id TEXT PRIMARY KEY, rule TEXT NOT NULL, part TEXT NOT NULL, term TEXT NOT NULL, scope TEXT NOT NULL,
  case_uid TEXT NOT NULL, subject TEXT NOT NULL, flow TEXT NOT NULL, flow_uid TEXT NOT NULL,
  unit TEXT NOT NULL, start_message INTEGER NOT NULL, start_at TEXT NOT NULL, start_known_at TEXT NOT NULL,
  due_at TEXT NOT NULL, safe_due_at TEXT NOT NULL, yellow_at TEXT NOT NULL, red_at TEXT NOT NULL,
  state TEXT NOT NULL, stop_message INTEGER NOT NULL, stop_at TEXT NOT NULL, stop_known_at TEXT NOT NULL,
  changes TEXT NOT NULL, in_custody INTEGER NOT NULL, is_custody INTEGER NOT NULL,
  is_estimated INTEGER NOT NULL, is_beyond INTEGER NOT NULL,
  is_lapsing INTEGER NOT NULL,
  paused_at TEXT NOT NULL, pause_reason TEXT NOT NULL,
  -- The legal month (UTC+08:00) of its last moment: due_at is the first that is too late.
  due_month TEXT NOT NULL GENERATED ALWAYS AS (strftime('%Y-%m', due_at, '+8 hours', '-0.001 seconds')) VIRTUAL
) STRICT, WITHOUT ROWID;
CREATE INDEX deadline_triple ON deadline (term, scope, subject);
CREATE INDEX deadline_open ON deadline (due_at, id, is_lapsing, rule, unit, flow) WHERE state = 'open';
CREATE INDEX deadline_paused ON deadline (paused_at, id, unit) WHERE state = 'paused';
CREATE INDEX deadline_unit ON deadline (unit, state, due_at);
CREATE INDEX deadline_rule ON deadline (rule, state, due_at);
CREATE INDEX deadline_case ON deadline (case_uid);
CREATE INDEX deadline_subject ON deadline (subject);

-- Terms whose end makes somebody late, by legal month of their end; unit '' is all units together, so that the
-- province's rates cost rules times months, not terms. Kept by triggers: exact whoever writes a term.
CREATE TABLE tally_term (
  unit TEXT NOT NULL, rule TEXT NOT NULL, flow TEXT NOT NULL, month TEXT NOT NULL, state TEXT NOT NULL,
  terms INTEGER NOT NULL,
  PRIMARY KEY (unit, rule, flow, month, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER deadline_counts AFTER INSERT ON deadline
WHEN NEW.is_lapsing = 0 AND NEW.state <> 'cancelled' BEGIN
  INSERT INTO tally_term VALUES
    (NEW.unit, NEW.rule, NEW.flow, NEW.due_month, NEW.state, 1),
    ('', NEW.rule, NEW.flow, NEW.due_month, NEW.state, 1)
    ON CONFLICT DO UPDATE SET terms = terms + 1;
END;
CREATE TRIGGER deadline_counts_no_more AFTER DELETE ON deadline
WHEN OLD.is_lapsing = 0 AND OLD.state <> 'cancelled' BEGIN
  UPDATE tally_term SET terms = terms - 1 WHERE unit IN (OLD.unit, '') AND rule = OLD.rule
    AND flow = OLD.flow AND month = OLD.due_month AND state = OLD.state;
  DELETE FROM tally_term WHERE unit IN (OLD.unit, '') AND rule = OLD.rule
    AND flow = OLD.flow AND month = OLD.due_month AND state = OLD.state AND terms = 0;
END;
-- A term's row is written anew, never changed: what counts it knows only of coming and going.
CREATE TRIGGER deadline_is_written_anew BEFORE UPDATE ON deadline BEGIN
  SELECT raise(ABORT, 'a term is written anew, never changed');
END;

-- Acts of persons that the journal recorded. act: explain, dispute, close, confirm, admit.
CREATE TABLE act (
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL, act TEXT NOT NULL, item TEXT NOT NULL, case_uid TEXT NOT NULL,
  unit TEXT NOT NULL, actor TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE INDEX act_item ON act (item, seq);
CREATE INDEX act_case ON act (case_uid, seq);

-- When the hub ran: an outage is what lies between. how: started, stopped, killed.
CREATE TABLE running (
  seq INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL, last_at TEXT NOT NULL
) STRICT;

-- Counts. month: of the message, in legal time. unit: sender; other: first receiver.
CREATE TABLE tally (
  month TEXT NOT NULL, flow TEXT NOT NULL, step TEXT NOT NULL, unit TEXT NOT NULL, other TEXT NOT NULL,
  exchanges INTEGER NOT NULL DEFAULT 0, messages INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (month, flow, step, unit, other)
) STRICT, WITHOUT ROWID;
CREATE TABLE tally_outcome (
  month TEXT NOT NULL, flow TEXT NOT NULL, unit TEXT NOT NULL, field TEXT NOT NULL, list TEXT NOT NULL,
  code TEXT NOT NULL, persons INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (month, flow, unit, field, list, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE tally_reject (
  month TEXT NOT NULL, vendor TEXT NOT NULL, product TEXT NOT NULL, flow TEXT NOT NULL, unit TEXT NOT NULL,
  rule TEXT NOT NULL, messages INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (month, vendor, product, flow, unit, rule)
) STRICT, WITHOUT ROWID;
