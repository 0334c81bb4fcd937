/*
 * verdict.c - what a reply, or its absence, means.
 *
 * The contract's table "What a reply means" is rows[] below, in the same order;
 * the first row that fits counts. Silence, a close, a reset and a malformed
 * reply are one event, CODE_LOST. Promises an answer to every event at every
 * stage; cannot fail.
 */
#include "smtp/verdict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"

#define CODE_LOST          0
#define OUTCOME_TEXT_BYTES 1000

struct event {
	const struct verdict_place *place;
	int code;             /* or CODE_LOST */
	const char *enhanced; /* "" = none */
	const char *text;
};

static bool contains_nocase(const char *text, const char *part)
{
	for (; *text; text++)
		if (text_starts_nocase(text, part))
			return true;
	return false;
}

static bool enhanced_is(const struct event *event, const char *code)
{
	return strcmp(event->enhanced, code) == 0;
}

static bool enhanced_starts(const struct event *event, const char *prefix)
{
	return strncmp(event->enhanced, prefix, strlen(prefix)) == 0;
}

static bool any(const struct event *event)
{
	(void)event;
	return true;
}

static bool lost(const struct event *event)
{
	return event->code == CODE_LOST;
}

static bool says_421(const struct event *event)
{
	return event->code == 421;
}

static bool gone(const struct event *event)
{
	return lost(event) || says_421(event);
}

static bool gone_reused(const struct event *event)
{
	return gone(event) && event->place->reused;
}

static bool credentials_refused(const struct event *event)
{
	return event->code == 535 || event->code == 534 || event->code == 538 ||
	       (event->code / 100 == 5 && enhanced_starts(event, "5.7."));
}

static bool temporary(const struct event *event)
{
	return event->code / 100 == 4 || lost(event);
}

static bool mail_behind_refused(const struct event *event)
{
	return event->code == 503 && event->place->behind_refused;
}

static bool wants_authentication(const struct event *event)
{
	return event->code == 530 || enhanced_is(event, "5.7.30") || enhanced_is(event, "5.7.57") ||
	       (enhanced_is(event, "5.7.0") && contains_nocase(event->text, "authenticat") &&
	        contains_nocase(event->text, "requir"));
}

static bool mail_not_spoken(const struct event *event)
{
	return event->code == 500 || event->code == 502 || event->code == 503;
}

static bool quota_words(const char *text)
{
	return contains_nocase(text, "quota") || contains_nocase(text, "sending limit") ||
	       contains_nocase(text, "rate limit");
}

/* 4.7.1 to RCPT or after the data is greylisting: the recipient's, the message's. */
static bool throttles_45x(const struct event *event)
{
	bool greylisting = event->place->stage == STAGE_RCPT || event->place->stage == STAGE_END ||
	                   event->place->stage == STAGE_TEXT;

	return event->code / 10 == 45 && enhanced_starts(event, "4.7.") &&
	       !(greylisting && enhanced_is(event, "4.7.1"));
}

static bool throttles(const struct event *event)
{
	return event->code == 432 || throttles_45x(event) ||
	       (event->code == 452 && enhanced_is(event, "4.3.1")) || enhanced_is(event, "5.4.5") ||
	       enhanced_is(event, "5.1.90") || (enhanced_is(event, "5.2.0") && quota_words(event->text)) ||
	       (enhanced_starts(event, "5.7.7") && strlen(event->enhanced) == strlen("5.7.7xx"));
}

/*
 * RFC 5321 4.5.3.1.10: 452 (older servers 552) = too many for one transaction.
 * A 452 without an enhanced code is taken for that only if it speaks of recipients.
 */
static bool recipients_full(const struct event *event)
{
	if (!event->place->accepted_before)
		return false;
	if (event->code == 452)
		return enhanced_is(event, "4.5.3") ||
		       (event->enhanced[0] == '\0' && contains_nocase(event->text, "recipient"));
	return event->code == 552 && !enhanced_is(event, "5.2.2");
}

#define AT(stage) (1u << (stage))
#define OPENING                                                                                              \
	(AT(STAGE_NONE) | AT(STAGE_RESOLVE) | AT(STAGE_CONNECT) | AT(STAGE_GREETING) | AT(STAGE_EHLO) |      \
	 AT(STAGE_STARTTLS) | AT(STAGE_TLS))
#define BEFORE_TEXT (AT(STAGE_AUTH) | AT(STAGE_MAIL) | AT(STAGE_RCPT) | AT(STAGE_DATA))
#define IN_TEXT     (AT(STAGE_TEXT) | AT(STAGE_END))
#define ANY_STAGE   (OPENING | BEFORE_TEXT | IN_TEXT)

#define BY_CLASS    VERDICT_NONE /* 4xx: RETRY, 5xx: REFUSED */

static const struct row {
	bool (*fits)(const struct event *event);
	unsigned stages;
	enum verdict verdict;
	enum scope scope;
	enum trouble trouble;
} rows[] = {
	{ any, OPENING, VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_PLAIN },
	{ credentials_refused, AT(STAGE_AUTH), VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_AUTH_FAILED },
	{ temporary, AT(STAGE_AUTH), VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_PLAIN },
	{ gone_reused, BEFORE_TEXT, VERDICT_UNTRIED, SCOPE_MESSAGE, TROUBLE_NONE },
	{ gone, BEFORE_TEXT, VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_PLAIN },
	{ says_421, IN_TEXT, VERDICT_RETRY, SCOPE_MESSAGE, TROUBLE_PLAIN },
	{ lost, AT(STAGE_TEXT), VERDICT_RETRY, SCOPE_MESSAGE, TROUBLE_PLAIN },
	{ lost, AT(STAGE_END), VERDICT_UNCERTAIN, SCOPE_MESSAGE, TROUBLE_PLAIN },
	{ mail_behind_refused, AT(STAGE_MAIL), VERDICT_UNTRIED, SCOPE_MESSAGE, TROUBLE_NONE },
	{ wants_authentication, ANY_STAGE, VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_PLAIN },
	{ mail_not_spoken, AT(STAGE_MAIL), VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_PLAIN },
	{ throttles, ANY_STAGE, VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_THROTTLED },
	{ recipients_full, AT(STAGE_RCPT), VERDICT_UNTRIED, SCOPE_RECIPIENT, TROUBLE_NONE },
	{ any, AT(STAGE_RCPT), BY_CLASS, SCOPE_RECIPIENT, TROUBLE_NONE },
	{ any, AT(STAGE_MAIL) | AT(STAGE_DATA) | IN_TEXT, BY_CLASS, SCOPE_MESSAGE, TROUBLE_NONE },
	{ any, AT(STAGE_AUTH), VERDICT_UNTRIED, SCOPE_TENANT, TROUBLE_PLAIN },
};

static void judge(const struct event *event, struct outcome *outcome)
{
	const struct row *row = rows;

	while (!((row->stages & AT(event->place->stage)) && row->fits(event))) {
		row++;
		assert(row < rows + sizeof(rows) / sizeof(rows[0]));
	}
	outcome_clear(outcome);
	outcome->verdict = row->verdict;
	if (row->verdict == BY_CLASS)
		outcome->verdict = event->code / 100 == 4 ? VERDICT_RETRY : VERDICT_REFUSED;
	outcome->scope = row->scope;
	outcome->trouble = row->trouble;
	outcome->stage = event->place->stage;
	outcome->code = event->code;
	memcpy(outcome->enhanced, event->enhanced, strlen(event->enhanced) + 1);
}

/* What class of reply the stage waits for (its first digit); none while the text is under way. */
static int positive_class(enum stage stage)
{
	if (stage == STAGE_TEXT)
		return 0;
	return stage == STAGE_DATA ? 3 : 2;
}

void verdict_from_reply(const struct verdict_place *place, const struct reply *reply, struct outcome *outcome)
{
	struct event event = { place, reply->code, reply->enhanced, reply->text };
	int class = reply->code / 100;
	struct words words;

	if (class == positive_class(place->stage)) {
		outcome_clear(outcome);
		outcome->stage = place->stage;
		outcome->verdict = place->stage == STAGE_END ? VERDICT_SENT : VERDICT_NONE;
		outcome->scope = place->stage == STAGE_END ? SCOPE_MESSAGE : SCOPE_NONE;
		outcome->code = reply->code;
		memcpy(outcome->enhanced, reply->enhanced, sizeof(outcome->enhanced));
	} else if (class == 2 || class == 3) {
		words_set(&words, "the server answered %d %s, where that has no meaning", reply->code,
		          stage_place(place->stage));
		verdict_from_loss(place, ERROR_PROTOCOL, &words, outcome);
		return;
	} else {
		judge(&event, outcome);
	}
	outcome->text = text_clean(reply->text, reply->length, OUTCOME_TEXT_BYTES);
}

static const char *loss_text(enum error error)
{
	if (error == ERROR_CLOSED)
		return "the server closed the connection";
	if (error == ERROR_TIMEOUT)
		return "the server did not answer in time";
	if (error == ERROR_PROTOCOL)
		return "the server's answer is not SMTP";
	if (error == ERROR_INTERRUPTED)
		return "stopped by the operator";
	return error_text(error);
}

void verdict_from_loss(const struct verdict_place *place, enum error error, const struct words *words,
                       struct outcome *outcome)
{
	struct event event = { place, CODE_LOST, "", "" };
	bool servers = error == ERROR_CLOSED || error == ERROR_TIMEOUT || error == ERROR_PROTOCOL;

	assert(error != OK);
	if (servers) {
		judge(&event, outcome);
	} else { /* ours: only the end of the data leaves a doubt */
		outcome_clear(outcome);
		outcome->verdict = place->stage == STAGE_END ? VERDICT_UNCERTAIN : VERDICT_UNTRIED;
		outcome->scope = SCOPE_MESSAGE;
		outcome->stage = place->stage;
	}
	if (words)
		outcome->text = text_clean(words->text, strlen(words->text), OUTCOME_TEXT_BYTES);
	else
		outcome_say(outcome, "%s %s", loss_text(error), stage_place(place->stage));
}
