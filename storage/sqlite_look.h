/*
 * sqlite_look.h - the supervisor's connection. Internal to storage/; the supervisor's thread.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_LOOK_H
#define OUTBOXD_STORAGE_SQLITE_LOOK_H

#include "storage/sqlite_internal.h"

extern const char *const storage_look_sql[];
enum look_statement {
	LOOK_BEGIN,
	LOOK_COMMIT,
	LOOK_DATA_VERSION,
	LOOK_LAST_ID,
	LOOK_NEW_TENANTS,
	LOOK_LAST_SEQ,
	LOOK_FEED,
	LOOK_RETRIES,
	LOOK_NEXT_TENANT,
	LOOK_NEXT_PRIORITY,
	LOOK_DUE,
	LOOK_NEXT_DUE,
	LOOK_TENANTS,
	LOOK_ONE_TENANT,
	LOOK_COUNT,
	LOOK_FIND,
	LOOK_EXPIRED,
	LOOK_USAGE,
	LOOK_SCHEMA,
	LOOK_STATEMENTS
};

/* Once the connection is open: the function that its statements call. */
enum error storage_look_init(struct storage *storage, struct words *words);
/* Begins a read transaction; *rc is what came of it. connection_read_end() ends it. */
struct connection *storage_look_begin(struct storage *storage, int *rc);
/* A message as its MESSAGE_COLUMNS (sqlite_look.c) have it. */
struct message *storage_message_of_row(struct statement *row);

#endif
