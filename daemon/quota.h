/*
 * quota.h - how much may be sent: messages in any 60 s, recipients in any 24 h.
 *
 * One object for all sessions that share a limit, of one tenant or of several: who
 * hands a message out reserves its start, who says MAIL turns that into one, and what
 * a transaction did not use is given back. Counts err on the side of counting: a start
 * leaves the window 60 to 61 s later, a recipient 24 h to 24 h and a quarter later.
 * No clock of its own. All verbs: any thread; they block for one another alone.
 */
#ifndef OUTBOXD_DAEMON_QUOTA_H
#define OUTBOXD_DAEMON_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_PART_S 900 /* recipients are counted in parts of so many seconds */

struct quota;

struct quota_moment {
	int64_t monotonic_ms;
	int64_t boot_s; /* since boot, sleep included: a wall clock that is set frees and binds nobody */
};

/* One reference; no limits yet. */
struct quota *quota_create(void);
struct quota *quota_hold(struct quota *quota);
void quota_release(struct quota **quota); /* leaves NULL */

/* 0 = no limit. What was counted stays; recipients are counted while there is a limit. */
void quota_set(struct quota *quota, int messages_per_minute, int recipients_per_day);

/* Recipients that an earlier process counted in a part that began so many seconds ago; below 0: now. */
void quota_remember(struct quota *quota, const struct quota_moment *now, int64_t ago_s, int64_t recipients);

enum quota_limit { QUOTA_FREE, QUOTA_MINUTE, QUOTA_DAY };
struct quota_wait {
	enum quota_limit limit; /* what is used up; FREE: nothing, or what is under way decides soon */
	int most;               /* the limit itself */
	int64_t next_ms;        /* monotonic: when there may be room again */
};

/*
 * How many messages, at most `most`, may be handed out now; 0: *wait says why and until when.
 * Each that is handed out is reserved, and unreserved when it came back without a start.
 */
int quota_room(struct quota *quota, const struct quota_moment *now, int most, struct quota_wait *wait);
void quota_reserve(struct quota *quota, int count);
void quota_unreserve(struct quota *quota, int count);

/*
 * Just before MAIL: how many of these recipients may take part; 0 = none now, nothing has
 * changed. Else a start is counted (the reserved one, if there is one), and so many
 * recipients are set apart until quota_end().
 */
size_t quota_begin(struct quota *quota, const struct quota_moment *now, bool reserved, size_t recipients);

/*
 * After the transaction: of the granted recipients, used were named to the server. How
 * many of them are counted, and are to be remembered: used, or 0 where there is no limit.
 */
size_t quota_end(struct quota *quota, const struct quota_moment *now, size_t granted, size_t used);

#endif
