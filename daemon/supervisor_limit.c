/*
 * supervisor_limit.c - a tenant whose limit is used up waits, see supervisor_limit.h.
 *
 * Promises: it holds no place and is woken when there may be room, not before; while a day
 * is used up none of its mail is held in memory, and what expires is found; it is in no
 * trouble, and says so in words; nobody else waits.
 */
#include "daemon/supervisor_limit.h"

#include "common/clock.h"
#include "daemon/limit.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_tenant.h"

#define ASK_AGAIN_MS 60000 /* the machine may sleep meanwhile */
#define RETRY_MS     1000
#define TELL_MS      600000

void limit_adopt(struct tenant *tenant)
{
	const struct tenant_settings *settings = tenant->settings;

	tenant->limited = (struct quota_wait){ .limit = QUOTA_FREE };
	if (!settings) {
		quota_release(&tenant->quota);
		return;
	}
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

void limit_prepare(struct supervisor *supervisor, struct tenant *tenant)
{
	struct words words;

	if (!tenant->usage_unread)
		return;
	clock_follow(supervisor);
	/* What cannot be read is told by the look that fails beside it, and asked for again. */
	if (!supervisor->clock_set)
		tenant->usage_unread = storage_usage(supervisor->outbox->storage, tenant->name, remember,
		                                     tenant->quota, &words) != OK;
}

bool limit_describe(const struct tenant *tenant, struct words *words)
{
	char time[CLOCK_TEXT_BYTES];
	int64_t now = clock_monotonic_ms();

	if (tenant->limited.limit == QUOTA_FREE)
		return false;
	/* 2026-11-22T12:00:00.123Z: of a minute the time will do. */
	clock_format_utc(clock_wall_ms() + tenant->limited.next_ms - now, time);
	time[19] = '\0';
	if (tenant->limited.limit == QUOTA_MINUTE) {
		words_set(words, "limited to %d messages a minute; next at %s UTC", tenant->limited.most,
		          time + 11);
	} else {
		time[10] = ' ';
		words_set(words, "limited to %d recipients a day; next at %s UTC", tenant->limited.most,
		          time);
	}
	return true;
}

static void tell(struct supervisor *supervisor, struct tenant *tenant, int64_t now)
{
	struct words words;

	tenant_dirty(supervisor, tenant);
	if (now < tenant->next_limit_told_ms || !limit_describe(tenant, &words))
		return;
	tenant->next_limit_told_ms = now + TELL_MS;
	log_begin(&supervisor->log, LOG_INFO, "tenant.limited", supervisor->outbox->db, tenant->name);
	log_text(&supervisor->log, "error", words.text);
	log_seconds(&supervisor->log, "retry_in", tenant->limited.next_ms - now);
	log_end(&supervisor->log);
}

static void begin_waiting(struct supervisor *supervisor, struct tenant *tenant, const struct quota_wait *wait,
                          int64_t now)
{
	bool news = tenant->limited.limit != wait->limit || tenant->limited.next_ms != wait->next_ms;

	tenant->limited = *wait;
	if (wait->limit == QUOTA_DAY) {
		tenant->limit_look_ms = wait->next_ms < now + ASK_AGAIN_MS ? wait->next_ms
		                                                           : now + ASK_AGAIN_MS;
		ready_drop(supervisor, tenant);
		look_for_expired(supervisor, tenant);
	}
	if (news)
		tell(supervisor, tenant, now);
}

int limit_allowance(struct supervisor *supervisor, struct tenant *tenant, int most)
{
	const struct quota_moment now = limit_now();
	struct quota_wait wait;
	int64_t again_ms;
	int room;

	if (!tenant->quota || most == 0)
		return most;
	if (tenant->usage_unread) { /* not known what was sent: nothing is */
		timers_set_earlier(&supervisor->timers, &tenant->timer, now.monotonic_ms + RETRY_MS);
		return 0;
	}
	room = quota_room(tenant->quota, &now, most, &wait);
	if (room > 0) {
		limit_idle(supervisor, tenant);
		return room;
	}
	again_ms = now.monotonic_ms + ASK_AGAIN_MS;
	timers_set_earlier(&supervisor->timers, &tenant->timer,
	                   wait.next_ms < again_ms ? wait.next_ms : again_ms);
	if (wait.limit != QUOTA_FREE)
		begin_waiting(supervisor, tenant, &wait, now.monotonic_ms);
	return 0;
}

void limit_give(const struct worker *worker, struct message *message)
{
	message->limited = false;
	if (!worker->quota || message->offline)
		return;
	quota_reserve(worker->quota, 1);
	message->start_reserved = true;
}

bool limit_keeps_waiting(const struct tenant *tenant)
{
	return tenant->limited.limit == QUOTA_DAY && clock_monotonic_ms() < tenant->limit_look_ms;
}

void limit_idle(struct supervisor *supervisor, struct tenant *tenant)
{
	if (tenant->limited.limit == QUOTA_FREE || limit_keeps_waiting(tenant))
		return;
	tenant->limited.limit = QUOTA_FREE;
	tenant_dirty(supervisor, tenant);
}
