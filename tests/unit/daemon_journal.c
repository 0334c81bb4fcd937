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

/* A process that ends with _exit() in the middle of its work. */
static void leave_behind(enum journal_stage stage)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct journal *journal = open_journal("i1");
		struct seen nothing = { 0 };
		struct message *message = message_of(42);
		int slot;

		journal_recover(journal, see, &nothing);
		slot = journal_take(journal, message);
		journal_mark(journal, slot, stage);
		_exit(slot < 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(past_the_end_is_found_again)
{
	struct journal *journal;
	struct seen seen = { 0 };

	leave_behind(JOURNAL_PAST_END);
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

	leave_behind(JOURNAL_IN_HAND);
	journal = open_journal("i1");
	journal_recover(journal, see, &seen);
	ck_assert_int_eq(seen.count, 0);
	journal_close(&journal, true);
}
END_TEST

START_TEST(another_outbox_is_not_ours)
{
	struct journal *journal;
	struct seen seen = { 0 };

	leave_behind(JOURNAL_PAST_END);
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

	leave_behind(JOURNAL_IN_HAND);
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
	tcase_add_test(tests, another_outbox_is_not_ours);
	tcase_add_test(tests, every_slot_once_then_none);
	tcase_add_test(tests, another_boot_makes_all_suspect);
	tcase_add_test(tests, no_file_no_journal);
	return tests;
}
