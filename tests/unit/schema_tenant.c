/*
 * schema_tenant.c - rows of outbox_tenant, and what outboxd alone writes.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/schema_bed.h"

#define INSERT "INSERT@@ INTO outbox_tenant "
#define NAME   "name must be 1 to 63 of a-z, 0-9, dot, underscore and hyphen, and begin with a letter or digit"
#define HOST   "host must be the name or the address of a server, without spaces, / or @"
#define PRINTS "tls_fingerprints must be sha256:HEX or spki:HEX, 64 digits each, separated by commas"
#define HEX64  "0123456789abcdefABCDEF9876543210000102030405060708090a0b0c0d0e0f"

/* The same for an INSERT and an UPDATE. */
static const struct refusal columns[] = {
	{ "enabled = 2", "enabled must be 0 or 1" },
	{ "enabled = 'yes'", "enabled must be 0 or 1" },
	{ "host = 'mail server'", HOST },
	{ "host = 'smtp://mail'", HOST },
	{ "host = 'me@mail'", HOST },
	{ "tls = 'ssl'", "tls must be 'starttls', 'implicit', 'opportunistic' or 'none'" },
	{ "tls = 'STARTTLS'", "tls must be 'starttls', 'implicit', 'opportunistic' or 'none'" },
	{ "tls_verify = 'yes'", "tls_verify must be 'full', 'fingerprint' or 'none'" },
	{ "tls_verify = 'fingerprint'", "tls_fingerprints is missing, and tls_verify is 'fingerprint'" },
	{ "tls_name = 'mail server'", "tls_name must be the name of a server, without spaces, / or @" },
	{ "tls_fingerprints = '" HEX64 "'", PRINTS },
	{ "tls_fingerprints = 'sha1:" HEX64 "'", PRINTS },
	{ "tls_fingerprints = 'sha256:" HEX64 "0'", PRINTS },
	{ "tls_fingerprints = 'sha256:" HEX64 ",'", PRINTS },
	{ "tls_fingerprints = 'sha256:" HEX64 ",spki:'", PRINTS },
	{ "tls_fingerprints = 'sha256:" HEX64 ",spki:0123'", PRINTS },
	{ "tls_fingerprints = 'sha256:" HEX64 "#'", PRINTS },
	{ "tls_fingerprints = 'sha256:g123456789abcdefABCDEF9876543210000102030405060708090a0b0c0d0e0f'",
	  PRINTS },
	{ "tls_cert_file = 'cert.pem'", "tls_key_file is missing beside tls_cert_file" },
	{ "tls_key_file = 'key.pem'", "tls_cert_file is missing beside tls_key_file" },
	{ "auth = 'digest-md5'",
	  "auth must be auto, none, or plain, login, cram-md5, scram-sha-1, scram-sha-256, xoauth2, oauthbearer, external" },
	{ "oauth_token_url = 'ftp://login.example'", "oauth_token_url must begin with https:// or http://" },
	{ "oauth_token_url = 'https://'", "oauth_token_url must begin with https:// or http://" },
	{ "on_uncertain = 'drop'", "on_uncertain must be 'resend' or 'hold'" },
	{ "ehlo_name = 'my host'",
	  "ehlo_name must be a host name or an address literal in ASCII, without spaces" },
	{ "ehlo_name = 'm\xc3\xbc.example'",
	  "ehlo_name must be a host name or an address literal in ASCII, without spaces" },
	{ "bind_address = '10.0.0.1 '", "bind_address must be an IPv4 or IPv6 address" },
	{ "bind_address = '[::1]'", "bind_address must be an IPv4 or IPv6 address" },
	{ "retry_max = 59", "retry_max must be a whole number from retry_min to 604800" },
	{ "retry_max = 604801", "retry_max must be a whole number from retry_min to 604800" },
	{ "retry_max = 'long'", "retry_max must be a whole number from retry_min to 604800" },
	{ "retry_min = 3601", "retry_max must be a whole number from retry_min to 604800" },
};

static const struct refusal rows[] = {
	{ INSERT "(host) VALUES ('h')", "name is missing" },
	{ INSERT "(name, host) VALUES ('', 'h')", "name is missing" },
	{ INSERT "(name) VALUES ('new')", "host is missing" },
	{ INSERT "(name, host) VALUES ('new', '')", "host is missing" },
	{ "UPDATE@@ outbox_tenant SET host = NULL WHERE name = 'acme'", "host is missing" },
	{ INSERT "(name, host) VALUES ('Acme', 'h')", NAME },
	{ INSERT "(name, host) VALUES ('-acme', 'h')", NAME },
	{ INSERT "(name, host) VALUES ('.acme', 'h')", NAME },
	{ INSERT "(name, host) VALUES ('ac/me', 'h')", NAME },
	{ INSERT "(name, host) VALUES ('ac me', 'h')", NAME },
	{ INSERT "(name, host) VALUES ('acm\xc3\xa9', 'h')", NAME },
	{ INSERT "(name, host) VALUES ('acme' || char(10), 'h')", NAME },
	{ INSERT "(name, host) VALUES ('a' || char(0) || '/', 'h')", NAME },
	{ INSERT "(name, host) VALUES (x'61', 'h')", NAME },
	{ INSERT "(name, host) VALUES (printf('%.*c', 64, 'x'), 'h')", NAME },
	{ INSERT "(name, host) VALUES ('acme', 'h')",
	  "name: a tenant of this name is there already, change it with UPDATE" },
	{ INSERT "(name, host) VALUES ('new', 'h'), ('new', 'h')",
	  "name: a tenant of this name is there already, change it with UPDATE" },
	{ "UPDATE@@ outbox_tenant SET name = 'new' WHERE name = 'bare'", "name: a tenant cannot be renamed" },
	{ "UPDATE@@ outbox_tenant SET name = 'acme' WHERE name = 'bare'",
	  "name: a tenant cannot be renamed" },
	{ "UPDATE@@ outbox_tenant SET name = NULL WHERE name = 'bare'", "name: a tenant cannot be renamed" },
	{ "UPDATE@@ outbox_tenant SET port = 465, tls = 'starttls' WHERE name = 'acme'",
	  "tls must not be 'starttls' on port 465, where TLS begins with the first byte: 'implicit'" },
	{ INSERT "(name, host, port, tls) VALUES ('new', 'h', '465', 'starttls')",
	  "tls must not be 'starttls' on port 465, where TLS begins with the first byte: 'implicit'" },
	{ "DELETE FROM outbox_tenant WHERE name = 'acme'",
	  "name: this tenant still has messages, remove them first (finished ones too)" },
	{ "DELETE FROM outbox_tenant",
	  "name: this tenant still has messages, remove them first (finished ones too)" },
};

struct number {
	const char *name;
	long long least, most;
};

static const struct number numbers[] = {
	{ "port", 1, 65535 },
	{ "connect_timeout", 1, 86400 },
	{ "command_timeout", 1, 86400 },
	{ "data_timeout", 1, 86400 },
	{ "min_rate", 1, 1000000000 },
	{ "max_connections", 1, 1000 },
	{ "max_messages_per_session", 1, 1000000 },
	{ "pipeline_depth", 1, 1000 },
	{ "messages_per_minute", 1, 1000000 },
	{ "recipients_per_day", 1, 1000000000 },
	{ "retry_min", 1, 86400 },
	{ "max_age", 60, 31536000 },
	{ "streak_guard", 0, 1000000 },
};

struct text {
	const char *name;
	int longest;
	const char *folder; /* a name in it */
};

static const struct text texts[] = {
	{ "host", 255, NULL },
	{ "tls_name", 255, NULL },
	{ "tls_ca_file", 4095, NULL },
	{ "tls_fingerprints", 10000, NULL },
	{ "tls_cert_file", 255, "secrets_dir" },
	{ "tls_key_file", 255, "secrets_dir" },
	{ "tls_priority", 1000, NULL },
	{ "username", 1000, NULL },
	{ "password", 65536, NULL },
	{ "password_file", 255, "secrets_dir" },
	{ "password_command", 255, "command_dir" },
	{ "oauth_token_url", 2000, NULL },
	{ "oauth_client_id", 1000, NULL },
	{ "oauth_client_secret_file", 255, "secrets_dir" },
	{ "oauth_scope", 2000, NULL },
	{ "oauth_refresh_token_file", 255, "secrets_dir" },
	{ "token_command", 255, "command_dir" },
	{ "from_address", 1000, NULL },
	{ "allowed_senders", 1000000, NULL },
	{ "ehlo_name", 255, NULL },
	{ "bind_address", 255, NULL },
};

/* By UPDATE of acme, and by INSERT of another. */
static void refuse_column(struct bed *bed, const char *sentence, const char *name, const char *value)
{
	bool is_host = strcmp(name, "host") == 0;

	bed_refused(bed, sentence, "UPDATE@@ outbox_tenant SET %s = %s WHERE name = 'acme'", name, value);
	bed_refused(bed, sentence, "INSERT@@ INTO outbox_tenant (name, %s%s) VALUES ('new', %s%s)", name,
	            is_host ? "" : ", host", value, is_host ? "" : ", 'h'");
}

static void refuse_numbers(struct bed *bed)
{
	for (size_t i = 0; i < COUNT(numbers); i++) {
		static const char *const bad[] = { "'many'", "1.5", "x'35'", "'1 2'", "1e30" };
		const struct number *number = &numbers[i];
		char sentence[128], value[32];

		(void)snprintf(sentence, sizeof sentence, "%s must be a whole number from %lld to %lld",
		               number->name, number->least, number->most);
		for (size_t b = 0; b < COUNT(bad); b++)
			refuse_column(bed, sentence, number->name, bad[b]);
		(void)snprintf(value, sizeof value, "%lld", number->least - 1);
		refuse_column(bed, sentence, number->name, value);
		(void)snprintf(value, sizeof value, "%lld", number->most + 1);
		refuse_column(bed, sentence, number->name, value);
		bed_run(bed,
		        "SAVEPOINT edge; UPDATE@@ outbox_tenant SET retry_max = 604800, %s = %lld WHERE name = 'acme'",
		        number->name, number->least);
		bed_run(bed, "UPDATE@@ outbox_tenant SET %s = %lld WHERE name = 'acme'", number->name,
		        number->most);
		bed_run(bed, "ROLLBACK TO edge; RELEASE edge");
	}
}

static void refuse_texts(struct bed *bed)
{
	static const char *const bad[] = { "x'61'", "'a' || char(0)", "'a' || char(10)", "char(13) || 'a'",
		                           "char(0, 10)" };

	for (size_t i = 0; i < COUNT(texts); i++) {
		char sentence[128], value[64];

		(void)snprintf(sentence, sizeof sentence,
		               "%s must be one line of text, without CR, LF or NUL", texts[i].name);
		for (size_t b = 0; b < COUNT(bad); b++)
			refuse_column(bed, sentence, texts[i].name, bad[b]);
		(void)snprintf(sentence, sizeof sentence, "%s is longer than %d characters", texts[i].name,
		               texts[i].longest);
		(void)snprintf(value, sizeof value, "printf('%%.*c', %d, 'x')", texts[i].longest + 1);
		refuse_column(bed, sentence, texts[i].name, value);
		if (!texts[i].folder)
			continue;
		(void)snprintf(sentence, sizeof sentence, "%s must be a name in %s, without a slash",
		               texts[i].name, texts[i].folder);
		refuse_column(bed, sentence, texts[i].name, "'/etc/shadow'");
		refuse_column(bed, sentence, texts[i].name, "'a/b'");
		refuse_column(bed, sentence, texts[i].name, "'..'");
		refuse_column(bed, sentence, texts[i].name, "'.'");
	}
}

static void refuse_words(struct bed *bed)
{
	for (size_t i = 0; i < COUNT(columns); i++) {
		char name[32];

		ck_assert_int_eq(sscanf(columns[i].sql, "%31s", name), 1);
		refuse_column(bed, columns[i].sentence, name, columns[i].sql + strlen(name) + 3);
	}
}

void schema_refuse_tenants(struct bed *bed)
{
	refuse_words(bed);
	refuse_numbers(bed);
	refuse_texts(bed);
	bed_refuse_all(bed, rows, COUNT(rows));
}

static const struct refusal guarded[] = {
	{ "INSERT@@ INTO outbox_delivery (outbox_id, recipient, state) VALUES (1, 'a@b', 'sent')",
	  "outbox_delivery is written by outboxd alone" },
	{ "UPDATE@@ outbox_delivery SET state = 'sent'", "outbox_delivery is written by outboxd alone" },
	{ "DELETE FROM outbox_delivery", "outbox_delivery is written by outboxd alone" },
	{ "INSERT@@ INTO outbox_tenant_status (tenant, state) VALUES ('acme', 'idle')",
	  "outbox_tenant_status is written by outboxd alone" },
	{ "INSERT@@ INTO outbox_tenant_status (tenant, state) VALUES ('nobody', 'idle')",
	  "outbox_tenant_status is written by outboxd alone" },
	{ "UPDATE@@ outbox_tenant_status SET state = 'sending'",
	  "outbox_tenant_status is written by outboxd alone" },
	{ "DELETE FROM outbox_tenant_status", "outbox_tenant_status is written by outboxd alone" },
	{ "INSERT@@ INTO outbox_usage VALUES ('acme', 1800000900, 1)",
	  "outbox_usage is written by outboxd alone" },
	{ "INSERT@@ INTO outbox_usage VALUES ('nobody', 1800000900, 1)",
	  "outbox_usage is written by outboxd alone" },
	{ "UPDATE@@ outbox_usage SET recipients = 0", "outbox_usage is written by outboxd alone" },
	{ "DELETE FROM outbox_usage", "outbox_usage is written by outboxd alone" },
	{ "INSERT@@ INTO outbox_suspension VALUES ('acme', 1, 2)",
	  "outbox_suspension is written by the triggers of outbox_tenant alone" },
	{ "UPDATE@@ outbox_suspension SET until_ms = 1",
	  "outbox_suspension is written by the triggers of outbox_tenant alone" },
	{ "DELETE FROM outbox_suspension",
	  "outbox_suspension is written by the triggers of outbox_tenant alone" },
	{ "INSERT@@ INTO outbox_status (outbox_id, state) VALUES (1, 'sent')",
	  "outbox_status: its rows are made with those of outbox" },
	{ "INSERT@@ INTO outbox_status (outbox_id, state) VALUES (99, 'queued')",
	  "outbox_status: its rows are made with those of outbox" },
	{ "DELETE FROM outbox_status WHERE outbox_id = 3",
	  "outbox_status: its rows go with those of outbox" },
	{ "INSERT INTO outbox_rule_state VALUES (3, 'acme', 'failed', 'queued')",
	  "outbox_rule_state is for the triggers of outbox_status alone" },
	{ "INSERT INTO outbox_rule_recipients VALUES (3, 'failed', 'queued')",
	  "outbox_rule_recipients is for the triggers of outbox_status alone" },
};

static const struct refusal wrong_words[] = {
	{ "INSERT@@ INTO outbox_delivery (outbox_id, recipient, state) VALUES (1, 'a@b', 'gone')",
	  "state: outbox_delivery has no such state" },
	{ "INSERT@@ INTO outbox_delivery (outbox_id, recipient) VALUES (1, 'a@b')",
	  "state: outbox_delivery has no such state" },
	{ "UPDATE@@ outbox_delivery SET state = 'queued'", "state: outbox_delivery has no such state" },
	{ "INSERT@@ INTO outbox_tenant_status (tenant, state) VALUES ('bare', 'up')",
	  "state: outbox_tenant_status has no such state" },
	{ "UPDATE@@ outbox_tenant_status SET state = 'down'",
	  "state: outbox_tenant_status has no such state" },
};

/* A file that somebody else's tools damaged, and a trigger of the application's that swallows our row. */
static void refuse_damaged(struct bed *bed)
{
	static const char insert[] =
		"INSERT@@ INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c.example')";

	bed_run(bed, "SAVEPOINT damaged; UPDATE outbox_meta SET value = 1 WHERE key = 'trigger';"
	             "INSERT INTO outbox_status (outbox_id, state) VALUES (9, 'sent');"
	             "UPDATE outbox_meta SET value = 0 WHERE key = 'trigger'");
	bed_refused(bed, "outbox_status has a row of this id already: the file is damaged", insert);
	bed_run(bed, "ROLLBACK TO damaged; RELEASE damaged");
	bed_run(bed, "CREATE TRIGGER theirs BEFORE INSERT ON outbox_status BEGIN SELECT RAISE(IGNORE); END");
	bed_refused(bed, "outbox_status: the row of this message could not be written", insert);
	bed_run(bed, "DROP TRIGGER theirs");
}

void schema_refuse_guarded(struct bed *bed)
{
	bed_run(bed,
	        "UPDATE outbox_tenant SET enabled = 0 WHERE name = 'bare'"); /* a suspension to be guarded */
	bed_refuse_all(bed, guarded, COUNT(guarded));
	bed_run(bed, "UPDATE outbox_meta SET value = 1 WHERE key = 'daemon'");
	bed_refuse_all(bed, wrong_words, COUNT(wrong_words));
	bed_run(bed, "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'");
	refuse_damaged(bed);
}

START_TEST(a_bad_tenant_is_refused_with_its_sentence)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_refuse_all(&bed, rows, COUNT(rows));
	bed_close(&bed);
}
END_TEST

START_TEST(a_bad_column_of_a_tenant_is_refused_with_its_sentence)
{
	struct bed bed;

	bed_open(&bed, BED_FEW_WAY(_i));
	refuse_words(&bed);
	refuse_numbers(&bed);
	refuse_texts(&bed);
	bed_close(&bed);
}
END_TEST

START_TEST(what_outboxd_writes_is_refused_to_others)
{
	struct bed bed;

	bed_open(&bed, _i);
	schema_refuse_guarded(&bed);
	bed_close(&bed);
}
END_TEST

START_TEST(a_tenant_is_inserted_changed_and_deleted)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, INSERT
	        "(name, host, port, tls, tls_fingerprints, tls_verify, bind_address, ehlo_name) VALUES"
	        " (100, '::1', '25', 'none', 'SHA256:" HEX64
	        ", spki:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:"
	        "01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef', 'fingerprint', 'fe80::1%%eth0', '[127.0.0.1]')");
	ck_assert_str_eq(bed_ask(&bed,
	                         "SELECT changes(), name, typeof(name), port, typeof(port) FROM outbox_tenant"
	                         " WHERE name = '100'"),
	                 "1|100|text|25|integer");
	bed_run(&bed,
	        "UPDATE@@ outbox_tenant SET username = 'me' WHERE name = '100'; DELETE FROM outbox_tenant WHERE name = '100'");
	ck_assert_str_eq(bed_feed(&bed), "tenant 100, tenant 100, tenant 100");
	ck_assert_str_eq(bed_ask(&bed, "SELECT count(*) FROM outbox_tenant"), "2");
	bed_close(&bed);
}
END_TEST

START_TEST(a_tenant_goes_when_its_last_message_went)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run_as_daemon(&bed, "UPDATE outbox_status SET state = 'sent' WHERE outbox_id IN (1, 2)");
	bed_run(&bed, "UPDATE outbox_status SET state = 'sent' WHERE outbox_id = 5;"
	              "UPDATE outbox_tenant SET enabled = 0 WHERE name = 'acme'");
	bed_run(&bed, "DELETE FROM outbox WHERE id > 1");
	bed_refused(&bed, "name: this tenant still has messages, remove them first (finished ones too)",
	            "DELETE FROM outbox_tenant WHERE name = 'acme'");
	bed_run(&bed, "DELETE FROM outbox; DELETE FROM outbox_tenant WHERE name = 'acme'");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT (SELECT count(*) FROM outbox_tenant_status),"
	                " (SELECT count(*) FROM outbox_suspension), (SELECT count(*) FROM outbox_delivery),"
	                " (SELECT count(*) FROM outbox_usage)"),
		"0|0|0|0");
	/* outboxd did not know yet: a new tenant of the name inherits nothing */
	bed_run_as_daemon(
		&bed,
		"INSERT INTO outbox_tenant_status (tenant, state, last_error) VALUES ('acme', 'backoff', 'x')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT count(*) FROM outbox_tenant_status"), "0");
	bed_run_as_daemon(&bed, "INSERT INTO outbox_usage VALUES ('acme', 1800000000, 7)");
	ck_assert_str_eq(bed_ask(&bed, "SELECT count(*) FROM outbox_usage"), "0");
	bed_run_as_daemon(
		&bed,
		"INSERT INTO outbox_tenant_status (tenant, state) VALUES ('bare', 'idle');"
		"INSERT OR REPLACE INTO outbox_tenant_status (tenant, state) VALUES ('bare', 'limited')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_tenant_status"), "limited");
	bed_close(&bed);
}
END_TEST

/* An age stands still while its tenant is suspended: the spans are kept. */
START_TEST(suspensions_are_remembered)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, "UPDATE@@ outbox_tenant SET enabled = 0 WHERE name = 'acme';");
	bed_pass(&bed, 10);
	bed_run(&bed, "UPDATE@@ outbox_tenant SET enabled = '0', port = 25 WHERE name = 'acme'");
	bed_pass(&bed, 10);
	bed_run(&bed, "UPDATE@@ outbox_tenant SET enabled = NULL WHERE name = 'acme'");
	bed_pass(&bed, 10);
	bed_run(&bed, "UPDATE@@ outbox_tenant SET enabled = 0 WHERE name = 'acme'");
	bed_run(&bed,
	        "INSERT@@ INTO outbox_tenant (name, host, enabled) VALUES ('born', 'h', 0.0), ('running', 'h', '')");
	bed_pass(&bed, -3600); /* a clock that was set back makes no span of less than nothing */
	bed_run(&bed, "UPDATE@@ outbox_tenant SET enabled = 1 WHERE name = 'acme'");
	ck_assert_str_eq(bed_ask(&bed, "SELECT tenant, since_ms - 1800000000000, until_ms - 1800000000000"
	                               " FROM outbox_suspension ORDER BY tenant, since_ms"),
	                 "acme|0|20000\nacme|30000|30000\nborn|30000|NULL");
	bed_close(&bed);
}
END_TEST

TCase *schema_tenant_cases(void)
{
	TCase *cases = tcase_create("tenants");

	tcase_add_loop_test(cases, a_bad_tenant_is_refused_with_its_sentence, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_bad_column_of_a_tenant_is_refused_with_its_sentence, 0, BED_FEW_WAYS);
	tcase_add_loop_test(cases, what_outboxd_writes_is_refused_to_others, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_tenant_is_inserted_changed_and_deleted, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_tenant_goes_when_its_last_message_went, 0, BED_WAYS);
	tcase_add_loop_test(cases, suspensions_are_remembered, 0, BED_WAYS);
	return cases;
}
