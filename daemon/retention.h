/*
 * retention.h - finished messages go after keep_sent and keep_failed, a few at a time.
 *
 * The storage thread's own, beside the results, which come first. A round looks through
 * what was sent, failed and cancelled; while there is more it removes a few at each step,
 * and the steps are apart, so that neither results nor applications wait for them.
 */
#ifndef OUTBOXD_DAEMON_RETENTION_H
#define OUTBOXD_DAEMON_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "storage/storage.h"

struct outbox;

#define RETENTION_STATES 3

struct retention {
	struct outbox *outbox;
	struct log_batch *log;                            /* the storage thread's */
	struct storage_retention round[RETENTION_STATES]; /* under way */
	int at;                                           /* of them; RETENTION_STATES = between two rounds */
	int64_t next_ms;                                  /* monotonic: when to step again */
	int64_t removed[RETENTION_STATES];                /* since it was told */
	int64_t told_ms;
	int failures; /* in a row */
	bool keeping; /* told */
};

void retention_init(struct retention *retention, struct outbox *outbox, struct log_batch *log);

/* When retention_step() has something to do, monotonic ms. */
int64_t retention_next_ms(const struct retention *retention);

/*
 * Removes the next few, if it is time. True if something was committed. Blocks for disk
 * work and shortly for the lock; what cannot be done now is tried again later.
 */
bool retention_step(struct retention *retention);

/* Tells what was removed and is not told yet: event retention.removed, at most one a minute but for the last.
 */
void retention_tell(struct retention *retention, bool last);

#endif
