/*
 * judge.c - see judge.h. The contract's sentences: sent = every recipient was
 * accepted; failed = nothing is left to try and one at least was refused,
 * expired or invalid; partly accepted messages go again only to the others.
 */
#include "daemon/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "daemon/breaker.h"

static bool verdict_is_answer(enum verdict verdict)
{
	return verdict != VERDICT_NONE && verdict != VERDICT_UNTRIED;
}

void judge_summarize(const struct message *message, struct attempt_summary *summary)
{
	bool refused_only = true;

	*summary = (struct attempt_summary){ 0 };
	for (size_t i = 0; i < message->recipient_count; i++) {
		const struct outcome *outcome = &message->recipients[i].outcome;

		if (!verdict_is_answer(outcome->verdict))
			continue;
		summary->tried = true;
		if (outcome->verdict == VERDICT_SENT)
			summary->accepted = true;
		if (outcome->verdict != VERDICT_REFUSED || outcome->code == 0) {
			refused_only = false;
		} else if (summary->stage == STAGE_NONE) {
			summary->stage = outcome->stage;
			summary->code = outcome->code;
		}
	}
	summary->refused_whole = summary->tried && refused_only;
}

void judge_soften(struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		if (message->recipients[i].outcome.verdict == VERDICT_REFUSED)
			message->recipients[i].outcome.verdict = VERDICT_RETRY;
	}
}

int64_t judge_expiry(const struct message *message, int max_age_s)
{
	int64_t expiry = message->age_from_s + max_age_s;

	if (message->expires_at > 0 && message->expires_at < expiry)
		expiry = message->expires_at;
	return expiry;
}

static enum delivery_state state_after(enum verdict verdict, enum delivery_state before)
{
	switch (verdict) {
	case VERDICT_SENT: return DELIVERY_SENT;
	case VERDICT_REFUSED: return DELIVERY_FAILED;
	case VERDICT_RETRY:
		/* What was uncertain stays so: an acceptance yet to come may be the second. */
		return before == DELIVERY_UNCERTAIN ? before : DELIVERY_DEFERRED;
	case VERDICT_UNCERTAIN: return DELIVERY_UNCERTAIN;
	case VERDICT_NONE:
	case VERDICT_UNTRIED: break;
	}
	return before;
}

struct tally {
	int sent, failed, open, uncertain;
	bool answered, later;       /* later: one at least is to be tried again because the server said so */
	const struct outcome *last; /* what result tells: the worst that was said */
};

static int weight(enum verdict verdict)
{
	static const int weights[] = {
		[VERDICT_SENT] = 1,      [VERDICT_UNTRIED] = 0, [VERDICT_RETRY] = 2,
		[VERDICT_UNCERTAIN] = 3, [VERDICT_REFUSED] = 4,
	};

	return verdict < sizeof(weights) / sizeof(weights[0]) ? weights[verdict] : 0;
}

static void tally_recipient(struct tally *tally, struct recipient *recipient)
{
	const struct outcome *outcome = &recipient->outcome;

	recipient->state = state_after(outcome->verdict, recipient->state);
	if (verdict_is_answer(outcome->verdict)) {
		recipient->attempts++;
		tally->answered = true;
		if (outcome->text &&
		    (!tally->last || weight(outcome->verdict) > weight(tally->last->verdict)))
			tally->last = outcome;
	}
	tally->later = tally->later || outcome->verdict == VERDICT_RETRY;
	switch (recipient->state) {
	case DELIVERY_SENT: tally->sent++; break;
	case DELIVERY_FAILED:
	case DELIVERY_CANCELLED: tally->failed++; break;
	case DELIVERY_UNCERTAIN:
		/* Held, or in doubt since this attempt; else it was answered or is to be tried again. */
		if (outcome->verdict == VERDICT_UNCERTAIN || outcome->verdict == VERDICT_NONE)
			tally->uncertain++;
		else
			tally->open++;
		break;
	case DELIVERY_NONE:
	case DELIVERY_DEFERRED: tally->open++; break;
	}
}

/* Nothing more is tried: whoever is left is given up, with the reason that was last known. */
static void give_up(struct message *message, struct tally *tally)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (recipient->state == DELIVERY_SENT || recipient->state == DELIVERY_FAILED)
			continue;
		recipient->state = DELIVERY_FAILED;
		recipient->outcome.verdict = VERDICT_REFUSED;
		tally->failed++;
	}
	tally->open = tally->uncertain = 0;
}

static void set_result(struct message *message, const struct tally *tally, const char *prefix,
                       const char *suffix)
{
	const struct outcome *said = tally->last && !message->invalid ? tally->last : &message->outcome;
	struct words words;

	words_set(&words, "%s%s%s", prefix, said->text ? said->text : "", suffix);
	free(message->result);
	message->result = words.text[0] ? memory_strdup(words.text) : NULL;
}

void judge_message(struct message *message, const struct tenant_settings *settings,
                   const struct judge_moment *moment)
{
	struct tally tally = { 0 };
	int64_t expiry = judge_expiry(message, settings->max_age);
	int64_t due, wait_s;

	for (size_t i = 0; i < message->recipient_count; i++)
		tally_recipient(&tally, &message->recipients[i]);
	if (tally.answered)
		message->attempts++;
	set_result(message, &tally, "", "");
	if (message->invalid) {
		give_up(message, &tally);
		message->state = MESSAGE_FAILED;
		return;
	}
	if (tally.uncertain > 0 && settings->on_uncertain == ON_UNCERTAIN_HOLD) {
		message->state = MESSAGE_UNCERTAIN;
		return;
	}
	if (tally.open + tally.uncertain == 0) {
		message->state = tally.failed > 0 ? MESSAGE_FAILED : MESSAGE_SENT;
		/* who waits for a notification must be able to know that none will come */
		if (message->state == MESSAGE_SENT && message->dsn == DSN_NOT_OFFERED)
			set_result(message, &tally, "", " (no notifications: the server does not offer DSN)");
		return;
	}
	if (moment->now_s >= expiry) {
		set_result(message, &tally, "expired; the last that was known: ", "");
		give_up(message, &tally);
		message->state = MESSAGE_FAILED;
		return;
	}
	wait_s = backoff_message_s(message->attempts, settings->retry_min, settings->retry_max, moment->dice);
	if (tally.uncertain > 0)
		wait_s = UNCERTAIN_PAUSE_S;
	else if (message->limited && !tally.later) {
		wait_s = 0;
		set_result(message, &tally,
		           "others wait for a limit of the tenant; the last that was known: ", "");
	}
	due = moment->now_s + wait_s;
	message->state = MESSAGE_DEFERRED;
	message->due_at = due < expiry ? due : expiry;
}
