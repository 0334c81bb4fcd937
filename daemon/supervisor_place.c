/*
 * supervisor_place.c - places for workers: who has one, who waits. See supervisor.h.
 *
 * Promises: the tenants of an outbox that wait for a place get it in the order of
 * their waiting; while anybody waits, of whatever outbox, parked workers leave and
 * a busy one keeps its place for a turn, so that no queue, however long, keeps
 * others waiting for its end; probes have places of their own, which a tenant
 * leaves as soon as its server has answered.
 */
#include "daemon/supervisor_place.h"

#include "common/clock.h"
#include "daemon/supervisor_dispatch.h"

#define TURN_MS 2000

static struct budget *budget_of(const struct supervisor *supervisor)
{
	return &supervisor->outbox->service->budget;
}

void worker_retire(struct worker *worker)
{
	struct tenant *tenant = worker->tenant;

	if (!worker->retired)
		tenant->worker_count--;
	worker->retired = true;
	worker_tell_leave(worker);
}

/* --- the line ---------------------------------------------------------------- */

void place_wait(struct supervisor *supervisor, struct tenant *tenant, bool probe)
{
	if (tenant->waiting)
		return;
	tenant->waiting = true;
	tenant->waits_for_worker = !probe;
	tenant->next_waiting = NULL;
	*supervisor->waiting_last = tenant;
	supervisor->waiting_last = &tenant->next_waiting;
	if (probe)
		return;
	supervisor->waiting_workers++;
	atomic_fetch_add(&budget_of(supervisor)->waiting, 1);
}

static void stop_waiting(struct supervisor *supervisor, struct tenant *tenant)
{
	tenant->waiting = false;
	tenant->next_waiting = NULL;
	if (!tenant->waits_for_worker)
		return;
	tenant->waits_for_worker = false;
	supervisor->waiting_workers--;
	atomic_fetch_sub(&budget_of(supervisor)->waiting, 1);
}

static struct tenant *take_line(struct supervisor *supervisor)
{
	struct tenant *first = supervisor->waiting_first;

	supervisor->waiting_first = NULL;
	supervisor->waiting_last = &supervisor->waiting_first;
	return first;
}

static bool has_room(const struct budget *budget, bool probe)
{
	return probe ? atomic_load(&budget->probes) < atomic_load(&budget->max_probes)
	             : atomic_load(&budget->workers) < atomic_load(&budget->max_workers);
}

void places_share_out(struct supervisor *supervisor)
{
	struct tenant *tenant = take_line(supervisor);

	supervisor->sharing_out = true;
	while (tenant) {
		struct tenant *next = tenant->next_waiting;
		bool probe = tenant->breaker.state != BREAKER_CLOSED;

		stop_waiting(supervisor, tenant);
		if (has_room(budget_of(supervisor), probe))
			dispatch(supervisor, tenant);
		else /* who finds no room of its kind keeps its turn */
			place_wait(supervisor, tenant, probe);
		tenant = next;
	}
	supervisor->sharing_out = false;
}

void places_forget(struct supervisor *supervisor)
{
	struct tenant *tenant = take_line(supervisor);

	while (tenant) {
		struct tenant *next = tenant->next_waiting;

		stop_waiting(supervisor, tenant);
		tenant = next;
	}
}

/* --- the places --------------------------------------------------------------- */

bool place_take(struct supervisor *supervisor, struct tenant *tenant, bool probe)
{
	/* Others of this outbox were there before, unless it is the line itself that is served. */
	bool behind = !probe && supervisor->waiting_workers > 0 && !supervisor->sharing_out;

	if (!behind && budget_take(budget_of(supervisor), probe))
		return true;
	/* A further session is a wish, not a need: nobody has to leave for it. */
	if (probe || tenant->worker_count == 0)
		place_wait(supervisor, tenant, probe);
	return false;
}

void place_give(struct supervisor *supervisor, const struct worker *worker)
{
	budget_give(budget_of(supervisor), worker->probe);
	if (worker->makes_room)
		atomic_fetch_sub(&budget_of(supervisor)->leaving, 1);
}

/* Tells at most wanted workers to leave for others; returns how many are still wanted. */
static int make_room(struct supervisor *supervisor, int wanted, bool parked_only)
{
	int64_t now = clock_monotonic_ms();
	struct tenant *tenant, *next;

	HASH_ITER (hh, supervisor->tenants, tenant, next) {
		for (struct worker *worker = tenant->workers; worker && wanted > 0; worker = worker->next) {
			bool stays = parked_only ? worker->given > 0 : now - worker->place_since_ms < TURN_MS;

			if (stays || worker->retired || worker->probe)
				continue;
			worker->makes_room = true;
			atomic_fetch_add(&budget_of(supervisor)->leaving, 1);
			worker_retire(worker);
			wanted--;
		}
	}
	return wanted;
}

void places_make_room(struct supervisor *supervisor)
{
	struct budget *budget = budget_of(supervisor);
	int free = atomic_load(&budget->max_workers) - atomic_load(&budget->workers);
	int wanted = atomic_load(&budget->waiting) - atomic_load(&budget->leaving) - (free > 0 ? free : 0);

	if (wanted > 0)
		wanted = make_room(supervisor, wanted, true);
	if (wanted > 0)
		make_room(supervisor, wanted, false);
}

void place_after_probe(struct supervisor *supervisor, struct worker *worker)
{
	struct budget *budget = budget_of(supervisor);

	if (!worker->probe || worker->retired)
		return;
	if (worker->tenant->breaker.state != BREAKER_CLOSED || supervisor->waiting_workers > 0 ||
	    !budget_take(budget, false)) {
		worker_retire(worker);
		return;
	}
	budget_give(budget, true);
	worker->probe = false;
	worker->place_since_ms = clock_monotonic_ms();
}
