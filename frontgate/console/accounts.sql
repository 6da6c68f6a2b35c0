-- Accounts, sessions, tokens and acts that wait for a second person. Secrets are kept as digests.
CREATE TABLE account (
  login     TEXT PRIMARY KEY,
  name      TEXT NOT NULL,
  role      TEXT NOT NULL,
  unit      TEXT NOT NULL DEFAULT '',
  password  TEXT NOT NULL,
  is_active INTEGER NOT NULL DEFAULT 1,
  must_change INTEGER NOT NULL DEFAULT 0,
  made_at   TEXT NOT NULL,
  seen_at   TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  digest  TEXT PRIMARY KEY,
  login   TEXT NOT NULL REFERENCES account(login) ON DELETE CASCADE,
  csrf    TEXT NOT NULL,
  made_s  INTEGER NOT NULL,
  seen_s  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_login ON session (login);
CREATE INDEX session_seen ON session (seen_s);

CREATE TABLE throttle (
  key      TEXT PRIMARY KEY,
  failures INTEGER NOT NULL,
  until_s  INTEGER NOT NULL,
  last_s   INTEGER NOT NULL,
  is_told  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX throttle_last ON throttle (last_s);

CREATE TABLE token (
  id         INTEGER PRIMARY KEY,
  digest     TEXT NOT NULL UNIQUE,
  unit       TEXT NOT NULL,
  label      TEXT NOT NULL,
  made_by    TEXT NOT NULL,
  made_at    TEXT NOT NULL,
  revoked_at TEXT NOT NULL DEFAULT '',
  within     TEXT NOT NULL DEFAULT '' -- role of who made it: it may no more than that; '' = on the hub's own machine
) STRICT;
CREATE INDEX token_unit ON token (unit, id);

CREATE TABLE request (
  id         INTEGER PRIMARY KEY,
  act        TEXT NOT NULL,
  params     TEXT NOT NULL,
  reason     TEXT NOT NULL,
  asked_by   TEXT NOT NULL,
  asked_at   TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'done', 'failed', 'refused', 'lapsed')),
  decided_by TEXT NOT NULL DEFAULT '',
  decided_at TEXT NOT NULL DEFAULT '',
  result     TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX request_state ON request (state, id);
