/*
 * daemon_judge.c - from outcomes to the message's state: a table of cases.
 */
#include <string.h>

#include "common/buffer.h"
#include "daemon/judge.h"
#include "tests/unit/daemon_test.h"

#define NOW 1000000

struct judge_case {
	const char *promise;
	enum verdict first, second; /* outcomes of two recipients */
	enum delivery_state before[2];
	bool hold;
	int64_t age_s;
	enum message_state state;
	enum delivery_state after[2];
	int attempts;             /* of the message afterwards */
	int64_t due_min, due_max; /* from now, 0 = not looked at */
};

static const struct judge_case cases[] = {
	/* clang-format off */
	{ "all accepted is sent", VERDICT_SENT, VERDICT_SENT, { 0 }, false, 0, MESSAGE_SENT,
	  { DELIVERY_SENT, DELIVERY_SENT }, 1, 0, 0 },
	{ "one refused, nothing left to try is failed", VERDICT_SENT, VERDICT_REFUSED, { 0 }, false, 0,
	  MESSAGE_FAILED, { DELIVERY_SENT, DELIVERY_FAILED }, 1, 0, 0 },
	{ "one to be tried again is deferred", VERDICT_REFUSED, VERDICT_RETRY, { 0 }, false, 0,
	  MESSAGE_DEFERRED, { DELIVERY_FAILED, DELIVERY_DEFERRED }, 1, 48, 72 },
	{ "an untried one is deferred too", VERDICT_SENT, VERDICT_UNTRIED, { 0 }, false, 0, MESSAGE_DEFERRED,
	  { DELIVERY_SENT, DELIVERY_NONE }, 1, 48, 72 },
	{ "the rest is accepted later: sent", VERDICT_NONE, VERDICT_SENT, { DELIVERY_SENT, DELIVERY_DEFERRED },
	  false, 0, MESSAGE_SENT, { DELIVERY_SENT, DELIVERY_SENT }, 1, 0, 0 },
	{ "one failed before: failed", VERDICT_NONE, VERDICT_SENT, { DELIVERY_FAILED, DELIVERY_DEFERRED }, false,
	  0, MESSAGE_FAILED, { DELIVERY_FAILED, DELIVERY_SENT }, 1, 0, 0 },
	{ "uncertain is sent again after ten minutes", VERDICT_UNCERTAIN, VERDICT_SENT, { 0 }, false, 0,
	  MESSAGE_DEFERRED, { DELIVERY_UNCERTAIN, DELIVERY_SENT }, 1, 600, 600 },
	{ "uncertain is held", VERDICT_UNCERTAIN, VERDICT_SENT, { 0 }, true, 0, MESSAGE_UNCERTAIN,
	  { DELIVERY_UNCERTAIN, DELIVERY_SENT }, 1, 0, 0 },
	{ "a held one never expires", VERDICT_UNCERTAIN, VERDICT_RETRY, { 0 }, true, 500000, MESSAGE_UNCERTAIN,
	  { DELIVERY_UNCERTAIN, DELIVERY_DEFERRED }, 1, 0, 0 },
	{ "a doubt outlives a later answer", VERDICT_RETRY, VERDICT_NONE, { DELIVERY_UNCERTAIN, DELIVERY_SENT },
	  true, 0, MESSAGE_DEFERRED, { DELIVERY_UNCERTAIN, DELIVERY_SENT }, 1, 48, 72 },
	{ "what waits for a decision stays held", VERDICT_NONE, VERDICT_RETRY, { DELIVERY_UNCERTAIN, 0 }, true, 0,
	  MESSAGE_UNCERTAIN, { DELIVERY_UNCERTAIN, DELIVERY_DEFERRED }, 1, 0, 0 },
	{ "too old is failed, those given up as well", VERDICT_RETRY, VERDICT_UNTRIED, { 0 }, false, 432000,
	  MESSAGE_FAILED, { DELIVERY_FAILED, DELIVERY_FAILED }, 1, 0, 0 },
	{ "the next attempt is not after the expiry", VERDICT_RETRY, VERDICT_RETRY, { 0 }, false, 432000 - 10,
	  MESSAGE_DEFERRED, { DELIVERY_DEFERRED, DELIVERY_DEFERRED }, 1, 10, 10 },
	/* clang-format on */
};

static struct message *message_of(const struct judge_case *one)
{
	struct message *message = message_create(7, "acme");
	const enum verdict verdicts[] = { one->first, one->second };

	message->age_from_s = NOW - one->age_s;
	for (int i = 0; i < 2; i++) {
		struct recipient *recipient = message_add_recipient(message,
		                                                    i ? "b@x.example" : "a@x.example");

		recipient->state = one->before[i];
		recipient->outcome.verdict = verdicts[i];
		recipient->outcome.stage = STAGE_RCPT;
		recipient->outcome.code = verdicts[i] == VERDICT_REFUSED ? 550 : 0;
		outcome_say(&recipient->outcome, "words of %d", i);
	}
	return message;
}

START_TEST(outcomes_become_states)
{
	const struct judge_case *one = &cases[_i];
	struct message *message = message_of(one);
	struct tenant_settings *settings = tenant_settings_create("acme");
	const struct judge_moment moment = { NOW, 12345 };

	settings->on_uncertain = one->hold ? ON_UNCERTAIN_HOLD : ON_UNCERTAIN_RESEND;
	judge_message(message, settings, &moment);
	ck_assert_msg(message->state == one->state, "%s: state %s", one->promise,
	              message_state_name(message->state));
	for (int i = 0; i < 2; i++)
		ck_assert_msg(message->recipients[i].state == one->after[i], "%s: recipient %d", one->promise,
		              i);
	ck_assert_int_eq(message->attempts, one->attempts);
	if (one->due_max) {
		ck_assert_int_ge(message->due_at - NOW, one->due_min);
		ck_assert_int_le(message->due_at - NOW, one->due_max);
	}
	message_destroy(&message);
	tenant_settings_release(&settings);
}
END_TEST

/* Who was left out by a limit waits for the limit, not for a server that is well. */
START_TEST(left_out_by_a_limit_is_due_at_once)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	const struct judge_moment moment = { NOW, 1 };
	struct judge_case one = cases[3];
	struct message *message = message_of(&one);

	message->limited = true;
	judge_message(message, settings, &moment);
	ck_assert_int_eq(message->state, MESSAGE_DEFERRED);
	ck_assert_int_eq(message->due_at, NOW);
	ck_assert_str_eq(message->result,
	                 "others wait for a limit of the tenant; the last that was known: words of 0");
	message_destroy(&message);
	one.first = VERDICT_RETRY;
	message = message_of(&one);
	message->limited = true;
	judge_message(message, settings, &moment);
	ck_assert_int_ge(message->due_at, NOW + 48);
	message_destroy(&message);
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(result_tells_the_worst)
{
	static const struct judge_case one = {
		"", VERDICT_SENT, VERDICT_REFUSED, { 0 }, false, 0, 0, { 0 }, 0, 0, 0
	};
	struct message *message = message_of(&one);
	struct tenant_settings *settings = tenant_settings_create("acme");
	const struct judge_moment moment = { NOW, 1 };

	judge_message(message, settings, &moment);
	ck_assert_str_eq(message->result, "words of 1");
	message_destroy(&message);
	tenant_settings_release(&settings);
}
END_TEST

/* Who waits for a notification is told that none will come; where it is failed or goes on, that is not the
 * news. */
START_TEST(result_tells_that_no_notification_was_asked_for)
{
	static const struct {
		enum verdict second;
		enum dsn_use dsn;
		const char *result;
	} tries[] = {
		{ VERDICT_SENT, DSN_UNUSED, "words of 0" },
		{ VERDICT_SENT, DSN_ASKED, "words of 0" },
		{ VERDICT_SENT, DSN_NOT_OFFERED,
		  "words of 0 (no notifications: the server does not offer DSN)" },
		{ VERDICT_REFUSED, DSN_NOT_OFFERED, "words of 1" },
		{ VERDICT_RETRY, DSN_NOT_OFFERED, "words of 1" },
	};
	const struct judge_moment moment = { NOW, 1 };

	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		struct judge_case one = { .first = VERDICT_SENT, .second = tries[i].second };
		struct message *message = message_of(&one);
		struct tenant_settings *settings = tenant_settings_create("acme");

		message->dsn = tries[i].dsn;
		judge_message(message, settings, &moment);
		ck_assert_str_eq(message->result, tries[i].result);
		message_destroy(&message);
		tenant_settings_release(&settings);
	}
}
END_TEST

START_TEST(invalid_is_failed_without_an_attempt)
{
	struct message *message = message_create(7, "acme");
	struct tenant_settings *settings = tenant_settings_create("acme");
	const struct judge_moment moment = { NOW, 1 };

	message->invalid = true;
	message->age_from_s = NOW;
	message->outcome.verdict = VERDICT_REFUSED;
	outcome_say(&message->outcome, "to_addresses, character 3: no");
	judge_message(message, settings, &moment);
	ck_assert_int_eq(message->state, MESSAGE_FAILED);
	ck_assert_int_eq(message->attempts, 0);
	ck_assert_str_eq(message->result, "to_addresses, character 3: no");
	message_destroy(&message);
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(summary_of_a_refusal_as_a_whole)
{
	static const struct judge_case refused = {
		"", VERDICT_REFUSED, VERDICT_REFUSED, { 0 }, false, 0, 0, { 0 }, 0, 0, 0
	};
	static const struct judge_case partly = {
		"", VERDICT_REFUSED, VERDICT_SENT, { 0 }, false, 0, 0, { 0 }, 0, 0, 0
	};
	static const struct judge_case untried = {
		"", VERDICT_UNTRIED, VERDICT_UNTRIED, { 0 }, false, 0, 0, { 0 }, 0, 0, 0
	};
	const struct judge_case *all[] = { &refused, &partly, &untried };

	for (int i = 0; i < 3; i++) {
		struct message *message = message_of(all[i]);
		struct attempt_summary summary;

		judge_summarize(message, &summary);
		ck_assert_int_eq(summary.refused_whole, i == 0);
		ck_assert_int_eq(summary.accepted, i == 1);
		ck_assert_int_eq(summary.tried, i != 2);
		if (i == 0) {
			ck_assert_int_eq(summary.code, 550);
			ck_assert_int_eq(summary.stage, STAGE_RCPT);
			judge_soften(message);
			ck_assert_int_eq(message->recipients[0].outcome.verdict, VERDICT_RETRY);
		}
		message_destroy(&message);
	}
}
END_TEST

START_TEST(expiry_is_the_earlier_of_both)
{
	struct message *message = message_create(1, "acme");

	message->age_from_s = NOW;
	ck_assert_int_eq(judge_expiry(message, 100), NOW + 100);
	message->expires_at = NOW + 50;
	ck_assert_int_eq(judge_expiry(message, 100), NOW + 50);
	message->expires_at = NOW + 500;
	ck_assert_int_eq(judge_expiry(message, 100), NOW + 100);
	message_destroy(&message);
}
END_TEST

TCase *judge_tests(void)
{
	TCase *tests = tcase_create("judge");

	tcase_add_loop_test(tests, outcomes_become_states, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tests, left_out_by_a_limit_is_due_at_once);
	tcase_add_test(tests, result_tells_the_worst);
	tcase_add_test(tests, result_tells_that_no_notification_was_asked_for);
	tcase_add_test(tests, invalid_is_failed_without_an_attempt);
	tcase_add_test(tests, summary_of_a_refusal_as_a_whole);
	tcase_add_test(tests, expiry_is_the_earlier_of_both);
	return tests;
}
