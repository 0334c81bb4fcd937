/*
 * supervisor_tenant.c - a tenant as the supervisor knows it: settings, the state
 * of its server. See supervisor.h.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/digest.h"
#include "daemon/keyring.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_result.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_tenant.h"
#include "daemon/supervisor_turn.h"
#include "smtp/session.h"

#define SECRET_CHECK_MS 20000
#define SECRET_POLL_MS  1000

const struct tenant_rare *tenant_rare(const struct tenant *tenant)
{
	static const struct tenant_rare nothing;

	return tenant->rare ? tenant->rare : &nothing;
}

struct tenant_rare *tenant_rare_use(struct tenant *tenant)
{
	if (!tenant->rare)
		tenant->rare = memory_alloc(sizeof(*tenant->rare));
	return tenant->rare;
}

void tenant_rare_rest(struct tenant *tenant)
{
	const struct tenant_rare *rare = tenant->rare;
	int64_t now = clock_monotonic_ms();

	if (!rare || tenant->down || rare->limited.limit != QUOTA_FREE || rare->next_limit_told_ms > now ||
	    rare->quarantine_until_ms || rare->pause_until_ms > now || rare->unread_id || rare->stamp ||
	    rare->expiry_check_ms || rare->waits_for_slot)
		return;
	free(tenant->rare);
	tenant->rare = NULL;
}

struct tenant *tenant_find(struct supervisor *supervisor, const char *name)
{
	struct tenant *tenant;

	HASH_FIND_STR(supervisor->tenants, name, tenant);
	return tenant;
}

static void set_last_error(struct tenant *tenant, const char *error)
{
	free(tenant->last_error);
	tenant->last_error = memory_strdup(error);
}

static struct tenant *tenant_add(struct supervisor *supervisor, const char *name)
{
	size_t length = strlen(name), bytes = offsetof(struct tenant, name) + length + 1;
	struct tenant *tenant = memory_alloc(bytes > sizeof(*tenant) ? bytes : sizeof(*tenant));
	int64_t wall_ms = clock_wall_ms(), end_ms;

	memcpy(tenant->name, name, length);
	tenant->next_due = INT64_MAX;
	tenant->look = true;
	breaker_init(&tenant->breaker);
	end_ms = quarantine_end(journal_quarantine(supervisor->outbox->journal), name, wall_ms);
	if (end_ms) {
		tenant_rare_use(tenant)->quarantine_until_ms = clock_monotonic_ms() + end_ms - wall_ms;
		tenant->down = true;
		set_last_error(tenant, "quarantined: its mail made outboxd fail");
	}
	HASH_ADD_KEYPTR(hh, supervisor->tenants, tenant->name, length, tenant);
	return tenant;
}

struct tenant *tenant_make(struct supervisor *supervisor, const char *name)
{
	struct tenant *tenant = tenant_find(supervisor, name);

	if (!tenant) {
		tenant = tenant_add(supervisor, name);
		tenant_load(supervisor, name);
	}
	return tenant;
}

bool tenant_may_send(const struct tenant *tenant)
{
	return tenant->settings && tenant->settings->enabled && !tenant->refused &&
	       !tenant_rare(tenant)->quarantine_until_ms;
}

static void log_tenant(struct supervisor *supervisor, struct tenant *tenant, enum log_level level,
                       const char *event, const char *error, int64_t retry_in_ms)
{
	log_begin(&supervisor->log, level, event, supervisor->outbox->db, tenant ? tenant->name : NULL);
	log_text(&supervisor->log, "error", error);
	if (retry_in_ms >= 0)
		log_seconds(&supervisor->log, "retry_in", retry_in_ms);
	log_end(&supervisor->log);
}

void tenant_trouble(struct supervisor *supervisor, struct tenant *tenant, enum trouble trouble,
                    const char *error)
{
	int64_t now = clock_monotonic_ms();
	bool was_down = tenant->breaker.state != BREAKER_CLOSED;
	int retry_max = tenant->settings ? tenant->settings->retry_max : 3600;
	const char *event = "tenant.down";

	if (!error)
		error = "the server is in trouble";
	if (!breaker_fail(&tenant->breaker, trouble, retry_max, now, digest_random_below(UINT32_MAX)))
		return;
	set_last_error(tenant, error);
	tenant->down = true;
	if (was_down)
		event = "tenant.probe";
	else if (tenant->breaker.state == BREAKER_THROTTLED)
		event = "tenant.throttled";
	log_tenant(supervisor, tenant, LOG_WARNING, event, error, tenant->breaker.retry_at_ms - now);
	turn_leave(supervisor, tenant);
	/* What waited for this server goes back to the table: a tenant that is down costs no memory. */
	retire_workers(supervisor, tenant, false);
	ready_drop(supervisor, tenant);
	timers_set(&supervisor->timers, &tenant->timer, tenant->breaker.retry_at_ms);
	look_for_expired(supervisor, tenant);
	tenant_rare_use(tenant)->next_stamp_ms = now;
	tenant_check_secret(supervisor, tenant);
	tenant_dirty(supervisor, tenant);
}

void tenant_quarantine(struct supervisor *supervisor, struct tenant *tenant, const char *error)
{
	int64_t now = clock_monotonic_ms(), wall_ms = clock_wall_ms();
	int64_t end_ms = quarantine_begin(journal_quarantine(supervisor->outbox->journal), tenant->name,
	                                  wall_ms);

	tenant_rare_use(tenant)->quarantine_until_ms = now + end_ms - wall_ms;
	tenant->down = true;
	set_last_error(tenant, error);
	log_tenant(supervisor, tenant, LOG_ERROR, "tenant.quarantined", error, end_ms - wall_ms);
	turn_leave(supervisor, tenant);
	retire_workers(supervisor, tenant, true);
	ready_drop(supervisor, tenant);
	timers_set(&supervisor->timers, &tenant->timer, tenant_rare(tenant)->quarantine_until_ms);
	tenant_dirty(supervisor, tenant);
}

bool tenant_leaves_quarantine(struct supervisor *supervisor, struct tenant *tenant)
{
	int64_t until_ms = tenant_rare(tenant)->quarantine_until_ms;

	if (!until_ms)
		return true;
	if (clock_monotonic_ms() < until_ms) {
		timers_set_earlier(&supervisor->timers, &tenant->timer, until_ms);
		return false;
	}
	tenant->rare->quarantine_until_ms = 0;
	tenant->look = true;
	tenant_dirty(supervisor, tenant);
	return true;
}

void tenant_well(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant->rare)
		tenant->rare->expiry_check_ms = 0;
	breaker_succeed(&tenant->breaker);
	if (!tenant->down)
		return;
	tenant->down = false;
	set_last_error(tenant, NULL);
	log_tenant(supervisor, tenant, LOG_INFO, "tenant.up", NULL, -1);
	tenant->look = true;
	tenant_dirty(supervisor, tenant);
}

void tenant_one_at_a_time(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant->one_at_a_time)
		return;
	tenant->one_at_a_time = true;
	log_tenant(supervisor, tenant, LOG_WARNING, "tenant.one_at_a_time",
	           "the connection was lost with several messages under way: from now on each waits for the "
	           "answer to the one before",
	           -1);
}

void tenant_reset(struct supervisor *supervisor, struct tenant *tenant)
{
	breaker_init(&tenant->breaker);
	quarantine_clear(journal_quarantine(supervisor->outbox->journal), tenant->name);
	if (tenant->rare)
		tenant->rare->quarantine_until_ms = tenant->rare->expiry_check_ms = 0;
	set_last_error(tenant, NULL);
	tenant->look = true;
	tenant_dirty(supervisor, tenant);
	timers_set(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
}

void tenant_try_keys(struct supervisor *supervisor, struct tenant *tenant)
{
	struct keyring *ring = loader_keyring(supervisor->outbox->service->loader);

	if (tenant->settings && tenant->breaker.state != BREAKER_CLOSED &&
	    keyring_unlocked(ring, tenant->settings))
		tenant_reset(supervisor, tenant);
}

static void forget_stamp(struct tenant *tenant)
{
	if (!tenant->rare)
		return;
	loader_stamp_release(&tenant->rare->stamp);
	tenant->rare->stamp_at_failure = 0;
}

/*
 * A refresh token's file is written by us too, with each token that we get: only while the endpoint
 * refuses us, which gives none, is it somebody else's doing. Told apart, so that the
 * one kind of stamp is never compared with the other.
 */
static bool is_refresh_token_watched(struct tenant *tenant)
{
	struct token_state state;

	token_describe(tenant->token, &state);
	if (state.refused != tenant_rare(tenant)->stamp_of_refresh) {
		struct tenant_rare *rare = tenant_rare_use(tenant);

		forget_stamp(tenant);
		rare->stamp_of_refresh = state.refused;
		rare->next_stamp_ms = 0;
	}
	return state.refused;
}

/*
 * A new password or client certificate in a file is noticed within a minute and clears the backoff,
 * as a new one in the column does at once.
 */
void tenant_check_secret(struct supervisor *supervisor, struct tenant *tenant)
{
	int64_t now = clock_monotonic_ms(), stamp;
	bool refresh = is_refresh_token_watched(tenant);
	struct tenant_rare *rare;

	if (tenant->breaker.state == BREAKER_CLOSED || !tenant->settings ||
	    !loader_has_files(tenant->settings, refresh)) {
		forget_stamp(tenant);
		return;
	}
	rare = tenant_rare_use(tenant);
	if (rare->stamp && loader_stamp_known(rare->stamp, &stamp)) {
		bool changed = rare->stamp_at_failure != 0 && stamp != 0 && stamp != rare->stamp_at_failure;

		loader_stamp_release(&rare->stamp);
		if (stamp != 0)
			rare->stamp_at_failure = stamp;
		if (changed) {
			tenant_reset(supervisor, tenant);
			return;
		}
	}
	if (!rare->stamp && now >= rare->next_stamp_ms) {
		rare->stamp = loader_stamp_ask(supervisor->outbox->service->loader, tenant->settings,
		                               refresh);
		rare->next_stamp_ms = now + SECRET_CHECK_MS;
	}
	timers_set_earlier(&supervisor->timers, &tenant->timer,
	                   now + (rare->stamp ? SECRET_POLL_MS : SECRET_CHECK_MS));
}

/* Settings that this version does not build keep a tenant down, with words, until they change. */
static void check_settings(struct supervisor *supervisor, struct tenant *tenant)
{
	struct words words;

	free(tenant->refused);
	tenant->refused = NULL;
	if (session_settings_check(tenant->settings, &words) == OK)
		return;
	tenant->refused = memory_strdup(words.text);
	tenant->down = true;
	look_for_expired(supervisor, tenant);
	set_last_error(tenant, tenant->refused);
	log_tenant(supervisor, tenant, LOG_ERROR, "tenant.down", tenant->refused, -1);
}

/* A token belongs to the settings that it was fetched with: new ones begin anew. A refresh token does not. */
static void adopt_token(struct supervisor *supervisor, struct tenant *tenant)
{
	const struct config *config = supervisor->outbox->service->config;
	const struct token_place place = { .program = config->token_program,
		                           .ca_file = config->token_ca_file,
		                           .secrets_dir = config->secrets_dir };

	struct token *last = tenant->token;

	tenant->token = token_create(&place, tenant->settings);
	if (tenant->token) {
		token_use_keys(tenant->token,
		               keyring_keys(loader_keyring(supervisor->outbox->service->loader)));
		token_follow(tenant->token, last);
	}
	token_release(&last);
}

/* A row as it is now: what a connection depends on decides whether the old ones may live on. */
static void adopt_settings(void *context, struct tenant_settings *settings)
{
	struct supervisor *supervisor = context;
	struct tenant *tenant = tenant_find(supervisor, settings->name);
	struct tenant_settings *old;
	bool connection_changed, was_refused;

	if (!tenant)
		tenant = tenant_add(supervisor, settings->name);
	tenant->present = true;
	old = tenant->settings;
	/* Written, and the same as before: no reason to disturb anybody. */
	if (old && memcmp(old->digest, settings->digest, sizeof(old->digest)) == 0) {
		tenant_settings_release(&settings);
		return;
	}
	was_refused = tenant->refused != NULL;
	connection_changed = old && memcmp(old->connection_digest, settings->connection_digest,
	                                   sizeof(old->connection_digest)) != 0;
	tenant->settings = settings;
	if (connection_changed)
		tenant->one_at_a_time = false;
	limit_adopt(supervisor, tenant);
	if (!old || connection_changed)
		adopt_token(supervisor, tenant);
	if (old)
		retire_workers(supervisor, tenant, connection_changed);
	if (!settings->enabled && (!old || old->enabled))
		log_tenant(supervisor, tenant, LOG_INFO, "tenant.suspended", NULL, -1);
	check_settings(supervisor, tenant);
	if (!settings->enabled || tenant->refused)
		ready_drop(supervisor, tenant);
	if (connection_changed || (was_refused && !tenant->refused))
		tenant_reset(supervisor, tenant);
	tenant_settings_release(&old);
	tenant->look = true;
	tenant_dirty(supervisor, tenant);
	timers_set(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
}

static void tenant_gone(struct supervisor *supervisor, const char *name)
{
	struct tenant *tenant = tenant_find(supervisor, name);

	if (!tenant || !tenant->settings)
		return;
	/* The record stays, empty: the same name may come again, and workers may still point here. */
	retire_workers(supervisor, tenant, true);
	ready_drop(supervisor, tenant);
	tenant_settings_release(&tenant->settings);
	token_release(&tenant->token);
	limit_adopt(supervisor, tenant);
	timers_clear(&supervisor->timers, &tenant->timer);
}

void tenant_load(struct supervisor *supervisor, const char *name)
{
	struct tenant *tenant, *next;
	struct words words;
	enum error error;

	/* A pass over all of them only where all are read: one change of many thousand costs one look each.
	 */
	if (!name) {
		HASH_ITER (hh, supervisor->tenants, tenant, next)
			tenant->present = false;
	}
	error = storage_tenants(supervisor->outbox->storage, name, adopt_settings, supervisor, &words);
	if (error == ERROR_NOT_FOUND && name) {
		tenant_gone(supervisor, name);
	} else if (error == ERROR_INVALID) {
		log_tenant(supervisor, name ? tenant_find(supervisor, name) : NULL, LOG_ERROR, "tenant.down",
		           words.text, -1);
		/* Nothing goes by what it said before. */
		if (name)
			tenant_gone(supervisor, name);
	} else if (error != OK) {
		supervisor->tenants_stale = true;
	} else if (!name) {
		HASH_ITER (hh, supervisor->tenants, tenant, next) {
			if (!tenant->present)
				tenant_gone(supervisor, tenant->name);
		}
	}
}

void tenant_free_all(struct supervisor *supervisor)
{
	struct tenant *tenant = supervisor->tenants, *next;

	credentials_free_all(supervisor);
	/* The table first: it does not touch what was in it any more. */
	HASH_CLEAR(hh, supervisor->tenants);
	for (; tenant; tenant = next) {
		next = tenant->hh.next;
		tenant_settings_release(&tenant->settings);
		forget_stamp(tenant);
		limit_use(tenant, NULL);
		token_release(&tenant->token);
		free(tenant->last_error);
		free(tenant->refused);
		free(tenant->rare);
		free(tenant);
	}
}
