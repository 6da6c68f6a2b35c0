-- Version 2: whose a transfer is, so that senders to one destination take turns.
ALTER TABLE transfer ADD COLUMN sender TEXT NOT NULL DEFAULT '';
UPDATE transfer SET sender = (SELECT sender FROM package WHERE package.id = transfer.package_id);
CREATE INDEX transfer_sender ON transfer (destination, is_large, is_bulk, sender, urgency DESC, id)
  WHERE state = 'QUEUED';
