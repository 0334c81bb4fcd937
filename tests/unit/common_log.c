/*
 * common_log.c - nobody waits for the log, and what it loses it counts.
 */
#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_dir.h"
#include "common/log_thread.h"
#include "common/wait.h"
#include "tests/unit/common_test.h"

static char folder[] = "/tmp/outboxd-log-XXXXXX";
static char main_path[64], dir_path[64];

static void setup(void)
{
	wait_setup();
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(main_path, sizeof(main_path), "%s/main", folder);
	snprintf(dir_path, sizeof(dir_path), "%s/tenants", folder);
}

static void remove_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char inner[512];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			remove_all(inner);
		else
			unlink(inner);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static void teardown(void)
{
	remove_all(folder);
}

static struct log *start(const char *file, const char *dir)
{
	const struct log_settings settings = { .file = file, .dir = dir, .level = LOG_INFO };
	struct log *log = NULL;
	struct words words;

	ck_assert_msg(log_open(&settings, &log, &words) == OK, "%s", words.text);
	return log;
}

static void push_one(struct log *log, const char *event, const char *db, const char *tenant)
{
	struct log_batch batch;

	log_batch_init(&batch, log);
	log_begin(&batch, LOG_INFO, event, db, tenant);
	log_end(&batch);
	log_push(&batch);
	log_batch_fini(&batch);
}

/* The whole file; the caller frees it. */
static char *content(const char *path)
{
	struct buffer text;
	char bytes[4096];
	FILE *file = fopen(path, "re");
	size_t got;

	buffer_init(&text, 64 << 20);
	while (file && (got = fread(bytes, 1, sizeof(bytes), file)) > 0)
		ck_assert(buffer_append(&text, bytes, got));
	if (file)
		fclose(file);
	return buffer_take(&text);
}

/* By hand: sanitizers measure the whole text for each strstr. */
static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strchr(text, part[0])); text++)
		count += strncmp(text, part, strlen(part)) == 0;
	return count;
}

static void contains(const char *path, const char *part, size_t times)
{
	char *text = content(path);

	ck_assert_msg(count_of(text, part) == times, "%zu times '%s', not %zu, in %s:\n%s",
	              count_of(text, part), part, times, path, text);
	free(text);
}

/* The log's thread works on its own: looks until the part is there. */
static void until_contains(const char *path, const char *part)
{
	for (int i = 0; i < 10000; i++) {
		char *text = content(path);
		bool found = strstr(text, part);

		free(text);
		if (found)
			return;
		wait_for(-1, 0, deadline_after_ms(2), NULL);
	}
	ck_abort_msg("'%s' does not come in %s", part, path);
}

START_TEST(lines_go_to_the_main_file_and_to_the_tenants)
{
	struct log *log = start(main_path, dir_path);
	struct log_batch batch;

	log_batch_init(&batch, log);
	log_begin(&batch, LOG_INFO, "delivery.sent", NULL, "acme");
	log_number(&batch, "id", 42);
	log_text(&batch, "recipient", "bob@example.net");
	log_text(&batch, "reference", NULL);
	log_seconds(&batch, "delay", 1034);
	log_end(&batch);
	log_begin(&batch, LOG_DEBUG, "not.wanted", NULL, "acme");
	log_text(&batch, "k", "v");
	log_end(&batch);
	log_begin(&batch, LOG_ERROR, "worker.failed", "app", "acme");
	log_end(&batch);
	log_begin(&batch, LOG_WARNING, "daemon.ready", NULL, NULL);
	log_end(&batch);
	log_push(&batch);
	ck_assert_uint_eq(batch.lines.length, 0);
	log_batch_fini(&batch);
	log_close(&log);
	ck_assert_ptr_null(log);

	char path[128], *text = content(main_path);
	ck_assert_uint_eq(count_of(text, "\n"), 3);
	ck_assert_int_eq(text[4], '-');
	ck_assert_int_eq(text[23], 'Z');
	ck_assert_ptr_nonnull(strstr(text, "Z level=info event=delivery.sent tenant=acme id=42 "
	                                   "recipient=bob@example.net delay=1.034\n"));
	ck_assert_ptr_nonnull(strstr(text, "Z level=error event=worker.failed db=app tenant=acme\n"));
	ck_assert_ptr_nonnull(strstr(text, "Z level=warning event=daemon.ready\n"));
	free(text);
	snprintf(path, sizeof(path), "%s/acme.log", dir_path);
	contains(path, "\n", 1);
	contains(path, "event=delivery.sent tenant=acme id=42", 1);
	snprintf(path, sizeof(path), "%s/app/acme.log", dir_path);
	contains(path, "\n", 1);
	contains(path, "event=worker.failed db=app", 1);
}
END_TEST

START_TEST(json_lines_have_the_same_keys)
{
	const struct log_settings settings = { .file = main_path, .json = true };
	struct log *log;
	struct words words;

	ck_assert_int_eq(log_open(&settings, &log, &words), OK);
	push_one(log, "tenant.up", "app", "acme");
	log_close(&log);
	contains(main_path,
	         "\"level\":\"info\",\"event\":\"tenant.up\",\"db\":\"app\",\"tenant\":\"acme\"}\n", 1);
}
END_TEST

START_TEST(a_log_that_is_none_takes_lines_too)
{
	struct log *none = NULL;

	push_one(NULL, "x", NULL, "acme");
	log_close(&none);
}
END_TEST

START_TEST(what_cannot_be_opened_is_said_in_words)
{
	struct log_settings settings = { .file = "/nonexistent/log" };
	struct log *log = NULL;
	struct words words;

	ck_assert_int_eq(log_open(&settings, &log, &words), ERROR_SYSTEM);
	ck_assert_str_eq(words.text, "log file /nonexistent/log: No such file or directory");
	ck_assert_ptr_null(log);
	settings.file = main_path;
	settings.dir = "/dev/null";
	ck_assert_int_eq(log_open(&settings, &log, &words), ERROR_SYSTEM);
	ck_assert_str_eq(words.text, "log directory /dev/null: Not a directory");
	if (geteuid() != 0) { /* root may write everywhere */
		settings.dir = NULL;
		settings.file = "/proc/1/environ";
		ck_assert_int_eq(log_open(&settings, &log, &words), ERROR_PERMISSION);
	}
}
END_TEST

static size_t open_below(const char *path)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(dir))) {
		char target[256] = "";

		if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0)
			count += strncmp(target, path, strlen(path)) == 0;
	}
	closedir(dir);
	return count;
}

START_TEST(at_most_so_many_tenants_files_are_open)
{
	struct log *log = start(main_path, dir_path);

	for (int round = 0; round < 3; round++) {
		struct log_batch batch;

		log_batch_init(&batch, log);
		for (int i = 0; i < 150; i++) {
			char tenant[16];

			snprintf(tenant, sizeof(tenant), "t%d", i);
			log_begin(&batch, LOG_INFO, "x.y", NULL, tenant);
			log_number(&batch, "round", round);
			log_end(&batch);
		}
		log_push(&batch);
		log_batch_fini(&batch);
	}
	for (int i = 0; i < 150; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/t%d.log", dir_path, i);
		until_contains(path, "round=2");
	}
	ck_assert_uint_le(open_below(dir_path), LOG_DIR_OPEN);
	ck_assert_uint_gt(open_below(dir_path), 0);
	log_close(&log);
	ck_assert_uint_eq(open_below(folder), 0);
	for (int i = 0; i < 150; i++) {
		char path[128], *text;

		snprintf(path, sizeof(path), "%s/t%d.log", dir_path, i);
		text = content(path);
		ck_assert_uint_eq(count_of(text, "\n"), 3);
		ck_assert(strstr(text, "round=0") < strstr(text, "round=1"));
		ck_assert(strstr(text, "round=1") < strstr(text, "round=2"));
		free(text);
	}
	contains(main_path, "\n", 450);
}
END_TEST

START_TEST(the_file_that_was_used_longest_ago_gives_way)
{
	struct log *log = start(main_path, dir_path);
	char kept[128];

	snprintf(kept, sizeof(kept), "%s/kept.log", dir_path);
	push_one(log, "x.y", NULL, "kept");
	until_contains(kept, "x.y");
	ck_assert_int_eq(unlink(kept), 0); /* opened anew, it would be there again */
	for (int i = 0; i < 2 * LOG_DIR_OPEN; i++) {
		char tenant[16], path[128];

		snprintf(tenant, sizeof(tenant), "t%d", i);
		snprintf(path, sizeof(path), "%s/t%d.log", dir_path, i);
		push_one(log, "x.y", NULL, "kept");
		push_one(log, "x.y", NULL, tenant);
		until_contains(path, "x.y");
	}
	log_close(&log);
	ck_assert_int_ne(access(kept, F_OK), 0);
}
END_TEST

START_TEST(a_tenants_file_that_fails_is_told_once_and_costs_nobody_else)
{
	struct log *log = start(main_path, dir_path);
	char path[128], good[128];

	snprintf(path, sizeof(path), "%s/bad.log", dir_path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(good, sizeof(good), "%s/good.log", dir_path);
	for (int i = 0; i < 5; i++) {
		char event[16];

		snprintf(event, sizeof(event), "round.%d", i);
		push_one(log, event, NULL, "bad");
		push_one(log, event, NULL, "good");
		until_contains(good, event);
	}
	until_contains(main_path, "event=log.failed");
	contains(main_path, "level=warning event=log.failed", 1);
	contains(main_path, "bad.log error=\"Is a directory\"", 1);
	contains(main_path, " tenant=bad", 5);
	/* mended: from then on its lines are there */
	ck_assert_int_eq(rmdir(path), 0);
	push_one(log, "x.z", NULL, "bad");
	log_close(&log);
	contains(path, "event=x.z tenant=bad", 1);
	contains(main_path, "log.failed", 1);
	contains(main_path, "log.dropped", 0);
	contains(good, " tenant=good", 5);
}
END_TEST

START_TEST(reopened_files_are_new_files)
{
	struct log *log = start(main_path, dir_path);
	char moved[128], tenant[128], tenant_moved[128];

	snprintf(moved, sizeof(moved), "%s.1", main_path);
	snprintf(tenant, sizeof(tenant), "%s/acme.log", dir_path);
	snprintf(tenant_moved, sizeof(tenant_moved), "%s/acme.log.1", dir_path);
	push_one(log, "before.it", NULL, "acme");
	until_contains(tenant, "before.it");
	ck_assert_int_eq(rename(main_path, moved), 0);
	ck_assert_int_eq(rename(tenant, tenant_moved), 0);
	log_reopen(log);
	push_one(log, "after.it", NULL, "acme");
	until_contains(tenant, "after.it");
	ck_assert_uint_eq(open_below(folder), 2); /* the old ones are closed */
	log_close(&log);
	contains(moved, "\n", 1);
	contains(moved, "before.it", 1);
	contains(main_path, "\n", 1);
	contains(main_path, "after.it", 1);
	contains(tenant_moved, "before.it", 1);
	contains(tenant, "after.it", 1);
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_anew_goes_on)
{
	struct log *log = start(main_path, NULL);
	char moved[128];

	snprintf(moved, sizeof(moved), "%s.1", main_path);
	push_one(log, "before.it", NULL, NULL);
	until_contains(main_path, "before.it");
	ck_assert_int_eq(rename(main_path, moved), 0);
	ck_assert_int_eq(mkdir(main_path, 0700), 0);
	log_reopen(log);
	push_one(log, "after.it", NULL, NULL);
	log_close(&log);
	contains(moved, "event=log.failed", 1);
	contains(moved, "after.it", 1);
}
END_TEST

/* One line of about a KiB; its number is to be found again. */
static void push_large(struct log *log, int number)
{
	char filler[1000];
	struct log_batch batch;

	memset(filler, 'f', sizeof(filler));
	filler[sizeof(filler) - 1] = '\0';
	log_batch_init(&batch, log);
	log_begin(&batch, LOG_INFO, "large.line", NULL, "acme");
	log_number(&batch, "number", number);
	log_text(&batch, "filler", filler);
	log_end(&batch);
	log_push(&batch);
	log_batch_fini(&batch);
}

/* Reads the FIFO's lines until log.dropped or the end comes; answers their number, and the count told. */
static int read_fifo(FILE *fifo, int *dropped)
{
	static char line[4096];
	int lines = 0, last = -1;

	*dropped = -1;
	while (fgets(line, sizeof(line), fifo)) {
		const char *number = strstr(line, " number=");

		if (strstr(line, "event=log.dropped")) {
			ck_assert_int_eq(sscanf(strstr(line, " count="), " count=%d", dropped), 1);
			break;
		}
		ck_assert_ptr_nonnull(number);
		ck_assert_int_gt(atoi(number + strlen(" number=")), last);
		last = atoi(number + strlen(" number="));
		ck_assert_int_eq(line[strlen(line) - 1], '\n');
		lines++;
	}
	return lines;
}

START_TEST(a_fifo_that_nobody_reads_stops_no_giver_and_what_is_dropped_is_counted)
{
	enum { PUSHED = 12000 }; /* some 13 MiB */
	struct log *log;
	int64_t slowest_ms = 0;
	int lines, dropped;
	FILE *fifo;

	ck_assert_int_eq(mkfifo(main_path, 0600), 0);
	log = start(main_path, NULL);
	for (int i = 0; i < PUSHED; i++) {
		int64_t before_ms = clock_monotonic_ms();

		push_large(log, i);
		if (clock_monotonic_ms() - before_ms > slowest_ms)
			slowest_ms = clock_monotonic_ms() - before_ms;
	}
	ck_assert_int_lt(slowest_ms, 1000);
	ck_assert_uint_le(log_held(log), LOG_BYTES);
	fifo = fopen(main_path, "re");
	lines = read_fifo(fifo, &dropped);
	ck_assert_int_eq(lines + dropped, PUSHED);
	ck_assert_int_gt(dropped, 1000);
	ck_assert_int_gt(lines, 7000); /* 8 MiB and what the pipe holds */
	log_close(&log);
	fclose(fifo);
}
END_TEST

START_TEST(dropped_lines_are_told_though_nobody_gives_any_more)
{
	struct log *log;
	int dropped;
	FILE *fifo;

	ck_assert_int_eq(mkfifo(main_path, 0600), 0);
	log = start(main_path, NULL);
	push_one(log, "x.y number=0", NULL, NULL); /* its turn is over, or not: both must do */
	log_count_dropped(log, 3);
	fifo = fopen(main_path, "re");
	ck_assert_int_eq(read_fifo(fifo, &dropped), 1);
	ck_assert_int_eq(dropped, 3);
	log_count_dropped(log, 4);
	ck_assert_int_eq(read_fifo(fifo, &dropped), 0);
	ck_assert_int_eq(dropped, 4);
	log_close(&log);
	fclose(fifo);
}
END_TEST

START_TEST(closing_waits_two_seconds_for_a_stuck_file_and_no_longer)
{
	int64_t before_ms;
	struct log *log;

	ck_assert_int_eq(mkfifo(main_path, 0600), 0);
	log = start(main_path, NULL);
	for (int i = 0; i < 1000; i++)
		push_large(log, i);
	before_ms = clock_monotonic_ms();
	log_close(&log);
	ck_assert_int_ge(clock_monotonic_ms() - before_ms, 1500); /* it might have come free */
	ck_assert_int_lt(clock_monotonic_ms() - before_ms, 3000);
	ck_assert_uint_eq(open_below(folder), 0); /* and the thread has ended in good order */
}
END_TEST

START_TEST(what_was_written_makes_room)
{
	struct log *log = start(main_path, NULL);
	char last[32];

	for (int i = 0; i < 20000; i++) { /* far more than may wait at once */
		push_large(log, i);
		if (i % 2000 != 1999)
			continue;
		snprintf(last, sizeof(last), " number=%d ", i);
		until_contains(main_path, last);
		ck_assert_int_eq(truncate(main_path, 0), 0);
	}
	for (int i = 0; i < 10000; i++) {
		size_t held;

		pthread_mutex_lock(&log->lock);
		held = log->held;
		pthread_mutex_unlock(&log->lock);
		if (held == 0)
			break;
		ck_assert_int_lt(i, 9999);
		wait_for(-1, 0, deadline_after_ms(2), NULL);
	}
	push_one(log, "the.last", NULL, NULL);
	log_close(&log);
	contains(main_path, "\n", 1);
	contains(main_path, "the.last", 1);
}
END_TEST

/* Lines of push_large, and those that log.dropped tells of. */
static size_t account(const char *text)
{
	size_t lines = count_of(text, "event=large.line");

	for (const char *at = text; (at = strstr(at, " count=")); at++)
		lines += (size_t)atoi(at + strlen(" count="));
	return lines;
}

START_TEST(a_stuck_file_is_left_by_opening_anew)
{
	static char old[200000];
	struct log *log;
	char *new;
	ssize_t got;
	int fifo;

	ck_assert_int_eq(mkfifo(main_path, 0600), 0);
	fifo = open(main_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(fifo, 0);
	log = start(main_path, NULL);
	for (int i = 0; i < 1000; i++)
		push_large(log, i);
	ck_assert_int_eq(unlink(main_path), 0);
	log_reopen(log);
	push_one(log, "after.it", NULL, NULL);
	until_contains(main_path, "after.it");
	log_close(&log);
	got = read(fifo, old, sizeof(old) - 1);
	if (got > 0 &&
	    old[got - 1] != '\n') /* the line at which it was stuck was given up: it counts as dropped */
		*strrchr(old, '\n') = '\0';
	new = content(main_path);
	ck_assert_uint_eq(account(old) + account(new), 1000);
	ck_assert_uint_gt(count_of(new, "event=large.line"), 0);
	free(new);
	close(fifo);
}
END_TEST

START_TEST(a_full_disk_is_told_when_there_is_room_again)
{
	char other[128];
	struct log *log;

	snprintf(other, sizeof(other), "%s/other", folder);
	ck_assert_int_eq(symlink("/dev/full", main_path), 0);
	log = start(main_path, dir_path);
	for (int i = 0; i < 10; i++)
		push_one(log, "x.y", NULL, "acme");
	snprintf(other, sizeof(other), "%s/acme.log", dir_path);
	for (int i = 0; i < 10000; i++) { /* all ten have had their turn */
		char *text = content(other);
		bool all = count_of(text, "\n") == 10;

		free(text);
		if (all)
			break;
		wait_for(-1, 0, deadline_after_ms(2), NULL);
	}
	ck_assert_int_eq(unlink(main_path), 0);
	log_reopen(log);
	log_close(&log);
	contains(main_path, "event=log.dropped count=10 error=\"No space left on device\"", 1);
	contains(main_path, "\n", 1);
	contains(other, "\n", 10);
}
END_TEST

START_TEST(a_batch_beyond_all_bounds_loses_lines_and_counts_them)
{
	enum { LINES = 9000 };
	char filler[1000], *text;
	struct log *log = start(main_path, NULL);
	struct log_batch batch;

	memset(filler, 'f', sizeof(filler));
	filler[sizeof(filler) - 1] = '\0';
	log_batch_init(&batch, log);
	for (int i = 0; i < LINES; i++) {
		log_begin(&batch, LOG_INFO, "large.line", NULL, NULL);
		log_text(&batch, "filler", filler);
		log_end(&batch);
	}
	log_push(&batch);
	ck_assert_uint_le(batch.lines.capacity, LOG_BATCH_KEEP_BYTES);
	log_batch_fini(&batch);
	log_close(&log);
	text = content(main_path);
	ck_assert_uint_gt(count_of(text, "event=log.dropped"), 0);
	ck_assert_uint_eq(account(text), LINES);
	free(text);
}
END_TEST

START_TEST(standard_error_is_used_as_it_is)
{
	int fds[2], flags;
	char text[256] = "";
	struct log *log;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log = start(NULL, NULL);
	push_one(log, "x.y", NULL, NULL);
	log_reopen(log);
	push_one(log, "x.z", NULL, NULL);
	log_close(&log);
	flags = fcntl(STDERR_FILENO, F_GETFL);
	ck_assert_int_ge(flags, 0); /* not closed */
	ck_assert_int_eq(flags & O_NONBLOCK, 0);
	ck_assert_int_gt(read(fds[0], text, sizeof(text) - 1), 0);
	ck_assert_uint_eq(count_of(text, "\n"), 2);
}
END_TEST

START_TEST(a_pipe_on_standard_error_that_is_full_holds_nobody)
{
	int fds[2];
	struct log *log;
	int64_t before_ms;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log = start("-", NULL);
	for (int i = 0; i < 1000; i++)
		push_large(log, i);
	before_ms = clock_monotonic_ms();
	log_close(&log);
	ck_assert_int_lt(clock_monotonic_ms() - before_ms, 3000);
}
END_TEST

START_TEST(what_was_flushed_stands_in_the_file)
{
	struct log *log = start(main_path, NULL);

	for (size_t i = 1; i <= 200; i++) {
		push_one(log, "flushed", NULL, NULL);
		log_flush(log, DEADLINE_NEVER);
		contains(main_path, "event=flushed", i);
	}
	log_close(&log);
}
END_TEST

START_TEST(a_flush_into_a_fifo_that_nobody_reads_has_its_end)
{
	struct log *log;

	ck_assert_int_eq(mkfifo(main_path, 0600), 0);
	log = start(main_path, NULL);
	for (int i = 0; i < 200; i++) /* more than the pipe holds */
		push_large(log, i);
	log_flush(log, deadline_after_ms(50));
	ck_assert_uint_gt(log_held(log), 0);
	log_close(&log);
}
END_TEST

START_TEST(who_is_left_behind_may_still_push)
{
	struct log *log = start(main_path, NULL);

	push_large(log, 0);
	log_leave(log);
	contains(main_path, "event=large.line", 1);
	for (int i = 1; i < 100; i++)
		push_large(log, i); /* nobody writes them, and there is room for some only */
	contains(main_path, "event=large.line", 1);
	log_close(&log);
}
END_TEST

enum { GIVERS = 4, EACH = 500 };

struct giver {
	struct log *log;
	int number;
};

static void *give_lines(void *argument)
{
	const struct giver *giver = argument;
	char tenant[16];

	snprintf(tenant, sizeof(tenant), "g%d", giver->number);
	for (int i = 0; i < EACH; i++) {
		struct log_batch batch;

		log_batch_init(&batch, giver->log);
		log_begin(&batch, LOG_INFO, "x.y", NULL, tenant);
		log_number(&batch, "n", i);
		log_end(&batch);
		log_push(&batch);
		log_batch_fini(&batch);
	}
	return NULL;
}

START_TEST(many_givers_lose_nothing_and_each_keeps_its_order)
{
	struct log *log = start(main_path, dir_path);
	struct giver givers[GIVERS];
	pthread_t threads[GIVERS];

	for (int i = 0; i < GIVERS; i++) {
		givers[i] = (struct giver){ log, i };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, give_lines, &givers[i]), 0);
		log_reopen(log);
	}
	for (int i = 0; i < GIVERS; i++)
		pthread_join(threads[i], NULL);
	log_close(&log);
	contains(main_path, "event=x.y", GIVERS * EACH);
	contains(main_path, "\n", GIVERS * EACH);
	for (int i = 0; i < GIVERS; i++) {
		char path[128], *text, *at;

		snprintf(path, sizeof(path), "%s/g%d.log", dir_path, i);
		text = content(path);
		at = text;
		for (int n = 0; n < EACH; n++) {
			at = strstr(at, " n=");
			ck_assert_ptr_nonnull(at);
			at += strlen(" n=");
			ck_assert_int_eq(atoi(at), n);
		}
		free(text);
	}
}
END_TEST

TCase *common_log_cases(void)
{
	TCase *cases = tcase_create("log");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, lines_go_to_the_main_file_and_to_the_tenants);
	tcase_add_test(cases, json_lines_have_the_same_keys);
	tcase_add_test(cases, a_log_that_is_none_takes_lines_too);
	tcase_add_test(cases, what_cannot_be_opened_is_said_in_words);
	tcase_add_test(cases, at_most_so_many_tenants_files_are_open);
	tcase_add_test(cases, the_file_that_was_used_longest_ago_gives_way);
	tcase_add_test(cases, a_tenants_file_that_fails_is_told_once_and_costs_nobody_else);
	tcase_add_test(cases, reopened_files_are_new_files);
	tcase_add_test(cases, a_file_that_cannot_be_opened_anew_goes_on);
	tcase_add_test(cases, a_fifo_that_nobody_reads_stops_no_giver_and_what_is_dropped_is_counted);
	tcase_add_test(cases, dropped_lines_are_told_though_nobody_gives_any_more);
	tcase_add_test(cases, closing_waits_two_seconds_for_a_stuck_file_and_no_longer);
	tcase_add_test(cases, what_was_written_makes_room);
	tcase_add_test(cases, a_stuck_file_is_left_by_opening_anew);
	tcase_add_test(cases, a_full_disk_is_told_when_there_is_room_again);
	tcase_add_test(cases, a_batch_beyond_all_bounds_loses_lines_and_counts_them);
	tcase_add_test(cases, standard_error_is_used_as_it_is);
	tcase_add_test(cases, a_pipe_on_standard_error_that_is_full_holds_nobody);
	tcase_add_test(cases, what_was_flushed_stands_in_the_file);
	tcase_add_test(cases, a_flush_into_a_fifo_that_nobody_reads_has_its_end);
	tcase_add_test(cases, who_is_left_behind_may_still_push);
	tcase_add_test(cases, many_givers_lose_nothing_and_each_keeps_its_order);
	return cases;
}
