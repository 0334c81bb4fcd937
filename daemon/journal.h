/*
 * journal.h - what is in hand, on a page that outlives the process.
 *
 * A memory-mapped file beside the database (DATABASE-inflight) with a slot a
 * message in hand. A slot lives until the commit. After a crash or a kill of the
 * process the next start finds which messages were past the end of their data:
 * they are UNCERTAIN. After a crash of the machine (another boot id, not closed
 * cleanly) the page may be stale: then every message that was queued before is
 * announced as a possible duplicate when it is sent.
 */
#ifndef OUTBOXD_DAEMON_JOURNAL_H
#define OUTBOXD_DAEMON_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"

#define JOURNAL_SLOTS 8192

enum journal_stage {
	JOURNAL_FREE,
	JOURNAL_IN_HAND,  /* before the end of the data, or answered and not accepted */
	JOURNAL_PAST_END, /* the end of the data may be with the server */
};

struct journal;

/* What an earlier process left in a slot. */
struct journal_entry {
	int64_t id;
	int attempts, requeue;
	int slot;
	char tenant[64];
};

/*
 * Opens or makes the file (posix_fallocate: a full disk is told here, not by a
 * SIGBUS). Supervisor thread, at the start. ERROR_SYSTEM with words.
 */
enum error journal_open(const char *database, const char *instance, struct journal **journal,
                        struct words *words);

/* Clean: nothing was in hand. Leaves NULL. */
void journal_close(struct journal **journal, bool clean);

/*
 * Calls each for every message that was past the end of its data; its slot stays
 * taken until journal_give(). The other slots are emptied. Once, before the first journal_take().
 */
typedef void journal_each(void *context, const struct journal_entry *entry);
void journal_recover(struct journal *journal, journal_each *each, void *context);

/* Messages queued before this moment (ms since 1970) may have been sent already; 0 = none. */
int64_t journal_suspect_until_ms(const struct journal *journal);

/* A free slot for the message, -1 if there is none (the message waits). Any thread; does not block. */
int journal_take(struct journal *journal, const struct message *message);
/* Any thread that has the message in hand. slot -1 does nothing. */
void journal_mark(struct journal *journal, int slot, enum journal_stage stage);
void journal_give(struct journal *journal, int slot);

#endif
