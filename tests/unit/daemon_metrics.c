/*
 * daemon_metrics.c - the text of metrics_file: whole, escaped, bounded; what it means is asked of
 * another's parser in tests/daemon/test_metrics.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/metrics.h"
#include "tests/unit/daemon_test.h"

static struct metrics_outbox *picture_of(size_t tenants)
{
	struct metrics_outbox *picture = memory_alloc(sizeof(*picture) +
	                                              tenants * sizeof(picture->tenants[0]));

	for (size_t i = 0; i < tenants; i++) {
		(void)snprintf(picture->tenants[i].name, sizeof(picture->tenants[i].name), "t%zu", i);
		picture->tenants[i].state = "idle";
	}
	picture->tenant_count = tenants;
	return picture;
}

static bool render(struct buffer *out, const char *db, const struct metrics_outbox *picture, size_t limit)
{
	const struct metrics_process process = { .version = "1.2",
		                                 .start_s = 100,
		                                 .now_s = 1000,
		                                 .log_dropped = 7,
		                                 .memory_bytes = 65536,
		                                 .memory_max_bytes = INT64_C(1) << 40,
		                                 .memory_spilled = 9 };
	const struct metrics_view views[] = { { .db = db, .picture = picture }, { .db = "none yet" } };

	buffer_init(out, limit);
	return metrics_render(out, &process, views, 2);
}

static void assert_line(const struct buffer *out, const char *line)
{
	char wanted[256];

	(void)snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	ck_assert_msg(strstr(out->data, wanted) != NULL, "no line %s in\n%s", line, out->data);
}

START_TEST(delays_fall_into_their_buckets)
{
	static const int64_t delays_ms[] = { -5, 0, 100, 101, 999, 86400000, 86400001 };
	struct metrics_outbox *picture = picture_of(0);
	struct buffer out;

	for (size_t i = 0; i < sizeof(delays_ms) / sizeof(delays_ms[0]); i++)
		metrics_delay_add(&picture->delay, delays_ms[i]);
	ck_assert(render(&out, "mail", picture, 1 << 20));
	assert_line(&out, "outboxd_delivery_delay_seconds_bucket{db=\"mail\",le=\"0.1\"} 3");
	assert_line(&out, "outboxd_delivery_delay_seconds_bucket{db=\"mail\",le=\"0.25\"} 4");
	assert_line(&out, "outboxd_delivery_delay_seconds_bucket{db=\"mail\",le=\"1\"} 5");
	assert_line(&out, "outboxd_delivery_delay_seconds_bucket{db=\"mail\",le=\"86400\"} 6");
	assert_line(&out, "outboxd_delivery_delay_seconds_bucket{db=\"mail\",le=\"+Inf\"} 7");
	assert_line(&out, "outboxd_delivery_delay_seconds_count{db=\"mail\"} 7");
	assert_line(&out, "outboxd_delivery_delay_seconds_sum{db=\"mail\"} 172801.201");
	buffer_fini(&out);
	free(picture);
}
END_TEST

START_TEST(figures_stand_with_their_tenant)
{
	struct metrics_outbox *picture = picture_of(2);
	struct buffer out;

	picture->tenants[1] = (struct metrics_tenant){ .name = "acme",
		                                       .state = "backoff",
		                                       .backoff = true,
		                                       .queued = 3,
		                                       .deferred = INT64_C(5000000000),
		                                       .oldest_due_at = 900,
		                                       .worker_restarts = 2,
		                                       .totals = { 10, 11, 12, 13, 14 } };
	picture->tenants[0].oldest_due_at = 2000; /* not due yet */
	picture->dispatches = 15;
	ck_assert(render(&out, "mail", picture, 1 << 20));
	assert_line(&out, "outboxd_dispatches_total{db=\"mail\"} 15");
	assert_line(&out, "outboxd_queued_messages{db=\"mail\",tenant=\"acme\"} 3");
	assert_line(&out, "outboxd_deferred_messages{db=\"mail\",tenant=\"acme\"} 5000000000");
	assert_line(&out, "outboxd_oldest_due_seconds{db=\"mail\",tenant=\"acme\"} 100");
	assert_line(&out, "outboxd_oldest_due_seconds{db=\"mail\",tenant=\"t0\"} 0");
	assert_line(&out, "outboxd_backoff{db=\"mail\",tenant=\"acme\"} 1");
	assert_line(&out, "outboxd_backoff{db=\"mail\",tenant=\"t0\"} 0");
	assert_line(&out, "outboxd_sent_messages_total{db=\"mail\",tenant=\"acme\"} 10");
	assert_line(&out, "outboxd_failed_messages_total{db=\"mail\",tenant=\"acme\"} 11");
	assert_line(&out, "outboxd_uncertain_messages_total{db=\"mail\",tenant=\"acme\"} 12");
	assert_line(&out, "outboxd_cancelled_messages_total{db=\"mail\",tenant=\"acme\"} 13");
	assert_line(&out, "outboxd_deferrals_total{db=\"mail\",tenant=\"acme\"} 14");
	assert_line(&out, "outboxd_worker_restarts_total{db=\"mail\",tenant=\"acme\"} 2");
	assert_line(&out, "outboxd_tenant_state{db=\"mail\",tenant=\"acme\",state=\"backoff\"} 1");
	assert_line(&out, "outboxd_log_dropped_lines_total 7");
	assert_line(&out, "outboxd_memory_bytes 65536");
	assert_line(&out, "outboxd_memory_max_bytes 1099511627776");
	assert_line(&out, "outboxd_memory_spilled_total 9");
	ck_assert_ptr_null(strstr(out.data, "none yet"));
	buffer_fini(&out);
	free(picture);
}
END_TEST

START_TEST(labels_are_escaped_and_one_line)
{
	struct metrics_outbox *picture = picture_of(0);
	struct buffer out;

	ck_assert(render(&out, "a\"b\\c\nd\xff", picture, 1 << 20));
	assert_line(&out, "outboxd_commits_total{db=\"a\\\"b\\\\c d\xef\xbf\xbd\"} 0");
	buffer_fini(&out);
	free(picture);
}
END_TEST

START_TEST(what_is_too_long_is_told_not_cut)
{
	struct metrics_outbox *picture = picture_of(200);
	struct buffer out;

	ck_assert(render(&out, "mail", picture, 1 << 20));
	buffer_fini(&out);
	ck_assert(!render(&out, "mail", picture, 100000));
	buffer_fini(&out);
	free(picture);
}
END_TEST

TCase *metrics_tests(void)
{
	TCase *tests = tcase_create("metrics");

	tcase_add_test(tests, delays_fall_into_their_buckets);
	tcase_add_test(tests, figures_stand_with_their_tenant);
	tcase_add_test(tests, labels_are_escaped_and_one_line);
	tcase_add_test(tests, what_is_too_long_is_told_not_cut);
	return tests;
}
