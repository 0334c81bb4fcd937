/*
 * cli_test.c - the pure parts of cli/: options, tables, files whose size is known.
 */
#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/authorize_url.h"
#include "cli/input.h"
#include "cli/loopback.h"
#include "cli/options.h"
#include "cli/password.h"
#include "cli/table.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- options ---------------------------------------------------------------- */

static const struct option_rule rules[] = {
	{ .name = "flag", .help = "" },
	{ .name = "to", .argument = "A", .help = "", .many = true },
	{ .name = "one", .argument = "V", .help = "" },
	{ .name = "password", .help = "", .refusal = "never here" },
	{ .name = NULL },
};
static const struct option_rule common[] = { { .name = "help", .help = "" }, { .name = NULL } };

static enum error parse(const struct option_grammar *grammar, int argc, const char *const *argv,
                        struct options *options, struct words *words)
{
	return options_parse(grammar, argc, (char *const *)(uintptr_t)argv, options, words);
}

START_TEST(options_and_operands_come_in_any_order)
{
	static const char *const argv[] = { "name",  "--to",   "a",  "--flag", "--to=b=c",
		                            "--one", "--help", "--", "--x",    "-" };
	struct option_grammar grammar = { .rules = rules, .common = common };
	struct options options;
	struct words words;
	char *joined;

	ck_assert_int_eq(parse(&grammar, COUNT(argv), argv, &options, &words), OK);
	ck_assert_uint_eq(options.operand_count, 3);
	ck_assert_str_eq(options.operands[0], "name");
	ck_assert_str_eq(options.operands[1], "--x");
	ck_assert_str_eq(options.operands[2], "-");
	ck_assert(options_have(&options, "flag"));
	ck_assert_ptr_null(options_value(&options, "flag"));
	ck_assert_str_eq(options_value(&options, "one"), "--help");
	ck_assert(!options_have(&options, "help"));
	joined = options_joined(&options, "to");
	ck_assert_str_eq(joined, "a, b=c");
	free(joined);
	ck_assert_ptr_null(options_joined(&options, "help"));
	options_fini(&options);
}
END_TEST

START_TEST(leading_options_end_before_the_verb)
{
	static const char *const argv[] = { "--flag", "--one", "v", "verb", "--unknown" };
	struct option_grammar grammar = { .rules = rules, .leading = true };
	struct options options;
	struct words words;

	ck_assert_int_eq(parse(&grammar, COUNT(argv), argv, &options, &words), OK);
	ck_assert_int_eq(options.consumed, 3);
	ck_assert_uint_eq(options.operand_count, 0);
	options_fini(&options);
}
END_TEST

START_TEST(other_options_name_columns)
{
	static const char *const argv[] = { "--tls-ca-file", "/x", "--one=1", "--port=", "--password" };
	struct option_grammar grammar = { .rules = rules, .columns = true };
	struct options options;
	struct words words;

	ck_assert_int_eq(parse(&grammar, COUNT(argv), argv, &options, &words), OK);
	ck_assert_uint_eq(options.given_count, 4);
	ck_assert_str_eq(options.given[0].column, "tls_ca_file");
	ck_assert_str_eq(options.given[0].value, "/x");
	ck_assert_ptr_null(options.given[1].column);
	ck_assert_str_eq(options.given[2].column, "port");
	ck_assert_str_eq(options.given[2].value, "");
	ck_assert_ptr_null(options.given[3].value);
	options_fini(&options);
}
END_TEST

static const struct {
	const char *argv[4];
	bool columns;
	const char *words;
} refused[] = {
	{ { "--nonsense" }, false, "unknown option --nonsense" },
	{ { "--nonsense=hunter2" }, false, "unknown option --nonsense" },
	{ { "--fla" }, false, "unknown option --fla" },
	{ { "-phunter2" }, false, "unknown option -p" },
	{ { "--flag=1" }, false, "--flag takes no value" },
	{ { "--password=hunter2" }, true, "never here" },
	{ { "--to" }, false, "--to needs a value" },
	{ { "--one", "1", "--one=2" }, false, "--one is given twice" },
	{ { "--flag", "--flag" }, false, "--flag is given twice" },
	{ { "--a-b", "1", "--a_b=2" }, true, "--a_b is given twice" },
	{ { "--a;b", "1" }, true, "unknown option --a;b" },
	{ { "--=x" }, true, "unknown option --" },
	{ { "--Port", "1" }, true, "unknown option --Port" },
};

START_TEST(what_no_rule_knows_is_refused_without_its_value)
{
	struct option_grammar grammar = { .rules = rules, .columns = refused[_i].columns };
	struct options options;
	struct words words;
	int argc = 0;

	while (argc < 4 && refused[_i].argv[argc])
		argc++;
	ck_assert_int_eq(parse(&grammar, argc, refused[_i].argv, &options, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, refused[_i].words);
	options_fini(&options);
}
END_TEST

/* ---- tables ------------------------------------------------------------------- */

static const struct table_column columns[] = {
	{ .name = "id", .heading = "ID", .kind = TABLE_NUMBER },
	{ .name = "name", .heading = "NAME", .widest = 6 },
	{ .name = "why", .heading = "WHY" },
	{ .name = NULL },
};

static struct admin_value number(const char *name, int64_t value)
{
	return (struct admin_value){ .name = name, .type = ADMIN_INTEGER, .integer = value };
}

static struct admin_value text(const char *name, const char *value)
{
	return (struct admin_value){
		.name = name, .type = ADMIN_TEXT, .text = value, .length = strlen(value)
	};
}

/* What a table of rows of (id, name, why) prints, a page for each flush_after rows. */
static char *printed(bool json, const struct admin_value rows[][3], size_t count, size_t flush_after)
{
	char *bytes = NULL;
	size_t length;
	FILE *out = open_memstream(&bytes, &length);
	struct table *table = table_create(out, columns, json);

	for (size_t i = 0; i < count; i++) {
		if (i > 0 && i % flush_after == 0)
			table_flush(table);
		table_row(table, rows[i], 3);
	}
	table_end(&table);
	ck_assert_ptr_null(table);
	fclose(out);
	return bytes;
}

START_TEST(columns_are_aligned_by_what_a_terminal_shows)
{
	const struct admin_value rows[][3] = {
		{ number("id", 7), text("name", "日本語文"), text("why", "x\n\x1b[1my\xff") },
		{ number("id", 1000), text("name", "é"), { .name = "why" } },
	};
	char *bytes = printed(false, rows, COUNT(rows), 10);

	ck_assert_str_eq(bytes, "  ID  NAME   WHY\n"
	                        "   7  日本…  x [1my\xef\xbf\xbd\n"
	                        "1000  é      -\n");
	free(bytes);
}
END_TEST

START_TEST(widths_are_those_of_the_first_page)
{
	const struct admin_value rows[][3] = {
		{ number("id", 1), text("name", "a"), text("why", "b") },
		{ number("id", 12345), text("name", "c"), text("why", "d") },
	};
	char *bytes = printed(false, rows, COUNT(rows), 1);

	ck_assert_str_eq(bytes, "ID  NAME  WHY\n 1  a     b\n12345  c     d\n");
	free(bytes);
}
END_TEST

START_TEST(json_is_one_array_however_it_is_flushed)
{
	const struct admin_value rows[][3] = {
		{ number("id", 1), text("name", "a\"\n\x1b"), { .name = "why" } },
		{ number("id", INT64_MIN), text("name", "b\xff"), text("why", "") },
		{ number("id", 3),
		  { .name = "name", .type = ADMIN_TEXT, .text = "x\0y", .length = 3 },
		  text("why", "z") },
	};

	for (size_t count = 0; count <= COUNT(rows); count++) {
		for (size_t flush_after = 1; flush_after <= 3; flush_after++) {
			char *bytes = printed(true, rows, count, flush_after);
			json_t *document = json_loads(bytes, JSON_ALLOW_NUL, NULL);

			ck_assert_msg(json_is_array(document), "%s", bytes);
			ck_assert_uint_eq(json_array_size(document), count);
			for (size_t i = 0; i < count; i++) {
				json_t *wanted = table_json(rows[i], 3);

				ck_assert(json_equal(json_array_get(document, i), wanted));
				json_decref(wanted);
			}
			json_decref(document);
			free(bytes);
		}
	}
}
END_TEST

START_TEST(json_carries_text_as_it_is_but_for_broken_utf8)
{
	struct admin_value values[] = { text("a", "\x1b\n\"é"), text("b", "x\xff\xc3y"), { .name = "c" } };
	json_t *object = table_json(values, COUNT(values));

	ck_assert_str_eq(json_string_value(json_object_get(object, "a")), "\x1b\n\"é");
	ck_assert_str_eq(json_string_value(json_object_get(object, "b")), "x\xef\xbf\xbd\xef\xbf\xbdy");
	ck_assert(json_is_null(json_object_get(object, "c")));
	json_decref(object);
}
END_TEST

START_TEST(fields_have_times_in_utc_and_leave_out_nulls)
{
	struct admin_value values[] = { number("id", 5),
		                        { .name = "result" },
		                        number("due_at", 1795564800),
		                        number("created_at_ms", 1795564800123),
		                        number("retry_at", INT64_MAX),
		                        text("subject", "a\r\nb") };
	struct buffer out;

	buffer_init(&out, 65536);
	table_fields(&out, values, COUNT(values));
	ck_assert_str_eq(out.data, "id             5\n"
	                           "due_at         2026-11-25T00:00:00.000Z\n"
	                           "created_at_ms  2026-11-25T00:00:00.123Z\n"
	                           "retry_at       9223372036854775807\n"
	                           "subject        a b\n");
	buffer_fini(&out);
}
END_TEST

static const struct {
	int64_t at, now;
	const char *words;
} whens[] = {
	{ 100, 100, "now" },
	{ 101, 100, "in 1 s" },
	{ 100, 219, "119 s ago" },
	{ 100, 220, "2 min ago" },
	{ 7200, 1, "in 119 min" },
	{ 7200, 0, "in 2 h" },
	{ 0, 172799, "47 h ago" },
	{ 0, 172800, "2 d ago" },
	{ INT64_MIN, INT64_MAX, "213503982334601 d ago" },
	{ INT64_MAX, INT64_MIN, "in 213503982334601 d" },
};

START_TEST(when_is_told_in_one_unit)
{
	char words[TABLE_WHEN_BYTES];

	table_when(whens[_i].at, whens[_i].now, words);
	ck_assert_str_eq(words, whens[_i].words);
}
END_TEST

/* ---- input and password --------------------------------------------------------- */

/* A pipe that holds these octets and its end. */
static int pipe_with(const void *bytes, size_t length)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], bytes, length), (ssize_t)length);
	close(ends[1]);
	return ends[0];
}

static const struct {
	const char *bytes;
	size_t length;
	const char *password; /* NULL: refused */
} passwords[] = {
	{ "word", 4, "word" },           { "word\n", 5, "word" }, { "word\r\n", 6, "word" },
	{ " word \n\n", 8, " word \n" }, { "", 0, NULL },         { "\n", 1, NULL },
	{ "a\0b\n", 4, NULL },
};

START_TEST(a_password_is_all_but_its_last_line_end)
{
	struct secret password = { .bytes = NULL };
	int fd = pipe_with(passwords[_i].bytes, passwords[_i].length);
	struct words words;
	enum error error = password_read(fd, "it", &password, &words);

	if (passwords[_i].password) {
		ck_assert_int_eq(error, OK);
		ck_assert_str_eq((const char *)password.bytes, passwords[_i].password);
	} else {
		ck_assert_int_eq(error, ERROR_INVALID);
		ck_assert(!secret_is_set(&password));
	}
	secret_wipe(&password);
	close(fd);
}
END_TEST

START_TEST(what_comes_through_a_pipe_has_a_size)
{
	static const char bytes[] = "hello \xc3\xa9\n";
	int fd = pipe_with(bytes, sizeof bytes - 1);
	struct input input;
	struct words words;
	char name[32], *content;

	(void)snprintf(name, sizeof name, "/dev/fd/%d", fd);
	ck_assert_int_eq(input_open(name, &input, &words), OK);
	ck_assert_int_eq(input.size, (int64_t)sizeof bytes - 1);
	ck_assert_int_eq(input_text(&input, name, &content, &words), OK);
	ck_assert_str_eq(content, bytes);
	free(content);
	input_close(&input);
	input_close(&input);
	close(fd);
}
END_TEST

START_TEST(a_text_is_utf8_without_nul)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *words;
	} bad[] = {
		{ "ab\0c", 4, "x: octet 3 is a NUL" },
		{ "a\xff", 2, "x: octet 2 is not UTF-8" },
	};
	int fd = pipe_with(bad[_i].bytes, bad[_i].length);
	struct input input;
	struct words words;
	char name[32], *content;

	(void)snprintf(name, sizeof name, "/dev/fd/%d", fd);
	ck_assert_int_eq(input_open(name, &input, &words), OK);
	ck_assert_int_eq(input_text(&input, "x", &content, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, bad[_i].words);
	input_close(&input);
	close(fd);
}
END_TEST

/* ---- authorize ---------------------------------------------------------------- */

START_TEST(a_challenge_is_as_in_rfc_7636)
{
	static const unsigned char octets[32] = { 116, 24,  223, 180, 151, 153, 224, 37,  79,  250, 96,
		                                  125, 216, 173, 187, 186, 22,  212, 37,  77,  105, 214,
		                                  191, 240, 91,  88,  5,   88,  83,  132, 141, 121 };
	char verifier[AUTHORIZE_CODE_BYTES], challenge[AUTHORIZE_CODE_BYTES];

	authorize_base64url(octets, verifier);
	ck_assert_str_eq(verifier, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	authorize_challenge(verifier, challenge);
	ck_assert_str_eq(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
END_TEST

#define MICROSOFT "https://login.microsoftonline.com/d/oauth2/v2.0/"

static const struct {
	const char *token_url, *device_url, *browser_url;
} providers[] = {
	{ MICROSOFT "token", MICROSOFT "devicecode", MICROSOFT "authorize" },
	{ MICROSOFT "tokens", NULL, NULL },
	{ "https://login.microsoftonline.com.evil.example/oauth2/token", NULL, NULL },
	{ "https://oauth2.googleapis.com/token", NULL, "https://accounts.google.com/o/oauth2/v2/auth" },
	{ "https://login.example/token", NULL, NULL },
};

START_TEST(endpoints_of_providers_are_known)
{
	char *device = authorize_device_url(providers[_i].token_url),
	     *browser = authorize_browser_url(providers[_i].token_url);

	ck_assert_pstr_eq(device, providers[_i].device_url);
	ck_assert_pstr_eq(browser, providers[_i].browser_url);
	free(device);
	free(browser);
}
END_TEST

/* Whole, and cut at every octet: nothing is decided before the header's end. */
START_TEST(a_browser_that_comes_back_is_heard_whole)
{
	static const char request[] =
		"GET /?code=a%2Bb+c&state=ours&x=%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
	struct secret code = { .bytes = NULL };
	struct words words;

	for (size_t length = 0; length < sizeof(request) - 1; length++)
		ck_assert_int_eq(loopback_read(request, length, "ours", &code, &words), LOOPBACK_MORE);
	ck_assert_int_eq(loopback_read(request, sizeof(request) - 1, "ours", &code, &words), LOOPBACK_CODE);
	ck_assert_str_eq((const char *)code.bytes, "a+b c");
	secret_wipe(&code);
	ck_assert_int_eq(loopback_read(request, sizeof(request) - 1, "our", &code, &words), LOOPBACK_FORGED);
	ck_assert_int_eq(loopback_read(request, sizeof(request) - 1, "ours2", &code, &words),
	                 LOOPBACK_FORGED);
	ck_assert(!secret_is_set(&code));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli");
	TCase *options = tcase_create("options"), *tables = tcase_create("tables"),
	      *inputs = tcase_create("inputs"), *authorize = tcase_create("authorize");
	SRunner *runner;
	int failed;

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	tcase_add_test(options, options_and_operands_come_in_any_order);
	tcase_add_test(options, leading_options_end_before_the_verb);
	tcase_add_test(options, other_options_name_columns);
	tcase_add_loop_test(options, what_no_rule_knows_is_refused_without_its_value, 0, COUNT(refused));
	tcase_add_test(tables, columns_are_aligned_by_what_a_terminal_shows);
	tcase_add_test(tables, widths_are_those_of_the_first_page);
	tcase_add_test(tables, json_is_one_array_however_it_is_flushed);
	tcase_add_test(tables, json_carries_text_as_it_is_but_for_broken_utf8);
	tcase_add_test(tables, fields_have_times_in_utc_and_leave_out_nulls);
	tcase_add_loop_test(tables, when_is_told_in_one_unit, 0, COUNT(whens));
	tcase_add_loop_test(inputs, a_password_is_all_but_its_last_line_end, 0, COUNT(passwords));
	tcase_add_test(inputs, what_comes_through_a_pipe_has_a_size);
	tcase_add_loop_test(inputs, a_text_is_utf8_without_nul, 0, 2);
	tcase_add_test(authorize, a_challenge_is_as_in_rfc_7636);
	tcase_add_loop_test(authorize, endpoints_of_providers_are_known, 0, COUNT(providers));
	tcase_add_test(authorize, a_browser_that_comes_back_is_heard_whole);
	suite_add_tcase(suite, authorize);
	suite_add_tcase(suite, options);
	suite_add_tcase(suite, tables);
	suite_add_tcase(suite, inputs);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
