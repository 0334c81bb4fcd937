/*
 * supervisor_picture.c - see supervisor_picture.h. What the table has is not counted for it:
 * queues are told as outbox_tenant_status tells them, from the last count.
 */
#include "daemon/supervisor_picture.h"

#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "daemon/supervisor_status.h"

void picture_count(struct supervisor *supervisor, struct tenant *tenant, const struct message *message)
{
	struct metrics_totals *totals = &tenant->totals;

	if (message->settled != SETTLED)
		return;
	if (message->cancelled) {
		totals->cancelled++;
		return;
	}
	switch (message->state) {
	case MESSAGE_SENT:
		totals->sent++;
		metrics_delay_add(&supervisor->delay, message->decided_wall_ms - message->queued_at_ms);
		break;
	case MESSAGE_FAILED: totals->failed++; break;
	case MESSAGE_DEFERRED: totals->deferrals++; break;
	case MESSAGE_UNCERTAIN: totals->uncertain++; break;
	case MESSAGE_DRAFT:
	case MESSAGE_QUEUED:
	case MESSAGE_CANCELLED: break;
	}
}

static bool is_left_alone(const struct tenant *tenant)
{
	return tenant->settings->enabled && (tenant->breaker.state != BREAKER_CLOSED ||
	                                     tenant_rare(tenant)->quarantine_until_ms || tenant->refused);
}

static void add_tenant(struct metrics_outbox *picture, const struct tenant *tenant)
{
	struct metrics_tenant *one = &picture->tenants[picture->tenant_count++];

	*one = (struct metrics_tenant){
		.state = tenant_state(tenant),
		.backoff = is_left_alone(tenant),
		.queued = tenant->counts.queued,
		.deferred = tenant->counts.deferred,
		.oldest_due_at = tenant->counts.oldest_due_at,
		.failures = tenant->breaker.failures,
		.worker_restarts = tenant->worker_restarts,
		.totals = tenant->totals,
	};
	(void)snprintf(one->name, sizeof(one->name), "%s", tenant->name);
}

void picture_give(struct supervisor *supervisor)
{
	struct outbox *outbox = supervisor->outbox;
	size_t most = HASH_COUNT(supervisor->tenants);
	struct metrics_outbox *picture = memory_alloc(sizeof(*picture) + most * sizeof(picture->tenants[0]));
	struct tenant *tenant, *next;

	picture->delay = supervisor->delay;
	picture->dispatches = supervisor->dispatches;
	picture->commits = atomic_load(&outbox->commits);
	picture->commit_failures = atomic_load(&outbox->commit_failures);
	picture->removed = atomic_load(&outbox->removed);
	picture->storage_failing = atomic_load(&outbox->disk_trouble);
	HASH_ITER (hh, supervisor->tenants, tenant, next) {
		if (tenant->settings)
			add_tenant(picture, tenant);
		/* One that nothing has happened to since the start has not been counted yet. */
		if (tenant->settings && tenant->next_count_ms == 0)
			tenant_dirty(supervisor, tenant);
	}
	metrics_give(outbox, picture);
}
