/*
 * rules.h - the schema's rules, should somebody have dropped one: when they are looked at, and told.
 *
 * The storage thread's, but for rules_ask(). See storage/rules.h for what is done about them.
 */
#ifndef OUTBOXD_DAEMON_RULES_H
#define OUTBOXD_DAEMON_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "storage/rules.h"

struct outbox;

struct rules {
	struct outbox *outbox;
	struct log_batch *log;
	atomic_bool asked;
	struct storage_rules found; /* of the look that is under way */
	int64_t again_ms;           /* not before, after a failure */
	bool failing;
};

/* They are looked at once, at the first step. */
void rules_init(struct rules *rules, struct outbox *outbox, struct log_batch *log);

/* The schema was changed. Any thread; who waits for work must be woken. */
void rules_ask(struct rules *rules);

/* When there is something to do: DEADLINE_NEVER = when rules_ask() was called. */
int64_t rules_next_ms(const struct rules *rules);

/* A part of the work, if there is any; true if it may have committed something. Tells what it did, in words.
 */
bool rules_step(struct rules *rules);

#endif
