/*
 * sqlite_triggers.c - whether the triggers must run for what outboxd itself writes.
 *
 * Triggers are how the schema holds applications to the contract.  For a result
 * they decide nothing: its statements say the same in their conditions, and they
 * were more than half of what it cost.  So they are left out where all of them are
 * ours.  Promises: a trigger of the file's owner always runs, from the commit after
 * the one that made it on; where there is one, ours run beside it, between the marks.
 */
#include "storage/sqlite_settle.h"

/* Those of ours on the tables that are settled in; a name that is missing here costs time, never a row. */
#define OURS                                                                                                 \
	"'outbox_status_insert', 'outbox_status_update', 'outbox_status_updated', 'outbox_status_delete',"   \
	" 'outbox_delivery_insert', 'outbox_delivery_update', 'outbox_delivery_delete',"                     \
	" 'outbox_tenant_status_insert', 'outbox_tenant_status_update', 'outbox_tenant_status_delete',"      \
	" 'outbox_tenant_status_gone', 'outbox_usage_insert', 'outbox_usage_update',"                        \
	" 'outbox_usage_delete', 'outbox_usage_gone'"

const char storage_triggers_foreign_sql[] =
	"SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) IN"
	" ('outbox_status', 'outbox_delivery', 'outbox_tenant_status', 'outbox_usage', 'outbox_change')"
	" AND name NOT IN (" OURS ")";

static int ask(struct connection *writer, enum settle_statement number, int64_t *value)
{
	struct statement row = statement_begin(writer, (int)number);

	*value = -1;
	if (statement_row(&row))
		*value = sqlite3_column_int64(row.stmt, 0);
	return statement_end(&row);
}

/* Statements are prepared with the triggers or without: those that are kept are made anew where it changes.
 */
static int let_run(struct connection *writer, bool run)
{
	return sqlite3_db_config(writer->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, (int)run, NULL);
}

int storage_triggers_settle(struct connection *writer, bool *run)
{
	int64_t version = 0, foreign = 0;
	int rc = ask(writer, TRIGGERS_VERSION, &version);

	/* the write lock is held: nobody makes a trigger before our commit */
	if (rc == SQLITE_OK && (!writer->triggers_known || version != writer->triggers_version)) {
		rc = ask(writer, TRIGGERS_FOREIGN, &foreign);
		writer->triggers_known = rc == SQLITE_OK;
		writer->triggers_version = version;
		writer->triggers_foreign = foreign != 0;
	}
	*run = writer->triggers_foreign;
	return rc == SQLITE_OK ? let_run(writer, *run) : rc;
}

int storage_triggers_run(struct connection *writer)
{
	return let_run(writer, true);
}
