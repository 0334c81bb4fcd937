/*
 * supervisor_credential.c - tenants that log in as one user at one server. See
 * supervisor_credential.h.
 *
 * Promises: of what the members set, the smallest is the limit of all together; nothing of
 * a member goes before the day's usage of each member is counted, each once; what one
 * sent stays counted when it leaves; who shares what is told in the log.
 */
#include "daemon/supervisor_credential.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h> /* of uthash */

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_turn.h"

#define NAMES_BYTES 400 /* of them are told */

/* A tenant that left and comes again is not counted twice. */
struct counted {
	UT_hash_handle hh;
	char name[];
};

/* ---- life ------------------------------------------------------------------------ */

static struct credential *find_or_create(struct supervisor *supervisor, const char *key)
{
	size_t length = strlen(key);
	struct credential *credential;

	HASH_FIND(hh, supervisor->credentials, key, length, credential);
	if (credential)
		return credential;
	credential = memory_alloc(sizeof(*credential) + length + 1);
	memcpy(credential->key, key, length);
	credential->key_length = length;
	credential->max_connections = INT_MAX;
	HASH_ADD_KEYPTR(hh, supervisor->credentials, credential->key, length, credential);
	return credential;
}

static void destroy(struct credential *credential)
{
	struct counted *counted, *next;

	HASH_ITER (hh, credential->counted, counted, next) {
		HASH_DEL(credential->counted, counted);
		free(counted);
	}
	quota_release(&credential->quota);
	free(credential);
}

void credential_check_use(struct supervisor *supervisor, struct credential *credential)
{
	/* What has news is settled first: it stands in that list. */
	if (credential->members || credential->workers || credential->news)
		return;
	if (credential->contended)
		DL_DELETE2(supervisor->contended, credential, contended_prev, contended_next);
	HASH_DEL(supervisor->credentials, credential);
	destroy(credential);
}

void credentials_free_all(struct supervisor *supervisor)
{
	struct credential *credential = supervisor->credentials, *next;

	HASH_CLEAR(hh, supervisor->credentials);
	supervisor->credential_news = supervisor->contended = NULL;
	for (; credential; credential = next) {
		next = credential->hh.next;
		for (struct tenant *tenant = credential->members; tenant; tenant = tenant->member_next) {
			limit_use(tenant, NULL);
			tenant->credential = NULL;
			tenant->turn = TURN_NONE;
			tenant->session_held = tenant->session_had = false;
		}
		destroy(credential);
	}
}

/* ---- members --------------------------------------------------------------------- */

static void note_news(struct supervisor *supervisor, struct credential *credential)
{
	if (credential->news)
		return;
	credential->news = true;
	credential->next_news = supervisor->credential_news;
	supervisor->credential_news = credential;
}

static void leave(struct supervisor *supervisor, struct tenant *tenant)
{
	struct credential *credential = tenant->credential;

	turn_leave(supervisor, tenant);
	limit_use(tenant, NULL);
	credential->unread -= tenant->usage_unread;
	tenant->usage_unread = false;
	DL_DELETE2(credential->members, tenant, member_prev, member_next);
	credential->member_count--;
	credential->told = false;
	tenant->credential = NULL;
	note_news(supervisor, credential);
}

static void join(struct supervisor *supervisor, struct tenant *tenant, const char *key)
{
	struct credential *credential = find_or_create(supervisor, key);

	limit_use(tenant, NULL);
	tenant->usage_unread = false;
	DL_APPEND2(credential->members, tenant, member_prev, member_next);
	credential->member_count++;
	credential->told = false;
	tenant->credential = credential;
}

static bool is_key_of(const struct credential *credential, const char *key)
{
	return key && strlen(key) == credential->key_length &&
	       memcmp(key, credential->key, credential->key_length) == 0;
}

void credential_adopt(struct supervisor *supervisor, struct tenant *tenant)
{
	char *key = tenant->settings ? tenant_settings_credential(tenant->settings) : NULL;

	if (tenant->credential && !is_key_of(tenant->credential, key))
		leave(supervisor, tenant);
	if (key && !tenant->credential)
		join(supervisor, tenant, key);
	if (tenant->credential)
		note_news(supervisor, tenant->credential);
	free(key);
}

/* ---- limits ---------------------------------------------------------------------- */

/* 0 = none. */
static int smaller_limit(int a, int b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

static bool find_limits(struct credential *credential)
{
	int connections = INT_MAX, minute = 0, day = 0;
	bool changed;

	for (const struct tenant *tenant = credential->members; tenant; tenant = tenant->member_next) {
		connections = smaller_limit(connections, tenant->settings->max_connections);
		minute = smaller_limit(minute, tenant->settings->messages_per_minute);
		day = smaller_limit(day, tenant->settings->recipients_per_day);
	}
	changed = connections != credential->max_connections || minute != credential->messages_per_minute ||
	          day != credential->recipients_per_day;
	credential->max_connections = connections;
	credential->messages_per_minute = minute;
	credential->recipients_per_day = day;
	return changed;
}

static bool is_counted(const struct credential *credential, const char *name)
{
	struct counted *counted;

	HASH_FIND_STR(credential->counted, name, counted);
	return counted != NULL;
}

/* A session that was opened before there was a limit counts nothing: it ends after its message. */
static void give_quota(struct supervisor *supervisor, struct credential *credential, struct tenant *tenant)
{
	if (tenant->quota == credential->quota)
		return;
	limit_use(tenant, credential->quota);
	retire_workers(supervisor, tenant, false);
	tenant->usage_unread = !is_counted(credential, tenant->name);
	credential->unread += tenant->usage_unread;
}

/* Whoever waits for what is now another limit asks anew. */
static void look_again(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant->rare)
		tenant->rare->limited.limit = QUOTA_FREE;
	tenant_dirty(supervisor, tenant);
	timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
}

/* Names are cut after NAMES_BYTES. */
static void tell(struct supervisor *supervisor, struct credential *credential)
{
	const struct tenant_settings *settings;
	struct buffer names, server;

	if (credential->told || credential->member_count < 2)
		return;
	credential->told = true;
	settings = credential->members->settings;
	buffer_init(&names, NAMES_BYTES + 4);
	buffer_init(&server, SIZE_MAX);
	for (const struct tenant *tenant = credential->members; tenant; tenant = tenant->member_next) {
		if (names.length + strlen(tenant->name) + 2 > NAMES_BYTES) {
			(void)buffer_append_text(&names, " …");
			break;
		}
		(void)buffer_printf(&names, "%s%s", names.length ? ", " : "", tenant->name);
	}
	(void)buffer_printf(&server, "%s:%d", settings->host, settings->port);
	log_begin(&supervisor->log, LOG_INFO, "tenant.shares", supervisor->outbox->db, NULL);
	log_text(&supervisor->log, "server", server.data);
	log_text(&supervisor->log, "username", settings->username);
	log_number(&supervisor->log, "tenants", credential->member_count);
	log_text(&supervisor->log, "names", names.data);
	log_number(&supervisor->log, "max_connections", credential->max_connections);
	if (credential->messages_per_minute > 0)
		log_number(&supervisor->log, "messages_per_minute", credential->messages_per_minute);
	if (credential->recipients_per_day > 0)
		log_number(&supervisor->log, "recipients_per_day", credential->recipients_per_day);
	log_end(&supervisor->log);
	buffer_fini(&names);
	buffer_fini(&server);
}

static void settle(struct supervisor *supervisor, struct credential *credential)
{
	bool changed = find_limits(credential);

	if (!credential->quota && (credential->messages_per_minute > 0 || credential->recipients_per_day > 0))
		credential->quota = quota_create();
	if (credential->quota)
		quota_set(credential->quota, credential->messages_per_minute, credential->recipients_per_day);
	for (struct tenant *tenant = credential->members; tenant; tenant = tenant->member_next) {
		if (credential->quota)
			give_quota(supervisor, credential, tenant);
		if (changed)
			look_again(supervisor, tenant);
	}
	if (changed)
		credential->told = false;
	if (connections_staying(credential) > credential->max_connections)
		connections_contend(supervisor, credential);
	tell(supervisor, credential);
}

void credentials_settle(struct supervisor *supervisor)
{
	while (supervisor->credential_news) {
		struct credential *credential = supervisor->credential_news;

		supervisor->credential_news = credential->next_news;
		credential->news = false;
		if (credential->members)
			settle(supervisor, credential);
		credential_check_use(supervisor, credential);
	}
}

void credential_read_usage(struct supervisor *supervisor, struct credential *credential)
{
	if (credential->unread == 0)
		return;
	for (struct tenant *tenant = credential->members; tenant; tenant = tenant->member_next) {
		size_t length = strlen(tenant->name);
		struct counted *counted;

		if (!tenant->usage_unread)
			continue;
		if (!limit_read_usage(supervisor, tenant, credential->quota))
			return;
		tenant->usage_unread = false;
		credential->unread--;
		counted = memory_alloc(sizeof(*counted) + length + 1);
		memcpy(counted->name, tenant->name, length);
		HASH_ADD_KEYPTR(hh, credential->counted, counted->name, length, counted);
	}
}
