-- Version 1 to 2: notifications (RFC 3461), and what was uncertain once is remembered; what a tenant
-- has sent within a day, and finished messages by their age.
--
-- The new columns of outbox stand behind the large ones here, not before them as in a new file: to
-- move them each message would have to be written again, and whatever its owner has on this table
-- would be lost. NULL, which most are, costs no walk through the large ones.
ALTER TABLE outbox ADD COLUMN dsn_notify TEXT;
ALTER TABLE outbox ADD COLUMN dsn_return TEXT;
ALTER TABLE outbox_delivery ADD COLUMN uncertain INTEGER DEFAULT 0;
UPDATE outbox_delivery SET uncertain = 1 WHERE state = 'uncertain';
CREATE TABLE outbox_usage (
	tenant     TEXT,
	since      INTEGER,
	recipients INTEGER,
	PRIMARY KEY (tenant, since)
) WITHOUT ROWID;
CREATE INDEX outbox_status_finished ON outbox_status (state, finished_at_ms) WHERE finished_at_ms IS NOT NULL;
