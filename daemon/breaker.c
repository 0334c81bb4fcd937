/*
 * breaker.c - see breaker.h. All policy about a tenant's server that is in
 * trouble stands here, as arithmetic: no clock, no dice of its own.
 */
#include "daemon/breaker.h"

#include <assert.h>
#include <string.h>

#define FIRST_DELAY_MS  5000
#define AUTH_FIRST_MS   (15 * 60 * 1000)
#define AUTH_LONGEST_MS (6 * 60 * 60 * 1000)
#define DAY_MS          (24 * 60 * 60 * 1000)

void breaker_init(struct breaker *breaker)
{
	memset(breaker, 0, sizeof(*breaker));
	breaker->pace = BREAKER_PACE_NORMAL;
}

int64_t backoff_jitter(int64_t delay_ms, uint32_t dice)
{
	int64_t span = delay_ms * 2 / 5;

	return delay_ms - span / 2 + (span > 0 ? (int64_t)(dice % (uint64_t)(span + 1)) : 0);
}

int64_t backoff_message_s(int attempts, int minimum_s, int maximum_s, uint32_t dice)
{
	int64_t delay = minimum_s;

	for (int i = 1; i < attempts && delay < maximum_s; i++)
		delay *= 2;
	if (delay > maximum_s)
		delay = maximum_s;
	delay = (backoff_jitter(delay * 1000, dice) + 500) / 1000;
	if (delay > maximum_s)
		delay = maximum_s;
	return delay < 1 ? 1 : delay;
}

static enum breaker_state state_for(enum trouble trouble)
{
	switch (trouble) {
	case TROUBLE_AUTH_FAILED: return BREAKER_AUTH_FAILED;
	case TROUBLE_THROTTLED: return BREAKER_THROTTLED;
	case TROUBLE_PLAIN:
	case TROUBLE_NONE: break;
	}
	return BREAKER_BACKOFF;
}

static int64_t next_delay(const struct breaker *breaker, enum breaker_state state, int retry_max_s)
{
	bool login = state == BREAKER_AUTH_FAILED;
	int64_t longest = login ? AUTH_LONGEST_MS : (int64_t)retry_max_s * 1000;
	int64_t first = login ? AUTH_FIRST_MS : FIRST_DELAY_MS;
	int64_t delay = first;

	if (longest > 7 * (int64_t)DAY_MS)
		longest = 7 * (int64_t)DAY_MS;
	/* A rejected login begins its own row of delays; trouble of other kinds shares one. */
	if (breaker->state != BREAKER_CLOSED && login == (breaker->state == BREAKER_AUTH_FAILED))
		delay = breaker->delay_ms * 2;
	return delay > longest ? longest : delay;
}

bool breaker_fail(struct breaker *breaker, enum trouble trouble, int retry_max_s, int64_t now_ms,
                  uint32_t dice)
{
	enum breaker_state state = state_for(trouble);
	bool news = breaker->state == BREAKER_CLOSED || breaker->probing;

	assert(trouble != TROUBLE_NONE);
	/* A session that was under way when another one failed tells nothing new, but for a rejected login.
	 */
	if (!news && !(state == BREAKER_AUTH_FAILED && breaker->state != BREAKER_AUTH_FAILED))
		return false;
	breaker->delay_ms = next_delay(breaker, state, retry_max_s);
	breaker->retry_at_ms = now_ms + backoff_jitter(breaker->delay_ms, dice);
	breaker->state = state;
	breaker->failures++;
	breaker->probing = false;
	return true;
}

bool breaker_succeed(struct breaker *breaker)
{
	bool was_down = breaker->state != BREAKER_CLOSED;

	if (was_down) {
		breaker->state = BREAKER_CLOSED;
		breaker->probing = false;
		breaker->failures = 0;
		breaker->delay_ms = 0;
		breaker->pace = 1;
	} else if (breaker->pace < BREAKER_PACE_NORMAL) {
		breaker->pace *= 2;
	}
	return was_down;
}

int breaker_allowance(const struct breaker *breaker, int64_t now_ms)
{
	if (breaker->state == BREAKER_CLOSED)
		return breaker->pace;
	return breaker->probing || now_ms < breaker->retry_at_ms ? 0 : 1;
}

void breaker_probe_started(struct breaker *breaker)
{
	assert(breaker->state != BREAKER_CLOSED && !breaker->probing);
	breaker->probing = true;
}

void breaker_probe_untried(struct breaker *breaker, int64_t now_ms)
{
	if (!breaker->probing)
		return;
	breaker->probing = false;
	breaker->retry_at_ms = now_ms + 1000;
}

bool breaker_streak(struct breaker *breaker, enum stage stage, int code, int guard)
{
	if (breaker->streak == 0 || breaker->streak_stage != stage || breaker->streak_code != code) {
		breaker->streak = 0;
		breaker->streak_stage = stage;
		breaker->streak_code = code;
	}
	breaker->streak++;
	return guard > 0 && breaker->streak >= guard;
}

void breaker_streak_end(struct breaker *breaker)
{
	breaker->streak = 0;
}
