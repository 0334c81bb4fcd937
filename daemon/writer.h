/*
 * writer.h - the storage thread: results in, commits, then the log lines.
 *
 * One transaction for all that waits. A batch whose commit failed is kept and
 * repeated: nothing is lost, and the outbox is marked as in trouble until it
 * went through. The log lines of a message are written after its commit, so the
 * log never claims more than the table.
 */
#ifndef OUTBOXD_DAEMON_WRITER_H
#define OUTBOXD_DAEMON_WRITER_H

#include "common/error.h"
#include "common/message.h"
#include "storage/storage.h"

struct outbox;
struct writer;

/* Starts the threads `storage` and `storage-ckpt`. Supervisor thread. */
enum error writer_start(struct outbox *outbox, struct writer **writer, struct words *words);

/* Gives a chain of messages to be settled; they come back in outbox->settled. Any thread; does not block. */
void writer_settle(struct writer *writer, struct queue_link *first);

/*
 * Gives a message whose recipients' uncertainty is to be committed before the end
 * of its data (on_uncertain = hold). It comes back in answer_to, with settled =
 * SETTLED, or SETTLED_LOST if the commit failed. Worker thread; does not block.
 */
void writer_hold(struct writer *writer, struct message *message, struct queue *answer_to);

/* The wall clock was set by so many ms: the table is to follow when what was given before is in it. Gives the
 * number of this time: then outbox->clock_followed is that. Supervisor thread. */
unsigned writer_clock_jumped(struct writer *writer, int64_t jumped_ms);

/* The schema was changed by somebody: its rules are looked at. Supervisor thread. */
void writer_rules_changed(struct writer *writer);

/* Gives a status row. Supervisor thread; does not block. */
void writer_status(struct writer *writer, struct tenant_status *status);

/*
 * Commits what is there (for at most grace_ms), ends both threads, leaves NULL.
 * True if everything was committed. All workers must have ended.
 */
bool writer_stop(struct writer **writer, int64_t grace_ms);

#endif
