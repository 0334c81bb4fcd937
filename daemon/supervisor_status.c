/*
 * supervisor_status.c - a tenant as others see it: its row in outbox_tenant_status, and the
 * answer to SIGUSR1. See supervisor_status.h.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/fault.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_status.h"
#include "smtp/session.h"

#define STATUS_EVERY_MS 1000
#define STATUSES_MOST   64  /* written at a time of those that tell of no trouble, old or new */
#define COUNT_SHARE     100 /* counting a queue may take one part in so many of the time */

const char *tenant_state(const struct tenant *tenant)
{
	if (!tenant->settings->enabled)
		return "suspended";
	if (tenant_rare(tenant)->quarantine_until_ms)
		return "quarantined";
	switch (tenant->breaker.state) {
	case BREAKER_BACKOFF: return "backoff";
	case BREAKER_THROTTLED: return "throttled";
	case BREAKER_AUTH_FAILED: return "auth_failed";
	case BREAKER_CLOSED: break;
	}
	if (tenant->refused)
		return "backoff";
	if (tenant_rare(tenant)->limited.limit != QUOTA_FREE)
		return "limited";
	return tenant->with_workers > 0 || tenant->unsettled > 0 ? "sending" : "idle";
}

void tenant_tell(struct supervisor *supervisor, struct tenant *tenant)
{
	int64_t now = clock_monotonic_ms();

	if (!tenant->settings)
		return;
	log_begin(&supervisor->log, LOG_INFO, "tenant.status", supervisor->outbox->db, tenant->name);
	log_text(&supervisor->log, "state", tenant_state(tenant));
	log_number(&supervisor->log, "ready", tenant->ready_count);
	log_number(&supervisor->log, "in_hand", tenant->with_workers);
	log_number(&supervisor->log, "unsettled", tenant->unsettled);
	log_text(&supervisor->log, "error", tenant->last_error);
	if (tenant->breaker.state != BREAKER_CLOSED)
		log_seconds(&supervisor->log, "retry_in", tenant->breaker.retry_at_ms - now);
	log_end(&supervisor->log);
	for (struct worker *worker = tenant->workers; worker; worker = worker->next) {
		int64_t id = atomic_load(&worker->message_id);

		log_begin(&supervisor->log, LOG_INFO, "worker.status", supervisor->outbox->db, tenant->name);
		log_number(&supervisor->log, "number", worker->number);
		log_text(&supervisor->log, "stage", stage_name((enum stage)atomic_load(&worker->stage)));
		if (id > 0)
			log_number(&supervisor->log, "id", id);
		log_number(&supervisor->log, "given", worker->given);
		log_end(&supervisor->log);
	}
}

void tenant_dirty(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant->status_dirty)
		return;
	tenant->status_dirty = true;
	tenant->next_dirty = NULL;
	*supervisor->dirty_last = tenant;
	supervisor->dirty_last = &tenant->next_dirty;
}

/*
 * Counting is linear: a long queue is counted seldom enough to cost one part in
 * COUNT_SHARE of the thread's time. Returns false if that was put off.
 */
static bool count_queue(struct supervisor *supervisor, struct tenant *tenant, int64_t now)
{
	struct words words;
	int64_t began_us, took_us;

	if (now < tenant->next_count_ms)
		return false;
	began_us = clock_thread_us();
	/* What cannot be counted now keeps its old figures; the look that fails beside it is told. */
	if (storage_count(supervisor->outbox->storage, tenant->name, &tenant->counts, &words) != OK)
		return true;
	took_us = fault_number("count-us", (int)(clock_thread_us() - began_us));
	tenant->next_count_ms = now + took_us * COUNT_SHARE / 1000;
	return true;
}

/* Returns false if a fetch is under way, whose end changes it. */
static bool describe_token(const struct tenant *tenant, struct tenant_status *status)
{
	struct token_state state;

	token_describe(tenant->token, &state);
	if (state.held)
		status->token_expires_at = (clock_wall_ms() + state.expires_in_ms) / 1000;
	status->token_error = memory_strdup(state.words.text[0] ? state.words.text : NULL);
	return !state.fetching;
}

static bool tells_trouble(const struct tenant *tenant)
{
	const char *state = tenant_state(tenant);

	return strcmp(state, "idle") != 0 && strcmp(state, "sending") != 0;
}

/* Returns false if it had to go out with an old count, or while a token is fetched. */
static bool write_status(struct supervisor *supervisor, struct tenant *tenant, int64_t now)
{
	struct tenant_status *status;
	bool down = tenant->breaker.state != BREAKER_CLOSED;
	bool counted, limited, settled;
	struct words words;

	if (!tenant->settings)
		return true;
	limited = !tenant->down && limit_describe(tenant, &words);
	counted = count_queue(supervisor, tenant, now);
	status = memory_alloc(sizeof(*status));
	status->tenant = memory_strdup(tenant->name);
	status->state = tenant_state(tenant);
	status->queued = tenant->counts.queued;
	status->deferred = tenant->counts.deferred;
	status->oldest_due_at = tenant->counts.oldest_due_at;
	status->consecutive_failures = tenant->breaker.failures;
	if (tenant_rare(tenant)->quarantine_until_ms)
		status->retry_at = (clock_wall_ms() + tenant_rare(tenant)->quarantine_until_ms - now + 999) /
		                   1000;
	else if (down)
		status->retry_at = (clock_wall_ms() + tenant->breaker.retry_at_ms - now + 999) / 1000;
	else if (limited)
		status->retry_at = (clock_wall_ms() + tenant_rare(tenant)->limited.next_ms - now + 999) /
		                   1000;
	status->worker_restarts = tenant->worker_restarts;
	status->last_error = memory_strdup(limited ? words.text : tenant->last_error);
	status->last_sent_at = tenant->last_sent_at;
	settled = describe_token(tenant, status);
	tenant->status_at_ms = now;
	tenant->status_trouble = tells_trouble(tenant);
	writer_status(supervisor->outbox->writer, status);
	tenant_rare_rest(tenant);
	return counted && settled;
}

/* It says "idle" or "sending", and did before: figures alone, which are of no hurry. */
static bool is_trouble_news(const struct tenant *tenant)
{
	return tenant->settings && (tenant->status_trouble || tells_trouble(tenant));
}

/*
 * One turn: written, or back at the end of the line. Where hundreds are at work their figures come in turn,
 * so that they do not cost more than the mail; news of trouble is written at once.
 */
static void turn_of(struct supervisor *supervisor, struct tenant *tenant, int64_t now, int *left)
{
	bool news = is_trouble_news(tenant);

	if (now - tenant->status_at_ms < STATUS_EVERY_MS || (!news && *left == 0)) {
		tenant_dirty(supervisor, tenant);
		return;
	}
	*left -= !news;
	/* A count that was put off is made good later. */
	if (!write_status(supervisor, tenant, now))
		tenant_dirty(supervisor, tenant);
}

void tenant_write_statuses(struct supervisor *supervisor, bool all)
{
	struct tenant *tenant = supervisor->dirty;
	int64_t now = clock_monotonic_ms();
	int left = STATUSES_MOST;

	supervisor->dirty = NULL;
	supervisor->dirty_last = &supervisor->dirty;
	while (tenant) {
		struct tenant *next = tenant->next_dirty;

		tenant->status_dirty = false;
		tenant->next_dirty = NULL;
		if (all)
			(void)write_status(supervisor, tenant, now);
		else
			turn_of(supervisor, tenant, now, &left);
		tenant = next;
	}
}
