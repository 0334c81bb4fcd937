/*
 * supervisor_look.c - what is due: the reading half of "never twice".
 *
 * (a) A look begins, reads to the end and is over before any letter is handled;
 * (c) an id that a look passed over because it is in hand, and that was another try than the one
 * that is, is marked, and its tenant looked at again when it leaves.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/fault.h"
#include "daemon/judge.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_result.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_suspect.h"
#include "daemon/supervisor_tenant.h"

#define DOWN_LIMIT    4   /* fetched for a probe */
#define EXPIRY_SHARE  100 /* looking for them may take one part in so many of the time */
#define EXPIRED_LIMIT 64  /* a look for expired messages */
#define RETRY_LOOK_MS 1000

static void storage_trouble(struct supervisor *supervisor, const struct words *words)
{
	if (supervisor->storage_told)
		return;
	supervisor->storage_told = true;
	log_begin(&supervisor->log, LOG_ERROR, "storage.failed", supervisor->outbox->db, NULL);
	log_text(&supervisor->log, "database", supervisor->outbox->path);
	log_text(&supervisor->log, "error", words->text);
	log_end(&supervisor->log);
}

static void storage_well(struct supervisor *supervisor)
{
	if (!supervisor->storage_told)
		return;
	supervisor->storage_told = false;
	log_begin(&supervisor->log, LOG_WARNING, "storage.recovered", supervisor->outbox->db, NULL);
	log_text(&supervisor->log, "database", supervisor->outbox->path);
	log_end(&supervisor->log);
}

struct in_hand *in_hand_find(struct supervisor *supervisor, int64_t id)
{
	struct in_hand *entry;

	HASH_FIND(hh, supervisor->in_hand, &id, sizeof(id), entry);
	return entry;
}

/* The very try that is in hand tells nothing: what becomes of it is heard. Another one waits until it has
 * left. */
static bool is_in_hand(void *context, const struct storage_try *row)
{
	struct in_hand *entry = in_hand_find(context, row->id);

	if (entry && (row->attempts != entry->attempts || row->requeue != entry->requeue ||
	              row->due_at != entry->due_at))
		entry->seen = true;
	return entry != NULL;
}

void in_hand_add(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	struct in_hand *entry = memory_alloc(sizeof(*entry));

	entry->id = message->id;
	entry->due_at = message->due_at;
	entry->attempts = message->attempts;
	entry->requeue = message->requeue;
	entry->tenant = tenant;
	message->tenant = tenant;
	HASH_ADD(hh, supervisor->in_hand, id, sizeof(entry->id), entry);
}

void in_hand_leave(struct supervisor *supervisor, struct message **message)
{
	struct in_hand *entry = in_hand_find(supervisor, (*message)->id);
	struct tenant *tenant = (*message)->tenant;

	if (entry) {
		if (entry->seen) {
			tenant->look = true;
			timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
		}
		HASH_DEL(supervisor->in_hand, entry);
		free(entry);
	}
	message_destroy(message);
}

static void see_tenant(void *context, const char *name, int64_t earliest_due_at)
{
	struct supervisor *supervisor = context;
	struct tenant *tenant = tenant_make(supervisor, name);
	int64_t wait_ms = earliest_due_at * 1000 - clock_wall_ms();

	if (wait_ms <= 0) {
		tenant->look = true;
		wait_ms = 0;
	} else if (earliest_due_at < tenant->next_due) {
		tenant->next_due = earliest_due_at;
	}
	timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms() + wait_ms);
}

void look_scan(struct supervisor *supervisor)
{
	struct words words;

	if (storage_scan(supervisor->outbox->storage, see_tenant, supervisor, &words) == OK)
		storage_well(supervisor);
	else
		storage_trouble(supervisor, &words);
}

static void see_change(struct supervisor *supervisor, const char *name)
{
	struct tenant *tenant = tenant_make(supervisor, name);

	tenant->look = tenant->fresh = true;
	tenant_dirty(supervisor, tenant);
	timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
}

void look_changes(struct supervisor *supervisor)
{
	struct storage_changes changes = { 0 };
	struct words words;

	if (storage_changes(supervisor->outbox->storage, &changes, &words) != OK) {
		storage_trouble(supervisor, &words);
		supervisor->next_poll_ms = clock_monotonic_ms() + RETRY_LOOK_MS;
		return;
	}
	storage_well(supervisor);
	waking_brought(&supervisor->waking, clock_monotonic_us(), changes.tenants_due_count > 0);
	if (changes.rules)
		writer_rules_changed(supervisor->outbox->writer);
	/* Settings first: what is due goes by them. */
	if (changes.all)
		tenant_load(supervisor, NULL);
	for (size_t i = 0; i < changes.tenants_changed_count; i++) {
		if (!fault_here("unheard", changes.tenants_changed[i]))
			tenant_load(supervisor, changes.tenants_changed[i]);
	}
	for (size_t i = 0; i < changes.tenants_retry_count; i++) {
		struct tenant *tenant = tenant_find(supervisor, changes.tenants_retry[i]);

		if (tenant)
			tenant_reset(supervisor, tenant);
	}
	for (size_t i = 0; i < changes.tenants_due_count; i++)
		see_change(supervisor, changes.tenants_due[i]);
	if (changes.all)
		look_scan(supervisor);
	storage_changes_fini(&changes);
}

static bool has_expired(struct supervisor *supervisor, const struct tenant *tenant, struct message *message)
{
	int64_t now_s = clock_wall_s();

	clock_adopt(supervisor, message);
	return now_s >= judge_expiry(message, tenant->settings->max_age);
}

/* Takes a chain of new messages into our hands. */
static int adopt_chain(struct supervisor *supervisor, struct tenant *tenant, struct queue_link *first)
{
	int64_t now = clock_monotonic_ms();
	int count = 0;

	while (first) {
		struct message *message = QUEUE_ITEM(first, struct message, link);

		first = first->next;
		in_hand_add(supervisor, tenant, message);
		message->ready_ms = now;
		message->offline = has_expired(supervisor, tenant, message);
		count++;
		if (suspect_adopt(supervisor, tenant, message))
			ready_add(tenant, message);
	}
	return count;
}

void look_for_expired(struct supervisor *supervisor, struct tenant *tenant)
{
	struct tenant_rare *rare = tenant_rare_use(tenant);

	/* The next look stays where it is: a probe that fails again and again must not put it off. */
	if (rare->expiry_check_ms == 0)
		rare->expiry_check_ms = clock_monotonic_ms() +
		                        atomic_load(&supervisor->outbox->service->expiry_check_ms);
	timers_set_earlier(&supervisor->timers, &tenant->timer, rare->expiry_check_ms);
}

/* While nothing can be sent mail grows old all the same: what has expired is found now and then. */
static void look_expired(struct supervisor *supervisor, struct tenant *tenant)
{
	struct storage_due_query query = {
		.tenant = tenant->name,
		.now = clock_wall_s(),
		.limit = EXPIRED_LIMIT,
		.in_hand = is_in_hand,
		.context = supervisor,
	};
	struct tenant_rare *rare = tenant->rare;
	struct queue_link *first;
	struct words words;
	int64_t now = clock_monotonic_ms(), took;

	clock_follow(supervisor);
	if (!rare || rare->expiry_check_ms == 0 || now < rare->expiry_check_ms || supervisor->clock_set)
		return;
	if (storage_expired(supervisor->outbox->storage, &query, tenant->settings->max_age, &first, &words) !=
	    OK) {
		storage_trouble(supervisor, &words);
	} else if (adopt_chain(supervisor, tenant, first) == EXPIRED_LIMIT) {
		rare->expiry_check_ms = now + RETRY_LOOK_MS;
		timers_set_earlier(&supervisor->timers, &tenant->timer, rare->expiry_check_ms);
		return;
	}
	took = clock_monotonic_ms() - now;
	rare->expiry_check_ms = now + atomic_load(&supervisor->outbox->service->expiry_check_ms) +
	                        took * EXPIRY_SHARE;
	timers_set_earlier(&supervisor->timers, &tenant->timer, rare->expiry_check_ms);
}

static int room_for(const struct tenant *tenant)
{
	int high = tenant->breaker.state == BREAKER_CLOSED ? READY_HIGH : DOWN_LIMIT;

	/* New mail may be more urgent than all that waits: look past a full line a little. */
	if (tenant->fresh && tenant->ready_count > high - READY_LOW)
		return READY_LOW;
	return tenant->ready_count < READY_LOW || tenant->fresh ? high - tenant->ready_count : 0;
}

/* Puts the rest of an overlong line back into the table, but for what no look finds as it is. */
static void trim_line(struct supervisor *supervisor, struct tenant *tenant)
{
	struct queue_link **link = &tenant->ready;
	int kept = 0;

	if (tenant->ready_count <= READY_HIGH)
		return;
	while (*link) {
		struct message *message = QUEUE_ITEM(*link, struct message, link);

		if (kept < READY_HIGH || message->recovered) {
			link = &(*link)->next;
			kept++;
			continue;
		}
		*link = message->link.next;
		in_hand_leave(supervisor, &message);
	}
	tenant->ready_count = kept;
	tenant->look = true;
}

void look_tenant(struct supervisor *supervisor, struct tenant *tenant)
{
	struct storage_due_query query = {
		.tenant = tenant->name,
		.now = clock_wall_s(),
		.limit = room_for(tenant),
		.in_hand = is_in_hand,
		.context = supervisor,
	};
	struct queue_link *first;
	struct words words;
	int64_t now = clock_monotonic_ms();

	if (!tenant->settings || !tenant->settings->enabled)
		return;
	look_expired(supervisor, tenant);
	if (!tenant_may_send(tenant) || !tenant->look || query.limit <= 0 ||
	    breaker_allowance(&tenant->breaker, now) == 0 || limit_keeps_waiting(tenant))
		return;
	if (storage_due(supervisor->outbox->storage, &query, &first, &tenant->next_due, &words) != OK) {
		storage_trouble(supervisor, &words);
		timers_set_earlier(&supervisor->timers, &tenant->timer, now + RETRY_LOOK_MS);
		return;
	}
	tenant->look = adopt_chain(supervisor, tenant, first) >= query.limit;
	tenant->fresh = false;
	trim_line(supervisor, tenant);
	if (tenant->next_due != INT64_MAX)
		timers_set_earlier(&supervisor->timers, &tenant->timer,
		                   now + (tenant->next_due * 1000 - clock_wall_ms()));
}
