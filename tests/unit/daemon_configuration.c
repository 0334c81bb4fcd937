/*
 * daemon_configuration.c - file, --set, command line: which wins, and the words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/configuration.h"
#include "tests/unit/daemon_test.h"

static char path[64];

static void write_file(const char *text)
{
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "/tmp/outboxd-conf.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	file = fdopen(fd, "w");
	fputs(text, file);
	fclose(file);
}

static struct config *read_good(const struct config_options *options)
{
	struct config *config = NULL;
	struct words words;
	enum error error = config_read(options, &config, &words);

	ck_assert_msg(error == OK, "%s", words.text);
	return config;
}

static const char *const one_database[] = { "a.db" };

START_TEST(defaults)
{
	const struct config_options options = { .databases = one_database, .database_count = 1 };
	struct config *config = read_good(&options);

	ck_assert_uint_eq(config->database_count, 1);
	ck_assert_str_eq(config->databases[0], "a.db");
	ck_assert_str_eq(config->log_file, "-");
	ck_assert_ptr_null(config->log_dir);
	ck_assert_ptr_null(config->secrets_dir);
	ck_assert(!config->log_json);
	ck_assert_int_eq(config->log_level, LOG_INFO);
	ck_assert_int_eq(config->shutdown_grace_ms, 60000);
	ck_assert_int_eq(config->stall_grace_ms, 30000);
	ck_assert_int_eq(config->unsettled_max, 256);
	ck_assert_int_eq(config->memory_max_bytes, 256 << 20);
	config_release(&config);
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(command_line_beats_set_beats_file)
{
	const char *const sets[] = { "log_file=/set.log", "idle_timeout=7s", "secrets_dir=/a \"b\" \\c" };
	const struct config_options options = {
		.file = path, .sets = sets, .set_count = 3, .log_file = "/cli.log"
	};
	struct config *config;

	write_file(
		"# a comment\ndatabase = { \"x.db\", \"y.db\" }\nlog_file = /file.log\nidle_timeout = 90\n"
		"shutdown_grace = 2m\nlog_format = json\nlog_level = debug\nmax_workers = 12\nmemory_max = 3m\nkeep_sent = forever\nkeep_failed = 0\n");
	config = read_good(&options);
	ck_assert_str_eq(config->log_file, "/cli.log");
	ck_assert_int_eq(config->idle_timeout_ms, 7000);
	ck_assert_int_eq(config->shutdown_grace_ms, 120000);
	ck_assert_str_eq(config->secrets_dir, "/a \"b\" \\c");
	ck_assert_uint_eq(config->database_count, 2);
	ck_assert_str_eq(config->databases[1], "y.db");
	ck_assert(config->log_json);
	ck_assert_int_eq(config->max_workers, 12);
	ck_assert_int_eq(config->memory_max_bytes, 3 << 20);
	ck_assert_int_eq(config->keep_sent_ms, -1);
	ck_assert_int_eq(config->keep_failed_ms, 0);
	config_release(&config);
	unlink(path);
}
END_TEST

static const struct {
	const char *file, *set, *words;
} refusals[] = {
	{ "database = a.db\nidle_timeout = soon\n", NULL, "line 2: idle_timeout = soon is no duration" },
	{ "database = a.db\nno_such_setting = 1\n", NULL, "no_such_setting" },
	{ "database = a.db\nmax_workers = 0\n", NULL, "max_workers = 0 is no whole number" },
	{ "database = a.db\nmax_workers = -3\n", NULL, "max_workers = -3" },
	{ "database = a.db\nmemory_max = 1023K\n", NULL,
	  "line 2: memory_max = 1023K is no size from 1M to 1024G (such as 64M, 1G)" },
	{ "database = a.db\n", "memory_max=1025G", "memory_max = 1025G is no size" },
	{ "database = a.db\nmemory_max = lots\n", NULL, "memory_max = lots is no size" },
	{ "database = a.db\nmemory_max = -1M\n", NULL, "memory_max = -1M is no size" },
	{ "database = a.db\nlog_format = xml\n", NULL, "log_format = xml is not one of: logfmt, json" },
	{ "database = a.db\nkeep_sent = long\n", NULL,
	  "keep_sent = long is no duration (such as 12h, 30d) nor forever" },
	{ "database = a.db\nkeep_failed = -1\n", NULL, "keep_failed = -1 is no duration" },
	{ "database = a.db\nkeep_failed = 40000d\n", NULL, "keep_failed = 40000d is no duration" },
	{ "log_level = info\n", NULL, "no database is named" },
	{ "database = a.db\n", "idle_timeout", "it must be NAME=VALUE" },
	{ "database = a.db\n", "idle_timeout=x", "idle_timeout = x is no duration" },
	{ "database = {\n", NULL, "" },
};

START_TEST(refused_with_words)
{
	const char *const sets[] = { refusals[_i].set };
	const struct config_options options = { .file = path,
		                                .sets = sets,
		                                .set_count = refusals[_i].set ? 1 : 0 };
	struct config *config = NULL;
	struct words words;

	write_file(refusals[_i].file);
	ck_assert_int_eq(config_read(&options, &config, &words), ERROR_INVALID);
	ck_assert_ptr_null(config);
	ck_assert_uint_gt(strlen(words.text), 0);
	ck_assert_msg(strstr(words.text, refusals[_i].words) != NULL, "%s", words.text);
	unlink(path);
}
END_TEST

START_TEST(unreadable_file)
{
	const struct config_options options = { .file = "/nonexistent/outboxd.conf" };
	struct config *config = NULL;
	struct words words;

	ck_assert_int_eq(config_read(&options, &config, &words), ERROR_INVALID);
	ck_assert_ptr_nonnull(strstr(words.text, "/nonexistent/outboxd.conf"));
}
END_TEST

TCase *configuration_tests(void)
{
	TCase *tests = tcase_create("configuration");

	tcase_add_test(tests, defaults);
	tcase_add_test(tests, command_line_beats_set_beats_file);
	tcase_add_loop_test(tests, refused_with_words, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tests, unreadable_file);
	return tests;
}
