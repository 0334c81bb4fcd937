/*
 * retention.c - see retention.h.
 */
#include "daemon/retention.h"

#include "common/clock.h"
#include "daemon/service_internal.h"

#define LOCK_MS        250   /* an application that has the lock keeps it */
#define STEP_MS        100   /* between two steps of a round */
#define ROUND_MS       60000 /* between two rounds, or less where little is kept */
#define ROUND_LEAST_MS 1000
#define RETRY_MS       1000
#define FAILURES_TOLD  60 /* in a row: an application that has the lock for a while is no failure */
#define TELL_MS        60000
#define CANCELLED_LEAST_MS                                                                                   \
	(INT64_C(24) * 3600 * 1000) /* its cancel may have come too late: it is under way */

static const enum message_state states[RETENTION_STATES] = { MESSAGE_SENT, MESSAGE_FAILED,
	                                                     MESSAGE_CANCELLED };

void retention_init(struct retention *retention, struct outbox *outbox, struct log_batch *log)
{
	*retention = (struct retention){ .outbox = outbox, .log = log, .at = RETENTION_STATES };
	retention->told_ms = clock_monotonic_ms() - TELL_MS;
}

int64_t retention_next_ms(const struct retention *retention)
{
	return retention->next_ms;
}

/* How long messages of a state are kept, -1 = for ever. */
static int64_t keep_ms(const struct retention *retention, enum message_state state)
{
	const struct service *service = retention->outbox->service;
	int64_t keep = atomic_load(state == MESSAGE_SENT ? &service->keep_sent_ms : &service->keep_failed_ms);

	if (state == MESSAGE_CANCELLED && keep >= 0 && keep < CANCELLED_LEAST_MS)
		keep = CANCELLED_LEAST_MS;
	return keep;
}

static void begin_round(struct retention *retention)
{
	int64_t now_ms = clock_wall_ms();

	for (int i = 0; i < RETENTION_STATES; i++) {
		int64_t keep = keep_ms(retention, states[i]);

		retention->round[i] = (struct storage_retention){
			.state = states[i],
			.before_ms = keep < 0 ? 0 : now_ms - keep,
			.more = keep >= 0,
		};
	}
	retention->at = 0;
}

static int64_t round_ms(const struct retention *retention)
{
	int64_t pause = ROUND_MS;

	for (int i = 0; i < RETENTION_STATES; i++) {
		int64_t keep = keep_ms(retention, states[i]);

		if (keep >= 0 && keep / 4 < pause)
			pause = keep / 4;
	}
	return pause > ROUND_LEAST_MS ? pause : ROUND_LEAST_MS;
}

static void tell_failure(struct retention *retention, const struct words *words)
{
	log_begin(retention->log, LOG_WARNING, "retention.failed", retention->outbox->db, NULL);
	log_text(retention->log, "error", words->text);
	log_end(retention->log);
	log_push(retention->log);
}

/* The next few of the state that the round is at. */
static bool remove_some(struct retention *retention)
{
	struct storage_retention *round = &retention->round[retention->at];
	int64_t before = round->removed, kept = round->kept;
	struct words words;
	enum error error = storage_retain(retention->outbox->storage, round, deadline_after_ms(LOCK_MS),
	                                  &words);

	if (error != OK) {
		if (++retention->failures == FAILURES_TOLD)
			tell_failure(retention, &words);
		return false;
	}
	retention->failures = 0;
	if (round->kept > kept && !retention->keeping)
		tell_failure(retention, &words);
	retention->keeping = retention->keeping || round->kept > kept;
	retention->removed[retention->at] += round->removed - before;
	atomic_fetch_add(&retention->outbox->removed, (uint64_t)(round->removed - before));
	return round->removed > before;
}

void retention_tell(struct retention *retention, bool last)
{
	int64_t now = clock_monotonic_ms(), all = 0;

	for (int i = 0; i < RETENTION_STATES; i++)
		all += retention->removed[i];
	if (all == 0 || (!last && now - retention->told_ms < TELL_MS))
		return;
	log_begin(retention->log, LOG_INFO, "retention.removed", retention->outbox->db, NULL);
	for (int i = 0; i < RETENTION_STATES; i++) {
		log_number(retention->log, message_state_name(states[i]), retention->removed[i]);
		retention->removed[i] = 0;
	}
	log_end(retention->log);
	log_push(retention->log);
	retention->told_ms = now;
}

bool retention_step(struct retention *retention)
{
	bool committed = false;

	if (clock_monotonic_ms() < retention->next_ms)
		return false;
	if (retention->at == RETENTION_STATES)
		begin_round(retention);
	/* A commit a step; states of which there is nothing cost none. */
	for (; retention->at < RETENTION_STATES && !committed; retention->at++) {
		if (retention->round[retention->at].more)
			committed = remove_some(retention);
		if (retention->round[retention->at].more)
			break;
	}
	if (retention->at == RETENTION_STATES)
		retention_tell(retention, false);
	retention->next_ms = clock_monotonic_ms() + (retention->failures > 0             ? RETRY_MS
	                                             : retention->at == RETENTION_STATES ? round_ms(retention)
	                                                                                 : STEP_MS);
	return committed;
}
