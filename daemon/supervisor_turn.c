/*
 * supervisor_turn.c - tenants with one credential: whose turn it is. See supervisor_turn.h.
 *
 * Promise: whoever has waited longest comes first, for a session as for a start; whatever becomes of the one
 * that is called, the next has its turn.
 */
#include "daemon/supervisor_turn.h"

#include <utlist.h> /* of uthash */

#include "common/clock.h"
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_limit.h"

void turn_wake(struct supervisor *supervisor, struct credential *credential, enum turn turn)
{
	struct tenant *first = credential->line[turn];

	/* Who has become the first while all sessions are in use is woken when one ends. */
	if (!first || (turn == TURN_CONNECTION && connections_are_full(credential)))
		return;
	if (first->rare)
		first->rare->limit_look_ms = 0;
	timers_set_earlier(&supervisor->timers, &first->timer, clock_monotonic_ms());
}

static void step_out(struct tenant *tenant)
{
	struct credential *credential = tenant->credential;

	DL_DELETE2(credential->line[tenant->turn], tenant, turn_prev, turn_next);
	credential->line_count[tenant->turn]--;
	tenant->turn = TURN_NONE;
}

void turn_over(struct supervisor *supervisor, struct tenant *tenant)
{
	enum turn turn = tenant->turn;
	bool first;

	if (turn == TURN_NONE)
		return;
	first = tenant->credential->line[turn] == tenant;
	step_out(tenant);
	if (first)
		turn_wake(supervisor, tenant->credential, turn);
}

void turn_leave(struct supervisor *supervisor, struct tenant *tenant)
{
	limit_drop_start(tenant);
	connection_drop(supervisor, tenant);
	turn_over(supervisor, tenant);
}

void turn_begin(struct tenant *tenant)
{
	tenant->asked = false;
	/* In this attempt it is its own; it is kept no longer than it is asked for. */
	tenant->session_had = tenant->session_held;
}

void turn_keep(struct tenant *tenant)
{
	tenant->asked = tenant->turn != TURN_NONE;
	tenant->session_had = false;
}

void turn_end(struct supervisor *supervisor, struct tenant *tenant)
{
	/* Of a day that is used up it is known without asking: it keeps its turn. */
	bool waits = tenant->asked || (tenant->turn == TURN_LIMIT && limit_keeps_waiting(tenant));

	if (tenant->session_had)
		connection_drop(supervisor, tenant);
	if (!waits)
		turn_over(supervisor, tenant);
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

bool turn_ask(struct supervisor *supervisor, struct tenant *tenant, enum turn turn)
{
	struct credential *credential = tenant->credential;

	tenant->asked = true;
	if (tenant->turn != turn) {
		turn_over(supervisor, tenant);
		DL_APPEND2(credential->line[turn], tenant, turn_prev, turn_next);
		credential->line_count[turn]++;
		tenant->turn = turn;
	}
	if (turn == TURN_CONNECTION)
		connections_contend(supervisor, credential);
	return credential->line[turn] == tenant;
}
