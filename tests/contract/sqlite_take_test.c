/*
 * sqlite_take_test.c - when the last read before MAIL reads the tenant's row too: when something has changed
 * since that was done, and in a file of which nobody can say.
 */
#include <stdlib.h>

#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define THE_ROW "FROM outbox_tenant WHERE" /* and not its join with the message's */

static struct message *message;
static struct tenant_basis basis;

static void take_settings(void *context, struct tenant_settings *settings)
{
	*(struct tenant_settings **)context = settings;
}

static void has_read(void *context)
{
	*(bool *)context = true;
}

static void set_up(void)
{
	struct tenant_settings *settings;

	bed_set_up();
	bed_insert_plain();
	message = bed_due_one();
	ck_ok(storage_tenants(bed.storage, "acme", take_settings, &settings, &bed.words));
	basis = (struct tenant_basis){ .settings = settings };
	message->basis = &basis;
}

static void tear_down(void)
{
	struct tenant_settings *settings = (struct tenant_settings *)basis.settings;

	tenant_settings_release(&settings);
	message_destroy(&message);
	bed_tear_down();
}

/* Whether a take reads the row. */
static bool reads(enum error expected)
{
	struct mail *mail;
	bool read = false;

	APP->interpose(bed.outbox, THE_ROW, has_read, &read);
	ck_assert_int_eq(bed_try(message, deadline_after_ms(60000), &mail), expected);
	if (mail)
		storage_give_back(bed.storage, &mail);
	return read;
}

START_TEST(the_row_is_read_once_for_each_change)
{
	ck_assert(reads(OK));
	ck_assert(!reads(OK));
	APP->add_tenant(bed.outbox, "beta");
	ck_assert(reads(OK));
	ck_assert(!reads(OK));
	APP->set_tenant(bed.outbox, "acme", "max_connections", "7");
	ck_assert(reads(ERROR_NOT_FOUND));
	ck_assert(reads(ERROR_NOT_FOUND)); /* what was not so is asked again */
}
END_TEST

/* Who restored it from somewhere left the numbers out. */
START_TEST(a_file_that_knows_of_no_change_is_read_once_all_the_same)
{
	sqlite_backend_run(bed.outbox, "DELETE FROM sqlite_sequence WHERE name = 'outbox_change'");
	ck_assert(reads(OK));
	ck_assert(!reads(OK));
}
END_TEST

void sqlite_take_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's take");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, the_row_is_read_once_for_each_change);
	tcase_add_test(tests, a_file_that_knows_of_no_change_is_read_once_all_the_same);
	suite_add_tcase(suite, tests);
}
