/*
 * sqlite_statement.h - a prepared statement that its connection keeps, in use.
 *
 * Straight-line code: the first error sticks, what follows does nothing, and
 * statement_end() tells it. The connection's thread.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_STATEMENT_H
#define OUTBOXD_STORAGE_SQLITE_STATEMENT_H

#include "storage/sqlite_connection.h"

/* A kept statement in use; rc is the first error and makes all that follows do nothing. */
struct statement {
	sqlite3_stmt *stmt;
	int rc;
};
struct statement statement_begin(struct connection *connection, int number);
void statement_int(struct statement *statement, int index, int64_t value);
void statement_text(struct statement *statement, int index,
                    const char *text);           /* NULL or "" = NULL; not copied */
bool statement_row(struct statement *statement); /* steps; true if there is a row */
int statement_end(struct statement *statement);  /* resets, forgets the bindings; SQLITE_OK or the error */
/* Allocated; NULL for a NULL or empty column. */
char *statement_column(struct statement *statement, int column);

#endif
