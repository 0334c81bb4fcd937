/*
 * sqlite_checkpoint_test.c - when the write lock is taken to begin the write-ahead log anew.
 */
#include "common/clock.h"
#include "storage/checkpoint.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define LONG_BYTES (20 * 1024 * 1024)

static int passive, restart; /* calls, by outboxd */
static int meanwhile;        /* so many of the next have an application's commit behind them */
static sqlite3 *reader;      /* a program that reads in one transaction */

static void read_on(const char *sql)
{
	ck_assert_int_eq(sqlite3_exec(reader, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* Its last commit; and while that is read nobody begins the log anew. */
static void commit_meanwhile(void)
{
	bed_insert_plain();
	read_on("COMMIT");
	if (--meanwhile > 0)
		read_on("BEGIN; SELECT count(*) FROM outbox");
}

int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int how, int *pages, int *moved);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int how, int *pages, int *moved);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int how, int *pages, int *moved)
{
	int rc = __real_sqlite3_wal_checkpoint_v2(db, name, how, pages, moved);

	passive += how == SQLITE_CHECKPOINT_PASSIVE;
	restart += how == SQLITE_CHECKPOINT_RESTART;
	if (meanwhile > 0 && how == SQLITE_CHECKPOINT_PASSIVE)
		commit_meanwhile();
	return rc;
}

static void set_up(void)
{
	bed_set_up();
	sqlite_backend_run(bed.outbox, "PRAGMA wal_autocheckpoint = 0");
	passive = restart = meanwhile = 0;
	reader = NULL;
}

static void tear_down(void)
{
	sqlite3_close(reader);
	bed_tear_down();
}

static void begin_reading(void)
{
	ck_assert_int_eq(sqlite3_open(bed.outbox->path, &reader), SQLITE_OK);
	read_on("BEGIN; SELECT count(*) FROM outbox");
}

static int64_t checkpoint(void)
{
	int64_t held_bytes = -1;

	ck_ok(storage_checkpoint(bed.storage, &held_bytes, &bed.words));
	return held_bytes;
}

static void insert_long(void)
{
	bed_insert(&(struct contract_message){ .message_bytes = LONG_BYTES });
}

static int64_t log_pages(void)
{
	int pages = -1;

	ck_assert_int_eq(__real_sqlite3_wal_checkpoint_v2(sqlite_backend_app(bed.outbox), "main",
	                                                  SQLITE_CHECKPOINT_PASSIVE, &pages, NULL),
	                 SQLITE_OK);
	return pages;
}

START_TEST(what_came_meanwhile_is_moved_too)
{
	insert_long();
	begin_reading();
	meanwhile = 3;
	ck_assert_int_eq(checkpoint(), 0);
	ck_assert_int_eq(passive, 5); /* after the third, and one that finds nothing more */
	ck_assert_int_eq(restart, 0);
	/* whoever commits next begins anew */
	ck_assert_int_gt(log_pages(), LONG_BYTES / 4096);
	bed_insert_plain();
	ck_assert_int_lt(log_pages(), 100);
}
END_TEST

/* Not for ever: some are moved with the lock then. */
START_TEST(where_something_always_comes_the_lock_is_taken)
{
	insert_long();
	begin_reading();
	meanwhile = 9;
	ck_assert_int_eq(checkpoint(), 0);
	ck_assert_int_eq(passive, 1 + 8);
	ck_assert_int_eq(restart, 1);
	bed_insert_plain();
	ck_assert_int_lt(log_pages(), 100);
}
END_TEST

/* So often and so long nobody began it anew, though it was moved whole. */
START_TEST(above_32_mib_it_is_taken_too)
{
	bed_insert(&(struct contract_message){ .message_bytes = 36 * 1024 * 1024 });
	ck_assert_int_eq(checkpoint(), 0);
	ck_assert_int_eq(passive, 2);
	ck_assert_int_eq(restart, 1);
}
END_TEST

/* Who waits for a reader holds the write lock meanwhile. */
START_TEST(a_reader_in_the_way_is_waited_for_once_a_second)
{
	begin_reading();
	insert_long();
	ck_assert_int_gt(checkpoint(), LONG_BYTES);
	ck_assert_int_eq(restart, 1);
	clock_move_ms(900);
	ck_assert_int_gt(checkpoint(), LONG_BYTES); /* and is told of all the same */
	ck_assert_int_eq(restart, 1);
	clock_move_ms(1000);
	ck_assert_int_gt(checkpoint(), LONG_BYTES);
	ck_assert_int_eq(restart, 2);
	read_on("COMMIT");
	ck_assert_int_eq(checkpoint(), 0);
	ck_assert_int_eq(restart, 2);
}
END_TEST

void sqlite_checkpoint_tests(Suite *suite)
{
	TCase *tests = tcase_create("checkpoint");

	tcase_set_timeout(tests, 360);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, what_came_meanwhile_is_moved_too);
	tcase_add_test(tests, where_something_always_comes_the_lock_is_taken);
	tcase_add_test(tests, above_32_mib_it_is_taken_too);
	tcase_add_test(tests, a_reader_in_the_way_is_waited_for_once_a_second);
	suite_add_tcase(suite, tests);
}
