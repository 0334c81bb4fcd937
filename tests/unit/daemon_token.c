/*
 * daemon_token.c - a token kept, fetched anew, and what else a program may do instead.
 *
 * The program is a script that gives what lies in the file answer, and waits for the
 * file gate where there is one.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/seal_file.h"
#include "daemon/token.h"
#include "tests/unit/daemon_test.h"

#define SCRIPT                                                                                               \
	"#!/bin/sh\n"                                                                                        \
	"cd \"${0%/*}\" && cat > request && echo >> count && { [ ! -f during ] || mv during refresh; } && { [ ! -p gate ] || cat gate; } && cat answer\n"

static char folder[64], program[80];
static struct tenant_settings *settings;
static struct token *token;

static void write_octets(const char *name, const char *octets, size_t length, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, octets, length), (ssize_t)length);
	close(fd);
}

static void write_text(const char *name, const char *text)
{
	write_octets(name, text, strlen(text), 0600);
}

#define ANSWER(text) write_octets("answer", text, sizeof(text) - 1, 0600)

/* Of a file in the folder, NULs as line ends; at most 4000 octets. */
static const char *read_text(const char *name)
{
	static char text[4001];
	char path[128];
	ssize_t length = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	for (ssize_t i = 0; i < length; i++)
		if (!text[i])
			text[i] = '\n';
	text[length > 0 ? length : 0] = '\0';
	return text;
}

static int fetches(void)
{
	return (int)strlen(read_text("count"));
}

static void set_column(const char *column, const char *value)
{
	struct words words;

	ck_assert_int_eq(tenant_settings_set(settings, column, value, &words), OK);
}

static void set_up(void)
{
	snprintf(folder, sizeof(folder), "/tmp/outboxd-token.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(program, sizeof(program), "%s/fetch", folder);
	write_octets("fetch", SCRIPT, strlen(SCRIPT), 0700);
	write_text("secret", "s3cret\n");
	settings = tenant_settings_create("acme");
	set_column("username", "me");
	set_column("oauth_token_url", "https://login.example/");
	set_column("oauth_client_id", "app");
	set_column("oauth_client_secret_file", "secret");
}

static void begin(void)
{
	struct token_place place = { .program = program, .secrets_dir = folder };

	token = token_create(&place, settings);
	ck_assert_ptr_nonnull(token);
}

static void tear_down(void)
{
	char command[128];

	token_release(&token);
	tenant_settings_release(&settings);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

static enum error get(struct token_given *given, struct words *words, int64_t within_ms)
{
	words->text[0] = '\0';
	return token_get(token, deadline_after_ms(within_ms), NULL, given, words);
}

/* expires_in_s 0: none is held. */
static void expect_state(int64_t expires_in_s, const char *text)
{
	struct token_state state;

	token_describe(token, &state);
	ck_assert_int_eq(state.held, expires_in_s != 0);
	if (state.held) /* the time goes on meanwhile */
		ck_assert(state.expires_in_ms <= expires_in_s * 1000 &&
		          state.expires_in_ms > (expires_in_s - 60) * 1000);
	ck_assert(!state.fetching);
	ck_assert_str_eq(state.words.text, text);
}

static int64_t expect(const char *text, bool fresh)
{
	struct token_given given;
	struct words words;
	enum error error = get(&given, &words, 60000);

	ck_assert_msg(error == OK, "%s", words.text);
	ck_assert_str_eq((const char *)given.secret.bytes, text);
	ck_assert_int_eq(given.fresh, fresh);
	secret_wipe(&given.secret);
	return given.serial;
}

static void expect_words(enum error expected, const char *text)
{
	struct token_given given;
	struct words words;

	ck_assert_int_eq(get(&given, &words, 60000), expected);
	ck_assert_msg(strstr(words.text, text) != NULL, "%s", words.text);
	ck_assert(!secret_is_set(&given.secret));
	ck_assert_int_eq(given.serial, 0);
}

START_TEST(who_has_no_token_url_has_no_token)
{
	struct token_place place = { .program = program };

	set_column("oauth_token_url", NULL);
	ck_assert_ptr_null(token_create(&place, settings));
	ck_assert_ptr_null(token_hold(NULL));
	token_release(&token);
	expect_state(0, "");
}
END_TEST

START_TEST(a_token_is_kept_for_most_of_its_life)
{
	struct token_news news;

	begin();
	ANSWER("token=one\0expires_in=1000\0");
	ck_assert_int_eq(expect("one", true), 1);
	ck_assert_str_eq(read_text("request"),
	                 "grant=client_credentials\nurl=https://login.example/\n"
	                 "client_id=app\nsubject=me\ntimeout_ms=20000\nsecret=s3cret\n");
	ck_assert(token_take_news(token, &news));
	ck_assert(news.fetched);
	ck_assert_int_eq(news.expires_in_s, 1000);
	ck_assert(!token_take_news(token, &news));
	clock_move_ms(700 * 1000);
	ANSWER("token=two\0expires_in=1000\0");
	ck_assert_int_eq(expect("one", false), 1);
	ck_assert_int_eq(fetches(), 1);
	clock_move_ms(101 * 1000);
	ck_assert_int_eq(expect("two", true), 2);
	ck_assert_int_eq(fetches(), 2);
}
END_TEST

START_TEST(the_old_one_is_given_while_it_lives_and_no_new_one_comes)
{
	struct token_news news;

	begin();
	ANSWER("token=one\0expires_in=1000\0");
	expect("one", true);
	token_take_news(token, &news);
	expect_state(1000, "");
	ANSWER("words=out of order\0");
	clock_move_ms(801 * 1000);
	expect("one", false);
	expect_state(199, "out of order");
	ck_assert_int_eq(fetches(), 2);
	ck_assert(token_take_news(token, &news));
	ck_assert(!news.fetched);
	ck_assert_str_eq(news.words.text, "out of order");
	expect("one", false); /* not asked again at once */
	ck_assert_int_eq(fetches(), 2);
	clock_move_ms(6 * 1000);
	expect("one", false);
	ck_assert_int_eq(fetches(), 3);
	clock_move_ms(6 * 1000); /* the pause grows */
	expect("one", false);
	ck_assert_int_eq(fetches(), 3);
	clock_move_ms(200 * 1000);
	expect_words(ERROR_PROTOCOL, "out of order");
	ANSWER("token=two\0expires_in=1000\0");
	expect("two", true);
	expect_state(1000, "");
}
END_TEST

START_TEST(a_refused_token_is_not_given_again)
{
	int64_t serial;

	begin();
	ANSWER("token=one\0expires_in=1000\0");
	serial = expect("one", true);
	token_reject(token, serial);
	expect_state(0, "");
	ANSWER("words=no\0error=invalid_grant\0refused=1\0");
	expect_words(ERROR_REFUSED, "no");
	ANSWER("token=two\0expires_in=1000\0");
	expect("two", true);
	token_reject(token, serial); /* late: it is another by now */
	expect("two", false);
}
END_TEST

START_TEST(a_program_may_do_anything)
{
	static char large[300 * 1024];
	struct token_place absent = { .program = "/nonexistent/fetch", .secrets_dir = folder };

	begin();
	ANSWER("");
	expect_words(ERROR_PROTOCOL, "ended without a result");
	ANSWER("token=one");
	expect_words(ERROR_PROTOCOL, "ended without a result");
	ANSWER("token=one\0");
	expect_words(ERROR_PROTOCOL, "ended without a result");
	ANSWER("token=one\0expires_in=0\0");
	expect_words(ERROR_PROTOCOL, "ended without a result");
	memset(large, 'x', sizeof(large));
	write_octets("answer", large, sizeof(large), 0600);
	expect_words(ERROR_SYSTEM, "");
	write_text("secret", "");
	expect_words(ERROR_INVALID, "oauth_client_secret_file = secret is empty");
	write_octets("secret", "a\0b", 3, 0600);
	expect_words(ERROR_INVALID, "NUL");
	token_release(&token);
	token = token_create(&absent, settings);
	write_text("secret", "s");
	expect_words(ERROR_SYSTEM, "/nonexistent/fetch cannot be run");
}
END_TEST

START_TEST(the_grant_follows_from_the_secret)
{
	static const struct {
		const char *secret, *grant;
	} kinds[] = { { "{\"a\":1}", "grant=jwt_bearer\n" },
		      { "-----BEGIN PRIVATE KEY-----\nx\n", "grant=certificate\n" },
		      { "-----BEGIN", "grant=client_credentials\n" } };

	begin();
	ANSWER("token=one\0expires_in=1\0");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		write_text("secret", kinds[i].secret);
		token_reject(token, expect("one", true));
		ck_assert_ptr_nonnull(strstr(read_text("request"), kinds[i].grant));
	}
}
END_TEST

START_TEST(a_rotated_refresh_token_that_cannot_be_written_is_not_lost)
{
	struct token_news news;
	char path[128];

	set_column("oauth_refresh_token_file", "refresh");
	write_text("refresh", "r1\n");
	snprintf(path, sizeof(path), "%s/.refresh.new", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0); /* in the way */
	begin();
	ANSWER("token=one\0expires_in=1000\0refresh_token=r2\0");
	token_reject(token, expect("one", true));
	ck_assert(token_take_news(token, &news) && news.fetched);
	ck_assert_ptr_nonnull(
		strstr(news.words.text, "oauth_refresh_token_file = refresh cannot be written"));
	ck_assert_str_eq(read_text("refresh"), "r1\n");
	ANSWER("token=two\0expires_in=1000\0");
	ck_assert_int_eq(rmdir(path), 0);
	token_reject(token, expect("two", true));
	ck_assert_ptr_nonnull(strstr(read_text("request"), "grant=refresh_token\n"));
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r2\n"));
	ck_assert_str_eq(read_text("refresh"), "r2\n"); /* the next chance was taken */
	/* what somebody writes wins over what we could not */
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ANSWER("token=three\0expires_in=1000\0refresh_token=r3\0");
	token_reject(token, expect("three", true));
	write_text("refresh", "by hand");
	ANSWER("token=four\0expires_in=1000\0");
	expect("four", true);
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=by hand\n"));
	ck_assert_str_eq(read_text("refresh"), "by hand");
	ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(a_refresh_token_that_somebody_writes_during_a_fetch_stays)
{
	set_column("oauth_refresh_token_file", "refresh");
	write_text("refresh", "r1\n");
	write_text("during", "by hand\n");
	begin();
	ANSWER("token=one\0expires_in=1000\0refresh_token=r2\0");
	token_reject(token, expect("one", true));
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r1\n"));
	ck_assert_str_eq(read_text("refresh"), "by hand\n");
	ANSWER("token=two\0expires_in=1000\0");
	expect("two", true);
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=by hand\n"));
}
END_TEST

static void *get_one(void *argument)
{
	struct token_given given;
	struct words words;

	(void)argument;
	ck_assert_msg(get(&given, &words, 60000) == OK, "%s", words.text);
	ck_assert_str_eq((const char *)given.secret.bytes, "one");
	secret_wipe(&given.secret);
	return NULL;
}

#define KEY     "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
#define KEY_TWO "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n"

static struct seal_keys *keys_of(const char *text)
{
	struct seal_keys *keys;
	struct words words;

	ck_assert_int_eq(seal_keys_parse("keys", text, strlen(text), &keys, &words), OK);
	return keys;
}

/* Writes it sealed for the tenant as it is. */
static void write_sealed_by(const char *key, const char *column, const char *file, const char *text)
{
	const struct seal_place place = { settings, column, file };
	struct seal_keys *keys = keys_of(key);
	struct secret value = { NULL, 0 };
	struct words words = { "" };

	ck_assert(secret_set(&value, text, strlen(text)));
	ck_assert_msg(seal_file_replace(&(struct seal_files){ folder, keys }, &place, &value, true, &words) ==
	                      OK,
	              "%s", words.text);
	ck_assert(strncmp(read_text(file), SEAL_PREFIX, strlen(SEAL_PREFIX)) == 0);
	secret_wipe(&value);
	seal_keys_release(&keys);
}

static void write_sealed(const char *column, const char *file, const char *text)
{
	write_sealed_by(KEY, column, file, text);
}

static void expect_sealed(const char *column, const char *file, const char *text)
{
	const struct seal_place place = { settings, column, file };
	struct seal_keys *keys = keys_of(KEY);
	struct secret value = { NULL, 0 };
	struct words words = { "" };
	bool sealed = false;

	ck_assert_msg(seal_file_read(&(struct seal_files){ folder, keys }, &place, &value, &sealed, &words) ==
	                      OK,
	              "%s", words.text);
	ck_assert(sealed);
	ck_assert_str_eq((const char *)value.bytes, text);
	secret_wipe(&value);
	seal_keys_release(&keys);
}

START_TEST(sealed_files_are_opened_and_a_rotated_token_stays_sealed)
{
	char from[128], to[128];

	set_column("oauth_refresh_token_file", "refresh");
	write_sealed("oauth_client_secret_file", "secret", "s3aled");
	write_sealed("oauth_refresh_token_file", "refresh", "r1");
	begin();
	ANSWER("token=one\0expires_in=1000\0refresh_token=r2\0");
	expect_words(ERROR_REFUSED, "is sealed, and no secrets_key_file is set");
	token_use_keys(token, keys_of(KEY_TWO));
	expect_words(ERROR_REFUSED, "which is not in secrets_key_file");
	ck_assert_int_eq(fetches(), 0);
	token_use_keys(token, keys_of(KEY));
	token_reject(token, expect("one", true));
	ck_assert_ptr_nonnull(strstr(read_text("request"), "secret=s3aled\n"));
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r1\n"));
	expect_sealed("oauth_refresh_token_file", "refresh", "r2");
	/* sealed by somebody while one is fetched: no writing, and what comes is sealed too */
	ck_assert_int_eq(fetches(), 1);
	token_release(&token);
	begin();
	token_use_keys(token, keys_of(KEY));
	write_sealed("oauth_refresh_token_file", "refresh", "r2");
	snprintf(from, sizeof(from), "%s/refresh", folder);
	snprintf(to, sizeof(to), "%s/during", folder);
	ck_assert_int_eq(rename(from, to), 0);
	write_text("refresh", "r2\n");
	ANSWER("token=two\0expires_in=1000\0refresh_token=r3\0");
	expect("two", true);
	expect_sealed("oauth_refresh_token_file", "refresh", "r3");
}
END_TEST

START_TEST(nothing_sealed_is_shown_to_another_endpoint)
{
	static const char *const changes[][2] = { { "oauth_token_url", "https://evil.example/" },
		                                  { "host", "mail.evil.example" } };

	set_column("oauth_refresh_token_file", "refresh");
	write_sealed("oauth_refresh_token_file", "refresh", "r1");
	write_sealed("oauth_client_secret_file", "secret", "s3aled");
	for (int i = 0; i < 2; i++) {
		set_column(changes[i][0], changes[i][1]);
		begin();
		token_use_keys(token, keys_of(KEY));
		ANSWER("token=one\0expires_in=1000\0");
		expect_words(ERROR_REFUSED, "was sealed for another name, server or oauth_token_url");
		ck_assert_int_eq(fetches(), 0);
		token_release(&token);
		set_column("oauth_token_url", "https://login.example/");
		set_column("host", NULL);
	}
	begin();
	token_use_keys(token, keys_of(KEY));
	expect("one", true);
}
END_TEST

#define REFRESH "oauth_refresh_token_file"

static void move_file(const char *from, const char *to)
{
	char old[128], new[128];

	snprintf(old, sizeof(old), "%s/%s", folder, from);
	snprintf(new, sizeof(new), "%s/%s", folder, to);
	ck_assert_int_eq(rename(old, new), 0);
}

/* From here on settings are the tenant's as another row makes them; the old ones live in token. */
static void change_settings(const char *column, const char *value)
{
	tenant_settings_release(&settings);
	settings = tenant_settings_create("acme");
	set_column("username", "me");
	set_column("oauth_token_url", "https://login.example/");
	set_column("oauth_client_id", "app");
	set_column(REFRESH, "refresh");
	set_column("host", "mail.new.example");
	if (column)
		set_column(column, value);
}

/* A fetch with r1, which gives r2, while the row and its file are changed as by outboxctl tenant set. */
static void fetch_while_row_changes(const char *column, const char *value)
{
	set_column(REFRESH, "refresh");
	set_column("oauth_client_secret_file", NULL);
	write_sealed(REFRESH, "refresh", "r1");
	move_file("refresh", "old");
	begin();
	token_use_keys(token, keys_of(KEY));
	change_settings(column, value);
	write_sealed(REFRESH, settings->oauth_refresh_token_file, "r1");
	move_file(settings->oauth_refresh_token_file, "during");
	move_file("old", "refresh");
	ANSWER("token=one\0expires_in=1000\0refresh_token=r2\0");
}

/* The daemon hears of it. */
static void follow(void)
{
	struct token *last = token;

	begin();
	token_use_keys(token, keys_of(KEY));
	token_follow(token, last);
	token_release(&last);
}

/* As another thread writes it, for settings. */
static void wait_sealed(const char *text)
{
	const struct seal_place place = { settings, REFRESH, "refresh" };
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct seal_keys *keys = keys_of(KEY);
	struct secret value = { NULL, 0 };
	struct words words = { "" };
	bool there = false;

	for (int i = 0; i < 30000 && !there; i++) {
		there = seal_file_read(&(struct seal_files){ folder, keys }, &place, &value, NULL, &words) ==
		                OK &&
		        strcmp((const char *)value.bytes, text) == 0;
		if (!there)
			nanosleep(&pause, NULL);
	}
	ck_assert_msg(there, "%s", words.text);
	secret_wipe(&value);
	seal_keys_release(&keys);
}

START_TEST(a_rotated_token_is_written_for_the_server_that_the_row_names_by_then)
{
	struct token_news news;

	fetch_while_row_changes(NULL, NULL);
	expect("one", true);
	ck_assert(token_take_news(token, &news) && news.fetched);
	ck_assert_msg(strstr(news.words.text, "a new refresh token is not written yet: the file of " REFRESH
	                                      " = refresh (tenant acme) was sealed for another name"),
	              "%s", news.words.text);
	expect_sealed(REFRESH, "refresh", "r1");
	follow();
	wait_sealed("r2");
	ck_assert_int_eq(fetches(), 1);
	ANSWER("token=two\0expires_in=1000\0");
	expect("two", true);
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r2\n"));
	expect_sealed(REFRESH, "refresh", "r2");
}
END_TEST

/* No refresh token is shown twice, and who comes in the middle waits for what becomes of it. */
START_TEST(settings_that_come_during_a_fetch_wait_for_its_refresh_token)
{
	struct token_given given;
	struct words words;
	char path[128];
	int gate;

	snprintf(path, sizeof(path), "%s/gate", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fetch_while_row_changes(NULL, NULL);
	ck_assert_int_eq(get(&given, &words, 1), ERROR_TIMEOUT);
	gate = open(path, O_WRONLY | O_CLOEXEC); /* when the endpoint has r1 */
	ck_assert_int_ge(gate, 0);
	ck_assert_int_eq(unlink(path), 0);
	follow();
	ck_assert_int_eq(get(&given, &words, 1), ERROR_TIMEOUT);
	ck_assert_int_eq(fetches(), 1);
	close(gate);
	expect("one", true); /* the new one's own, by r2 */
	ck_assert_int_eq(fetches(), 2);
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r2\n"));
	wait_sealed("r2");
}
END_TEST

START_TEST(a_rotated_token_comes_to_no_other_credential)
{
	static const char *const changes[][2] = { { "username", "you" },
		                                  { "oauth_token_url", "https://other.example/" },
		                                  { "oauth_client_id", "another" } };

	fetch_while_row_changes(changes[_i][0], changes[_i][1]);
	expect("one", true);
	follow();
	ANSWER("token=two\0expires_in=1000\0");
	expect("two", true);
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r1\n"));
	expect_sealed(REFRESH, "refresh", "r1");
}
END_TEST

/* Whose file is gone meanwhile: it was sealed. */
START_TEST(a_rotated_token_that_waited_is_sealed_as_its_file_was)
{
	char path[128];

	fetch_while_row_changes(NULL, NULL);
	expect("one", true);
	snprintf(path, sizeof(path), "%s/refresh", folder);
	ck_assert_int_eq(unlink(path), 0);
	follow();
	wait_sealed("r2");
	expect_sealed(REFRESH, "refresh", "r2");
}
END_TEST

START_TEST(a_rotated_token_waits_for_the_key_of_its_file)
{
	set_column(REFRESH, "refresh");
	write_sealed_by(KEY_TWO, REFRESH, "refresh", "r1");
	move_file("refresh", "during");
	write_sealed(REFRESH, "refresh", "r1");
	begin();
	token_use_keys(token, keys_of(KEY));
	ANSWER("token=one\0expires_in=1000\0refresh_token=r2\0");
	token_reject(token, expect("one", true));
	expect_words(ERROR_REFUSED, "which is not in secrets_key_file");
	ck_assert_int_eq(fetches(), 1);
	token_use_keys(token, keys_of(KEY KEY_TWO));
	ANSWER("token=two\0expires_in=1000\0");
	expect("two", true);
	ck_assert_ptr_nonnull(strstr(read_text("request"), "refresh_token=r2\n"));
	expect_sealed(REFRESH, "refresh", "r2");
}
END_TEST

START_TEST(many_who_ask_at_once_wait_for_one_fetch)
{
	pthread_t threads[5];
	struct token_given given;
	struct token_state state;
	struct words words;
	char path[128];
	int gate;

	snprintf(path, sizeof(path), "%s/gate", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	begin();
	ANSWER("token=one\0expires_in=1000\0");
	/* the first one's time is over; the fetch goes on for who comes later */
	ck_assert_int_eq(get(&given, &words, 1), ERROR_TIMEOUT);
	ck_assert_str_eq(words.text, "the token endpoint has not answered in time");
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, get_one, NULL), 0);
	token_describe(token, &state);
	ck_assert(state.fetching && !state.held);
	gate = open(path, O_WRONLY | O_CLOEXEC); /* waits for the script */
	ck_assert_int_ge(gate, 0);
	close(gate);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(fetches(), 1);
}
END_TEST

TCase *token_tests(void)
{
	TCase *tcase = tcase_create("token");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, who_has_no_token_url_has_no_token);
	tcase_add_test(tcase, a_token_is_kept_for_most_of_its_life);
	tcase_add_test(tcase, the_old_one_is_given_while_it_lives_and_no_new_one_comes);
	tcase_add_test(tcase, a_refused_token_is_not_given_again);
	tcase_add_test(tcase, a_program_may_do_anything);
	tcase_add_test(tcase, the_grant_follows_from_the_secret);
	tcase_add_test(tcase, a_rotated_refresh_token_that_cannot_be_written_is_not_lost);
	tcase_add_test(tcase, a_refresh_token_that_somebody_writes_during_a_fetch_stays);
	tcase_add_test(tcase, sealed_files_are_opened_and_a_rotated_token_stays_sealed);
	tcase_add_test(tcase, nothing_sealed_is_shown_to_another_endpoint);
	tcase_add_test(tcase, a_rotated_token_is_written_for_the_server_that_the_row_names_by_then);
	tcase_add_test(tcase, settings_that_come_during_a_fetch_wait_for_its_refresh_token);
	tcase_add_loop_test(tcase, a_rotated_token_comes_to_no_other_credential, 0, 3);
	tcase_add_test(tcase, a_rotated_token_that_waited_is_sealed_as_its_file_was);
	tcase_add_test(tcase, a_rotated_token_waits_for_the_key_of_its_file);
	tcase_add_test(tcase, many_who_ask_at_once_wait_for_one_fetch);
	return tcase;
}
