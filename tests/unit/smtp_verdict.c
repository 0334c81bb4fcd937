/*
 * smtp_verdict.c - the contract's table "What a reply means": each row at each stage.
 *
 * The expectation of every reply is written for all stages at once, as a row of
 * letters, one a stage, from resolve to the end of the data:
 *
 *   T tenant   A tenant, auth_failed   Q tenant, throttled   U untried, at once
 *   d deferred, the recipient's or the message's   f failed   D deferred, and the tenant's trouble
 *   ? uncertain, and the tenant's trouble   s sent   n nothing to judge: the reply that was waited for
 */
#include "smtp/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/unit/smtp_test.h"

enum { NEW = 0, REUSED = 1, ACCEPTED = 2, BEHIND = 4 };

struct row {
	const char *reply; /* as on the wire, NULL = lost */
	int place;
	/* resolve, connect, greeting, ehlo, starttls, tls, auth, mail, rcpt, data, text, end */
	const char *letters;
};

static const struct row rows[] = {
	/* losses */
	{ NULL, NEW, "TTTTTTTTTTD?" },
	{ NULL, REUSED, "TTTTTTTUUUD?" },
	{ NULL, ACCEPTED, "TTTTTTTTTTD?" },
	/* 421 */
	{ "421 bye", NEW, "TTTTTTTTTTDD" },
	{ "421 4.7.0 too many", NEW, "TTTTTTTTTTDD" },
	{ "421 4.4.2 idle", REUSED, "TTTTTTTUUUDD" },
	/* AUTH's own rows */
	{ "535 5.7.8 wrong", NEW, "TTTTTTAfffff" },
	{ "535 wrong", NEW, "TTTTTTAfffff" },
	{ "534 5.7.9 too weak", NEW, "TTTTTTAfffff" },
	{ "538 5.7.11 encrypt", NEW, "TTTTTTAfffff" },
	{ "550 5.7.1 disabled", NEW, "TTTTTTAfffff" },
	{ "454 4.7.0 temporary", NEW, "TTTTTTTQQQQQ" },
	{ "454 temporary", NEW, "TTTTTTTddddd" },
	{ "432 4.7.12 transition", NEW, "TTTTTTTQQQQQ" },
	{ "504 5.5.4 mechanism", NEW, "TTTTTTTfffff" },
	/* authentication required, and MAIL that is not spoken */
	{ "530 5.7.0 authenticate first", NEW, "TTTTTTATTTTT" },
	{ "530 no", NEW, "TTTTTTTTTTTT" },
	{ "550 5.7.0 Authentication Required", NEW, "TTTTTTATTTTT" },
	{ "550 5.7.0 a policy", NEW, "TTTTTTAfffff" },
	{ "550 5.7.30 basic authentication is not supported", NEW, "TTTTTTATTTTT" },
	{ "550 5.7.57 not authenticated", NEW, "TTTTTTATTTTT" },
	{ "500 what", NEW, "TTTTTTTTffff" },
	{ "502 not here", NEW, "TTTTTTTTffff" },
	{ "503 bad sequence", NEW, "TTTTTTTTffff" },
	{ "503 bad sequence", BEHIND, "TTTTTTTUffff" },
	{ "502 not here", BEHIND, "TTTTTTTTffff" },
	/* throttled */
	{ "432 slow", NEW, "TTTTTTTQQQQQ" },
	{ "450 4.7.0 slow", NEW, "TTTTTTTQQQQQ" },
	{ "450 4.7.25 no name", NEW, "TTTTTTTQQQQQ" },
	{ "451 4.7.1 greylisted", NEW, "TTTTTTTQdQdd" },
	{ "452 4.7.1 greylisted", NEW, "TTTTTTTQdQdd" },
	{ "452 4.3.1 full", NEW, "TTTTTTTQQQQQ" },
	{ "452 4.3.1 full", ACCEPTED, "TTTTTTTQQQQQ" },
	{ "451 4.3.1 full", NEW, "TTTTTTTddddd" },
	{ "550 5.4.5 daily limit", NEW, "TTTTTTQQQQQQ" },
	{ "550 5.1.90 limit", NEW, "TTTTTTQQQQQQ" },
	{ "554 5.2.0 SubmissionQuotaExceeded", NEW, "TTTTTTQQQQQQ" },
	{ "554 5.2.0 driver", NEW, "TTTTTTTfffff" },
	{ "550 5.7.705 tenant", NEW, "TTTTTTAQQQQQ" },
	{ "550 5.7.750 domain", NEW, "TTTTTTAQQQQQ" },
	{ "550 5.7.70 x", NEW, "TTTTTTAfffff" },
	{ "550 5.7.7 x", NEW, "TTTTTTAfffff" },
	/* recipients of a transaction */
	{ "452 4.5.3 too many", NEW, "TTTTTTTddddd" },
	{ "452 4.5.3 too many", ACCEPTED, "TTTTTTTdUddd" },
	{ "452 too many recipients", ACCEPTED, "TTTTTTTdUddd" },
	{ "452 too many recipients", NEW, "TTTTTTTddddd" },
	{ "452 insufficient storage", ACCEPTED, "TTTTTTTddddd" },
	{ "452 4.2.2 full", ACCEPTED, "TTTTTTTddddd" },
	{ "552 too many", ACCEPTED, "TTTTTTTfUfff" },
	{ "552 5.5.3 too many", ACCEPTED, "TTTTTTTfUfff" },
	{ "552 5.2.2 full", ACCEPTED, "TTTTTTTfffff" },
	{ "552 too many", NEW, "TTTTTTTfffff" },
	/* the rest */
	{ "450 busy", NEW, "TTTTTTTddddd" },
	{ "451 4.3.0 local", REUSED, "TTTTTTTddddd" },
	{ "455 x", NEW, "TTTTTTTddddd" },
	{ "499 x", NEW, "TTTTTTTddddd" },
	{ "550 5.1.1 unknown", NEW, "TTTTTTTfffff" },
	{ "553 x", REUSED, "TTTTTTTfffff" },
	{ "554 5.6.0 content", NEW, "TTTTTTTfffff" },
	{ "599 x", NEW, "TTTTTTTfffff" },
	/* what was waited for, and what has no meaning there */
	{ "250 2.0.0 ok", NEW, "nnnnnnnnnTDs" },
	{ "221 bye", REUSED, "nnnnnnnnnUDs" },
	{ "354 go on", NEW, "TTTTTTTTTnD?" },
	{ "334 more", REUSED, "TTTTTTTUUnD?" },
};

static void read_reply(const char *text, struct reply *reply)
{
	struct reply_parser parser = { .line = NULL };
	size_t consumed;

	reply_begin(&parser, reply);
	ck_assert_int_eq(reply_feed(&parser, text, strlen(text), &consumed), REPLY_MORE);
	ck_assert_int_eq(reply_feed(&parser, "\r\n", 2, &consumed), REPLY_DONE);
	reply_parser_fini(&parser);
}

static char letter_of(const struct outcome *outcome, enum stage stage)
{
	enum scope own = stage == STAGE_RCPT ? SCOPE_RECIPIENT : SCOPE_MESSAGE;

	if (outcome->verdict == VERDICT_NONE)
		return outcome->scope == SCOPE_NONE && outcome->trouble == TROUBLE_NONE ? 'n' : '!';
	if (outcome->scope == SCOPE_TENANT && outcome->verdict == VERDICT_UNTRIED) {
		static const char letters[] = { '!', 'T', 'A', 'Q' };

		return letters[outcome->trouble];
	}
	if (outcome->verdict == VERDICT_UNTRIED)
		return outcome->trouble == TROUBLE_NONE ? 'U' : '!';
	if (outcome->trouble == TROUBLE_PLAIN && outcome->scope == SCOPE_MESSAGE)
		return outcome->verdict == VERDICT_RETRY       ? 'D'
		       : outcome->verdict == VERDICT_UNCERTAIN ? '?'
		                                               : '!';
	if (outcome->trouble != TROUBLE_NONE || outcome->scope != own)
		return '!';
	if (outcome->verdict == VERDICT_SENT)
		return stage == STAGE_END ? 's' : '!';
	return outcome->verdict == VERDICT_RETRY ? 'd' : outcome->verdict == VERDICT_REFUSED ? 'f' : '!';
}

START_TEST(each_row_at_each_stage)
{
	const struct row *row = &rows[_i];
	struct outcome outcome = { 0 };

	for (int stage = STAGE_RESOLVE; stage < STAGE_COUNT; stage++) {
		struct verdict_place place = {
			.stage = (enum stage)stage,
			.reused = row->place & REUSED,
			.accepted_before = row->place & ACCEPTED,
			.behind_refused = row->place & BEHIND,
		};
		char want = row->letters[stage - STAGE_RESOLVE], got;
		struct reply reply = { .text = NULL };

		if (row->reply) {
			read_reply(row->reply, &reply);
			verdict_from_reply(&place, &reply, &outcome);
			reply_fini(&reply);
		} else {
			verdict_from_loss(&place, ERROR_CLOSED, NULL, &outcome);
		}
		got = letter_of(&outcome, place.stage);
		ck_assert_msg(got == want, "%s at %s (%d): %c, not %c", row->reply ? row->reply : "lost",
		              stage_name(place.stage), row->place, got, want);
		ck_assert_int_eq(outcome.stage, stage);
		ck_assert_ptr_nonnull(outcome.text);
		if (row->reply && reply.code >= 400) {
			ck_assert_int_eq(outcome.code, reply.code);
			ck_assert_str_eq(outcome.enhanced, reply.enhanced);
			ck_assert_str_eq(outcome.text, reply.text);
		}
	}
	outcome_clear(&outcome);
}
END_TEST

/* Silence and a malformed reply count as a close at the same place. */
START_TEST(silence_is_a_close)
{
	static const enum error errors[] = { ERROR_TIMEOUT, ERROR_PROTOCOL };

	for (int stage = STAGE_RESOLVE; stage < STAGE_COUNT; stage++) {
		for (int reused = 0; reused < 2; reused++) {
			struct verdict_place place = { .stage = (enum stage)stage, .reused = reused };
			struct outcome close = { 0 }, other = { 0 };

			verdict_from_loss(&place, ERROR_CLOSED, NULL, &close);
			verdict_from_loss(&place, errors[_i], NULL, &other);
			ck_assert_int_eq(other.verdict, close.verdict);
			ck_assert_int_eq(other.scope, close.scope);
			ck_assert_int_eq(other.trouble, close.trouble);
			ck_assert_int_eq(other.code, 0);
			outcome_clear(&close);
			outcome_clear(&other);
		}
	}
}
END_TEST

/* A stop, or something of ours that failed, is never the server's trouble. */
START_TEST(our_own_errors)
{
	static const enum error errors[] = { ERROR_INTERRUPTED, ERROR_SYSTEM, ERROR_UNAVAILABLE };

	for (int stage = STAGE_RESOLVE; stage < STAGE_COUNT; stage++) {
		struct verdict_place place = { .stage = (enum stage)stage };
		struct outcome outcome = { 0 };

		verdict_from_loss(&place, errors[_i], NULL, &outcome);
		ck_assert_int_eq(outcome.verdict, stage == STAGE_END ? VERDICT_UNCERTAIN : VERDICT_UNTRIED);
		ck_assert_int_eq(outcome.trouble, TROUBLE_NONE);
		ck_assert_int_ne(outcome.scope, SCOPE_TENANT);
		outcome_clear(&outcome);
	}
}
END_TEST

START_TEST(words_are_kept_and_cleaned)
{
	struct verdict_place place = { .stage = STAGE_MAIL };
	struct outcome outcome = { 0 };
	struct words words;
	struct reply reply = { .text = NULL };

	words_set(&words, "the certificate of x\r\nexpired");
	verdict_from_loss(&place, ERROR_CLOSED, &words, &outcome);
	ck_assert_str_eq(outcome.text, "the certificate of x expired");
	read_reply("550-5.1.1 a\t\x07\r\n550 5.1.1 b", &reply);
	verdict_from_reply(&place, &reply, &outcome);
	ck_assert_str_eq(outcome.text, "a b");
	ck_assert_uint_eq(text_utf8_valid(outcome.text, strlen(outcome.text)), strlen(outcome.text));
	outcome_clear(&outcome);
	reply_fini(&reply);
}
END_TEST

TCase *smtp_verdict_cases(void)
{
	TCase *tcase = tcase_create("verdict");

	tcase_add_loop_test(tcase, each_row_at_each_stage, 0, COUNT(rows));
	tcase_add_loop_test(tcase, silence_is_a_close, 0, 2);
	tcase_add_loop_test(tcase, our_own_errors, 0, 3);
	tcase_add_test(tcase, words_are_kept_and_cleaned);
	return tcase;
}
