-- The schema of an outbox, version 2: tables, indexes, rules.
--
-- What it promises: a bad row is refused at the door with a sentence that names the
-- column, whichever program writes it; doc/SCHEMA.md is the reference.
--
-- How the rules are made, and why:
--   * BEFORE triggers with RAISE(ABORT, 'literal'): OR IGNORE swallows a CHECK, and OR REPLACE
--     deletes rows without their DELETE triggers, so each UNIQUE is asked for in BEFORE too.
--   * The rules of a row stand once, in the INSTEAD OF trigger of a view outbox_rule_...; INSERT and
--     UPDATE of the table both hand their row to it, '' as NULL and NULL as the default already.
--   * AFTER triggers then store '' as NULL and NULL as the default, make the row in outbox_status,
--     and follow an application's change of state. What they write besides is under the mark
--     outbox_meta 'trigger'; outboxd's transactions are under the mark 'daemon'. 1 = marked.
--   * What runs for each row that outboxd settles (where it does not leave triggers out, since all are
--     ours: storage/sqlite_triggers.c) is one small trigger before and one after: the memory
--     of a trigger's whole program is made anew each time it is called, so the long ones are behind
--     views too, and words are compared by CASE: an IN list of three builds a table of its own.
--   * Nothing that SQLite 3.31 cannot read, and no foreign key: rows go with their message by trigger.
-- A savepoint, so that it may be loaded alone or inside a transaction.
SAVEPOINT outbox_schema;

CREATE TABLE outbox_meta (
	key   TEXT PRIMARY KEY,
	value -- schema_version, instance, and the marks: daemon, trigger (1 = marked)
) WITHOUT ROWID;

-- What applications changed, for outboxd, which empties it by exact seq. key: a message's id or a tenant's name.
CREATE TABLE outbox_change (
	seq  INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT,	-- 'message' or 'tenant'
	key
);

-- One row a tenant. WITHOUT ROWID, so that no INSERT OR REPLACE can hit another tenant by its rowid.
CREATE TABLE outbox_tenant (
	name                     TEXT PRIMARY KEY,
	enabled                  INTEGER DEFAULT 1,
	host                     TEXT,
	port                     INTEGER DEFAULT 587,
	tls                      TEXT,
	tls_verify               TEXT DEFAULT 'full',
	tls_name                 TEXT,
	tls_ca_file              TEXT,
	tls_fingerprints         TEXT,
	tls_cert_file            TEXT,
	tls_key_file             TEXT,
	tls_priority             TEXT,
	auth                     TEXT DEFAULT 'auto',
	username                 TEXT,
	password                 TEXT,
	password_file            TEXT,
	password_command         TEXT,
	oauth_token_url          TEXT,
	oauth_client_id          TEXT,
	oauth_client_secret_file TEXT,
	oauth_scope              TEXT,
	oauth_refresh_token_file TEXT,
	token_command            TEXT,
	from_address             TEXT,
	allowed_senders          TEXT,
	on_uncertain             TEXT DEFAULT 'resend',
	ehlo_name                TEXT,
	bind_address             TEXT,
	connect_timeout          INTEGER DEFAULT 30,
	command_timeout          INTEGER DEFAULT 300,
	data_timeout             INTEGER DEFAULT 600,
	min_rate                 INTEGER DEFAULT 1024,
	max_connections          INTEGER DEFAULT 2,
	max_messages_per_session INTEGER DEFAULT 100,
	pipeline_depth           INTEGER DEFAULT 1,
	messages_per_minute      INTEGER,
	recipients_per_day       INTEGER,
	retry_min                INTEGER DEFAULT 60,
	retry_max                INTEGER DEFAULT 3600,
	max_age                  INTEGER DEFAULT 432000,
	streak_guard             INTEGER DEFAULT 5
) WITHOUT ROWID;

-- When a tenant was suspended: a message's age stands still meanwhile. until_ms NULL = it still is.
CREATE TABLE outbox_suspension (
	tenant   TEXT,
	since_ms INTEGER,
	until_ms INTEGER
);
CREATE INDEX outbox_suspension_tenant ON outbox_suspension (tenant, since_ms);

-- One row a tenant, written by outboxd.
CREATE TABLE outbox_tenant_status (
	tenant               TEXT PRIMARY KEY,
	state                TEXT,	-- idle sending limited backoff throttled auth_failed suspended quarantined
	queued               INTEGER,
	deferred             INTEGER,
	oldest_due_at        INTEGER,
	consecutive_failures INTEGER,
	retry_at             INTEGER,
	worker_restarts      INTEGER,
	last_error           TEXT,
	last_sent_at         INTEGER,
	token_expires_at     INTEGER,	-- of the OAuth2 token in hand; NULL = none
	token_error          TEXT,	-- why the last fetch of one failed; NULL = it did not
	updated_at           INTEGER
) WITHOUT ROWID;

-- Recipients that were named to a tenant's server, by quarters of an hour (since, s), written by outboxd
-- where recipients_per_day is set; rows of the last 24 hours are kept.
CREATE TABLE outbox_usage (
	tenant     TEXT,
	since      INTEGER,
	recipients INTEGER,
	PRIMARY KEY (tenant, since)
) WITHOUT ROWID;

-- One row a message, written by applications. The large columns are the last, so that a read of
-- the others does not walk through them.
CREATE TABLE outbox (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	tenant          TEXT,
	from_address    TEXT,
	envelope_from   TEXT,
	to_addresses    TEXT,
	cc_addresses    TEXT,
	bcc_addresses   TEXT,
	reply_to        TEXT,
	subject         TEXT,
	priority        INTEGER DEFAULT 0,
	not_before      INTEGER,
	expires_at      INTEGER,
	idempotency_key TEXT,
	reference       TEXT,
	attachments     INTEGER DEFAULT 0,
	draft           INTEGER DEFAULT 0,
	dsn_notify      TEXT,	-- never, or some of success failure delay, with commas (RFC 3461)
	dsn_return      TEXT,	-- full headers
	headers         TEXT,
	body_text       TEXT,
	body_html       TEXT,
	message         BLOB
);
CREATE UNIQUE INDEX outbox_idempotency ON outbox (tenant, idempotency_key) WHERE idempotency_key <> '';

-- Written by applications. A table with rowids: outboxd reads content in slices.
CREATE TABLE outbox_attachment (
	outbox_id    INTEGER,
	position     INTEGER,
	filename     TEXT,
	content_type TEXT,
	content_id   TEXT,
	content      BLOB
);
CREATE UNIQUE INDEX outbox_attachment_position ON outbox_attachment (outbox_id, position);

-- One row a message, made by trigger with it. Only this changes; applications may change state alone.
CREATE TABLE outbox_status (
	outbox_id          INTEGER PRIMARY KEY,
	tenant             TEXT,
	priority           INTEGER,
	state              TEXT,	-- draft queued deferred sent failed uncertain cancelled
	attempts           INTEGER,
	due_at             INTEGER,
	created_at_ms      INTEGER,
	queued_at_ms       INTEGER,	-- its age counts from here: not the first time, if it was queued anew
	finished_at_ms     INTEGER,
	message_id         TEXT,
	first_queued_at_ms INTEGER,	-- its Date
	from_address       TEXT,
	result             TEXT,
	updated_at_ms      INTEGER,
	requeues           INTEGER	-- how often it was queued anew: with attempts it names one try
);
-- The next messages of a tenant, priority by priority; each tenant's earliest due time; all rows of a tenant.
CREATE INDEX outbox_status_waiting ON outbox_status (tenant, priority DESC, due_at)
	WHERE state IN ('queued', 'deferred');
CREATE INDEX outbox_status_due ON outbox_status (tenant, due_at) WHERE state IN ('queued', 'deferred');
CREATE INDEX outbox_status_tenant ON outbox_status (tenant);
-- What is kept for a while only, the oldest first.
CREATE INDEX outbox_status_finished ON outbox_status (state, finished_at_ms) WHERE finished_at_ms IS NOT NULL;

-- One row a recipient that was tried or given up, written by outboxd.
CREATE TABLE outbox_delivery (
	outbox_id     INTEGER,
	recipient     TEXT,
	state         TEXT,	-- deferred sent failed uncertain cancelled
	attempts      INTEGER,
	code          INTEGER,
	enhanced_code TEXT,
	response      TEXT,
	server        TEXT,
	tls           TEXT,
	updated_at_ms INTEGER,
	uncertain     INTEGER DEFAULT 0,	-- 1 = it was once: whatever its state is, it may have arrived
	PRIMARY KEY (outbox_id, recipient)
) WITHOUT ROWID;
CREATE INDEX outbox_delivery_uncertain ON outbox_delivery (outbox_id) WHERE state = 'uncertain';

INSERT INTO outbox_meta (key, value) VALUES
	('schema_version', '3'), ('instance', lower(hex(randomblob(16)))), ('daemon', 0), ('trigger', 0);

-- Both tables of a message under id, without bodies.
CREATE VIEW outbox_all AS
SELECT o.id, o.tenant, s.state, s.attempts, s.due_at, s.result,
	coalesce(s.from_address, o.from_address) AS from_address, o.envelope_from,
	o.to_addresses, o.cc_addresses, o.bcc_addresses, o.reply_to, o.subject,
	o.priority, o.not_before, o.expires_at, o.idempotency_key, o.reference, o.attachments, o.draft,
	o.dsn_notify, o.dsn_return, o.headers,
	s.message_id, s.created_at_ms, s.first_queued_at_ms, s.queued_at_ms, s.finished_at_ms, s.updated_at_ms,
	s.requeues
FROM outbox AS o JOIN outbox_status AS s ON s.outbox_id = o.id;

-- The one clock of all triggers, the same within a statement.
CREATE VIEW outbox_now AS
SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS ms,
	CAST(strftime('%s', 'now') AS INTEGER) AS s;

-- ---- outbox_tenant ---------------------------------------------------------

CREATE VIEW outbox_rule_tenant (
	name, enabled, host, port, tls, tls_verify, tls_name, tls_ca_file, tls_fingerprints,
	tls_cert_file, tls_key_file, tls_priority, auth, username, password, password_file,
	password_command, oauth_token_url, oauth_client_id, oauth_client_secret_file, oauth_scope,
	oauth_refresh_token_file, token_command, from_address, allowed_senders, on_uncertain,
	ehlo_name, bind_address, connect_timeout, command_timeout, data_timeout, min_rate,
	max_connections, max_messages_per_session, pipeline_depth, messages_per_minute,
	recipients_per_day, retry_min, retry_max, max_age, streak_guard, fingerprints_form
) AS SELECT
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER outbox_rule_tenant_check INSTEAD OF INSERT ON outbox_rule_tenant
BEGIN
	SELECT CASE
	WHEN NEW.name IS NULL THEN RAISE(ABORT, 'name is missing')
	WHEN typeof(NEW.name) <> 'text' OR instr(NEW.name, char(0)) OR NEW.name NOT GLOB '[a-z0-9]*'
	     OR NEW.name GLOB '*[^a-z0-9._-]*' OR length(NEW.name) > 63
		THEN RAISE(ABORT, 'name must be 1 to 63 of a-z, 0-9, dot, underscore and hyphen, and begin with a letter or digit')
	WHEN typeof(NEW.enabled) <> 'integer' OR NEW.enabled NOT BETWEEN 0 AND 1
		THEN RAISE(ABORT, 'enabled must be 0 or 1')
	WHEN NEW.host IS NULL THEN RAISE(ABORT, 'host is missing')
	WHEN typeof(NEW.host) = 'blob' OR instr(NEW.host, char(0))
	     OR NEW.host GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'host must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.host) > 255 THEN RAISE(ABORT, 'host is longer than 255 characters')
	WHEN NEW.host GLOB '*[ /@]*'
		THEN RAISE(ABORT, 'host must be the name or the address of a server, without spaces, / or @')
	WHEN typeof(NEW.port) <> 'integer' OR NEW.port NOT BETWEEN 1 AND 65535
		THEN RAISE(ABORT, 'port must be a whole number from 1 to 65535')
	WHEN NEW.tls NOT IN ('starttls', 'implicit', 'opportunistic', 'none')
		THEN RAISE(ABORT, 'tls must be ''starttls'', ''implicit'', ''opportunistic'' or ''none''')
	WHEN NEW.tls = 'starttls' AND NEW.port = 465
		THEN RAISE(ABORT, 'tls must not be ''starttls'' on port 465, where TLS begins with the first byte: ''implicit''')
	WHEN NEW.tls_verify NOT IN ('full', 'fingerprint', 'none')
		THEN RAISE(ABORT, 'tls_verify must be ''full'', ''fingerprint'' or ''none''')
	WHEN typeof(NEW.tls_name) = 'blob' OR instr(NEW.tls_name, char(0))
	     OR NEW.tls_name GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'tls_name must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.tls_name) > 255 THEN RAISE(ABORT, 'tls_name is longer than 255 characters')
	WHEN NEW.tls_name GLOB '*[ /@]*' THEN RAISE(ABORT, 'tls_name must be the name of a server, without spaces, / or @')
	WHEN typeof(NEW.tls_ca_file) = 'blob' OR instr(NEW.tls_ca_file, char(0))
	     OR NEW.tls_ca_file GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'tls_ca_file must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.tls_ca_file) > 4095 THEN RAISE(ABORT, 'tls_ca_file is longer than 4095 characters')
	WHEN typeof(NEW.tls_fingerprints) = 'blob' OR instr(NEW.tls_fingerprints, char(0))
	     OR NEW.tls_fingerprints GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'tls_fingerprints must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.tls_fingerprints) > 10000 THEN RAISE(ABORT, 'tls_fingerprints is longer than 10000 characters')
	WHEN NEW.tls_fingerprints GLOB '*[^0-9A-Za-z:, ]*' OR NEW.fingerprints_form GLOB '*[^#0-9a-f]*'
	     OR length(replace(NEW.fingerprints_form, '#', ''))
	        <> 64 * (length(NEW.fingerprints_form) - length(replace(NEW.fingerprints_form, '#', '')))
		THEN RAISE(ABORT, 'tls_fingerprints must be sha256:HEX or spki:HEX, 64 digits each, separated by commas')
	WHEN NEW.tls_verify = 'fingerprint' AND NEW.tls_fingerprints IS NULL
		THEN RAISE(ABORT, 'tls_fingerprints is missing, and tls_verify is ''fingerprint''')
	WHEN typeof(NEW.tls_cert_file) = 'blob' OR instr(NEW.tls_cert_file, char(0))
	     OR NEW.tls_cert_file GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'tls_cert_file must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.tls_cert_file) > 255 THEN RAISE(ABORT, 'tls_cert_file is longer than 255 characters')
	WHEN instr(NEW.tls_cert_file, '/') OR NEW.tls_cert_file IN ('.', '..')
		THEN RAISE(ABORT, 'tls_cert_file must be a name in secrets_dir, without a slash')
	WHEN typeof(NEW.tls_key_file) = 'blob' OR instr(NEW.tls_key_file, char(0))
	     OR NEW.tls_key_file GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'tls_key_file must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.tls_key_file) > 255 THEN RAISE(ABORT, 'tls_key_file is longer than 255 characters')
	WHEN instr(NEW.tls_key_file, '/') OR NEW.tls_key_file IN ('.', '..')
		THEN RAISE(ABORT, 'tls_key_file must be a name in secrets_dir, without a slash')
	WHEN NEW.tls_cert_file IS NOT NULL AND NEW.tls_key_file IS NULL
		THEN RAISE(ABORT, 'tls_key_file is missing beside tls_cert_file')
	WHEN NEW.tls_key_file IS NOT NULL AND NEW.tls_cert_file IS NULL
		THEN RAISE(ABORT, 'tls_cert_file is missing beside tls_key_file')
	WHEN typeof(NEW.tls_priority) = 'blob' OR instr(NEW.tls_priority, char(0))
	     OR NEW.tls_priority GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'tls_priority must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.tls_priority) > 1000 THEN RAISE(ABORT, 'tls_priority is longer than 1000 characters')
	WHEN NEW.auth NOT IN ('auto', 'none', 'plain', 'login', 'cram-md5',
	                      'scram-sha-1', 'scram-sha-256', 'xoauth2', 'oauthbearer', 'external')
		THEN RAISE(ABORT, 'auth must be auto, none, or plain, login, cram-md5, scram-sha-1, scram-sha-256, xoauth2, oauthbearer, external')
	WHEN typeof(NEW.username) = 'blob' OR instr(NEW.username, char(0))
	     OR NEW.username GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'username must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.username) > 1000 THEN RAISE(ABORT, 'username is longer than 1000 characters')
	WHEN typeof(NEW.password) = 'blob' OR instr(NEW.password, char(0))
	     OR NEW.password GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'password must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.password) > 65536 THEN RAISE(ABORT, 'password is longer than 65536 characters')
	WHEN typeof(NEW.password_file) = 'blob' OR instr(NEW.password_file, char(0))
	     OR NEW.password_file GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'password_file must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.password_file) > 255 THEN RAISE(ABORT, 'password_file is longer than 255 characters')
	WHEN instr(NEW.password_file, '/') OR NEW.password_file IN ('.', '..')
		THEN RAISE(ABORT, 'password_file must be a name in secrets_dir, without a slash')
	WHEN typeof(NEW.password_command) = 'blob' OR instr(NEW.password_command, char(0))
	     OR NEW.password_command GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'password_command must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.password_command) > 255 THEN RAISE(ABORT, 'password_command is longer than 255 characters')
	WHEN instr(NEW.password_command, '/') OR NEW.password_command IN ('.', '..')
		THEN RAISE(ABORT, 'password_command must be a name in command_dir, without a slash')
	WHEN typeof(NEW.oauth_token_url) = 'blob' OR instr(NEW.oauth_token_url, char(0))
	     OR NEW.oauth_token_url GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'oauth_token_url must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.oauth_token_url) > 2000 THEN RAISE(ABORT, 'oauth_token_url is longer than 2000 characters')
	WHEN NEW.oauth_token_url NOT GLOB 'https://?*' AND NEW.oauth_token_url NOT GLOB 'http://?*'
		THEN RAISE(ABORT, 'oauth_token_url must begin with https:// or http://')
	WHEN typeof(NEW.oauth_client_id) = 'blob' OR instr(NEW.oauth_client_id, char(0))
	     OR NEW.oauth_client_id GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'oauth_client_id must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.oauth_client_id) > 1000 THEN RAISE(ABORT, 'oauth_client_id is longer than 1000 characters')
	WHEN typeof(NEW.oauth_client_secret_file) = 'blob' OR instr(NEW.oauth_client_secret_file, char(0))
	     OR NEW.oauth_client_secret_file GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'oauth_client_secret_file must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.oauth_client_secret_file) > 255 THEN RAISE(ABORT, 'oauth_client_secret_file is longer than 255 characters')
	WHEN instr(NEW.oauth_client_secret_file, '/') OR NEW.oauth_client_secret_file IN ('.', '..')
		THEN RAISE(ABORT, 'oauth_client_secret_file must be a name in secrets_dir, without a slash')
	WHEN typeof(NEW.oauth_scope) = 'blob' OR instr(NEW.oauth_scope, char(0))
	     OR NEW.oauth_scope GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'oauth_scope must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.oauth_scope) > 2000 THEN RAISE(ABORT, 'oauth_scope is longer than 2000 characters')
	WHEN typeof(NEW.oauth_refresh_token_file) = 'blob' OR instr(NEW.oauth_refresh_token_file, char(0))
	     OR NEW.oauth_refresh_token_file GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'oauth_refresh_token_file must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.oauth_refresh_token_file) > 255 THEN RAISE(ABORT, 'oauth_refresh_token_file is longer than 255 characters')
	WHEN instr(NEW.oauth_refresh_token_file, '/') OR NEW.oauth_refresh_token_file IN ('.', '..')
		THEN RAISE(ABORT, 'oauth_refresh_token_file must be a name in secrets_dir, without a slash')
	WHEN typeof(NEW.token_command) = 'blob' OR instr(NEW.token_command, char(0))
	     OR NEW.token_command GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'token_command must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.token_command) > 255 THEN RAISE(ABORT, 'token_command is longer than 255 characters')
	WHEN instr(NEW.token_command, '/') OR NEW.token_command IN ('.', '..')
		THEN RAISE(ABORT, 'token_command must be a name in command_dir, without a slash')
	WHEN typeof(NEW.from_address) = 'blob' OR instr(NEW.from_address, char(0))
	     OR NEW.from_address GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'from_address must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.from_address) > 1000 THEN RAISE(ABORT, 'from_address is longer than 1000 characters')
	WHEN typeof(NEW.allowed_senders) = 'blob' OR instr(NEW.allowed_senders, char(0))
	     OR NEW.allowed_senders GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'allowed_senders must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.allowed_senders) > 1000000 THEN RAISE(ABORT, 'allowed_senders is longer than 1000000 characters')
	WHEN NEW.on_uncertain NOT IN ('resend', 'hold')
		THEN RAISE(ABORT, 'on_uncertain must be ''resend'' or ''hold''')
	WHEN typeof(NEW.ehlo_name) = 'blob' OR instr(NEW.ehlo_name, char(0))
	     OR NEW.ehlo_name GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'ehlo_name must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.ehlo_name) > 255 THEN RAISE(ABORT, 'ehlo_name is longer than 255 characters')
	WHEN NEW.ehlo_name GLOB '*[^!-~]*'
		THEN RAISE(ABORT, 'ehlo_name must be a host name or an address literal in ASCII, without spaces')
	WHEN typeof(NEW.bind_address) = 'blob' OR instr(NEW.bind_address, char(0))
	     OR NEW.bind_address GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'bind_address must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.bind_address) > 255 THEN RAISE(ABORT, 'bind_address is longer than 255 characters')
	WHEN NEW.bind_address GLOB '*[^0-9A-Za-z.:%_-]*' THEN RAISE(ABORT, 'bind_address must be an IPv4 or IPv6 address')
	WHEN typeof(NEW.connect_timeout) <> 'integer' OR NEW.connect_timeout NOT BETWEEN 1 AND 86400
		THEN RAISE(ABORT, 'connect_timeout must be a whole number from 1 to 86400')
	WHEN typeof(NEW.command_timeout) <> 'integer' OR NEW.command_timeout NOT BETWEEN 1 AND 86400
		THEN RAISE(ABORT, 'command_timeout must be a whole number from 1 to 86400')
	WHEN typeof(NEW.data_timeout) <> 'integer' OR NEW.data_timeout NOT BETWEEN 1 AND 86400
		THEN RAISE(ABORT, 'data_timeout must be a whole number from 1 to 86400')
	WHEN typeof(NEW.min_rate) <> 'integer' OR NEW.min_rate NOT BETWEEN 1 AND 1000000000
		THEN RAISE(ABORT, 'min_rate must be a whole number from 1 to 1000000000')
	WHEN typeof(NEW.max_connections) <> 'integer' OR NEW.max_connections NOT BETWEEN 1 AND 1000
		THEN RAISE(ABORT, 'max_connections must be a whole number from 1 to 1000')
	WHEN typeof(NEW.max_messages_per_session) <> 'integer'
	     OR NEW.max_messages_per_session NOT BETWEEN 1 AND 1000000
		THEN RAISE(ABORT, 'max_messages_per_session must be a whole number from 1 to 1000000')
	WHEN typeof(NEW.pipeline_depth) <> 'integer' OR NEW.pipeline_depth NOT BETWEEN 1 AND 1000
		THEN RAISE(ABORT, 'pipeline_depth must be a whole number from 1 to 1000')
	WHEN NEW.messages_per_minute IS NOT NULL
	     AND (typeof(NEW.messages_per_minute) <> 'integer' OR NEW.messages_per_minute NOT BETWEEN 1 AND 1000000)
		THEN RAISE(ABORT, 'messages_per_minute must be a whole number from 1 to 1000000')
	WHEN NEW.recipients_per_day IS NOT NULL
	     AND (typeof(NEW.recipients_per_day) <> 'integer' OR NEW.recipients_per_day NOT BETWEEN 1 AND 1000000000)
		THEN RAISE(ABORT, 'recipients_per_day must be a whole number from 1 to 1000000000')
	WHEN typeof(NEW.retry_min) <> 'integer' OR NEW.retry_min NOT BETWEEN 1 AND 86400
		THEN RAISE(ABORT, 'retry_min must be a whole number from 1 to 86400')
	WHEN typeof(NEW.retry_max) <> 'integer' OR NEW.retry_max < NEW.retry_min OR NEW.retry_max > 604800
		THEN RAISE(ABORT, 'retry_max must be a whole number from retry_min to 604800')
	WHEN typeof(NEW.max_age) <> 'integer' OR NEW.max_age NOT BETWEEN 60 AND 31536000
		THEN RAISE(ABORT, 'max_age must be a whole number from 60 to 31536000')
	WHEN typeof(NEW.streak_guard) <> 'integer' OR NEW.streak_guard NOT BETWEEN 0 AND 1000000
		THEN RAISE(ABORT, 'streak_guard must be a whole number from 0 to 1000000')
	END;
END;

CREATE TRIGGER outbox_tenant_insert BEFORE INSERT ON outbox_tenant
BEGIN
	INSERT INTO outbox_rule_tenant VALUES (
		nullif(NEW.name, ''), coalesce(nullif(NEW.enabled, ''), 1), nullif(NEW.host, ''),
		coalesce(nullif(NEW.port, ''), 587), nullif(NEW.tls, ''),
		coalesce(nullif(NEW.tls_verify, ''), 'full'), nullif(NEW.tls_name, ''),
		nullif(NEW.tls_ca_file, ''), nullif(NEW.tls_fingerprints, ''),
		nullif(NEW.tls_cert_file, ''), nullif(NEW.tls_key_file, ''),
		nullif(NEW.tls_priority, ''), coalesce(nullif(NEW.auth, ''), 'auto'),
		nullif(NEW.username, ''), nullif(NEW.password, ''), nullif(NEW.password_file, ''),
		nullif(NEW.password_command, ''), nullif(NEW.oauth_token_url, ''),
		nullif(NEW.oauth_client_id, ''), nullif(NEW.oauth_client_secret_file, ''),
		nullif(NEW.oauth_scope, ''), nullif(NEW.oauth_refresh_token_file, ''),
		nullif(NEW.token_command, ''), nullif(NEW.from_address, ''),
		nullif(NEW.allowed_senders, ''), coalesce(nullif(NEW.on_uncertain, ''), 'resend'),
		nullif(NEW.ehlo_name, ''), nullif(NEW.bind_address, ''),
		coalesce(nullif(NEW.connect_timeout, ''), 30),
		coalesce(nullif(NEW.command_timeout, ''), 300),
		coalesce(nullif(NEW.data_timeout, ''), 600), coalesce(nullif(NEW.min_rate, ''), 1024),
		coalesce(nullif(NEW.max_connections, ''), 2),
		coalesce(nullif(NEW.max_messages_per_session, ''), 100),
		coalesce(nullif(NEW.pipeline_depth, ''), 1), nullif(NEW.messages_per_minute, ''),
		nullif(NEW.recipients_per_day, ''), coalesce(nullif(NEW.retry_min, ''), 60),
		coalesce(nullif(NEW.retry_max, ''), 3600), coalesce(nullif(NEW.max_age, ''), 432000),
		coalesce(nullif(NEW.streak_guard, ''), 5),
		replace(replace(replace(',' || lower(replace(nullif(NEW.tls_fingerprints, ''), ' ', '')),
			',sha256:', '#'), ',spki:', '#'), ':', ''));
	SELECT RAISE(ABORT, 'name: a tenant of this name is there already, change it with UPDATE')
	WHERE EXISTS (SELECT 1 FROM outbox_tenant WHERE name = NEW.name);
END;

CREATE TRIGGER outbox_tenant_update BEFORE UPDATE ON outbox_tenant
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'name: a tenant cannot be renamed') WHERE NEW.name IS NOT OLD.name;
	INSERT INTO outbox_rule_tenant VALUES (
		nullif(NEW.name, ''), coalesce(nullif(NEW.enabled, ''), 1), nullif(NEW.host, ''),
		coalesce(nullif(NEW.port, ''), 587), nullif(NEW.tls, ''),
		coalesce(nullif(NEW.tls_verify, ''), 'full'), nullif(NEW.tls_name, ''),
		nullif(NEW.tls_ca_file, ''), nullif(NEW.tls_fingerprints, ''),
		nullif(NEW.tls_cert_file, ''), nullif(NEW.tls_key_file, ''),
		nullif(NEW.tls_priority, ''), coalesce(nullif(NEW.auth, ''), 'auto'),
		nullif(NEW.username, ''), nullif(NEW.password, ''), nullif(NEW.password_file, ''),
		nullif(NEW.password_command, ''), nullif(NEW.oauth_token_url, ''),
		nullif(NEW.oauth_client_id, ''), nullif(NEW.oauth_client_secret_file, ''),
		nullif(NEW.oauth_scope, ''), nullif(NEW.oauth_refresh_token_file, ''),
		nullif(NEW.token_command, ''), nullif(NEW.from_address, ''),
		nullif(NEW.allowed_senders, ''), coalesce(nullif(NEW.on_uncertain, ''), 'resend'),
		nullif(NEW.ehlo_name, ''), nullif(NEW.bind_address, ''),
		coalesce(nullif(NEW.connect_timeout, ''), 30),
		coalesce(nullif(NEW.command_timeout, ''), 300),
		coalesce(nullif(NEW.data_timeout, ''), 600), coalesce(nullif(NEW.min_rate, ''), 1024),
		coalesce(nullif(NEW.max_connections, ''), 2),
		coalesce(nullif(NEW.max_messages_per_session, ''), 100),
		coalesce(nullif(NEW.pipeline_depth, ''), 1), nullif(NEW.messages_per_minute, ''),
		nullif(NEW.recipients_per_day, ''), coalesce(nullif(NEW.retry_min, ''), 60),
		coalesce(nullif(NEW.retry_max, ''), 3600), coalesce(nullif(NEW.max_age, ''), 432000),
		coalesce(nullif(NEW.streak_guard, ''), 5),
		replace(replace(replace(',' || lower(replace(nullif(NEW.tls_fingerprints, ''), ' ', '')),
			',sha256:', '#'), ',spki:', '#'), ':', ''));
END;

CREATE TRIGGER outbox_tenant_inserted AFTER INSERT ON outbox_tenant
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	UPDATE outbox_tenant SET
		enabled = coalesce(nullif(enabled, ''), 1), port = coalesce(nullif(port, ''), 587),
		tls = nullif(tls, ''), tls_verify = coalesce(nullif(tls_verify, ''), 'full'),
		tls_name = nullif(tls_name, ''), tls_ca_file = nullif(tls_ca_file, ''),
		tls_fingerprints = nullif(tls_fingerprints, ''),
		tls_cert_file = nullif(tls_cert_file, ''), tls_key_file = nullif(tls_key_file, ''),
		tls_priority = nullif(tls_priority, ''), auth = coalesce(nullif(auth, ''), 'auto'),
		username = nullif(username, ''), password = nullif(password, ''),
		password_file = nullif(password_file, ''),
		password_command = nullif(password_command, ''),
		oauth_token_url = nullif(oauth_token_url, ''),
		oauth_client_id = nullif(oauth_client_id, ''),
		oauth_client_secret_file = nullif(oauth_client_secret_file, ''),
		oauth_scope = nullif(oauth_scope, ''),
		oauth_refresh_token_file = nullif(oauth_refresh_token_file, ''),
		token_command = nullif(token_command, ''), from_address = nullif(from_address, ''),
		allowed_senders = nullif(allowed_senders, ''),
		on_uncertain = coalesce(nullif(on_uncertain, ''), 'resend'),
		ehlo_name = nullif(ehlo_name, ''), bind_address = nullif(bind_address, ''),
		connect_timeout = coalesce(nullif(connect_timeout, ''), 30),
		command_timeout = coalesce(nullif(command_timeout, ''), 300),
		data_timeout = coalesce(nullif(data_timeout, ''), 600),
		min_rate = coalesce(nullif(min_rate, ''), 1024),
		max_connections = coalesce(nullif(max_connections, ''), 2),
		max_messages_per_session = coalesce(nullif(max_messages_per_session, ''), 100),
		pipeline_depth = coalesce(nullif(pipeline_depth, ''), 1),
		messages_per_minute = nullif(messages_per_minute, ''),
		recipients_per_day = nullif(recipients_per_day, ''),
		retry_min = coalesce(nullif(retry_min, ''), 60),
		retry_max = coalesce(nullif(retry_max, ''), 3600),
		max_age = coalesce(nullif(max_age, ''), 432000),
		streak_guard = coalesce(nullif(streak_guard, ''), 5)
	WHERE name = NEW.name;
	INSERT INTO outbox_suspension (tenant, since_ms) SELECT name, (SELECT ms FROM outbox_now)
	FROM outbox_tenant WHERE name = NEW.name AND enabled = 0;
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	INSERT INTO outbox_change (kind, key) VALUES ('tenant', NEW.name);
END;

CREATE TRIGGER outbox_tenant_updated AFTER UPDATE ON outbox_tenant
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	UPDATE outbox_tenant SET
		enabled = coalesce(nullif(enabled, ''), 1), port = coalesce(nullif(port, ''), 587),
		tls = nullif(tls, ''), tls_verify = coalesce(nullif(tls_verify, ''), 'full'),
		tls_name = nullif(tls_name, ''), tls_ca_file = nullif(tls_ca_file, ''),
		tls_fingerprints = nullif(tls_fingerprints, ''),
		tls_cert_file = nullif(tls_cert_file, ''), tls_key_file = nullif(tls_key_file, ''),
		tls_priority = nullif(tls_priority, ''), auth = coalesce(nullif(auth, ''), 'auto'),
		username = nullif(username, ''), password = nullif(password, ''),
		password_file = nullif(password_file, ''),
		password_command = nullif(password_command, ''),
		oauth_token_url = nullif(oauth_token_url, ''),
		oauth_client_id = nullif(oauth_client_id, ''),
		oauth_client_secret_file = nullif(oauth_client_secret_file, ''),
		oauth_scope = nullif(oauth_scope, ''),
		oauth_refresh_token_file = nullif(oauth_refresh_token_file, ''),
		token_command = nullif(token_command, ''), from_address = nullif(from_address, ''),
		allowed_senders = nullif(allowed_senders, ''),
		on_uncertain = coalesce(nullif(on_uncertain, ''), 'resend'),
		ehlo_name = nullif(ehlo_name, ''), bind_address = nullif(bind_address, ''),
		connect_timeout = coalesce(nullif(connect_timeout, ''), 30),
		command_timeout = coalesce(nullif(command_timeout, ''), 300),
		data_timeout = coalesce(nullif(data_timeout, ''), 600),
		min_rate = coalesce(nullif(min_rate, ''), 1024),
		max_connections = coalesce(nullif(max_connections, ''), 2),
		max_messages_per_session = coalesce(nullif(max_messages_per_session, ''), 100),
		pipeline_depth = coalesce(nullif(pipeline_depth, ''), 1),
		messages_per_minute = nullif(messages_per_minute, ''),
		recipients_per_day = nullif(recipients_per_day, ''),
		retry_min = coalesce(nullif(retry_min, ''), 60),
		retry_max = coalesce(nullif(retry_max, ''), 3600),
		max_age = coalesce(nullif(max_age, ''), 432000),
		streak_guard = coalesce(nullif(streak_guard, ''), 5)
	WHERE name = NEW.name;
	UPDATE outbox_suspension SET until_ms = max(since_ms, (SELECT ms FROM outbox_now))
	WHERE tenant = NEW.name AND until_ms IS NULL
	AND OLD.enabled = 0 AND (SELECT enabled FROM outbox_tenant WHERE name = NEW.name) = 1;
	INSERT INTO outbox_suspension (tenant, since_ms) SELECT name, (SELECT ms FROM outbox_now)
	FROM outbox_tenant WHERE name = NEW.name AND enabled = 0 AND OLD.enabled = 1;
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	INSERT INTO outbox_change (kind, key) VALUES ('tenant', NEW.name);
END;

CREATE TRIGGER outbox_tenant_delete BEFORE DELETE ON outbox_tenant
BEGIN
	SELECT RAISE(ABORT, 'name: this tenant still has messages, remove them first (finished ones too)')
	WHERE EXISTS (SELECT 1 FROM outbox_status WHERE tenant = OLD.name);
END;

CREATE TRIGGER outbox_tenant_deleted AFTER DELETE ON outbox_tenant
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	DELETE FROM outbox_tenant_status WHERE tenant = OLD.name;
	DELETE FROM outbox_suspension WHERE tenant = OLD.name;
	DELETE FROM outbox_usage WHERE tenant = OLD.name;
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	INSERT INTO outbox_change (kind, key) VALUES ('tenant', OLD.name);
END;

-- ---- outbox ----------------------------------------------------------------

-- id is -1 for a row that has none yet. Of the large columns only what the rules ask is handed over.
CREATE VIEW outbox_rule_message (
	id, tenant, from_address, envelope_from, to_addresses, cc_addresses, bcc_addresses, reply_to,
	subject, idempotency_key, reference, priority, draft, attachments, not_before, expires_at,
	dsn_notify, dsn_return, headers, body_text_type, body_text_nul, body_html_type, body_html_nul,
	message_type
) AS SELECT
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER outbox_rule_message_check INSTEAD OF INSERT ON outbox_rule_message
BEGIN
	SELECT CASE
	WHEN NEW.tenant IS NULL THEN RAISE(ABORT, 'tenant is missing')
	WHEN NOT EXISTS (SELECT 1 FROM outbox_tenant WHERE name = NEW.tenant)
		THEN RAISE(ABORT, 'tenant: no tenant has this name')
	WHEN typeof(NEW.from_address) = 'blob' OR instr(NEW.from_address, char(0))
	     OR NEW.from_address GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'from_address must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.from_address) > 1000 THEN RAISE(ABORT, 'from_address is longer than 1000 characters')
	WHEN typeof(NEW.envelope_from) = 'blob' OR instr(NEW.envelope_from, char(0))
	     OR NEW.envelope_from GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'envelope_from must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.envelope_from) > 1000 THEN RAISE(ABORT, 'envelope_from is longer than 1000 characters')
	WHEN typeof(NEW.to_addresses) = 'blob' OR instr(NEW.to_addresses, char(0))
	     OR NEW.to_addresses GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'to_addresses must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.to_addresses) > 1000000 THEN RAISE(ABORT, 'to_addresses is longer than 1000000 characters')
	WHEN typeof(NEW.cc_addresses) = 'blob' OR instr(NEW.cc_addresses, char(0))
	     OR NEW.cc_addresses GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'cc_addresses must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.cc_addresses) > 1000000 THEN RAISE(ABORT, 'cc_addresses is longer than 1000000 characters')
	WHEN typeof(NEW.bcc_addresses) = 'blob' OR instr(NEW.bcc_addresses, char(0))
	     OR NEW.bcc_addresses GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'bcc_addresses must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.bcc_addresses) > 1000000 THEN RAISE(ABORT, 'bcc_addresses is longer than 1000000 characters')
	WHEN typeof(NEW.reply_to) = 'blob' OR instr(NEW.reply_to, char(0))
	     OR NEW.reply_to GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'reply_to must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.reply_to) > 2000 THEN RAISE(ABORT, 'reply_to is longer than 2000 characters')
	WHEN typeof(NEW.subject) = 'blob' OR instr(NEW.subject, char(0))
	     OR NEW.subject GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'subject must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.subject) > 2000 THEN RAISE(ABORT, 'subject is longer than 2000 characters')
	WHEN typeof(NEW.idempotency_key) = 'blob' OR instr(NEW.idempotency_key, char(0))
	     OR NEW.idempotency_key GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'idempotency_key must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.idempotency_key) > 255 THEN RAISE(ABORT, 'idempotency_key is longer than 255 characters')
	WHEN typeof(NEW.reference) = 'blob' OR instr(NEW.reference, char(0))
	     OR NEW.reference GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'reference must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.reference) > 255 THEN RAISE(ABORT, 'reference is longer than 255 characters')
	WHEN typeof(NEW.priority) <> 'integer' OR NEW.priority NOT BETWEEN -9 AND 9
		THEN RAISE(ABORT, 'priority must be a whole number from -9 to 9')
	WHEN typeof(NEW.draft) <> 'integer' OR NEW.draft NOT BETWEEN 0 AND 1
		THEN RAISE(ABORT, 'draft must be 0 or 1')
	WHEN typeof(NEW.attachments) <> 'integer' OR NEW.attachments NOT BETWEEN 0 AND 1000
		THEN RAISE(ABORT, 'attachments must be a whole number from 0 to 1000')
	WHEN typeof(NEW.not_before) IN ('integer', 'real') AND NEW.not_before > 100000000000
		THEN RAISE(ABORT, 'not_before must be in seconds since 1970: seconds, not milliseconds')
	WHEN NEW.not_before IS NOT NULL AND (typeof(NEW.not_before) <> 'integer' OR NEW.not_before < 0)
		THEN RAISE(ABORT, 'not_before must be a whole number of seconds since 1970')
	WHEN typeof(NEW.expires_at) IN ('integer', 'real') AND NEW.expires_at > 100000000000
		THEN RAISE(ABORT, 'expires_at must be in seconds since 1970: seconds, not milliseconds')
	WHEN NEW.expires_at IS NOT NULL AND (typeof(NEW.expires_at) <> 'integer' OR NEW.expires_at < 0)
		THEN RAISE(ABORT, 'expires_at must be a whole number of seconds since 1970')
	WHEN NEW.expires_at <= NEW.not_before THEN RAISE(ABORT, 'expires_at must be later than not_before')
	-- each word of the list becomes one #, and nothing else may be left
	WHEN NEW.dsn_notify <> 'never' AND (typeof(NEW.dsn_notify) <> 'text' OR instr(NEW.dsn_notify, char(0))
	     OR NEW.dsn_notify GLOB '*[^a-z, ]*'
	     OR replace(replace(replace(',' || replace(NEW.dsn_notify, ', ', ','),
	                ',success', '#'), ',failure', '#'), ',delay', '#') GLOB '*[^#]*'
	     OR length(NEW.dsn_notify) > 40)
		THEN RAISE(ABORT, 'dsn_notify must be ''never'' or a list of ''success'', ''failure'' and ''delay'' with commas between them')
	WHEN typeof(NEW.dsn_return) = 'blob' OR NEW.dsn_return NOT IN ('full', 'headers')
		THEN RAISE(ABORT, 'dsn_return must be ''full'' or ''headers''')
	WHEN typeof(NEW.headers) = 'blob' OR instr(NEW.headers, char(0))
		THEN RAISE(ABORT, 'headers must be text without NUL')
	WHEN instr(replace(NEW.headers, char(13, 10), ''), char(13))
		THEN RAISE(ABORT, 'headers must have LF or CRLF at the end of a line, not CR alone')
	WHEN length(NEW.headers) > 100000 THEN RAISE(ABORT, 'headers is longer than 100000 characters')
	WHEN NEW.body_text_type = 'blob' OR NEW.body_text_nul THEN RAISE(ABORT, 'body_text must be text without NUL')
	WHEN NEW.body_html_type = 'blob' OR NEW.body_html_nul THEN RAISE(ABORT, 'body_html must be text without NUL')
	WHEN NEW.message_type = 'integer' OR NEW.message_type = 'real' THEN RAISE(ABORT, 'message must be a BLOB or text')
	WHEN NEW.message_type <> 'null' AND NEW.reply_to IS NOT NULL
		THEN RAISE(ABORT, 'reply_to must be NULL beside message, which is complete in itself')
	WHEN NEW.message_type <> 'null' AND NEW.subject IS NOT NULL
		THEN RAISE(ABORT, 'subject must be NULL beside message, which is complete in itself')
	WHEN NEW.message_type <> 'null' AND NEW.headers IS NOT NULL
		THEN RAISE(ABORT, 'headers must be NULL beside message, which is complete in itself')
	WHEN NEW.message_type <> 'null' AND NEW.body_text_type <> 'null'
		THEN RAISE(ABORT, 'body_text must be NULL beside message, which is complete in itself')
	WHEN NEW.message_type <> 'null' AND NEW.body_html_type <> 'null'
		THEN RAISE(ABORT, 'body_html must be NULL beside message, which is complete in itself')
	WHEN NEW.message_type <> 'null' AND NEW.attachments > 0
		THEN RAISE(ABORT, 'attachments must be 0 beside message, which is complete in itself')
	WHEN NEW.draft = 0 AND NEW.message_type = 'null'
	     AND coalesce(NEW.to_addresses, NEW.cc_addresses, NEW.bcc_addresses) IS NULL
		THEN RAISE(ABORT, 'to_addresses is missing, and so are cc_addresses and bcc_addresses')
	WHEN NEW.draft = 0 AND NEW.message_type = 'null' AND NEW.from_address IS NULL
	     AND (SELECT from_address FROM outbox_tenant WHERE name = NEW.tenant) IS NULL
		THEN RAISE(ABORT, 'from_address is missing, and the tenant has none either')
	WHEN EXISTS (SELECT 1 FROM outbox WHERE tenant = NEW.tenant AND idempotency_key = NEW.idempotency_key
	             AND idempotency_key <> '' AND id <> NEW.id)
		THEN RAISE(ABORT, 'idempotency_key: this tenant has a message with this key already')
	END;
END;

-- NEW.id is -1 in BEFORE where the INSERT left it out.
CREATE TRIGGER outbox_insert BEFORE INSERT ON outbox
BEGIN
	SELECT RAISE(ABORT, 'id is given by the database: leave it out') WHERE NEW.id IS NOT -1;
	INSERT INTO outbox_rule_message VALUES (
		NEW.id, nullif(NEW.tenant, ''), nullif(NEW.from_address, ''),
		nullif(NEW.envelope_from, ''), nullif(NEW.to_addresses, ''),
		nullif(NEW.cc_addresses, ''), nullif(NEW.bcc_addresses, ''), nullif(NEW.reply_to, ''),
		nullif(NEW.subject, ''), nullif(NEW.idempotency_key, ''), nullif(NEW.reference, ''),
		coalesce(nullif(NEW.priority, ''), 0), coalesce(nullif(NEW.draft, ''), 0),
		coalesce(nullif(NEW.attachments, ''), 0), nullif(NEW.not_before, ''),
		nullif(NEW.expires_at, ''), nullif(NEW.dsn_notify, ''), nullif(NEW.dsn_return, ''),
		nullif(NEW.headers, ''),
		CASE WHEN NEW.body_text = '' THEN 'null' ELSE typeof(NEW.body_text) END,
		instr(NEW.body_text, char(0)),
		CASE WHEN NEW.body_html = '' THEN 'null' ELSE typeof(NEW.body_html) END,
		instr(NEW.body_html, char(0)),
		CASE WHEN NEW.message = '' OR NEW.message = x'' THEN 'null' ELSE typeof(NEW.message) END);
END;

CREATE TRIGGER outbox_update BEFORE UPDATE ON outbox
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT CASE
	WHEN (SELECT state FROM outbox_status WHERE outbox_id = OLD.id) IS NOT 'draft'
		THEN RAISE(ABORT, 'outbox: a message that is no longer a draft cannot be changed')
	WHEN NEW.id IS NOT OLD.id THEN RAISE(ABORT, 'id is given by the database and cannot be changed')
	WHEN coalesce(nullif(NEW.draft, ''), 0) IS NOT OLD.draft
		THEN RAISE(ABORT, 'draft cannot be changed: set state to ''queued'' in outbox_status')
	WHEN OLD.draft = 0 AND coalesce(nullif(NEW.attachments, ''), 0)
	     < (SELECT count(*) FROM outbox_attachment WHERE outbox_id = OLD.id)
		THEN RAISE(ABORT, 'attachments: more than that are there already')
	END;
	INSERT INTO outbox_rule_message VALUES (
		NEW.id, nullif(NEW.tenant, ''), nullif(NEW.from_address, ''),
		nullif(NEW.envelope_from, ''), nullif(NEW.to_addresses, ''),
		nullif(NEW.cc_addresses, ''), nullif(NEW.bcc_addresses, ''), nullif(NEW.reply_to, ''),
		nullif(NEW.subject, ''), nullif(NEW.idempotency_key, ''), nullif(NEW.reference, ''),
		coalesce(nullif(NEW.priority, ''), 0), coalesce(nullif(NEW.draft, ''), 0),
		coalesce(nullif(NEW.attachments, ''), 0), nullif(NEW.not_before, ''),
		nullif(NEW.expires_at, ''), nullif(NEW.dsn_notify, ''), nullif(NEW.dsn_return, ''),
		nullif(NEW.headers, ''),
		CASE WHEN NEW.body_text = '' THEN 'null' ELSE typeof(NEW.body_text) END,
		instr(NEW.body_text, char(0)),
		CASE WHEN NEW.body_html = '' THEN 'null' ELSE typeof(NEW.body_html) END,
		instr(NEW.body_html, char(0)),
		CASE WHEN NEW.message = '' OR NEW.message = x'' THEN 'null' ELSE typeof(NEW.message) END);
END;

CREATE TRIGGER outbox_inserted AFTER INSERT ON outbox
BEGIN
	SELECT CASE
	WHEN NEW.id < 1 THEN RAISE(ABORT, 'id is given by the database: leave it out')
	WHEN EXISTS (SELECT 1 FROM outbox_status WHERE outbox_id = NEW.id)
		THEN RAISE(ABORT, 'outbox_status has a row of this id already: the file is damaged')
	END;
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	UPDATE outbox SET
		from_address = nullif(from_address, ''), envelope_from = nullif(envelope_from, ''),
		to_addresses = nullif(to_addresses, ''), cc_addresses = nullif(cc_addresses, ''),
		bcc_addresses = nullif(bcc_addresses, ''), reply_to = nullif(reply_to, ''),
		subject = nullif(subject, ''), not_before = nullif(not_before, ''),
		expires_at = nullif(expires_at, ''), idempotency_key = nullif(idempotency_key, ''),
		reference = nullif(reference, ''), dsn_notify = nullif(dsn_notify, ''),
		dsn_return = nullif(dsn_return, ''), headers = nullif(headers, ''),
		body_text = nullif(body_text, ''), body_html = nullif(body_html, ''),
		priority = coalesce(nullif(priority, ''), 0),
		attachments = coalesce(nullif(attachments, ''), 0),
		draft = coalesce(nullif(draft, ''), 0),
		message = CASE WHEN message = '' OR message = x'' THEN NULL ELSE message END
	WHERE id = NEW.id AND (
		NEW.from_address = '' OR NEW.envelope_from = '' OR NEW.to_addresses = ''
		OR NEW.cc_addresses = '' OR NEW.bcc_addresses = '' OR NEW.reply_to = ''
		OR NEW.subject = '' OR NEW.not_before = '' OR NEW.expires_at = ''
		OR NEW.idempotency_key = '' OR NEW.reference = '' OR NEW.dsn_notify = ''
		OR NEW.dsn_return = '' OR NEW.headers = ''
		OR NEW.body_text = '' OR NEW.body_html = '' OR NEW.message = '' OR NEW.message = x''
		OR NEW.priority IS NULL OR NEW.priority = ''
		OR NEW.attachments IS NULL OR NEW.attachments = ''
		OR NEW.draft IS NULL OR NEW.draft = '');
	INSERT INTO outbox_status (outbox_id, tenant, priority, attempts, created_at_ms, updated_at_ms, requeues,
		state, due_at, queued_at_ms, first_queued_at_ms, from_address)
	VALUES (NEW.id, NEW.tenant, coalesce(nullif(NEW.priority, ''), 0), 0,
		(SELECT ms FROM outbox_now), (SELECT ms FROM outbox_now), 0,
		CASE WHEN NEW.draft = 1 OR NEW.attachments BETWEEN 1 AND 1000 THEN 'draft' ELSE 'queued' END,
		CASE WHEN NEW.draft = 1 OR NEW.attachments BETWEEN 1 AND 1000 THEN NULL
			ELSE max((SELECT s FROM outbox_now), coalesce(nullif(NEW.not_before, ''), 0)) END,
		CASE WHEN NEW.draft = 1 OR NEW.attachments BETWEEN 1 AND 1000 THEN NULL ELSE (SELECT ms FROM outbox_now) END,
		CASE WHEN NEW.draft = 1 OR NEW.attachments BETWEEN 1 AND 1000 THEN NULL ELSE (SELECT ms FROM outbox_now) END,
		CASE WHEN NEW.draft = 1 OR NEW.attachments BETWEEN 1 AND 1000 THEN NULL ELSE coalesce(
			nullif(NEW.from_address, ''), (SELECT from_address FROM outbox_tenant WHERE name = NEW.tenant)) END);
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	SELECT RAISE(ABORT, 'outbox_status: the row of this message could not be written')
	WHERE NOT EXISTS (SELECT 1 FROM outbox_status WHERE outbox_id = NEW.id AND attempts = 0);
END;

-- A draft was changed: the copies follow, and fewer attachments may be all that it waited for.
CREATE TRIGGER outbox_updated AFTER UPDATE ON outbox
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	UPDATE outbox SET
		from_address = nullif(from_address, ''), envelope_from = nullif(envelope_from, ''),
		to_addresses = nullif(to_addresses, ''), cc_addresses = nullif(cc_addresses, ''),
		bcc_addresses = nullif(bcc_addresses, ''), reply_to = nullif(reply_to, ''),
		subject = nullif(subject, ''), not_before = nullif(not_before, ''),
		expires_at = nullif(expires_at, ''), idempotency_key = nullif(idempotency_key, ''),
		reference = nullif(reference, ''), dsn_notify = nullif(dsn_notify, ''),
		dsn_return = nullif(dsn_return, ''), headers = nullif(headers, ''),
		body_text = nullif(body_text, ''), body_html = nullif(body_html, ''),
		priority = coalesce(nullif(priority, ''), 0),
		attachments = coalesce(nullif(attachments, ''), 0),
		draft = coalesce(nullif(draft, ''), 0),
		message = CASE WHEN message = '' OR message = x'' THEN NULL ELSE message END
	WHERE id = NEW.id AND (
		NEW.from_address = '' OR NEW.envelope_from = '' OR NEW.to_addresses = ''
		OR NEW.cc_addresses = '' OR NEW.bcc_addresses = '' OR NEW.reply_to = ''
		OR NEW.subject = '' OR NEW.not_before = '' OR NEW.expires_at = ''
		OR NEW.idempotency_key = '' OR NEW.reference = '' OR NEW.dsn_notify = ''
		OR NEW.dsn_return = '' OR NEW.headers = ''
		OR NEW.body_text = '' OR NEW.body_html = '' OR NEW.message = '' OR NEW.message = x''
		OR NEW.priority IS NULL OR NEW.priority = ''
		OR NEW.attachments IS NULL OR NEW.attachments = ''
		OR NEW.draft IS NULL OR NEW.draft = '');
	UPDATE outbox_status SET tenant = NEW.tenant, priority = (SELECT priority FROM outbox WHERE id = NEW.id),
		updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.id;
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	UPDATE outbox_status SET state = 'queued' WHERE outbox_id = NEW.id AND state = 'draft'
	AND (SELECT draft = 0 AND attachments = (SELECT count(*) FROM outbox_attachment WHERE outbox_id = NEW.id)
	     FROM outbox WHERE id = NEW.id);
END;

CREATE TRIGGER outbox_delete BEFORE DELETE ON outbox
BEGIN
	SELECT RAISE(ABORT, 'state: this message is not finished, cancel it first')
	WHERE (SELECT state FROM outbox_status WHERE outbox_id = OLD.id) IN ('queued', 'deferred', 'uncertain');
END;

CREATE TRIGGER outbox_deleted AFTER DELETE ON outbox
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	DELETE FROM outbox_attachment WHERE outbox_id = OLD.id;
	DELETE FROM outbox_delivery WHERE outbox_id = OLD.id;
	DELETE FROM outbox_status WHERE outbox_id = OLD.id;
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
END;

-- ---- outbox_attachment -----------------------------------------------------

-- row is -1 for a row that has no rowid yet.
CREATE VIEW outbox_rule_attachment (
	row, outbox_id, position, filename, content_type, content_id, content_kind
) AS SELECT
	NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER outbox_rule_attachment_check INSTEAD OF INSERT ON outbox_rule_attachment
BEGIN
	SELECT CASE
	WHEN NEW.outbox_id IS NULL THEN RAISE(ABORT, 'outbox_id is missing')
	WHEN NOT EXISTS (SELECT 1 FROM outbox WHERE id = NEW.outbox_id)
		THEN RAISE(ABORT, 'outbox_id: no message has this id')
	WHEN NEW.position IS NOT NULL AND (typeof(NEW.position) <> 'integer' OR NEW.position NOT BETWEEN 0 AND 1000000)
		THEN RAISE(ABORT, 'position must be a whole number from 0 to 1000000')
	WHEN typeof(NEW.filename) = 'blob' OR instr(NEW.filename, char(0))
	     OR NEW.filename GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'filename must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.filename) > 255 THEN RAISE(ABORT, 'filename is longer than 255 characters')
	WHEN typeof(NEW.content_type) = 'blob' OR instr(NEW.content_type, char(0))
	     OR NEW.content_type GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'content_type must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.content_type) > 255 THEN RAISE(ABORT, 'content_type is longer than 255 characters')
	WHEN NEW.content_type NOT GLOB '?*/?*' THEN RAISE(ABORT, 'content_type must be type/subtype, as in application/pdf')
	WHEN typeof(NEW.content_id) = 'blob' OR instr(NEW.content_id, char(0))
	     OR NEW.content_id GLOB '*[' || char(10, 13) || ']*'
		THEN RAISE(ABORT, 'content_id must be one line of text, without CR, LF or NUL')
	WHEN length(NEW.content_id) > 255 THEN RAISE(ABORT, 'content_id is longer than 255 characters')
	WHEN NEW.content_id GLOB '*[ <>]*' THEN RAISE(ABORT, 'content_id must be without spaces, < and >')
	WHEN NEW.content_kind = 'null' THEN RAISE(ABORT, 'content is missing: an empty file is x''''')
	WHEN NEW.content_kind NOT IN ('blob', 'text') THEN RAISE(ABORT, 'content must be a BLOB or text')
	WHEN EXISTS (SELECT 1 FROM outbox_attachment WHERE outbox_id = NEW.outbox_id AND position = NEW.position
	             AND rowid <> NEW.row)
		THEN RAISE(ABORT, 'position: this message has an attachment at this position already')
	END;
END;

CREATE TRIGGER outbox_attachment_insert BEFORE INSERT ON outbox_attachment
BEGIN
	SELECT RAISE(ABORT, 'rowid is given by the database: leave it out') WHERE NEW.rowid IS NOT -1;
	INSERT INTO outbox_rule_attachment VALUES (NEW.rowid,
		nullif(NEW.outbox_id, ''), nullif(NEW.position, ''), nullif(NEW.filename, ''),
		nullif(NEW.content_type, ''), nullif(NEW.content_id, ''),
		CASE WHEN NEW.content = '' THEN 'null' ELSE typeof(NEW.content) END);
	SELECT CASE
	WHEN o.draft = 0 AND o.attachments = 0
		THEN RAISE(ABORT, 'outbox_id: this message announced no attachments: say their number in its column attachments')
	WHEN o.draft = 0 AND o.attachments <= (SELECT count(*) FROM outbox_attachment WHERE outbox_id = o.id)
		THEN RAISE(ABORT, 'outbox_id: this message has all the attachments that it announced')
	WHEN (SELECT state FROM outbox_status WHERE outbox_id = o.id) IS NOT 'draft'
		THEN RAISE(ABORT, 'outbox_id: a message that is no longer a draft takes no attachments')
	END FROM (SELECT id, draft, attachments FROM outbox WHERE id = NEW.outbox_id) AS o;
END;

CREATE TRIGGER outbox_attachment_update BEFORE UPDATE ON outbox_attachment
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT CASE
	WHEN (SELECT state FROM outbox_status WHERE outbox_id = OLD.outbox_id) IS NOT 'draft'
		THEN RAISE(ABORT, 'outbox_id: the attachments of a message that is no longer a draft cannot be changed')
	WHEN NEW.outbox_id IS NOT OLD.outbox_id THEN RAISE(ABORT, 'outbox_id cannot be changed')
	WHEN NEW.rowid IS NOT OLD.rowid THEN RAISE(ABORT, 'rowid is given by the database and cannot be changed')
	END;
	INSERT INTO outbox_rule_attachment VALUES (OLD.rowid,
		nullif(NEW.outbox_id, ''), nullif(NEW.position, ''), nullif(NEW.filename, ''),
		nullif(NEW.content_type, ''), nullif(NEW.content_id, ''),
		CASE WHEN NEW.content = '' THEN 'null' ELSE typeof(NEW.content) END);
END;

-- The last announced one queues its message, as an application's UPDATE of state would.
CREATE TRIGGER outbox_attachment_inserted AFTER INSERT ON outbox_attachment
BEGIN
	SELECT RAISE(ABORT, 'rowid is given by the database: leave it out') WHERE NEW.rowid < 1;
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	UPDATE outbox_attachment SET

		position = coalesce(nullif(position, ''),
			1 + coalesce((SELECT max(position) FROM outbox_attachment
			              WHERE outbox_id = NEW.outbox_id AND position <> ''), 0)),
		filename = nullif(filename, ''), content_type = nullif(content_type, ''),
		content_id = nullif(content_id, '')
	WHERE rowid = NEW.rowid AND (
		NEW.position IS NULL OR NEW.position = '' OR NEW.filename = '' OR NEW.content_type = ''
		OR NEW.content_id = '');
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	UPDATE outbox_status SET state = 'queued' WHERE outbox_id = NEW.outbox_id AND state = 'draft'
	AND (SELECT draft = 0 AND attachments = (SELECT count(*) FROM outbox_attachment WHERE outbox_id = NEW.outbox_id)
	     FROM outbox WHERE id = NEW.outbox_id);
END;

CREATE TRIGGER outbox_attachment_updated AFTER UPDATE ON outbox_attachment
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	UPDATE outbox_attachment SET

		position = coalesce(nullif(position, ''),
			1 + coalesce((SELECT max(position) FROM outbox_attachment
			              WHERE outbox_id = NEW.outbox_id AND position <> ''), 0)),
		filename = nullif(filename, ''), content_type = nullif(content_type, ''),
		content_id = nullif(content_id, '')
	WHERE rowid = NEW.rowid AND (
		NEW.position IS NULL OR NEW.position = '' OR NEW.filename = '' OR NEW.content_type = ''
		OR NEW.content_id = '');
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
END;

CREATE TRIGGER outbox_attachment_delete BEFORE DELETE ON outbox_attachment
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_id: the attachments of a message that is no longer a draft go with it')
	WHERE (SELECT state FROM outbox_status WHERE outbox_id = OLD.outbox_id) <> 'draft';
END;

-- ---- outbox_status ---------------------------------------------------------

CREATE TRIGGER outbox_status_insert BEFORE INSERT ON outbox_status
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_status: its rows are made with those of outbox');
END;

CREATE TRIGGER outbox_status_delete BEFORE DELETE ON outbox_status
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_status: its rows go with those of outbox');
END;

-- Before a change: an application may change state, along the contract's table; outboxd, in its marked
-- transactions, whatever it wants but state, and that along the table too (a cancel may come too late).
CREATE TRIGGER outbox_status_update BEFORE UPDATE ON outbox_status
WHEN CASE (SELECT value FROM outbox_meta WHERE key = 'daemon') WHEN 1
	THEN CASE WHEN NEW.state = OLD.state THEN 0
		WHEN OLD.state = 'queued' OR OLD.state = 'deferred'
		THEN CASE NEW.state WHEN 'sent' THEN 0 WHEN 'failed' THEN 0 WHEN 'deferred' THEN 0
			WHEN 'uncertain' THEN 0 ELSE 1 END
		WHEN OLD.state = 'cancelled'
		THEN CASE NEW.state WHEN 'sent' THEN 0 WHEN 'failed' THEN 0 WHEN 'uncertain' THEN 0 ELSE 1 END
		ELSE 1 END
	ELSE (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1 END
BEGIN
	SELECT RAISE(ABORT, 'state: outboxd itself may not make this change')
	WHERE (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1;
	INSERT INTO outbox_rule_status VALUES (OLD.outbox_id,
		NEW.outbox_id, NEW.tenant, NEW.priority, NEW.attempts, NEW.due_at, NEW.created_at_ms,
		NEW.queued_at_ms, NEW.finished_at_ms, NEW.message_id, NEW.first_queued_at_ms,
		NEW.from_address, NEW.result, NEW.updated_at_ms, NEW.requeues, NEW.state);
END;

-- After it, if an application made it: what follows from it.
CREATE TRIGGER outbox_status_updated AFTER UPDATE OF state ON outbox_status
WHEN NEW.state IS NOT OLD.state
	AND (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	UPDATE outbox_meta SET value = value + 1 WHERE key = 'trigger';
	INSERT INTO outbox_rule_state VALUES (NEW.outbox_id, NEW.tenant, OLD.state, NEW.state);
	UPDATE outbox_meta SET value = value - 1 WHERE key = 'trigger';
	INSERT INTO outbox_change (kind, key) VALUES ('message', NEW.outbox_id);
END;

CREATE VIEW outbox_rule_status (
	old_outbox_id, outbox_id, tenant, priority, attempts, due_at, created_at_ms, queued_at_ms,
	finished_at_ms, message_id, first_queued_at_ms, from_address, result, updated_at_ms, requeues,
	state
) AS SELECT
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER outbox_rule_status_check INSTEAD OF INSERT ON outbox_rule_status
BEGIN
	SELECT CASE
	WHEN NEW.outbox_id IS NOT o.outbox_id
		THEN RAISE(ABORT, 'outbox_id is written by outboxd: applications may change state alone')
	WHEN NEW.tenant IS NOT o.tenant
		THEN RAISE(ABORT, 'tenant is written by outboxd: applications may change state alone')
	WHEN NEW.priority IS NOT o.priority
		THEN RAISE(ABORT, 'priority is written by outboxd: applications may change state alone')
	WHEN NEW.attempts IS NOT o.attempts
		THEN RAISE(ABORT, 'attempts is written by outboxd: applications may change state alone')
	WHEN NEW.due_at IS NOT o.due_at
		THEN RAISE(ABORT, 'due_at is written by outboxd: applications may change state alone')
	WHEN NEW.created_at_ms IS NOT o.created_at_ms
		THEN RAISE(ABORT, 'created_at_ms is written by outboxd: applications may change state alone')
	WHEN NEW.queued_at_ms IS NOT o.queued_at_ms
		THEN RAISE(ABORT, 'queued_at_ms is written by outboxd: applications may change state alone')
	WHEN NEW.finished_at_ms IS NOT o.finished_at_ms
		THEN RAISE(ABORT, 'finished_at_ms is written by outboxd: applications may change state alone')
	WHEN NEW.message_id IS NOT o.message_id
		THEN RAISE(ABORT, 'message_id is written by outboxd: applications may change state alone')
	WHEN NEW.first_queued_at_ms IS NOT o.first_queued_at_ms
		THEN RAISE(ABORT, 'first_queued_at_ms is written by outboxd: applications may change state alone')
	WHEN NEW.from_address IS NOT o.from_address
		THEN RAISE(ABORT, 'from_address is written by outboxd: applications may change state alone')
	WHEN NEW.result IS NOT o.result
		THEN RAISE(ABORT, 'result is written by outboxd: applications may change state alone')
	WHEN NEW.updated_at_ms IS NOT o.updated_at_ms
		THEN RAISE(ABORT, 'updated_at_ms is written by outboxd: applications may change state alone')
	WHEN NEW.requeues IS NOT o.requeues
		THEN RAISE(ABORT, 'requeues is written by outboxd: applications may change state alone')
	WHEN nullif(NEW.state, '') IS NULL THEN RAISE(ABORT, 'state is missing')
	WHEN CASE NEW.state WHEN 'draft' THEN 0 WHEN 'queued' THEN 0 WHEN 'deferred' THEN 0 WHEN 'sent' THEN 0
		WHEN 'failed' THEN 0 WHEN 'uncertain' THEN 0 WHEN 'cancelled' THEN 0 ELSE 1 END
		THEN RAISE(ABORT, 'state must be one of the words draft, queued, deferred, sent, failed, uncertain, cancelled')
	WHEN NEW.state = o.state THEN NULL
	WHEN o.state = 'sent' THEN RAISE(ABORT, 'state: already sent')
	WHEN NEW.state = 'draft' THEN RAISE(ABORT, 'state: nothing becomes a draft again')
	WHEN NEW.state IN ('deferred', 'uncertain')
		THEN RAISE(ABORT, 'state: only outboxd says deferred or uncertain')
	WHEN NEW.state IN ('sent', 'failed') AND o.state <> 'uncertain'
		THEN RAISE(ABORT, 'state: only outboxd says sent or failed, unless the state is uncertain')
	WHEN NEW.state = 'cancelled' AND o.state = 'failed'
		THEN RAISE(ABORT, 'state: already failed, nothing is left to cancel')
	WHEN NEW.state = 'queued' AND (SELECT attachments FROM outbox WHERE id = o.outbox_id)
	     > (SELECT count(*) FROM outbox_attachment WHERE outbox_id = o.outbox_id)
		THEN RAISE(ABORT, 'state cannot become queued: some of the announced attachments are not there')
	WHEN NEW.state = 'queued'
	     AND CASE o.state WHEN 'failed' THEN 1 WHEN 'cancelled' THEN 1 WHEN 'uncertain' THEN 1 END
	     AND (SELECT expires_at FROM outbox WHERE id = o.outbox_id) <= (SELECT s FROM outbox_now)
		THEN RAISE(ABORT, 'state cannot become queued: expires_at has passed')
	WHEN NEW.state = 'queued' AND o.first_queued_at_ms IS NULL
	     AND (SELECT typeof(message) = 'null' AND coalesce(to_addresses, cc_addresses, bcc_addresses) IS NULL
	          FROM outbox WHERE id = o.outbox_id)
		THEN RAISE(ABORT, 'state cannot become queued: to_addresses, cc_addresses and bcc_addresses are missing')
	WHEN NEW.state = 'queued' AND o.first_queued_at_ms IS NULL
	     AND (SELECT typeof(message) = 'null' AND from_address IS NULL FROM outbox WHERE id = o.outbox_id)
	     AND (SELECT from_address FROM outbox_tenant WHERE name = o.tenant) IS NULL
		THEN RAISE(ABORT, 'state cannot become queued: from_address is missing, and the tenant has none either')
	END FROM outbox_status AS o WHERE o.outbox_id = NEW.old_outbox_id;
END;

-- Apart, and only where there are recipients: each UPDATE of a table WITHOUT ROWID opens a table in memory, if there is a row or not.
CREATE VIEW outbox_rule_recipients (outbox_id, old_state, state) AS SELECT NULL, NULL, NULL;

CREATE TRIGGER outbox_rule_recipients_follow INSTEAD OF INSERT ON outbox_rule_recipients
WHEN EXISTS (SELECT 1 FROM outbox_delivery WHERE outbox_id = NEW.outbox_id)
	OR (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_rule_recipients is for the triggers of outbox_status alone')
	WHERE (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1;
	-- An uncertain one stays so, whatever becomes of its message, until it is said to be sent:
	-- a repeat may be a duplicate and must be the same byte for byte.
	UPDATE outbox_delivery SET state = NEW.state, updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id AND state = 'deferred' AND NEW.state IN ('cancelled', 'failed');
	UPDATE outbox_delivery SET state = 'sent', uncertain = 1, updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id AND state = 'uncertain' AND NEW.state = 'sent';
	UPDATE outbox_delivery SET attempts = 0, state = CASE state WHEN 'uncertain' THEN state ELSE 'deferred' END,
		updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id AND state <> 'sent' AND NEW.state = 'queued'
	AND (NEW.old_state IN ('failed', 'cancelled') OR NEW.old_state = 'uncertain' AND state <> 'failed');
END;

CREATE VIEW outbox_rule_state (outbox_id, tenant, old_state, state) AS SELECT NULL, NULL, NULL, NULL;

CREATE TRIGGER outbox_rule_state_follow INSTEAD OF INSERT ON outbox_rule_state
BEGIN
	SELECT RAISE(ABORT, 'outbox_rule_state is for the triggers of outbox_status alone')
	WHERE (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1;
	INSERT INTO outbox_rule_recipients VALUES (NEW.outbox_id, NEW.old_state, NEW.state);
	-- Queued anew: all but the first time starts again.
	UPDATE outbox_status SET attempts = 0,
		due_at = max((SELECT s FROM outbox_now),
			coalesce((SELECT not_before FROM outbox WHERE id = NEW.outbox_id), 0)),
		queued_at_ms = (SELECT ms FROM outbox_now),
		first_queued_at_ms = coalesce(first_queued_at_ms, (SELECT ms FROM outbox_now)),
		finished_at_ms = NULL,
		from_address = CASE WHEN EXISTS (SELECT 1 FROM outbox_delivery
			WHERE outbox_id = NEW.outbox_id AND (state IN ('sent', 'uncertain') OR uncertain = 1))
			THEN from_address
			ELSE coalesce((SELECT from_address FROM outbox WHERE id = NEW.outbox_id),
				(SELECT from_address FROM outbox_tenant WHERE name = NEW.tenant), from_address) END,
		requeues = requeues + (first_queued_at_ms IS NOT NULL),
		updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id AND NEW.state = 'queued' AND NEW.old_state <> 'deferred';
	-- Try now: the age goes on.
	UPDATE outbox_status SET due_at = max((SELECT s FROM outbox_now),
			coalesce((SELECT not_before FROM outbox WHERE id = NEW.outbox_id), 0)),
		updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id AND NEW.state = 'queued' AND NEW.old_state = 'deferred';
	UPDATE outbox_status SET finished_at_ms = (SELECT ms FROM outbox_now),
		updated_at_ms = (SELECT ms FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id
	AND CASE NEW.state WHEN 'sent' THEN 1 WHEN 'failed' THEN 1 WHEN 'cancelled' THEN 1 END;
	-- 'sent' decides the uncertain recipients; the others are tried on, and a refused one stays refused.
	UPDATE outbox_status SET state = 'failed'
	WHERE outbox_id = NEW.outbox_id AND NEW.state = 'sent'
	AND EXISTS (SELECT 1 FROM outbox_delivery WHERE outbox_id = NEW.outbox_id AND state = 'failed');
	UPDATE outbox_status SET state = 'deferred', finished_at_ms = NULL, due_at = (SELECT s FROM outbox_now)
	WHERE outbox_id = NEW.outbox_id AND NEW.state = 'sent'
	AND EXISTS (SELECT 1 FROM outbox_delivery WHERE outbox_id = NEW.outbox_id AND state = 'deferred');
END;

-- ---- what outboxd alone writes ---------------------------------------------

CREATE TRIGGER outbox_delivery_insert BEFORE INSERT ON outbox_delivery
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
	OR CASE NEW.state
		WHEN 'sent' THEN 0 WHEN 'deferred' THEN 0 WHEN 'failed' THEN 0
		WHEN 'uncertain' THEN 0 WHEN 'cancelled' THEN 0 ELSE 1 END
BEGIN
	SELECT CASE WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1
			OR (SELECT value FROM outbox_meta WHERE key = 'trigger') = 1
		THEN RAISE(ABORT, 'state: outbox_delivery has no such state')
		ELSE RAISE(ABORT, 'outbox_delivery is written by outboxd alone') END;
END;

CREATE TRIGGER outbox_delivery_update BEFORE UPDATE ON outbox_delivery
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
	OR CASE NEW.state
		WHEN 'sent' THEN 0 WHEN 'deferred' THEN 0 WHEN 'failed' THEN 0
		WHEN 'uncertain' THEN 0 WHEN 'cancelled' THEN 0 ELSE 1 END
BEGIN
	SELECT CASE WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1
			OR (SELECT value FROM outbox_meta WHERE key = 'trigger') = 1
		THEN RAISE(ABORT, 'state: outbox_delivery has no such state')
		ELSE RAISE(ABORT, 'outbox_delivery is written by outboxd alone') END;
END;

CREATE TRIGGER outbox_delivery_delete BEFORE DELETE ON outbox_delivery
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_delivery is written by outboxd alone');
END;

CREATE TRIGGER outbox_tenant_status_insert BEFORE INSERT ON outbox_tenant_status
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
	OR CASE NEW.state
		WHEN 'idle' THEN 0 WHEN 'sending' THEN 0 WHEN 'backoff' THEN 0
		WHEN 'throttled' THEN 0 WHEN 'auth_failed' THEN 0 WHEN 'suspended' THEN 0
		WHEN 'quarantined' THEN 0 WHEN 'limited' THEN 0 ELSE 1 END
BEGIN
	SELECT CASE WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1
			OR (SELECT value FROM outbox_meta WHERE key = 'trigger') = 1
		THEN RAISE(ABORT, 'state: outbox_tenant_status has no such state')
		ELSE RAISE(ABORT, 'outbox_tenant_status is written by outboxd alone') END;
END;

CREATE TRIGGER outbox_tenant_status_update BEFORE UPDATE ON outbox_tenant_status
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
	OR CASE NEW.state
		WHEN 'idle' THEN 0 WHEN 'sending' THEN 0 WHEN 'backoff' THEN 0
		WHEN 'throttled' THEN 0 WHEN 'auth_failed' THEN 0 WHEN 'suspended' THEN 0
		WHEN 'quarantined' THEN 0 WHEN 'limited' THEN 0 ELSE 1 END
BEGIN
	SELECT CASE WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1
			OR (SELECT value FROM outbox_meta WHERE key = 'trigger') = 1
		THEN RAISE(ABORT, 'state: outbox_tenant_status has no such state')
		ELSE RAISE(ABORT, 'outbox_tenant_status is written by outboxd alone') END;
END;

CREATE TRIGGER outbox_tenant_status_delete BEFORE DELETE ON outbox_tenant_status
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_tenant_status is written by outboxd alone');
END;

-- A tenant that was deleted meanwhile gets no row: a new one of its name would inherit it.
CREATE TRIGGER outbox_tenant_status_gone BEFORE INSERT ON outbox_tenant_status
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1
	AND NOT EXISTS (SELECT 1 FROM outbox_tenant WHERE name = NEW.tenant)
BEGIN
	SELECT RAISE(IGNORE);
END;

CREATE TRIGGER outbox_usage_insert BEFORE INSERT ON outbox_usage
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_usage is written by outboxd alone');
END;

CREATE TRIGGER outbox_usage_update BEFORE UPDATE ON outbox_usage
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_usage is written by outboxd alone');
END;

CREATE TRIGGER outbox_usage_delete BEFORE DELETE ON outbox_usage
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') IS NOT 1
	AND (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_usage is written by outboxd alone');
END;

-- As above: what a tenant sent that is gone is not another's.
CREATE TRIGGER outbox_usage_gone BEFORE INSERT ON outbox_usage
WHEN (SELECT value FROM outbox_meta WHERE key = 'daemon') = 1
	AND NOT EXISTS (SELECT 1 FROM outbox_tenant WHERE name = NEW.tenant)
BEGIN
	SELECT RAISE(IGNORE);
END;

CREATE TRIGGER outbox_suspension_insert BEFORE INSERT ON outbox_suspension
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_suspension is written by the triggers of outbox_tenant alone');
END;

CREATE TRIGGER outbox_suspension_update BEFORE UPDATE ON outbox_suspension
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_suspension is written by the triggers of outbox_tenant alone');
END;

CREATE TRIGGER outbox_suspension_delete BEFORE DELETE ON outbox_suspension
WHEN (SELECT value FROM outbox_meta WHERE key = 'trigger') IS NOT 1
BEGIN
	SELECT RAISE(ABORT, 'outbox_suspension is written by the triggers of outbox_tenant alone');
END;

RELEASE outbox_schema;
