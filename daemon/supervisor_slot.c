/*
 * supervisor_slot.c - see supervisor_slot.h.
 *
 * Promises: who waits for slots gets them in the order of the waiting, at most its share of what is free or
 * a few, so that a flood whose results wait for their commit keeps nobody waiting for the end of it.
 */
#include "daemon/supervisor_slot.h"

#include <assert.h>

#include "daemon/fault.h"
#include "daemon/journal.h"
#include "daemon/supervisor.h"
#include "daemon/supervisor_dispatch.h"

#define SPARE 256 /* for those that have one without being handed out: suspects, what has expired */
#define A_FEW 4   /* so that a worker is not woken for each */

static int free_slots(const struct supervisor *supervisor)
{
	return fault_number("slots", JOURNAL_SLOTS - SPARE) - supervisor->slots_taken;
}

static void wait_in_line(struct supervisor *supervisor, struct tenant *tenant)
{
	struct tenant_rare *rare = tenant_rare_use(tenant);

	if (rare->waits_for_slot)
		return;
	rare->waits_for_slot = true;
	rare->next_for_slot = NULL;
	*(supervisor->slots_first ? supervisor->slots_last : &supervisor->slots_first) = tenant;
	supervisor->slots_last = &rare->next_for_slot;
	supervisor->slots_waiting++;
}

static struct tenant *take_first(struct supervisor *supervisor)
{
	struct tenant *first = supervisor->slots_first;
	struct tenant_rare *rare = first->rare;

	supervisor->slots_first = rare->next_for_slot;
	supervisor->slots_waiting--;
	rare->waits_for_slot = false;
	return first;
}

int slots_share(struct supervisor *supervisor, struct tenant *tenant)
{
	int count = free_slots(supervisor), share;

	if (!supervisor->slots_first && count > 0)
		return count;
	if (count <= 0 || supervisor->slots_served != tenant) {
		wait_in_line(supervisor, tenant);
		return 0;
	}
	share = count / (supervisor->slots_waiting + 1);
	return share > A_FEW ? share : count < A_FEW ? count : A_FEW;
}

void slots_take(struct supervisor *supervisor, int count)
{
	supervisor->slots_taken += count;
}

void slots_give(struct supervisor *supervisor)
{
	supervisor->slots_taken--;
	assert(supervisor->slots_taken >= 0);
}

void slots_share_out(struct supervisor *supervisor)
{
	while (supervisor->slots_first && free_slots(supervisor) > 0) {
		supervisor->slots_served = take_first(supervisor);
		dispatch(supervisor, supervisor->slots_served);
	}
	supervisor->slots_served = NULL;
}
