/*
 * supervisor_limit.c - a tenant whose limit is used up waits, see supervisor_limit.h.
 *
 * Promises: it holds no place and is woken when there may be room, not before; while a day
 * is used up none of its mail is held in memory, and what expires is found; it is in no
 * trouble, and says so in words; nobody else waits.
 */
#include "daemon/supervisor_limit.h"

#include <stdio.h>

#include "common/clock.h"
#include "daemon/limit.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_tenant.h"
#include "daemon/supervisor_turn.h"

#define ASK_AGAIN_MS 60000 /* the machine may sleep meanwhile */
#define RETRY_MS     1000
/* that many of a line ask in each RETRY_MS */
#define ASKS_A_RETRY 64
#define TELL_MS      600000

void limit_use(struct tenant *tenant, struct quota *quota)
{
	if (tenant->rare)
		tenant->rare->limited = (struct quota_wait){ .limit = QUOTA_FREE };
	if (tenant->quota == quota)
		return;
	limit_drop_start(tenant);
	quota_release(&tenant->quota);
	tenant->quota = quota ? quota_hold(quota) : NULL;
}

void limit_adopt(struct supervisor *supervisor, struct tenant *tenant)
{
	const struct tenant_settings *settings = tenant->settings;

	credential_adopt(supervisor, tenant);
	limit_use(tenant, settings ? tenant->quota : NULL);
	if (!settings || tenant->credential) /* a credential's limits are settled when all were read */
		return;
	if (!tenant->quota && (settings->messages_per_minute > 0 || settings->recipients_per_day > 0)) {
		tenant->quota = quota_create();
		tenant->usage_unread = true;
	}
	if (tenant->quota)
		quota_set(tenant->quota, settings->messages_per_minute, settings->recipients_per_day);
}

static void remember(void *context, int64_t ago_s, int64_t recipients)
{
	const struct quota_moment now = limit_now();

	quota_remember(context, &now, ago_s, recipients);
}

bool limit_read_usage(struct supervisor *supervisor, struct tenant *tenant, struct quota *quota)
{
	struct words words;

	clock_follow(supervisor);
	/* What cannot be read is told by the look that fails beside it, and asked for again. */
	return !supervisor->clock_set &&
	       storage_usage(supervisor->outbox->storage, tenant->name, remember, quota, &words) == OK;
}

void limit_prepare(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant->credential)
		credential_read_usage(supervisor, tenant->credential);
	else if (tenant->usage_unread)
		tenant->usage_unread = !limit_read_usage(supervisor, tenant, tenant->quota);
}

/* Not known what was sent: nothing is. */
static bool is_usage_known(const struct tenant *tenant)
{
	return tenant->credential ? tenant->credential->unread == 0 : !tenant->usage_unread;
}

/* Not who they are: the words are for the administrator of this one. */
static void describe_company(const struct tenant *tenant, char *words, size_t size)
{
	int others = tenant->credential ? tenant->credential->member_count - 1 : 0;

	words[0] = '\0';
	if (others > 0)
		(void)snprintf(words, size, " together with %d other%s of its mailbox", others,
		               others == 1 ? "" : "s");
}

bool limit_describe(const struct tenant *tenant, struct words *words)
{
	const struct quota_wait *limited = &tenant_rare(tenant)->limited;
	char time[CLOCK_TEXT_BYTES], company[64];
	int64_t now = clock_monotonic_ms();

	if (limited->limit == QUOTA_FREE)
		return false;
	describe_company(tenant, company, sizeof(company));
	/* 2026-11-22T12:00:00.123Z: of a minute the time will do. */
	clock_format_utc(clock_wall_ms() + limited->next_ms - now, time);
	time[19] = '\0';
	if (limited->limit == QUOTA_MINUTE) {
		words_set(words, "limited to %d messages a minute%s; next at %s UTC", limited->most, company,
		          time + 11);
	} else {
		time[10] = ' ';
		words_set(words, "limited to %d recipients a day%s; next at %s UTC", limited->most, company,
		          time);
	}
	return true;
}

static void tell(struct supervisor *supervisor, struct tenant *tenant, int64_t now)
{
	struct words words;

	tenant_dirty(supervisor, tenant);
	if (now < tenant_rare(tenant)->next_limit_told_ms || !limit_describe(tenant, &words))
		return;
	tenant_rare_use(tenant)->next_limit_told_ms = now + TELL_MS;
	log_begin(&supervisor->log, LOG_INFO, "tenant.limited", supervisor->outbox->db, tenant->name);
	log_text(&supervisor->log, "error", words.text);
	log_seconds(&supervisor->log, "retry_in", tenant_rare(tenant)->limited.next_ms - now);
	log_end(&supervisor->log);
}

static void begin_waiting(struct supervisor *supervisor, struct tenant *tenant, const struct quota_wait *wait,
                          int64_t now)
{
	struct tenant_rare *rare = tenant_rare_use(tenant);
	bool news = rare->limited.limit != wait->limit || rare->limited.next_ms != wait->next_ms;

	rare->limited = *wait;
	if (wait->limit == QUOTA_DAY) {
		rare->limit_look_ms = wait->next_ms < now + ASK_AGAIN_MS ? wait->next_ms : now + ASK_AGAIN_MS;
		ready_drop(supervisor, tenant);
		look_for_expired(supervisor, tenant);
	}
	if (news)
		tell(supervisor, tenant, now);
}

static int64_t smaller_ms(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * Who is not the first in its credential's line is woken when it is; it asks before that where what is
 * under way decides whether it is limited, to say so: the longer the line, the less often.
 */
static void wait_for_room(struct supervisor *supervisor, struct tenant *tenant, const struct quota_wait *wait,
                          int room, int64_t now)
{
	bool first = !tenant->credential || turn_ask(supervisor, tenant, TURN_LIMIT);
	int64_t at = now + ASK_AGAIN_MS;

	if (first)
		at = smaller_ms(at, wait->next_ms);
	else if (wait->limit == QUOTA_FREE)
		at = smaller_ms(
			at, now + RETRY_MS * (1 + tenant->credential->line_count[TURN_LIMIT] / ASKS_A_RETRY));
	timers_set_earlier(&supervisor->timers, &tenant->timer, at);
	if (!first && room > 0)
		turn_wake(supervisor, tenant->credential, TURN_LIMIT);
}

int limit_allowance(struct supervisor *supervisor, struct tenant *tenant, int most)
{
	const struct quota_moment now = limit_now();
	struct quota_wait wait = { .limit = QUOTA_FREE };
	int room, own;

	if (!tenant->quota || most == 0)
		return most;
	if (!is_usage_known(tenant)) {
		timers_set_earlier(&supervisor->timers, &tenant->timer, now.monotonic_ms + RETRY_MS);
		return 0;
	}
	room = quota_room(tenant->quota, &now, most, &wait);
	own = turn_share(tenant, room) + tenant->start_held;
	if (own > 0) {
		limit_idle(supervisor, tenant);
		return own < most ? own : most;
	}
	wait_for_room(supervisor, tenant, &wait, room, now.monotonic_ms);
	if (wait.limit != QUOTA_FREE)
		begin_waiting(supervisor, tenant, &wait, now.monotonic_ms);
	return 0;
}

void limit_give(const struct worker *worker, struct message *message)
{
	struct tenant *tenant = worker->tenant;

	message->limited = false;
	if (!worker->quota || message->offline)
		return;
	if (tenant->start_held && worker->quota == tenant->quota)
		tenant->start_held = false;
	else
		quota_reserve(worker->quota, 1);
	message->start_reserved = true;
}

void limit_hold_start(struct tenant *tenant)
{
	if (!tenant->quota || tenant->start_held)
		return;
	quota_reserve(tenant->quota, 1);
	tenant->start_held = true;
}

void limit_called_off(const struct worker *worker, struct message *message)
{
	struct tenant *tenant = worker->tenant;

	if (!worker->retired || !message->start_reserved || tenant->start_held ||
	    worker->quota != tenant->quota)
		return;
	message->start_reserved = false;
	tenant->start_held = true;
}

void limit_drop_start(struct tenant *tenant)
{
	if (!tenant->start_held)
		return;
	quota_unreserve(tenant->quota, 1);
	tenant->start_held = false;
}

bool limit_keeps_waiting(const struct tenant *tenant)
{
	const struct tenant_rare *rare = tenant_rare(tenant);

	return rare->limited.limit == QUOTA_DAY && clock_monotonic_ms() < rare->limit_look_ms;
}

void limit_idle(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant_rare(tenant)->limited.limit == QUOTA_FREE || limit_keeps_waiting(tenant))
		return;
	tenant->rare->limited.limit = QUOTA_FREE;
	tenant_dirty(supervisor, tenant);
}
