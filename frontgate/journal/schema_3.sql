-- Version 3: the states of partial indexes as comparisons. For each list of more than two SQLite makes a table
-- of its own, each time that a transfer changes: a megabyte and thirty times the change's own cost.
-- The same conditions are in journal/states.py.
DROP INDEX transfer_open;
DROP INDEX transfer_age;
DROP INDEX transfer_flow;
DROP INDEX transfer_failed;
DROP INDEX transfer_troubled;
CREATE INDEX transfer_open ON transfer (state, destination, changed_ms)
  WHERE (state = 'QUEUED' OR state = 'SENDING' OR state = 'SENT' OR state = 'HELD' OR state = 'UNCONFIRMED');
CREATE INDEX transfer_age ON transfer (warned, made_ms)
  WHERE (state = 'QUEUED' OR state = 'SENDING' OR state = 'SENT' OR state = 'HELD');
CREATE INDEX transfer_flow ON transfer (destination, flow_uid, id)
  WHERE (state = 'QUEUED' OR state = 'SENDING' OR state = 'SENT');
CREATE INDEX transfer_failed ON transfer (id)
  WHERE (state = 'FAILED' OR state = 'CANCELLED' OR state = 'UNCONFIRMED');
CREATE INDEX transfer_troubled ON transfer (id)
  WHERE (state = 'FAILED' OR state = 'UNCONFIRMED' OR state = 'HELD');
