/*
 * supervisor_place.c - places for workers: who has one, who waits. See supervisor.h.
 *
 * Promises: the tenants that wait for a place, of whatever outbox, get it in the order of
 * their waiting (budget.h); while anybody waits, parked workers leave, then the further
 * sessions of who has several, and a tenant's only busy one keeps its place for a turn, so that
 * no queue, however long, keeps others waiting for its end, and no number of sessions keeps
 * them waiting for a turn; probes have places of their own, which a tenant leaves as soon as
 * its server has answered.
 */
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_place.h"

#include <stdlib.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/fault.h"
#include "daemon/supervisor_dispatch.h"

#define TURN_MS  2000
#define ASIDE_MS 5000 /* to end in, for who was told to leave: no server that is well takes so long */

static struct budget *budget_of(const struct supervisor *supervisor)
{
	return &supervisor->outbox->service->budget;
}

void worker_retire(struct worker *worker)
{
	struct tenant *tenant = worker->tenant;

	if (!worker->retired) {
		tenant->worker_count--;
		worker->retired_ms = clock_monotonic_ms();
		connection_leaving(worker);
	}
	worker->retired = true;
	worker_tell_leave(worker);
}

/* --- the line ---------------------------------------------------------------- */

/* Tells the others, of whatever outbox, since when somebody of this one waits. */
static void tell_line(struct supervisor *supervisor)
{
	int64_t first[2] = { 0, 0 };

	for (const struct tenant *tenant = supervisor->waiting_first; tenant; tenant = tenant->next_waiting) {
		int kind = tenant->waits_for_worker ? 0 : 1;

		if (first[kind] == 0)
			first[kind] = tenant->ticket;
	}
	budget_wait(budget_of(supervisor), &supervisor->outbox->places, first, clock_monotonic_ms());
}

void place_wait(struct supervisor *supervisor, struct tenant *tenant, bool probe)
{
	bool news = tenant->ticket == 0;

	if (tenant->waiting)
		return;
	if (news)
		tenant->ticket = budget_ticket(budget_of(supervisor));
	tenant->waiting = true;
	tenant->waits_for_worker = !probe;
	tenant->next_waiting = NULL;
	*supervisor->waiting_last = tenant;
	supervisor->waiting_last = &tenant->next_waiting;
	supervisor->waiting_of[probe]++;
	if (!probe)
		atomic_fetch_add(&budget_of(supervisor)->waiting, 1);
	if (news && supervisor->outbox->places.first[probe] == 0)
		tell_line(supervisor);
}

static void stop_waiting(struct supervisor *supervisor, struct tenant *tenant)
{
	tenant->waiting = false;
	tenant->next_waiting = NULL;
	supervisor->waiting_of[!tenant->waits_for_worker]--;
	if (!tenant->waits_for_worker)
		return;
	tenant->waits_for_worker = false;
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
	             : budget_free(budget) > 0;
}

/* Whether there is room of a kind that somebody of the line waits for: else it is left as it is, however
 * long. */
static bool is_of_use(const struct supervisor *supervisor)
{
	for (int kind = 0; kind < 2; kind++) {
		if (supervisor->waiting_of[kind] > 0 && has_room(budget_of(supervisor), kind))
			return true;
	}
	return false;
}

void places_share_out(struct supervisor *supervisor)
{
	const struct budget_line *line = &supervisor->outbox->places;
	bool full[2] = { false, false };
	struct tenant *tenant;

	if (!is_of_use(supervisor)) {
		if (clock_monotonic_ms() - line->seen_ms >= BUDGET_CLAIM_MS / 4)
			tell_line(supervisor);
		return;
	}
	tenant = take_line(supervisor);
	supervisor->sharing_out = true;
	while (tenant) {
		struct tenant *next = tenant->next_waiting;
		bool probe = tenant->breaker.state != BREAKER_CLOSED;

		stop_waiting(supervisor, tenant);
		/* Where one found none, nobody behind it gets one. */
		full[probe] = full[probe] || !has_room(budget_of(supervisor), probe);
		if (full[probe])
			place_wait(supervisor, tenant, probe); /* who finds none keeps its turn */
		else
			dispatch(supervisor, tenant);
		full[probe] = full[probe] || tenant->waiting;
		if (!tenant->waiting)
			tenant->ticket = 0;
		tenant = next;
	}
	supervisor->sharing_out = false;
	tell_line(supervisor);
}

void places_forget(struct supervisor *supervisor)
{
	struct tenant *tenant = take_line(supervisor);

	while (tenant) {
		struct tenant *next = tenant->next_waiting;

		stop_waiting(supervisor, tenant);
		tenant->ticket = 0;
		tenant = next;
	}
	tell_line(supervisor);
}

/* --- the places --------------------------------------------------------------- */

bool place_is_had(const struct tenant *tenant)
{
	if (tenant->worker_count > 0)
		return true;
	/* who is to leave for others has its place until then: its next turn comes behind them */
	for (const struct worker *worker = tenant->workers; worker; worker = worker->next) {
		if (worker->makes_room)
			return true;
	}
	return false;
}

bool place_take(struct supervisor *supervisor, struct tenant *tenant, bool probe)
{
	/* A further session is a wish, not a need: it comes behind all, and nobody has to leave for it. */
	bool needs = probe || !place_is_had(tenant);
	/* Outside of its turn it is one of those who come: behind the line, its own place in it too. */
	int64_t ticket = needs && supervisor->sharing_out ? tenant->ticket : 0;

	if (budget_take(budget_of(supervisor), &supervisor->outbox->places, probe, ticket,
	                clock_monotonic_ms())) {
		if (!probe)
			atomic_fetch_add(&supervisor->outbox->places_used, 1);
		return true;
	}
	if (needs)
		place_wait(supervisor, tenant, probe);
	return false;
}

void place_return(struct supervisor *supervisor, bool probe)
{
	if (!probe)
		atomic_fetch_sub(&supervisor->outbox->places_used, 1);
	budget_give(budget_of(supervisor), probe, clock_monotonic_ms());
}

void place_give(struct supervisor *supervisor, const struct worker *worker)
{
	struct budget *budget = budget_of(supervisor);

	if (worker->aside)
		budget_lend(budget, -1, clock_monotonic_ms());
	else if (worker->makes_room)
		atomic_fetch_sub(&budget->leaving, 1);
	place_return(supervisor, worker->probe);
}

/*
 * Who was told to leave and is still there waits for its server's word, for minutes
 * perhaps: it is set aside, as many at once as there are places for probes, and its place is lent.
 */
static void set_aside(struct supervisor *supervisor, int wanted)
{
	struct budget *budget = budget_of(supervisor);
	int64_t now = clock_monotonic_ms();
	struct tenant *tenant, *next;

	HASH_ITER (hh, supervisor->tenants, tenant, next) {
		for (struct worker *worker = tenant->workers; worker && wanted > 0; worker = worker->next) {
			if (!worker->retired || worker->probe || worker->aside ||
			    now - worker->retired_ms < fault_number("aside-ms", ASIDE_MS) ||
			    atomic_load(&budget->lent) >= atomic_load(&budget->max_probes))
				continue;
			worker->aside = true;
			if (worker->makes_room)
				atomic_fetch_sub(&budget->leaving, 1);
			budget_lend(budget, 1, now);
			wanted--;
		}
	}
}

struct leaver {
	struct worker *worker;
	int when; /* PLACE_LEAVES_… */
};

int place_when_to_leave(const struct worker *worker, int sessions, int64_t now)
{
	if (worker->retired || worker->probe)
		return PLACE_STAYS;
	if (worker->given == 0)
		return PLACE_LEAVES_PARKED;
	if (sessions > 1)
		return PLACE_LEAVES_FURTHER;
	return now - worker->place_since_ms >= fault_number("turn-ms", TURN_MS) ? PLACE_LEAVES_AFTER_TURN
	                                                                        : PLACE_STAYS;
}

static int compare_leavers(const void *a, const void *b)
{
	const struct leaver *left = a, *right = b;
	int64_t since = left->worker->place_since_ms, other = right->worker->place_since_ms;

	if (left->when != right->when)
		return left->when < right->when ? -1 : 1;
	return (since > other) - (since < other);
}

/* All that can be told to leave, who is to go first first; returns how many. */
static int find_leavers(struct supervisor *supervisor, struct leaver *leavers)
{
	int64_t now = clock_monotonic_ms();
	struct tenant *tenant, *next;
	int count = 0;

	HASH_ITER (hh, supervisor->tenants, tenant, next) {
		int sessions = tenant->worker_count;

		for (struct worker *worker = tenant->workers; worker; worker = worker->next) {
			int when = place_when_to_leave(worker, sessions, now);

			if (when == PLACE_STAYS)
				continue;
			/* one of them has its turn */
			if (when == PLACE_LEAVES_FURTHER)
				sessions--;
			leavers[count++] = (struct leaver){ worker, when };
		}
	}
	qsort(leavers, (size_t)count, sizeof(*leavers), compare_leavers);
	return count;
}

void places_make_room(struct supervisor *supervisor)
{
	struct budget *budget = budget_of(supervisor);
	int free_places = budget_free(budget);
	int waiting = atomic_load(&budget->waiting) - (free_places > 0 ? free_places : 0);
	int wanted = waiting - atomic_load(&budget->leaving);
	struct leaver *leavers;
	int count;

	if (waiting > 0)
		set_aside(supervisor, waiting);
	if (wanted <= 0 || supervisor->workers == 0)
		return;
	leavers = memory_alloc((size_t)supervisor->workers * sizeof(*leavers));
	count = find_leavers(supervisor, leavers);
	for (int i = 0; i < count && i < wanted; i++) {
		leavers[i].worker->makes_room = true;
		atomic_fetch_add(&budget->leaving, 1);
		worker_retire(leavers[i].worker);
	}
	free(leavers);
}

void place_after_probe(struct supervisor *supervisor, struct worker *worker)
{
	struct budget *budget = budget_of(supervisor);

	if (!worker->probe || worker->retired)
		return;
	if (worker->tenant->breaker.state != BREAKER_CLOSED ||
	    !budget_take(budget, &supervisor->outbox->places, false, 0, clock_monotonic_ms())) {
		worker_retire(worker);
		return;
	}
	budget_give(budget, true, clock_monotonic_ms());
	atomic_fetch_add(&supervisor->outbox->places_used, 1);
	worker->probe = false;
	worker->place_since_ms = clock_monotonic_ms();
}
