/*
 * schema_value.c - however a client binds a number, '' as NULL, and NULL as the default.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/schema_bed.h"

struct column {
	const char *table, *name;
	int value;            /* a good one */
	const char *standard; /* the default */
};

static const struct column numbers[] = {
	{ "outbox", "priority", 5, "0" },
	{ "outbox", "not_before", 1800000500, "NULL" },
	{ "outbox", "expires_at", 1800000500, "NULL" },
	{ "outbox", "attachments", 2, "0" },
	{ "outbox_tenant", "enabled", 0, "1" },
	{ "outbox_tenant", "port", 25, "587" },
	{ "outbox_tenant", "connect_timeout", 7, "30" },
	{ "outbox_tenant", "command_timeout", 7, "300" },
	{ "outbox_tenant", "data_timeout", 7, "600" },
	{ "outbox_tenant", "min_rate", 7, "1024" },
	{ "outbox_tenant", "max_connections", 7, "2" },
	{ "outbox_tenant", "max_messages_per_session", 7, "100" },
	{ "outbox_tenant", "pipeline_depth", 7, "1" },
	{ "outbox_tenant", "messages_per_minute", 7, "NULL" },
	{ "outbox_tenant", "recipients_per_day", 7, "NULL" },
	{ "outbox_tenant", "retry_min", 7, "60" },
	{ "outbox_tenant", "retry_max", 70, "3600" },
	{ "outbox_tenant", "max_age", 70, "432000" },
	{ "outbox_tenant", "streak_guard", 7, "5" },
};

static const struct column texts[] = {
	{ "outbox_tenant", "tls", 0, "NULL" },
	{ "outbox_tenant", "tls_verify", 0, "full" },
	{ "outbox_tenant", "tls_name", 0, "NULL" },
	{ "outbox_tenant", "tls_ca_file", 0, "NULL" },
	{ "outbox_tenant", "tls_fingerprints", 0, "NULL" },
	{ "outbox_tenant", "tls_cert_file", 0, "NULL" },
	{ "outbox_tenant", "tls_key_file", 0, "NULL" },
	{ "outbox_tenant", "tls_priority", 0, "NULL" },
	{ "outbox_tenant", "auth", 0, "auto" },
	{ "outbox_tenant", "username", 0, "NULL" },
	{ "outbox_tenant", "password", 0, "NULL" },
	{ "outbox_tenant", "password_file", 0, "NULL" },
	{ "outbox_tenant", "password_command", 0, "NULL" },
	{ "outbox_tenant", "oauth_token_url", 0, "NULL" },
	{ "outbox_tenant", "oauth_client_id", 0, "NULL" },
	{ "outbox_tenant", "oauth_client_secret_file", 0, "NULL" },
	{ "outbox_tenant", "oauth_scope", 0, "NULL" },
	{ "outbox_tenant", "oauth_refresh_token_file", 0, "NULL" },
	{ "outbox_tenant", "token_command", 0, "NULL" },
	{ "outbox_tenant", "from_address", 0, "NULL" },
	{ "outbox_tenant", "allowed_senders", 0, "NULL" },
	{ "outbox_tenant", "on_uncertain", 0, "resend" },
	{ "outbox_tenant", "ehlo_name", 0, "NULL" },
	{ "outbox_tenant", "bind_address", 0, "NULL" },
	{ "outbox", "from_address", 0, "NULL" },
	{ "outbox", "envelope_from", 0, "NULL" },
	{ "outbox", "cc_addresses", 0, "NULL" },
	{ "outbox", "bcc_addresses", 0, "NULL" },
	{ "outbox", "reply_to", 0, "NULL" },
	{ "outbox", "subject", 0, "NULL" },
	{ "outbox", "idempotency_key", 0, "NULL" },
	{ "outbox", "reference", 0, "NULL" },
	{ "outbox", "dsn_notify", 0, "NULL" },
	{ "outbox", "dsn_return", 0, "NULL" },
	{ "outbox", "headers", 0, "NULL" },
	{ "outbox", "body_text", 0, "NULL" },
	{ "outbox", "body_html", 0, "NULL" },
	{ "outbox", "message", 0, "NULL" },
};

enum binding { AS_INTEGER, AS_REAL, AS_TEXT, AS_TEXT_REAL, AS_PADDED, AS_NULL, AS_EMPTY, BINDINGS };

static void bind(sqlite3_stmt *stmt, enum binding binding, int value)
{
	char text[32];

	switch (binding) {
	case AS_INTEGER: sqlite3_bind_int(stmt, 1, value); return;
	case AS_REAL: sqlite3_bind_double(stmt, 1, value); return;
	case AS_NULL: sqlite3_bind_null(stmt, 1); return;
	case AS_EMPTY: sqlite3_bind_text(stmt, 1, "", 0, SQLITE_STATIC); return;
	case AS_TEXT: (void)snprintf(text, sizeof text, "%d", value); break;
	case AS_TEXT_REAL: (void)snprintf(text, sizeof text, "%d.0", value); break;
	case AS_PADDED: (void)snprintf(text, sizeof text, " %d ", value); break;
	case BINDINGS: ck_abort();
	}
	sqlite3_bind_text(stmt, 1, text, -1, SQLITE_TRANSIENT);
}

/* INSERTs or UPDATEs one row with the column bound so, and tells what is stored. */
static const char *stored(struct bed *bed, const struct column *column, bool update, enum binding binding)
{
	bool tenant = strcmp(column->table, "outbox_tenant") == 0;
	const char *key = tenant ? "name = 'new'" : "id = 9";
	char sql[256];
	sqlite3_stmt *stmt;

	if (update)
		bed_run(bed,
		        tenant ? "INSERT INTO outbox_tenant (name, host) VALUES ('new', 'h')"
		               : "INSERT INTO outbox (tenant, to_addresses, draft) VALUES ('acme', 'b@c.example', 1)");
	(void)snprintf(
		sql, sizeof sql,
		update   ? "UPDATE%s %s SET %s = ? WHERE %s"
		: tenant ? "INSERT%s INTO %s (name, host, %s) VALUES ('new', 'h', ?)"
			 : "INSERT%s INTO %s (tenant, to_addresses, %s) VALUES ('acme', 'b@c.example', ?)",
		bed->conflict, column->table, column->name, key);
	if (sqlite3_prepare_v2(bed->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		ck_abort_msg("%s: %s", sql, sqlite3_errmsg(bed->db));
	bind(stmt, binding, column->value);
	if (sqlite3_step(stmt) != SQLITE_DONE)
		ck_abort_msg("%s: %s (binding %d)", sql, sqlite3_errmsg(bed->db), binding);
	sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_changes(bed->db), 1);
	return bed_ask(bed, "SELECT %s || '', typeof(%s) FROM %s WHERE %s", column->name, column->name,
	               column->table, key);
}

static void check_column(struct bed *bed, const struct column *column, enum binding binding)
{
	bool given = binding < AS_NULL;
	char wanted[64];

	if (given)
		(void)snprintf(wanted, sizeof wanted, "%d|integer", column->value);
	else
		(void)snprintf(wanted, sizeof wanted, "%s|%s", column->standard,
		               strcmp(column->standard, "NULL") == 0        ? "null"
		               : strspn(column->standard, "0123456789") > 0 ? "integer"
		                                                            : "text");
	for (int update = 0; update < 2; update++) {
		bed_run(bed, "SAVEPOINT value");
		ck_assert_msg(strcmp(stored(bed, column, update, binding), wanted) == 0, "%s.%s: %s",
		              column->table, column->name, wanted);
		bed_run(bed, "ROLLBACK TO value; RELEASE value");
	}
}

START_TEST(a_whole_number_is_stored_however_it_is_bound)
{
	struct bed bed;

	bed_open(&bed, BED_FEW_WAY(_i));
	for (size_t i = 0; i < COUNT(numbers); i++)
		for (enum binding binding = AS_INTEGER; binding < BINDINGS; binding++)
			check_column(&bed, &numbers[i], binding);
	bed_close(&bed);
}
END_TEST

START_TEST(empty_is_null_and_null_is_the_default)
{
	struct bed bed;

	bed_open(&bed, BED_FEW_WAY(_i));
	for (size_t i = 0; i < COUNT(texts); i++) {
		check_column(&bed, &texts[i], AS_NULL);
		check_column(&bed, &texts[i], AS_EMPTY);
	}
	bed_close(&bed);
}
END_TEST

/* Every column of the two tables is in one of the lists above, or has rules of its own. */
START_TEST(no_column_is_forgotten)
{
	struct bed bed;
	char known[4096] = "";

	bed_open(&bed, 0);
	for (size_t i = 0; i < COUNT(numbers) + COUNT(texts); i++) {
		const struct column *column = i < COUNT(numbers) ? &numbers[i] : &texts[i - COUNT(numbers)];
		size_t length = strlen(known);

		(void)snprintf(known + length, sizeof known - length, "'%s.%s',", column->table,
		               column->name);
	}
	ck_assert_str_eq(bed_ask(&bed,
	                         "SELECT group_concat(m.name || '.' || c.name) FROM sqlite_master AS m,"
	                         " pragma_table_info(m.name) AS c WHERE m.name IN ('outbox', 'outbox_tenant')"
	                         " AND m.name || '.' || c.name NOT IN (%s'outbox.draft')",
	                         known),
	                 "outbox_tenant.name,outbox_tenant.host,outbox.id,outbox.tenant,outbox.to_addresses");
	bed_close(&bed);
}
END_TEST

/* draft has no UPDATE; and a row with nothing but '' has the same as one with nothing. */
START_TEST(a_row_of_empty_strings_is_a_row_of_defaults)
{
	static const char *const drafts[] = { "0", "'0'", "0.0", "NULL", "''" };
	struct bed bed;

	bed_open(&bed, _i);
	for (size_t i = 0; i < COUNT(drafts); i++) {
		bed_run(&bed,
		        "SAVEPOINT draft; INSERT@@ INTO outbox (tenant, to_addresses, draft) VALUES"
		        " ('acme', 'b@c.example', %s)",
		        drafts[i]);
		ck_assert_str_eq(
			bed_ask(&bed, "SELECT state, draft, typeof(draft) FROM outbox_all WHERE id = 9"),
			"queued|0|integer");
		bed_run(&bed, "ROLLBACK TO draft; RELEASE draft");
	}
	bed_run(&bed,
	        "INSERT@@ INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c.example');"
	        "INSERT INTO outbox (id, tenant, from_address, envelope_from, to_addresses, cc_addresses, bcc_addresses,"
	        " reply_to, subject, priority, not_before, expires_at, idempotency_key, reference, attachments, draft,"
	        " dsn_notify, dsn_return, headers, body_text, body_html, message) VALUES (NULL, 'acme', '', '',"
	        " 'b@c.example', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT last_insert_rowid(), changes()"), "10|1");
	bed_run(&bed, "UPDATE clock SET s = s");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT count(*) FROM (SELECT DISTINCT tenant, from_address, envelope_from, to_addresses,"
	                " cc_addresses, bcc_addresses, reply_to, subject, priority, not_before, expires_at,"
	                " idempotency_key, reference, attachments, draft, dsn_notify, dsn_return, headers, body_text, body_html, message"
	                " FROM outbox WHERE id > 8)"),
		"1");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT count(DISTINCT priority || state || due_at || queued_at_ms || from_address)"
	                " FROM outbox_status WHERE outbox_id > 8"),
		"1");
	bed_close(&bed);
}
END_TEST

TCase *schema_value_cases(void)
{
	TCase *cases = tcase_create("values");

	tcase_add_loop_test(cases, a_whole_number_is_stored_however_it_is_bound, 0, BED_FEW_WAYS);
	tcase_add_loop_test(cases, empty_is_null_and_null_is_the_default, 0, BED_FEW_WAYS);
	tcase_add_test(cases, no_column_is_forgotten);
	tcase_add_loop_test(cases, a_row_of_empty_strings_is_a_row_of_defaults, 0, BED_WAYS);
	return cases;
}
