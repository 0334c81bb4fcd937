/*
 * supervisor_clock.c - a wall clock that was set. See supervisor_clock.h.
 *
 * Promises: nothing waits for it, and nothing grows old by it: the table follows
 * (storage_clock_jumped), and until it has nothing expires.
 */
#include "daemon/supervisor_clock.h"

#include "common/clock.h"
#include "daemon/supervisor_result.h"

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

static void notice(struct supervisor *supervisor)
{
	int64_t ahead_ms = clock_wall_ahead_ms();
	int64_t jumped_ms = ahead_ms - supervisor->wall_ahead_ms;

	/* Small steps add up. */
	if (jumped_ms > -CLOCK_JUMP_MS && jumped_ms < CLOCK_JUMP_MS)
		return;
	supervisor->wall_ahead_ms = ahead_ms;
	supervisor->clock_set = true;
	if (jumped_ms > 0)
		supervisor->forward_ms += jumped_ms;
	result_give_judged(supervisor); /* by the clock of before: the table has it when it follows */
	supervisor->clock_jumps = writer_clock_jumped(supervisor->outbox->writer, jumped_ms);
	tell(supervisor, jumped_ms);
}

void clock_follow(struct supervisor *supervisor)
{
	notice(supervisor);
	if (!supervisor->clock_set ||
	    atomic_load(&supervisor->outbox->clock_followed) != supervisor->clock_jumps)
		return;
	supervisor->clock_set = false;
	supervisor->forward_followed_ms = supervisor->forward_ms;
	supervisor->next_scan_ms = 0;
}

/* Of all that the clock was set forward by, what is not in its age yet. */
static void make_younger(const struct supervisor *supervisor, struct message *message, int64_t had_ms)
{
	message->age_from_s += (supervisor->forward_ms - had_ms) / 1000;
	message->forward_ms = supervisor->forward_ms;
}

/* It may have been read before the table followed, though that is told by now: only clock_follow() listens.
 */
void clock_adopt(struct supervisor *supervisor, struct message *message)
{
	notice(supervisor);
	make_younger(supervisor, message, supervisor->forward_followed_ms);
}

void clock_result(struct supervisor *supervisor, struct message *message)
{
	notice(supervisor);
	make_younger(supervisor, message, message->forward_ms);
}
