/*
 * supervisor_dispatch.c - who sends what: the line of a tenant and its workers. See
 * supervisor.h.
 *
 * Promises: a tenant's line is its own; a tenant whose server was in trouble has one
 * probe, in a place of its own kind; a further session is opened only when a due
 * message has waited over 2 s.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/fault.h"
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_place.h"
#include "daemon/supervisor_result.h"
#include "daemon/supervisor_slot.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_tenant.h"
#include "daemon/supervisor_turn.h"
#include "smtp/session.h"

#define FURTHER_SESSION_MS 2000
#define PLACE_RETRY_MS     1000
#define AGED_S             600

/* Its place in the line: what has waited ten minutes competes as a 9; what needs no session goes first. */
static int rank(const struct message *message, int64_t now_s)
{
	if (message->offline)
		return 10;
	return message->due_at <= now_s - AGED_S ? 9 : message->priority;
}

void ready_add(struct tenant *tenant, struct message *message)
{
	struct queue_link **link = &tenant->ready;
	int64_t now_s = clock_wall_s();
	int mine = rank(message, now_s);

	for (; *link; link = &(*link)->next) {
		const struct message *other = QUEUE_ITEM(*link, struct message, link);
		int theirs = rank(other, now_s);

		if (theirs != mine                     ? theirs < mine
		    : other->due_at != message->due_at ? other->due_at > message->due_at
		                                       : other->id > message->id)
			break;
	}
	message->link.next = *link;
	*link = &message->link;
	tenant->ready_count++;
}

static struct message *ready_first(const struct tenant *tenant)
{
	return tenant->ready ? QUEUE_ITEM(tenant->ready, struct message, link) : NULL;
}

static struct message *ready_take(struct tenant *tenant)
{
	struct message *message = ready_first(tenant);

	tenant->ready = message->link.next;
	message->link.next = NULL;
	tenant->ready_count--;
	return message;
}

void ready_drop(struct supervisor *supervisor, struct tenant *tenant)
{
	struct queue_link *kept = NULL, **last = &kept;
	int count = 0;

	while (tenant->ready) {
		struct message *message = ready_take(tenant);

		/* What an earlier process had in hand is not found again by a look. */
		if (message->recovered && supervisor->accept_work) {
			*last = &message->link;
			last = &message->link.next;
			count++;
			continue;
		}
		in_hand_leave(supervisor, &message);
	}
	tenant->ready = kept;
	tenant->ready_count = count;
	tenant->look = true;
}

/* The lowest number that none of its threads has: it names the thread. */
static int number_for(const struct tenant *tenant)
{
	int number = 1;

	for (const struct worker *worker = tenant->workers; worker;) {
		bool taken = worker->number == number;

		number += taken;
		worker = taken ? tenant->workers : worker->next;
	}
	return number;
}

/* connects: it is to have a session; one that reads and composes alone needs none. */
static struct worker *start_worker(struct supervisor *supervisor, struct tenant *tenant, bool probe,
                                   bool connects)
{
	struct worker *worker;
	struct words words;

	if (connects && !connection_is_allowed(supervisor, tenant))
		return NULL;
	if (!place_take(supervisor, tenant, probe)) {
		if (!tenant->waiting)
			timers_set_earlier(&supervisor->timers, &tenant->timer,
			                   clock_monotonic_ms() + PLACE_RETRY_MS);
		else if (connects && !probe)
			connection_hold(tenant);
		return NULL;
	}
	worker = worker_start(supervisor->outbox, tenant->settings, number_for(tenant), tenant->one_at_a_time,
	                      &words);
	if (!worker) {
		place_return(supervisor, probe);
		if (!supervisor->places_told) {
			supervisor->places_told = true;
			log_begin(&supervisor->log, LOG_ERROR, "worker.failed", supervisor->outbox->db,
			          tenant->name);
			log_text(&supervisor->log, "error", words.text);
			log_end(&supervisor->log);
		}
		place_wait(supervisor, tenant, probe);
		if (connects && !probe)
			connection_hold(tenant);
		timers_set_earlier(&supervisor->timers, &tenant->timer,
		                   clock_monotonic_ms() + PLACE_RETRY_MS);
		return NULL;
	}
	if (tenant->quota)
		worker->quota = quota_hold(tenant->quota);
	worker->token = token_hold(tenant->token);
	supervisor->places_told = false;
	supervisor->workers++;
	worker->tenant = tenant;
	worker->probe = probe;
	worker->place_since_ms = clock_monotonic_ms();
	worker->next = tenant->workers;
	tenant->workers = worker;
	tenant->worker_count++;
	if (connects)
		connection_take(tenant, worker);
	log_begin(&supervisor->log, LOG_DEBUG, "worker.start", supervisor->outbox->db, tenant->name);
	log_number(&supervisor->log, "number", worker->number);
	log_end(&supervisor->log);
	if (tenant->replace > 0) {
		tenant->replace--;
		log_begin(&supervisor->log, LOG_WARNING, "worker.restarted", supervisor->outbox->db,
		          tenant->name);
		log_number(&supervisor->log, "restarts", tenant->worker_restarts);
		log_end(&supervisor->log);
	}
	return worker;
}

/*
 * How many of the line's first messages may go to a worker together: a suspect goes when no
 * other of its tenant is with a worker, and no other goes until it is back.
 */
static int handful(const struct tenant *tenant, int most)
{
	const struct queue_link *link = tenant->ready;
	int count = 0;

	if (tenant->alone || !link)
		return 0;
	if (QUEUE_ITEM(link, struct message, link)->suspect)
		return tenant->with_workers == 0 && most > 0 ? 1 : 0;
	for (; link && count < most && !QUEUE_ITEM(link, struct message, link)->suspect; link = link->next)
		count++;
	return count;
}

static void give(struct supervisor *supervisor, struct tenant *tenant, struct worker *worker, int count)
{
	struct queue_link *first = NULL, **last = &first;
	int64_t now = clock_monotonic_ms();

	for (int i = 0; i < count; i++) {
		struct message *message = ready_take(tenant);

		message->worker = worker;
		limit_give(worker, message);
		tenant->alone = tenant->alone || message->suspect;
		*last = &message->link;
		last = &message->link.next;
	}
	worker->given += count;
	tenant->with_workers += count;
	slots_take(supervisor, count);
	worker->batch_given_ms = now;
	queue_push_chain(&worker->inbox, first);
}

/* How many messages may go to workers now. */
static int allowance_of(struct supervisor *supervisor, const struct tenant *tenant)
{
	int allowance = breaker_allowance(&tenant->breaker, clock_monotonic_ms());
	int unsettled_max = atomic_load(&supervisor->outbox->service->unsettled_max);
	int room = unsettled_max - tenant->unsettled - tenant->with_workers;

	if (allowance < BREAKER_PACE_NORMAL)
		allowance -= tenant->with_workers;
	else
		allowance = room;
	if (allowance > room)
		allowance = room;
	return allowance > 0 ? allowance : 0;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

static struct worker *idle_worker(const struct tenant *tenant)
{
	struct worker *worker = tenant->workers;

	while (worker && (worker->retired || worker->given > 0))
		worker = worker->next;
	return worker;
}

/* What needs no session goes whatever the server's state is; it leads the line. */
static void give_offline(struct supervisor *supervisor, struct tenant *tenant)
{
	struct message *first = ready_first(tenant);
	struct worker *worker;

	if (!first || !first->offline || !tenant->settings || handful(tenant, 1) == 0)
		return;
	worker = idle_worker(tenant);
	if (!worker)
		worker = start_worker(supervisor, tenant, false, false);
	while (worker && first && first->offline && handful(tenant, 1) > 0) {
		give(supervisor, tenant, worker, 1);
		first = ready_first(tenant);
	}
}

/* Sessions with the server as it is now: a retired one counts until it has ended. */
static int sessions_of(const struct tenant *tenant)
{
	int count = 0;

	assert(tenant->settings);
	for (const struct worker *worker = tenant->workers; worker; worker = worker->next) {
		if (!worker->retired ||
		    memcmp(worker->settings->connection_digest, tenant->settings->connection_digest,
		           sizeof(tenant->settings->connection_digest)) == 0)
			count++;
	}
	return count;
}

static bool is_full(const struct tenant *tenant)
{
	return connections_are_shared(tenant) ? connections_are_full(tenant->credential)
	                                      : sessions_of(tenant) >= tenant->settings->max_connections;
}

/*
 * How many messages a worker may have: what its session can have under way and, where the server
 * is quick, as many again in reserve. A server that takes its time gets the second one only where
 * no further session could take it sooner.
 */
static int wanted_by(const struct tenant *tenant, const struct worker *worker)
{
	int depth = least(tenant->settings->pipeline_depth, SESSION_WINDOW_MOST);
	int window = depth > 1 ? depth : 2;

	if (worker->one_at_a_time)
		depth = window = 1;
	if (worker->quick)
		return worker->batch > 2 * window ? worker->batch : 2 * window;
	return depth > 1 || is_full(tenant) ? window : 1;
}

/* One that was started for what needs no session may get one. */
static bool may_connect(struct supervisor *supervisor, struct tenant *tenant, struct worker *worker)
{
	if (!tenant->credential || worker->credential)
		return true;
	if (!connection_is_allowed(supervisor, tenant))
		return false;
	connection_take(tenant, worker);
	return true;
}

static void give_to_workers(struct supervisor *supervisor, struct tenant *tenant, int *allowance)
{
	for (struct worker *worker = tenant->workers; worker; worker = worker->next) {
		int count, wanted;

		if (worker->retired)
			continue;
		wanted = wanted_by(tenant, worker);
		if (worker->given > (worker->quick ? wanted / 2 : wanted - 1))
			continue;
		count = handful(tenant, least(wanted - worker->given, *allowance));
		if (count <= 0 || !may_connect(supervisor, tenant, worker))
			continue;
		give(supervisor, tenant, worker, count);
		*allowance -= count;
	}
}

/* One more session: the first one at once, further ones for mail that has waited. */
static bool wants_session(struct supervisor *supervisor, struct tenant *tenant)
{
	int64_t since = ready_first(tenant)->ready_ms, now = clock_monotonic_ms();

	/* Who shares them and has none asks all the same: it has its turn then. */
	if (is_full(tenant) && (place_is_had(tenant) || !connections_are_shared(tenant)))
		return false;
	if (!place_is_had(tenant))
		return true;
	if (tenant->breaker.state != BREAKER_CLOSED || tenant->breaker.pace < BREAKER_PACE_NORMAL)
		return false;
	if (now - since > FURTHER_SESSION_MS)
		return true;
	timers_set_earlier(&supervisor->timers, &tenant->timer, since + FURTHER_SESSION_MS + 1);
	return false;
}

static void wait_for_probe(struct supervisor *supervisor, struct tenant *tenant, int64_t now)
{
	if (now < tenant->breaker.retry_at_ms)
		timers_set_earlier(&supervisor->timers, &tenant->timer, tenant->breaker.retry_at_ms);
}

/* One that can send nothing yet keeps what it has of the limits while it waits for the rest. */
static void wait_with_start(struct tenant *tenant)
{
	if (!place_is_had(tenant))
		limit_hold_start(tenant);
}

static void attempt(struct supervisor *supervisor, struct tenant *tenant)
{
	bool probe = tenant->breaker.state != BREAKER_CLOSED;
	int64_t now = clock_monotonic_ms(), pause_ms;
	int allowance, slots;

	if (!supervisor->accept_work)
		return;
	if (atomic_load(&supervisor->outbox->disk_trouble) || atomic_load(&supervisor->outbox->hangs)) {
		/* What cannot be recorded is not sent; the tenant keeps its turn. */
		turn_keep(tenant);
		timers_set_earlier(&supervisor->timers, &tenant->timer, now + PLACE_RETRY_MS);
		return;
	}
	if (!tenant_leaves_quarantine(supervisor, tenant))
		return;
	pause_ms = tenant_rare(tenant)->pause_until_ms;
	if (now < pause_ms) {
		timers_set_earlier(&supervisor->timers, &tenant->timer, pause_ms);
		return;
	}
	if (probe && !tenant->breaker.probing)
		wait_for_probe(supervisor, tenant, now);
	limit_prepare(supervisor, tenant);
	look_tenant(supervisor, tenant);
	give_offline(supervisor, tenant);
	if (!tenant->ready)
		limit_idle(supervisor, tenant);
	if (!tenant_may_send(tenant) || !tenant->ready)
		return;
	slots = slots_share(supervisor, tenant);
	if (slots == 0) { /* it keeps its turn in other lines */
		turn_keep(tenant);
		return;
	}
	allowance = limit_allowance(supervisor, tenant, least(slots, allowance_of(supervisor, tenant)));
	if (allowance == 0 || handful(tenant, 1) == 0)
		return;
	if (probe) {
		struct worker *worker = start_worker(supervisor, tenant, true, true);

		if (!worker) {
			wait_with_start(tenant);
			return;
		}
		breaker_probe_started(&tenant->breaker);
		give(supervisor, tenant, worker, 1);
	} else {
		give_to_workers(supervisor, tenant, &allowance);
		if (handful(tenant, 1) > 0 && allowance > 0 && wants_session(supervisor, tenant)) {
			struct worker *worker = start_worker(supervisor, tenant, false, true);

			if (!worker)
				wait_with_start(tenant);
			else
				give(supervisor, tenant, worker,
				     handful(tenant, least(wanted_by(tenant, worker), allowance)));
			/* What still waits has its own two seconds, whatever becomes of this one. */
			if (worker && tenant->ready && wants_session(supervisor, tenant))
				timers_set_earlier(&supervisor->timers, &tenant->timer, now);
		}
	}
	tenant_dirty(supervisor, tenant);
	look_tenant(supervisor, tenant);
}

void dispatch(struct supervisor *supervisor, struct tenant *tenant)
{
	supervisor->dispatches++;
	credentials_settle(supervisor);
	turn_begin(tenant);
	attempt(supervisor, tenant);
	turn_end(supervisor, tenant);
}

void retire_workers(struct supervisor *supervisor, struct tenant *tenant, bool at_once)
{
	(void)supervisor;
	for (struct worker *worker = tenant->workers; worker; worker = worker->next) {
		worker_retire(worker);
		if (at_once)
			worker_tell_stop(worker, STOP_SOON);
	}
}

static void tell_stalled(struct supervisor *supervisor, const struct tenant *tenant, struct worker *worker,
                         int64_t late_ms)
{
	worker->stall_told = true;
	journal_stalled(supervisor->outbox->journal, worker->thread);
	log_begin(&supervisor->log, LOG_ERROR, "worker.stalled", supervisor->outbox->db, tenant->name);
	log_number(&supervisor->log, "id", atomic_load(&worker->message_id));
	log_text(&supervisor->log, "stage", stage_name((enum stage)atomic_load(&worker->stage)));
	log_seconds(&supervisor->log, "late", late_ms);
	log_end(&supervisor->log);
}

void watch_workers(struct supervisor *supervisor, int64_t grace_ms)
{
	int64_t now = clock_monotonic_ms();
	struct tenant *tenant, *next;

	HASH_ITER (hh, supervisor->tenants, tenant, next) {
		for (struct worker *worker = tenant->workers; worker; worker = worker->next) {
			int64_t deadline = atomic_load(&worker->deadline_ms);

			if (worker->stall_told || deadline == DEADLINE_NEVER || deadline > now)
				continue;
			if (now - deadline < grace_ms && !fault_here("late", tenant->name))
				continue;
			tell_stalled(supervisor, tenant, worker, now - deadline);
			atomic_store(&supervisor->outbox->service->stall, true);
		}
	}
}
