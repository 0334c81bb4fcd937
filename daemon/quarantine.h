/*
 * quarantine.h - tenants whose mail crashed or stalled us again and again get no
 * workers for a while. Pure, but for the table that it keeps.
 *
 * The table is on the in-flight journal's page: each quarantine begins with a new
 * process. A minute first, doubling to an hour; a day after the last one it begins
 * anew. Times are wall-clock milliseconds. Supervisor thread.
 */
#ifndef OUTBOXD_DAEMON_QUARANTINE_H
#define OUTBOXD_DAEMON_QUARANTINE_H

#include <stdint.h>

#define QUARANTINE_ENTRIES 256 /* more at once: the one that ends first makes room */

struct quarantine_entry {
	char tenant[64]; /* "" = free */
	int64_t until_ms;
	int32_t times; /* in a row */
	char spare[4];
};

/* How long the n-th in a row (1, 2, …) lasts. */
int64_t quarantine_delay_ms(int times);

/* Begins one; returns its end. table has QUARANTINE_ENTRIES. */
int64_t quarantine_begin(struct quarantine_entry *table, const char *tenant, int64_t now_ms);

/* When the tenant's ends, 0 if it has none. A clock that was put back does not stretch it. */
int64_t quarantine_end(const struct quarantine_entry *table, const char *tenant, int64_t now_ms);

/* Over at once; the next one is the first again. */
void quarantine_clear(struct quarantine_entry *table, const char *tenant);

#endif
