/*
 * supervisor_wait.c - see supervisor_wait.h.
 *
 * SQLite writes to the -wal (the event), syncs it, and only then lets others see the commit, which tells
 * nobody. So the first ask comes after half the usual time, each further one after a quarter of the time
 * since the event: a commit is seen at most a quarter later than it could have been, whatever the disk takes,
 * and an event costs a handful of asks. Where nothing is in hand, a message that comes waits for nothing but
 * this: then each ask comes after a sixteenth of that time, as long as at least one commit in five is mail.
 * Where one brings mail right after another, they are seen some at a time: a look at each takes the processor
 * from who commits. A transaction that writes for long is asked for some hundred times a second, not at each
 * of its events.
 */
#include "daemon/supervisor_wait.h"

#include <sys/prctl.h>

#include "common/clock.h"
#include "common/wait.h"
#include "daemon/supervisor.h"

#define FIRST_USUAL_US INT64_C(200)
#define SHORTEST_US    INT64_C(50)
#define KEEN_US        INT64_C(20) /* the same while keen */
#define CREDIT_MAIL    4
#define CREDIT_MOST    16
#define FIRST_MOST_US  INT64_C(1000)  /* the first ask is never later, whatever was usual */
#define CLOSELY_US     INT64_C(2000)  /* asked as often as that events say nothing more */
#define FINELY_US      INT64_C(10000) /* since the event: then the waits grow quicker */
#define LONGEST_US     INT64_C(200000)
#define GIVE_UP_US     INT64_C(400000) /* since the event; what is found later, the poll finds */
#define LETTERS_US     INT64_C(500)
#define APART_US       INT64_C(2000) /* after a commit that was mail: those that follow are seen together */
#define SLACK_NS       1000UL

void waking_init(struct waking *waking)
{
	*waking = (struct waking){ .event_us = -1, .usual_us = FIRST_USUAL_US, .credit = CREDIT_MAIL };
}

static int64_t within(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

static void ask_after(struct waking *waking, int64_t now_us, int64_t wait_us)
{
	waking->wait_us = wait_us;
	waking->ask_us = now_us + wait_us;
	waking->put_off = waking->ask_us < waking->apart_us;
	if (waking->put_off)
		waking->ask_us = waking->apart_us;
}

static void begin(struct waking *waking, int64_t now_us)
{
	waking->event_us = waking->heard_us = now_us;
	waking->seen = false;
	ask_after(waking, now_us, within(waking->usual_us / 2, SHORTEST_US, FIRST_MOST_US));
}

bool waking_hears_events(const struct waking *waking)
{
	return waking->event_us < 0 || waking->wait_us > CLOSELY_US;
}

void waking_event(struct waking *waking, int64_t now_us)
{
	if (waking_hears_events(waking))
		begin(waking, now_us);
}

bool waking_is_due(const struct waking *waking, int64_t now_us)
{
	return waking->event_us >= 0 && now_us >= waking->ask_us;
}

/* Quickly down, slowly up: our own commits take longer than those that matter here. */
static void learn(struct waking *waking, int64_t took_us)
{
	if (took_us < waking->usual_us)
		waking->usual_us = took_us;
	else
		waking->usual_us += (took_us - waking->usual_us) / 16;
}

void waking_answered(struct waking *waking, int64_t now_us, bool more, bool changed)
{
	int64_t since_us = now_us - waking->event_us;
	int64_t from_us, wait_us;

	if (waking->event_us < 0)
		return;
	/* Its commit comes without a further event: it is asked for as closely as after the first one. */
	from_us = more ? since_us : now_us - waking->heard_us;
	if (more)
		waking->heard_us = now_us;
	if (changed && !waking->seen && !waking->put_off)
		learn(waking, since_us);
	if (changed && more) {
		begin(waking, now_us);
		return;
	}
	/* An event that came in the moment before this answer was not told: so it goes on for a while. */
	waking->seen = waking->seen || changed;
	if (from_us > GIVE_UP_US && !more) {
		waking->event_us = -1;
		return;
	}
	wait_us = from_us / (waking->seen || since_us > FINELY_US ? 1 : waking->keen ? 16 : 4);
	ask_after(waking, now_us,
	          within(wait_us, waking->keen ? KEEN_US : SHORTEST_US, more ? CLOSELY_US : LONGEST_US));
}

void waking_brought(struct waking *waking, int64_t now_us, bool mail)
{
	waking->credit = (int)within(waking->credit + (mail ? CREDIT_MAIL : -1), 0, CREDIT_MOST);
	if (mail)
		waking->apart_us = now_us + APART_US;
}

static int64_t now_us(void)
{
	return clock_monotonic_us();
}

void supervisor_wait_setup(void)
{
	/* the kernel's 50 us would be half of what a short wait takes; if it will not, it is those */
	(void)prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0);
}

bool supervisor_asks(struct supervisor *supervisor, bool poll)
{
	struct storage *storage = supervisor->outbox->storage;
	struct waking *waking = &supervisor->waking;
	struct pollfd event = { .fd = storage_wake_fd(storage), .events = POLLIN };
	bool due = waking_is_due(waking, now_us());
	enum stirring stirring = STIRRED_PERHAPS;
	bool more, changed;

	if (!due && !poll)
		return false;
	more = due && wait_briefly(&event, 1, 0) == OK;
	waking->keen = !supervisor->in_hand && waking->credit > 0;
	if (!poll)
		stirring = storage_stirred(storage);
	changed = stirring == STIRRED || (stirring == STIRRED_PERHAPS && storage_changed(storage));
	if (due)
		waking_answered(waking, now_us(), more, changed || stirring == STIRRED_BY_US);
	return changed;
}

void supervisor_gathers(struct supervisor *supervisor)
{
	supervisor->waking.letters_us = now_us() + LETTERS_US;
}

/* Not longer than until what comes by the clock of microseconds. */
static int64_t no_longer_than(int64_t wait_us, int64_t until_us, int64_t now)
{
	int64_t left_us = until_us > now ? until_us - now : 0;

	return left_us < wait_us ? left_us : wait_us;
}

void supervisor_wait(struct supervisor *supervisor, int64_t wait_us)
{
	struct outbox *outbox = supervisor->outbox;
	struct waking *waking = &supervisor->waking;
	int64_t now = now_us();
	bool gathers = now < waking->letters_us;
	struct pollfd fds[] = {
		{ .fd = waking_hears_events(waking) ? storage_wake_fd(outbox->storage) : -1,
		  .events = POLLIN },
		{ .fd = outbox->exits.event_fd, .events = POLLIN },
		{ .fd = gathers ? -1 : outbox->results.event_fd, .events = POLLIN },
		{ .fd = gathers ? -1 : outbox->settled.event_fd, .events = POLLIN },
	};

	if (gathers)
		wait_us = no_longer_than(wait_us, waking->letters_us, now);
	if (waking->event_us >= 0)
		wait_us = no_longer_than(wait_us, waking->ask_us, now);
	if (wait_briefly(fds, 4, wait_us) == OK && fds[0].revents)
		waking_event(waking, now_us());
}
