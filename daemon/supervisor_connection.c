/*
 * supervisor_connection.c - the sessions of tenants with one credential. See
 * supervisor_connection.h.
 *
 * Promises: never more sessions than the credential may have, whoever's they are; one that
 * becomes free calls the one that has waited longest, and nobody else; while a tenant waits for a
 * session others' idle ones are ended at once, further ones after their message, and the only one of a
 * tenant after a turn, so that no queue, however long, keeps another waiting for its end.
 */
#include "daemon/supervisor_connection.h"

#include <assert.h>
#include <utlist.h> /* of uthash */

#include "common/clock.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_place.h"
#include "daemon/supervisor_turn.h"

bool connections_are_shared(const struct tenant *tenant)
{
	const struct credential *credential = tenant->credential;

	if (!credential || credential->member_count > 1)
		return credential != NULL;
	/* of one that has left, perhaps */
	for (const struct worker *worker = credential->workers; worker; worker = worker->connected_next) {
		if (worker->tenant != tenant)
			return true;
	}
	return false;
}

bool connections_are_full(const struct credential *credential)
{
	return credential->connections + credential->held >= credential->max_connections;
}

int connections_staying(const struct credential *credential)
{
	return credential->connections + credential->held - credential->leaving;
}

static bool has_connection(const struct tenant *tenant)
{
	for (const struct worker *worker = tenant->workers; worker; worker = worker->next) {
		if (worker->credential == tenant->credential && !worker->retired)
			return true;
	}
	return false;
}

bool connection_is_allowed(struct supervisor *supervisor, struct tenant *tenant)
{
	struct credential *credential = tenant->credential;
	struct tenant *first;
	bool further;

	if (!connections_are_shared(tenant))
		return true;
	if (tenant->session_had) {
		if (credential->connections < credential->max_connections)
			return true;
		connection_drop(supervisor, tenant);
	}
	first = credential->line[TURN_CONNECTION];
	further = has_connection(tenant);
	if (!connections_are_full(credential) && (!first || (first == tenant && !further)))
		return true;
	/* A further one is a wish, not a need: it stands in no line. */
	if (!further)
		(void)turn_ask(supervisor, tenant, TURN_CONNECTION);
	if (!connections_are_full(credential))
		turn_wake(supervisor, credential, TURN_CONNECTION);
	return false;
}

static void forget_held(struct tenant *tenant)
{
	tenant->credential->held -= tenant->session_held;
	tenant->session_held = tenant->session_had = false;
}

void connection_hold(struct tenant *tenant)
{
	if (!connections_are_shared(tenant))
		return;
	if (!tenant->session_held)
		tenant->credential->held++;
	tenant->session_held = true;
	tenant->session_had = false;
}

void connection_drop(struct supervisor *supervisor, struct tenant *tenant)
{
	if (!tenant->session_held)
		return;
	forget_held(tenant);
	turn_wake(supervisor, tenant->credential, TURN_CONNECTION);
}

void connection_take(struct tenant *tenant, struct worker *worker)
{
	struct credential *credential = tenant->credential;

	if (!credential)
		return;
	assert(!worker->credential && !worker->retired);
	forget_held(tenant);
	worker->credential = credential;
	credential->connections++;
	DL_APPEND2(credential->workers, worker, connected_prev, connected_next);
}

void connection_leaving(struct worker *worker)
{
	if (worker->credential)
		worker->credential->leaving++;
}

void connection_give(struct supervisor *supervisor, struct worker *worker)
{
	struct credential *credential = worker->credential;

	if (!credential)
		return;
	DL_DELETE2(credential->workers, worker, connected_prev, connected_next);
	credential->connections--;
	credential->leaving -= worker->retired;
	worker->credential = NULL;
	turn_wake(supervisor, credential, TURN_CONNECTION);
	credential_check_use(supervisor, credential);
}

void connections_contend(struct supervisor *supervisor, struct credential *credential)
{
	if (credential->contended)
		return;
	credential->contended = true;
	DL_APPEND2(supervisor->contended, credential, contended_prev, contended_next);
}

/* Who is to leave next, NULL: nobody yet. */
static struct worker *find_leaver(const struct credential *credential, int64_t now)
{
	struct worker *leaver = NULL;
	int soonest = PLACE_STAYS;

	for (struct worker *worker = credential->workers; worker; worker = worker->connected_next) {
		int when = place_when_to_leave(worker, worker->tenant->worker_count, now);

		if (when < soonest ||
		    (leaver && when == soonest && worker->place_since_ms < leaver->place_since_ms)) {
			leaver = worker;
			soonest = when;
		}
	}
	return leaver;
}

static void make_room(struct credential *credential, int64_t now)
{
	int staying = connections_staying(credential);
	int wanted = credential->line_count[TURN_CONNECTION] + staying - credential->max_connections;
	struct worker *leaver;

	for (; wanted > 0 && (leaver = find_leaver(credential, now)) != NULL; wanted--)
		worker_retire(leaver);
}

void connections_make_room(struct supervisor *supervisor)
{
	int64_t now = clock_monotonic_ms();
	struct credential *credential = NULL, *next = NULL;

	DL_FOREACH_SAFE2(supervisor->contended, credential, next, contended_next)
	{
		if (!credential->line[TURN_CONNECTION] &&
		    connections_staying(credential) <= credential->max_connections) {
			credential->contended = false;
			DL_DELETE2(supervisor->contended, credential, contended_prev, contended_next);
			continue;
		}
		make_room(credential, now);
	}
}
