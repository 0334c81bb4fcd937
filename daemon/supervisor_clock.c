/*
 * supervisor_clock.c - a wall clock that was set. See supervisor_clock.h.
 *
 * Promises: nothing waits for it, and nothing grows old by it: the table follows
 * (storage_clock_jumped), and until it has nothing expires.
 */
#include "daemon/supervisor_clock.h"

#include "common/clock.h"

#define CLOCK_JUMP_MS 60000 /* clocks that are kept right are set by less */

static void tell(struct supervisor *supervisor, int64_t jumped_ms)
{
	log_begin(&supervisor->log, LOG_WARNING, "clock.jumped", supervisor->outbox->db, NULL);
	log_number(&supervisor->log, "seconds", jumped_ms / 1000);
	log_text(&supervisor->log, "error",
	         jumped_ms < 0
	                 ? "the system's clock was set back: what waits is due as long from now as it was"
	                 : "the system's clock was set forward: no message grows old by that time");
	log_end(&supervisor->log);
}

void clock_follow(struct supervisor *supervisor)
{
	struct outbox *outbox = supervisor->outbox;
	int64_t ahead_ms = clock_wall_ahead_ms();
	int64_t jumped_ms = ahead_ms - supervisor->wall_ahead_ms;

	if (atomic_exchange(&outbox->clock_followed, false)) {
		supervisor->clock_set = false;
		supervisor->next_scan_ms = 0;
	}
	supervisor->wall_ahead_ms = ahead_ms;
	if (jumped_ms > -CLOCK_JUMP_MS && jumped_ms < CLOCK_JUMP_MS)
		return;
	supervisor->clock_set = true;
	supervisor->jumped_ms = jumped_ms;
	supervisor->jumped_at_ms = clock_monotonic_ms();
	writer_clock_jumped(outbox->writer, jumped_ms);
	tell(supervisor, jumped_ms);
}

static void make_younger(const struct supervisor *supervisor, struct message *message)
{
	if (supervisor->jumped_ms > 0)
		message->age_from_s += supervisor->jumped_ms / 1000;
}

void clock_adopt(struct supervisor *supervisor, struct message *message)
{
	clock_follow(supervisor);
	if (supervisor->clock_set)
		make_younger(supervisor, message);
}

void clock_result(struct supervisor *supervisor, struct message *message)
{
	clock_follow(supervisor);
	if (message->ready_ms <= supervisor->jumped_at_ms)
		make_younger(supervisor, message);
}
