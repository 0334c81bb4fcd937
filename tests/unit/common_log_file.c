/*
 * common_log_file.c - one event is one line, whatever is in it and whatever the file does.
 */
#include "common/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log_dir.h"
#include "common/log_line.h"
#include "tests/unit/common_test.h"

static void writes(bool json, const char *value, const char *wanted)
{
	struct buffer line;

	buffer_init(&line, 100000);
	ck_assert(log_line_text(&line, json, "k", value));
	ck_assert_str_eq(line.data, wanted);
	buffer_fini(&line);
}

START_TEST(values_are_quoted_where_they_must_be)
{
	static const char *const cases[][3] = {
		/* value, logfmt, JSON */
		{ "plain", " k=plain", ",\"k\":\"plain\"" },
		{ "", " k=\"\"", ",\"k\":\"\"" },
		{ "two words", " k=\"two words\"", ",\"k\":\"two words\"" },
		{ "a=b", " k=\"a=b\"", ",\"k\":\"a=b\"" },
		{ "say \"hi\"", " k=\"say \\\"hi\\\"\"", ",\"k\":\"say \\\"hi\\\"\"" },
		{ "back\\slash", " k=\"back\\\\slash\"", ",\"k\":\"back\\\\slash\"" },
		{ "a\nb\r\tc", " k=\"a\\nb\\r\\tc\"", ",\"k\":\"a\\nb\\r\\tc\"" },
		{ "\x1b[0m\x7f", " k=\"\\u001b[0m\\u007f\"", ",\"k\":\"\\u001b[0m\\u007f\"" },
		{ "caf\xc3\xa9", " k=caf\xc3\xa9", ",\"k\":\"caf\xc3\xa9\"" },
		{ "c1\xc2\x85", " k=\"c1\\u0085\"", ",\"k\":\"c1\\u0085\"" },
		{ "sep\xe2\x80\xa8", " k=\"sep\\u2028\"", ",\"k\":\"sep\\u2028\"" },
		{ "bad\xff", " k=\"bad\xef\xbf\xbd\"", ",\"k\":\"bad\xef\xbf\xbd\"" },
		{ "<a@b>", " k=<a@b>", ",\"k\":\"<a@b>\"" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		writes(false, cases[i][0], cases[i][1]);
		writes(true, cases[i][0], cases[i][2]);
	}
}
END_TEST

START_TEST(a_whole_line_has_the_same_keys_in_both_forms)
{
	static const char *const wanted[] = {
		"2026-11-22T12:00:00.123Z level=info event=delivery.sent id=42 delay=1.034 back=-0.005\n",
		"{\"time\":\"2026-11-22T12:00:00.123Z\",\"level\":\"info\",\"event\":\"delivery.sent\","
		"\"id\":42,\"delay\":1.034,\"back\":-0.005}\n",
	};

	for (int json = 0; json < 2; json++) {
		struct buffer line;

		buffer_init(&line, 1000);
		ck_assert(log_line_begin(&line, json, INT64_C(1795348800123), LOG_INFO, "delivery.sent"));
		ck_assert(log_line_number(&line, json, "id", 42));
		ck_assert(log_line_seconds(&line, json, "delay", 1034));
		ck_assert(log_line_seconds(&line, json, "back", -5));
		ck_assert(log_line_end(&line, json));
		ck_assert_str_eq(line.data, wanted[json]);
		buffer_fini(&line);
	}
	struct buffer line;
	buffer_init(&line, 100);
	ck_assert(log_line_seconds(&line, false, "k", INT64_MIN));
	ck_assert_str_eq(line.data, " k=-9223372036854775.808");
	buffer_fini(&line);
}
END_TEST

START_TEST(a_line_that_does_not_fit_says_so_wherever_it_is_cut)
{
	struct buffer line;
	bool fits;

	for (size_t limit = 0;; limit++) {
		buffer_init(&line, limit);
		fits = log_line_begin(&line, true, 0, LOG_ERROR, "x") &&
		       log_line_text(&line, true, "t", "\"\xff\n\x01 z") &&
		       log_line_number(&line, true, "n", -1) && log_line_seconds(&line, true, "s", 1) &&
		       log_line_end(&line, true);
		ck_assert_uint_le(line.length, limit);
		if (fits)
			break;
		buffer_fini(&line);
	}
	ck_assert_uint_eq(line.length, line.limit);
	buffer_fini(&line);
}
END_TEST

START_TEST(a_long_value_is_cut_between_characters)
{
	char value[LOG_LINE_VALUE_BYTES + 10];
	struct buffer line;

	memset(value, 'x', sizeof(value));
	memcpy(value + LOG_LINE_VALUE_BYTES - 1, "\xc3\xa9", 2);
	value[sizeof(value) - 1] = '\0';
	buffer_init(&line, 100000);
	ck_assert(log_line_text(&line, false, "k", value));
	ck_assert_uint_eq(line.length, strlen(" k=") + LOG_LINE_VALUE_BYTES - 1);
	buffer_fini(&line);
}
END_TEST

START_TEST(no_name_leads_out_of_the_directory)
{
	static const char *const cases[][3] = {
		/* db, tenant, name */
		{ NULL, "acme", "acme" },
		{ NULL, "a-b_c.d9", "a-b_c.d9" },
		{ "app", "acme", "app/acme" },
		{ NULL, "../../etc/passwd", "_._.._etc_passwd" },
		{ "..", "..", "_./_." },
		{ ".", "", "_/_" },
		{ "my app", "a\nb", "my_app/a_b" },
		{ "\xc3\xa4", "x", "__/x" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buffer name;

		buffer_init(&name, 1000);
		ck_assert(log_dir_name(&name, cases[i][0], cases[i][1]));
		ck_assert_str_eq(name.data, cases[i][2]);
		buffer_fini(&name);
	}
	char tenant[1000];
	struct buffer name;
	memset(tenant, 'x', sizeof(tenant));
	tenant[sizeof(tenant) - 1] = '\0';
	buffer_init(&name, 1000);
	ck_assert(log_dir_name(&name, NULL, tenant));
	ck_assert_uint_lt(name.length, 250);
	buffer_fini(&name);
}
END_TEST

static char folder[] = "/tmp/outboxd-log-XXXXXX";
static char path[sizeof(folder) + 8];

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	strcpy(path, folder);
	strcat(path, "/file");
}

static void teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static bool give_up(void *context, int fd)
{
	(void)fd;
	++*(int *)context;
	return false;
}

START_TEST(a_fifo_that_nobody_reads_does_not_block)
{
	static char lines[300000];
	static char text[sizeof(lines)];
	struct log_file file;
	int asked = 0;
	const struct log_patience patience = { give_up, &asked };
	size_t taken, lost;

	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = i % 100 == 99 ? '\n' : 'x';
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(log_file_open(&file, path, true));
	lost = log_file_write(&file, lines, sizeof(lines), &patience);
	ck_assert_int_eq(asked, 1);
	ck_assert_int_eq(file.error, 0);
	ck_assert(file.torn); /* a pipe holds no multiple of our line */
	taken = (size_t)read(file.fd, text, sizeof(text));
	ck_assert_uint_eq(lost, sizeof(lines) / 100 - taken / 100);

	/* the next line begins a new one */
	ck_assert_uint_eq(log_file_write(&file, "next\n", 5, &patience), 0);
	ck_assert_int_eq(read(file.fd, text, sizeof(text)), 6);
	ck_assert_mem_eq(text, "\nnext\n", 6);
	ck_assert_uint_eq(log_file_write(&file, "more\n", 5, &patience), 0);
	ck_assert_int_eq(read(file.fd, text, sizeof(text)), 5);
	log_file_close(&file);
	ck_assert_int_eq(file.fd, -1);
}
END_TEST

START_TEST(a_fifo_outlives_its_reader)
{
	int reader, asked = 0;
	const struct log_patience patience = { give_up, &asked };
	struct log_file file;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_ge(reader, 0);
	ck_assert(log_file_open(&file, path, true));
	close(reader);
	ck_assert_uint_eq(log_file_write(&file, "kept\n", 5, &patience), 0);
	log_file_close(&file);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
	int asked = 0;
	const struct log_patience patience = { give_up, &asked };
	struct log_file file;

	ck_assert(log_file_open(&file, "/dev/full", true));
	ck_assert_uint_eq(log_file_write(&file, "a\nb\n", 4, &patience), 2);
	ck_assert_int_eq(file.error, ENOSPC);
	ck_assert_uint_eq(log_file_write(&file, "", 0, &patience), 0);
	log_file_close(&file);
}
END_TEST

START_TEST(links_are_followed_only_where_they_may)
{
	struct log_file file;

	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert(!log_file_open(&file, path, false));
	ck_assert_int_eq(file.error, ELOOP);
	ck_assert_int_eq(file.fd, -1);
	ck_assert(log_file_open(&file, path, true));
	log_file_close(&file);
}
END_TEST

TCase *common_log_file_cases(void)
{
	TCase *cases = tcase_create("log file and line");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, values_are_quoted_where_they_must_be);
	tcase_add_test(cases, a_whole_line_has_the_same_keys_in_both_forms);
	tcase_add_test(cases, a_line_that_does_not_fit_says_so_wherever_it_is_cut);
	tcase_add_test(cases, a_long_value_is_cut_between_characters);
	tcase_add_test(cases, no_name_leads_out_of_the_directory);
	tcase_add_test(cases, a_fifo_that_nobody_reads_does_not_block);
	tcase_add_test(cases, a_fifo_outlives_its_reader);
	tcase_add_test(cases, a_full_disk_is_told);
	tcase_add_test(cases, links_are_followed_only_where_they_may);
	return cases;
}
