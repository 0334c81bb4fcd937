/*
 * journal.h - what is in hand, on a page that outlives the process.
 *
 * A memory-mapped file beside the database (DATABASE-inflight) with a slot a
 * message in hand. A slot lives until the commit, and names the thread that works
 * on the message: the handler of fatal signals counts a crash in the slots of the
 * thread that crashed, the watchdog a stall. A slot with such a count stays until
 * its message is finished. After a crash of the machine (another boot id, not
 * closed cleanly) the page may be stale: then every message that was queued before
 * is announced as a possible duplicate when it is sent.
 */
#ifndef OUTBOXD_DAEMON_JOURNAL_H
#define OUTBOXD_DAEMON_JOURNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"
#include "daemon/quarantine.h"

#define JOURNAL_SLOTS       8192
#define JOURNAL_ERRORS_MOST 5 /* within JOURNAL_ERRORS_MS */
#define JOURNAL_ERRORS_MS   60000

enum journal_stage {
	JOURNAL_FREE,
	JOURNAL_IN_HAND,  /* before the end of the data, or answered and not accepted */
	JOURNAL_PAST_END, /* the end of the data may be with the server */
	JOURNAL_SUSPECT,  /* not in hand; kept for its counts */
};

struct journal;

/* What an earlier process left in a slot. */
struct journal_entry {
	int64_t id;
	int attempts, requeue;
	int slot;
	enum journal_stage stage;
	int crashes, stalls; /* of threads that had it in hand */
	char tenant[64];
};

/*
 * Opens or makes the file (posix_fallocate: a full disk is told here, not by a
 * SIGBUS). Supervisor thread, at the start. ERROR_PERMISSION, ERROR_SYSTEM with words.
 */
enum error journal_open(const char *database, const char *instance, struct journal **journal,
                        struct words *words);

/* Clean: nothing was in hand. Leaves NULL. */
void journal_close(struct journal **journal, bool clean);

/*
 * Calls each for every message that was past the end of its data or has a count;
 * its slot stays taken until journal_give(). The other slots are emptied. Once,
 * before the first journal_take().
 */
typedef void journal_each(void *context, const struct journal_entry *entry);
void journal_recover(struct journal *journal, journal_each *each, void *context);

/* Messages queued before this moment (ms since 1970) may have been sent already; 0 = none. */
int64_t journal_suspect_until_ms(const struct journal *journal);

/*
 * The message's slot, a free one if it has none, in the calling thread's hand; -1 if there
 * is none (the message waits). Any thread; does not block.
 */
int journal_take(struct journal *journal, const struct message *message);
/* These need the message in hand. slot -1 does nothing. mark and own: it is in this thread's hand. */
void journal_mark(struct journal *journal, int slot, enum journal_stage stage);
void journal_own(struct journal *journal, int slot);
void journal_release(struct journal *journal, int slot); /* on its way to another thread */
void journal_give(struct journal *journal, int slot);
/* Not in hand any more, and remembered for its counts under the message's present attempt. */
void journal_keep(struct journal *journal, int slot, const struct message *message);

/* A stall is counted in what thread has in hand. */
void journal_stalled(struct journal *journal, pthread_t thread);
/* An error is counted; how many there were within JOURNAL_ERRORS_MS of now (wall clock). */
int journal_failed(struct journal *journal, int slot, int64_t now_ms);

/* The tenants that are or were quarantined: QUARANTINE_ENTRIES of them. Supervisor thread. */
struct quarantine_entry *journal_quarantine(struct journal *journal);

/* The calling thread crashes: counts it in what it has in hand and tells one. Async-signal-safe. */
struct journal_hand {
	int count; /* messages in hand */
	int64_t id;
	char tenant[64]; /* of one of them */
};
void journal_crashed(struct journal_hand *hand);

#endif
