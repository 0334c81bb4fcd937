/*
 * daemon_record.c - what the supervisor keeps of each tenant: little.
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_record.h"
#include "daemon/supervisor_tenant.h"
#include "tests/unit/daemon_test.h"

static struct tenant tenant;

static void setup(void)
{
	memset(&tenant, 0, sizeof(tenant));
}

static void teardown(void)
{
	free(tenant.rare);
}

/* doc/PERFORMANCE.md: at most 1 KiB for an idle tenant, all texts and tables included. */
START_TEST(a_tenant_that_is_configured_costs_little)
{
	ck_assert_uint_le(sizeof(struct tenant), 400);
	ck_assert_uint_le(sizeof(struct tenant_settings), 320);
	ck_assert_uint_le(sizeof(struct credential), 200);
}
END_TEST

START_TEST(what_few_have_is_there_while_it_says_something)
{
	ck_assert_int_eq(tenant_rare(&tenant)->quarantine_until_ms, 0);
	ck_assert_ptr_null(tenant.rare);
	tenant_rare_use(&tenant)->quarantine_until_ms = 1;
	tenant_rare_rest(&tenant);
	ck_assert_int_eq(tenant_rare(&tenant)->quarantine_until_ms, 1);
	tenant.rare->quarantine_until_ms = 0;
	tenant_rare_rest(&tenant);
	ck_assert_ptr_null(tenant.rare);
}
END_TEST

START_TEST(what_is_over_says_nothing)
{
	int64_t now = clock_monotonic_ms();

	tenant_rare_use(&tenant)->pause_until_ms = now + 60000;
	tenant_rare_rest(&tenant);
	ck_assert_ptr_nonnull(tenant.rare);
	*tenant.rare = (struct tenant_rare){ .pause_until_ms = now, .next_limit_told_ms = now + 60000 };
	tenant_rare_rest(&tenant);
	ck_assert_ptr_nonnull(tenant.rare);
	*tenant.rare = (struct tenant_rare){ .pause_until_ms = now, .next_limit_told_ms = now };
	tenant.down = true;
	tenant_rare_rest(&tenant);
	ck_assert_ptr_nonnull(tenant.rare);
	tenant.down = false;
	tenant_rare_rest(&tenant);
	ck_assert_ptr_null(tenant.rare);
}
END_TEST

TCase *record_tests(void)
{
	TCase *tcase = tcase_create("record");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_tenant_that_is_configured_costs_little);
	tcase_add_test(tcase, what_few_have_is_there_while_it_says_something);
	tcase_add_test(tcase, what_is_over_says_nothing);
	return tcase;
}
