/*
 * journal_page.h - the file of the in-flight journal, byte by byte. Internal to journal*.c.
 */
#ifndef OUTBOXD_DAEMON_JOURNAL_PAGE_H
#define OUTBOXD_DAEMON_JOURNAL_PAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "daemon/journal.h"
#include "daemon/quarantine.h"

#define JOURNAL_MAGIC         "outboxd-inflight-1"
#define JOURNAL_BOOT_ID_BYTES 40

struct journal_slot {
	_Atomic int32_t stage; /* enum journal_stage */
	int32_t attempts;
	int32_t requeue;
	_Atomic int32_t crashes;
	int64_t id;
	char tenant[64];
	_Atomic uint64_t owner; /* pthread_self() of who has it in hand, 0 = nobody */
	_Atomic int32_t stalls;
	int32_t errors_s[JOURNAL_ERRORS_MOST]; /* when they were, seconds since 1970, the last first */
	char spare[8];
};

struct journal_page {
	char magic[32];
	char instance[40]; /* of the outbox: a copied file is not taken for ours */
	char boot_id[JOURNAL_BOOT_ID_BYTES];
	int32_t slots;
	int32_t clean;
	int64_t suspect_until_ms;
	char spare[128];
	struct journal_slot slot[JOURNAL_SLOTS];
	struct quarantine_entry quarantine[QUARANTINE_ENTRIES]; /* behind the rest: absent in older files */
};

_Static_assert(sizeof(struct journal_slot) == 128, "older files have slots of this size");

struct journal {
	struct journal_page *page;
	pthread_mutex_t lock; /* of the free list alone */
	int next_free[JOURNAL_SLOTS];
	int first_free;
};

#endif
