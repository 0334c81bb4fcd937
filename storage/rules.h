/*
 * rules.h - the rules of our tables, should somebody have dropped or replaced one.
 *
 * Triggers, views and indexes whose names are ours are as storage/schema.sql has them, or mail that was
 * committed would be seen by nobody: a row of outbox without its trigger has none in outbox_status. Who
 * drops one finds it made again; who wants more rules gives them names of his own.
 */
#ifndef OUTBOXD_STORAGE_RULES_H
#define OUTBOXD_STORAGE_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct storage;
struct connection;

/* What was found, and done about it; added to by each call. */
struct storage_rules {
	int restored;       /* triggers, views and indexes that were missing or others */
	struct words which; /* the first few of them */
	int64_t adopted;    /* messages that had no row in outbox_status, or waited for nothing */
	int64_t refused;    /* of these: against the rules, and so they failed */
	struct words why;   /* the first of the refused, and its rule's sentence */
	int64_t after_id;   /* messages up to this one have been looked at */
	bool begun, more;   /* call it again */
};

/*
 * storage: where the file's schema was changed by somebody since this was done last, makes our rules as they
 * belong, and takes up messages that were committed without them, a few at a time (more), each by the rules,
 * as a change of a draft. Reads two numbers and writes nothing where nothing was changed. Begin with all 0.
 * ERROR_REFUSED: a newer outboxd has made the schema its own meanwhile: nothing is changed.
 * ERROR_UNAVAILABLE, with words: nothing was changed, later may do. Blocks for the lock until deadline_ms.
 */
enum error storage_rules_mend(struct storage *storage, struct storage_rules *rules, int64_t deadline_ms,
                              struct words *words);

/* The same question without an answer, for whoever looks at a file: true, with words, if there is something
 * that storage_rules_mend() would do. An SQLite result code in *rc. */
bool rules_differ(struct connection *connection, int *rc, struct words *words);

#endif
