/*
 * table.h - rows for people, aligned, or for programs, as JSON.
 *
 * Rows are gathered first and written by table_flush(), so that no read of the
 * database waits for whoever reads the output. What comes from rows is made
 * fit for a terminal: valid UTF-8, no control characters. One thread.
 */
#ifndef OUTBOXD_CLI_TABLE_H
#define OUTBOXD_CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buffer.h"
#include "storage/admin.h"

enum table_kind {
	TABLE_TEXT,
	TABLE_NUMBER, /* to the right */
	TABLE_WHEN,   /* seconds since 1970, as "in 5 min" or "3 h ago" */
};

struct table_column {
	const char *name; /* of the database's column; NULL ends a table */
	const char *heading;
	enum table_kind kind;
	int widest; /* columns of the terminal, longer text is cut; 0 = all of it */
};

struct table;

/* json: all values of a row under their names, columns do not matter. */
struct table *table_create(FILE *out, const struct table_column *columns, bool json);

/* An admin_each: context is the table. */
void table_row(void *table, const struct admin_value *values, size_t count);

/* Writes what was gathered. Widths are those of the first page. Blocks for the reader. */
void table_flush(struct table *table);

/* Writes the rest and the end; leaves NULL. */
void table_end(struct table **table);

/* Ends it without writing what is gathered; leaves NULL. */
void table_drop(struct table **table);

/* A row as one object; the caller's reference. */
json_t *table_json(const struct admin_value *values, size_t count);

/* A row for people, one value a line under its column's name, NULLs left out; times in UTC. */
void table_fields(struct buffer *out, const struct admin_value *values, size_t count);

/* "now", "in 5 min", "3 h ago". Pure. */
#define TABLE_WHEN_BYTES 40
void table_when(int64_t at, int64_t now, char text[TABLE_WHEN_BYTES]);

/* Columns of a terminal that text takes (LC_CTYPE is UTF-8). */
size_t table_width(const char *text);

#endif
