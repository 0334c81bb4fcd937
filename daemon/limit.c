/*
 * limit.c - see limit.h. A recipient counts if its outcome is anything but untried: it was
 * named in RCPT, or would have been where MAIL was refused.
 */
#include "daemon/limit.h"

#include "common/clock.h"

struct quota_moment limit_now(void)
{
	return (struct quota_moment){ .monotonic_ms = clock_monotonic_ms(),
		                      .boot_s = clock_boot_ms() / 1000 };
}

static size_t count_wanted(const struct message *message)
{
	size_t count = 0;

	for (size_t i = 0; i < message->recipient_count; i++)
		count += message->recipients[i].wanted;
	return count;
}

static void add_usage(struct quota *quota, struct message *message, size_t granted, size_t used)
{
	const struct quota_moment now = limit_now();

	message->usage += (int64_t)quota_end(quota, &now, granted, used);
}

bool limit_begin(struct quota *quota, struct message *message)
{
	const struct quota_moment now = limit_now();
	size_t granted, left;

	if (!quota)
		return true;
	granted = left = quota_begin(quota, &now, message->start_reserved, count_wanted(message));
	if (granted > 0)
		message->start_reserved = false;
	message->granted = granted;
	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (!recipient->wanted)
			continue;
		if (left > 0) {
			left--;
			continue;
		}
		recipient->wanted = false;
		recipient->outcome.verdict = VERDICT_UNTRIED;
		message->limited = true;
	}
	return granted > 0;
}

void limit_end(struct quota *quota, struct message *message)
{
	size_t granted = message->granted, used = 0;

	if (!quota || granted == 0)
		return;
	message->granted = 0;
	for (size_t i = 0; i < message->recipient_count; i++) {
		const struct recipient *recipient = &message->recipients[i];

		used += recipient->wanted && recipient->outcome.verdict != VERDICT_UNTRIED &&
		        recipient->outcome.verdict != VERDICT_NONE;
	}
	add_usage(quota, message, granted, used < granted ? used : granted);
}

void limit_recovered(struct quota *quota, struct message *message)
{
	size_t used = 0;

	if (!quota)
		return;
	for (size_t i = 0; i < message->recipient_count; i++)
		used += message->recipients[i].outcome.verdict == VERDICT_UNCERTAIN;
	add_usage(quota, message, 0, used);
}

void limit_returned(struct quota *quota, struct message *message)
{
	if (!quota)
		return;
	if (message->start_reserved)
		quota_unreserve(quota, 1);
	/* Its worker ended in the middle: they may all have been named. */
	if (message->granted > 0)
		add_usage(quota, message, message->granted, message->granted);
	message->start_reserved = false;
	message->granted = 0;
}
