/*
 * supervisor_turn.c - tenants with one credential: whose turn it is, and its sessions. See
 * supervisor_turn.h.
 *
 * Promises: never more sessions than the credential may have, whoever's they are; whoever
 * has waited longest comes first, for a session as for a start; while a tenant waits for a
 * session others' idle ones are ended at once, further ones after their message, and the only one of a
 * tenant after a turn, so that no queue, however long, keeps another waiting for its end.
 */
#include "daemon/supervisor_turn.h"

#include <assert.h>
#include <utlist.h> /* of uthash */

#include "common/clock.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_place.h"

/* ---- the lines ----------------------------------------------------------------- */

void turn_wake(struct supervisor *supervisor, struct credential *credential, enum turn turn)
{
	struct tenant *first = credential->line[turn];

	if (!first)
		return;
	first->limit_look_ms = 0;
	timers_set_earlier(&supervisor->timers, &first->timer, clock_monotonic_ms());
}

static void step_out(struct tenant *tenant)
{
	struct credential *credential = tenant->credential;

	DL_DELETE2(credential->line[tenant->turn], tenant, turn_prev, turn_next);
	credential->line_count[tenant->turn]--;
	tenant->turn = TURN_NONE;
}

void turn_leave(struct supervisor *supervisor, struct tenant *tenant)
{
	enum turn turn = tenant->turn;

	limit_drop_start(tenant);
	if (turn == TURN_NONE)
		return;
	step_out(tenant);
	turn_wake(supervisor, tenant->credential, turn);
}

void turn_begin(struct tenant *tenant)
{
	tenant->asked = false;
}

void turn_end(struct supervisor *supervisor, struct tenant *tenant)
{
	/* Of a day that is used up it is known without asking: it keeps its turn. */
	bool waits = tenant->asked || (tenant->turn == TURN_LIMIT && limit_keeps_waiting(tenant));

	if (!waits && tenant->turn != TURN_NONE) {
		enum turn turn = tenant->turn;

		step_out(tenant);
		turn_wake(supervisor, tenant->credential, turn);
	}
	if (tenant->turn != TURN_CONNECTION && !tenant->waiting)
		limit_drop_start(tenant);
}

int turn_share(const struct tenant *tenant, int room)
{
	const struct credential *credential = tenant->credential;
	int share;

	if (!credential || !credential->line[TURN_LIMIT])
		return room;
	if (credential->line[TURN_LIMIT] != tenant)
		return 0;
	share = room / credential->line_count[TURN_LIMIT];
	return share > 0 || room <= 0 ? share : 1;
}

void turn_contend(struct supervisor *supervisor, struct credential *credential)
{
	if (credential->contended)
		return;
	credential->contended = true;
	DL_APPEND2(supervisor->contended, credential, contended_prev, contended_next);
}

bool turn_ask(struct supervisor *supervisor, struct tenant *tenant, enum turn turn)
{
	struct credential *credential = tenant->credential;

	tenant->asked = true;
	if (tenant->turn != turn) {
		enum turn before = tenant->turn;

		if (before != TURN_NONE) {
			step_out(tenant);
			turn_wake(supervisor, credential, before);
		}
		DL_APPEND2(credential->line[turn], tenant, turn_prev, turn_next);
		credential->line_count[turn]++;
		tenant->turn = turn;
	}
	if (turn == TURN_CONNECTION)
		turn_contend(supervisor, credential);
	return credential->line[turn] == tenant;
}

/* ---- sessions ------------------------------------------------------------------- */

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
	return credential->connections >= credential->max_connections;
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

void connection_take(struct tenant *tenant, struct worker *worker)
{
	struct credential *credential = tenant->credential;

	if (!credential)
		return;
	assert(!worker->credential && !worker->retired);
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
	int staying = credential->connections - credential->leaving;
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
		    credential->connections - credential->leaving <= credential->max_connections) {
			credential->contended = false;
			DL_DELETE2(supervisor->contended, credential, contended_prev, contended_next);
			continue;
		}
		make_room(credential, now);
	}
}
