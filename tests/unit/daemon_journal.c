/*
 * daemon_journal.c - what a process leaves behind when it ends without a word.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/journal.h"
#include "tests/unit/daemon_test.h"

static char folder[64];
static char database[96];
static char page[112];

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/outboxd-journal.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(database, sizeof(database), "%s/outbox.db", folder);
	snprintf(page, sizeof(page), "%s-inflight", database);
}

static void remove_folder(void)
{
	unlink(page);
	rmdir(folder);
}

static struct journal *open_journal(const char *instance)
{
	struct journal *journal = NULL;
	struct words words = { "" };
	enum error error = journal_open(database, instance, &journal, &words);

	ck_assert_msg(error == OK, "%s", words.text);
	return journal;
}

struct seen {
	int count;
	struct journal_entry last;
};

static void see(void *context, const struct journal_entry *entry)
{
	struct seen *seen = context;

	seen->count++;
	seen->last = *entry;
}

static struct message *message_of(int64_t id)
{
	struct message *message = message_create(id, "acme");

	message->attempts = 3;
	message->requeue = 2;
	return message;
}

/* A process with one message in hand that does something to it and ends in the middle of its work. */
static void leave_after(void (*act)(struct journal *journal, struct message *message))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct journal *journal = open_journal("i1");
		struct seen seen = { 0 };
		struct message *message = message_of(42);

		journal_recover(journal, see, &seen);
		message->journal_slot = seen.count ? seen.last.slot : -1;
		message->journal_slot = journal_take(journal, message);
		act(journal, message);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static void pass_the_end(struct journal *journal, struct message *message)
{
	journal_mark(journal, message->journal_slot, JOURNAL_PAST_END);
}

static void nothing(struct journal *journal, struct message *message)
{
	(void)journal;
	(void)message;
}

START_TEST(past_the_end_is_found_again)
{
	struct journal *journal;
	struct seen seen = { 0 };

	leave_after(pass_the_end);
	journal = open_journal("i1");
	journal_recover(journal, see, &seen);
	ck_assert_int_eq(seen.count, 1);
	ck_assert_int_eq(seen.last.id, 42);
	ck_assert_int_eq(seen.last.attempts, 3);
	ck_assert_int_eq(seen.last.requeue, 2);
	ck_assert_str_eq(seen.last.tenant, "acme");
	/* and again, as long as nobody gave the slot back */
	journal_close(&journal, false);
	journal = open_journal("i1");
	seen.count = 0;
	journal_recover(journal, see, &seen);
	ck_assert_int_eq(seen.count, 1);
	journal_give(journal, seen.last.slot);
	journal_close(&journal, true);
	journal = open_journal("i1");
	seen.count = 0;
	journal_recover(journal, see, &seen);
	ck_assert_int_eq(seen.count, 0);
	ck_assert_int_eq(journal_suspect_until_ms(journal), 0);
	journal_close(&journal, true);
}
END_TEST

START_TEST(before_the_end_is_nothing)
{
	struct journal *journal;
	struct seen seen = { 0 };

	leave_after(nothing);
	journal = open_journal("i1");
	journal_recover(journal, see, &seen);
	ck_assert_int_eq(seen.count, 0);
	journal_close(&journal, true);
}
END_TEST

static void crash(struct journal *journal, struct message *message)
{
	struct journal_hand hand = { 0 };

	(void)journal;
	journal_crashed(&hand);
	if (hand.count != 1 || hand.id != message->id || strcmp(hand.tenant, "acme") != 0)
		_exit(1);
}

static void crash_without(struct journal *journal, struct message *message)
{
	struct journal_hand hand = { 0 };

	journal_release(journal, message->journal_slot);
	journal_crashed(&hand);
	if (hand.count != 0)
		_exit(1);
}

static void stall(struct journal *journal, struct message *message)
{
	(void)message;
	journal_stalled(journal, pthread_self());
}

static void settle_deferred(struct journal *journal, struct message *message)
{
	message->attempts++;
	journal_keep(journal, message->journal_slot, message);
}

static struct seen look(void)
{
	struct journal *journal = open_journal("i1");
	struct seen seen = { 0 };

	journal_recover(journal, see, &seen);
	journal_close(&journal, false);
	return seen;
}

START_TEST(a_crash_is_counted_in_what_was_in_hand)
{
	struct seen seen;

	leave_after(crash);
	seen = look();
	ck_assert_int_eq(seen.count, 1);
	ck_assert_int_eq(seen.last.id, 42);
	ck_assert_int_eq(seen.last.stage, JOURNAL_SUSPECT);
	ck_assert_int_eq(seen.last.crashes, 1);
	ck_assert_int_eq(seen.last.stalls, 0);
	/* A kill adds none and takes none away. */
	leave_after(nothing);
	ck_assert_int_eq(look().last.crashes, 1);
	leave_after(stall);
	leave_after(settle_deferred);
	leave_after(crash);
	seen = look();
	ck_assert_int_eq(seen.count, 1);
	ck_assert_int_eq(seen.last.crashes, 2);
	ck_assert_int_eq(seen.last.stalls, 1);
	ck_assert_int_eq(seen.last.attempts, 4);
}
END_TEST

START_TEST(a_crash_elsewhere_is_not_counted)
{
	leave_after(crash_without);
	ck_assert_int_eq(look().count, 0);
}
END_TEST

START_TEST(errors_are_counted_within_a_minute)
{
	struct journal *journal = open_journal("i1");
	struct message *message = message_of(1);
	struct seen seen = { 0 };
	int slot;

	journal_recover(journal, see, &seen);
	slot = journal_take(journal, message);
	for (int i = 1; i <= 4; i++)
		ck_assert_int_eq(journal_failed(journal, slot, 1000000 + i * 1000), i);
	/* the first one is older than that by now */
	ck_assert_int_eq(journal_failed(journal, slot, 1001000 + 60500), 5);
	ck_assert_int_eq(journal_failed(journal, slot, 1002000 + 61000), 4);
	/* much later it is the first again; in a slot taken anew too */
	ck_assert_int_eq(journal_failed(journal, slot, 9000000), 1);
	journal_give(journal, slot);
	ck_assert_int_eq(journal_take(journal, message), slot);
	ck_assert_int_eq(journal_failed(journal, slot, 9000000), 1);
	message_destroy(&message);
	journal_close(&journal, true);
}
END_TEST

START_TEST(quarantine_grows_and_is_forgotten)
{
	static struct quarantine_entry table[QUARANTINE_ENTRIES];
	const int64_t minute = 60000, now = 1000000000;
	char name[16];

	ck_assert_int_eq(quarantine_end(table, "acme", now), 0);
	for (int i = 0; i < 9; i++)
		ck_assert_int_eq(quarantine_begin(table, "acme", now),
		                 now + (i < 6 ? minute << i : 60 * minute));
	ck_assert_int_eq(quarantine_end(table, "acme", now + 59 * minute), now + 60 * minute);
	ck_assert_int_eq(quarantine_end(table, "acme", now + 60 * minute), 0);
	/* a clock that was put back by a day does not make a day of it */
	ck_assert_int_eq(quarantine_end(table, "acme", now - 1440 * minute), now - 1380 * minute);
	ck_assert_int_eq(quarantine_end(table, "acm", now), 0);
	/* a day after its end it is the first again */
	ck_assert_int_eq(quarantine_begin(table, "acme", now + 1501 * minute), now + 1502 * minute);
	quarantine_clear(table, "acme");
	ck_assert_int_eq(quarantine_end(table, "acme", now + 1501 * minute), 0);
	/* more than there is room for: the one that ends first is let go */
	for (int i = 0; i <= QUARANTINE_ENTRIES; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		quarantine_begin(table, name, now + i);
	}
	ck_assert_int_eq(quarantine_end(table, "t0", now), 0);
	ck_assert_int_ne(quarantine_end(table, "t1", now), 0);
	ck_assert_int_ne(quarantine_end(table, name, now), 0);
}
END_TEST

START_TEST(another_outbox_is_not_ours)
{
	struct journal *journal;
	struct seen seen = { 0 };

	leave_after(pass_the_end);
	journal = open_journal("i2");
	journal_recover(journal, see, &seen);
	ck_assert_int_eq(seen.count, 0);
	journal_close(&journal, true);
}
END_TEST

START_TEST(every_slot_once_then_none)
{
	struct journal *journal = open_journal("i1");
	struct message *message = message_of(1);
	bool *used = calloc(JOURNAL_SLOTS, sizeof(*used));
	struct seen seen = { 0 };
	int slot;

	journal_recover(journal, see, &seen);
	for (int i = 0; i < JOURNAL_SLOTS; i++) {
		slot = journal_take(journal, message);
		ck_assert_int_ge(slot, 0);
		ck_assert_int_lt(slot, JOURNAL_SLOTS);
		ck_assert(!used[slot]);
		used[slot] = true;
	}
	ck_assert_int_eq(journal_take(journal, message), -1);
	journal_give(journal, 77);
	ck_assert_int_eq(journal_take(journal, message), 77);
	free(used);
	message_destroy(&message);
	journal_close(&journal, true);
}
END_TEST

/* The machine went down: the page says another boot and was not closed. */
START_TEST(another_boot_makes_all_suspect)
{
	struct journal *journal;
	char text[4096];
	char *boot;
	int fd;

	leave_after(nothing);
	fd = open(page, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(pread(fd, text, sizeof(text), 0), 200);
	/* magic 32, instance 40, boot id 40 */
	boot = text + 72;
	ck_assert_int_gt(strlen(boot), 30);
	boot[0] = boot[0] == 'x' ? 'y' : 'x';
	ck_assert_int_eq(pwrite(fd, text, 112, 0), 112);
	close(fd);
	journal = open_journal("i1");
	ck_assert_int_gt(journal_suspect_until_ms(journal), clock_wall_ms() - 60000);
	ck_assert_int_le(journal_suspect_until_ms(journal), clock_wall_ms());
	journal_close(&journal, true);
}
END_TEST

START_TEST(no_file_no_journal)
{
	struct journal *journal = NULL;
	struct words words = { "" };

	ck_assert_int_eq(mkdir(page, 0700), 0);
	ck_assert_int_ne(journal_open(database, "i1", &journal, &words), OK);
	ck_assert_ptr_null(journal);
	ck_assert_ptr_nonnull(strstr(words.text, "in-flight journal"));
	rmdir(page);
}
END_TEST

TCase *journal_tests(void)
{
	TCase *tests = tcase_create("journal");

	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_test(tests, past_the_end_is_found_again);
	tcase_add_test(tests, before_the_end_is_nothing);
	tcase_add_test(tests, a_crash_is_counted_in_what_was_in_hand);
	tcase_add_test(tests, a_crash_elsewhere_is_not_counted);
	tcase_add_test(tests, errors_are_counted_within_a_minute);
	tcase_add_test(tests, quarantine_grows_and_is_forgotten);
	tcase_add_test(tests, another_outbox_is_not_ours);
	tcase_add_test(tests, every_slot_once_then_none);
	tcase_add_test(tests, another_boot_makes_all_suspect);
	tcase_add_test(tests, no_file_no_journal);
	return tests;
}
