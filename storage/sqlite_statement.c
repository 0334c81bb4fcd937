/*
 * sqlite_statement.c - a prepared statement that its connection keeps, in use.
 *
 * Promises: a failed step or binding sticks until statement_end(), so that no
 * later one works on half of its values; after it the statement is reset.
 */
#include <assert.h>

#include "common/buffer.h"
#include "storage/sqlite_statement.h"

struct statement statement_begin(struct connection *connection, int number)
{
	struct statement statement = { .rc = SQLITE_OK };

	assert(number < CONNECTION_STATEMENTS);
	if (!connection->kept[number])
		statement.rc = sqlite3_prepare_v3(connection->db, connection->sql[number], -1,
		                                  SQLITE_PREPARE_PERSISTENT, &connection->kept[number], NULL);
	statement.stmt = connection->kept[number];
	assert(!statement.stmt || !sqlite3_stmt_busy(statement.stmt));
	return statement;
}

void statement_int(struct statement *statement, int index, int64_t value)
{
	if (statement->rc == SQLITE_OK)
		statement->rc = sqlite3_bind_int64(statement->stmt, index, value);
}

void statement_text(struct statement *statement, int index, const char *text)
{
	if (statement->rc != SQLITE_OK)
		return;
	if (text && *text)
		statement->rc = sqlite3_bind_text(statement->stmt, index, text, -1, SQLITE_STATIC);
	else
		statement->rc = sqlite3_bind_null(statement->stmt, index);
}

bool statement_row(struct statement *statement)
{
	int rc;

	if (statement->rc != SQLITE_OK)
		return false;
	rc = sqlite3_step(statement->stmt);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		statement->rc = rc;
	return false;
}

int statement_end(struct statement *statement)
{
	if (statement->stmt) {
		(void)sqlite3_reset(statement->stmt);
		(void)sqlite3_clear_bindings(statement->stmt);
	}
	return statement->rc;
}

char *statement_column(struct statement *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement->stmt, column);
	int bytes = sqlite3_column_bytes(statement->stmt, column);

	return text && bytes > 0 ? memory_strndup(text, (size_t)bytes) : NULL;
}
