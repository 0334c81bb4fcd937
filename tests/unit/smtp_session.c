/*
 * smtp_session.c - what a page of tests/scripts/ cannot show: settings that are refused
 * before anything happens, a machine without descriptors, the name in EHLO.
 */
#include "smtp/session.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wait.h"

#include "tests/unit/smtp_test.h"

static const struct {
	const char *settings, *words; /* NULL: good */
} sources[] = {
	{ "oauth_client_id=x", "oauth_client_id is set, but oauth_token_url is not" },
	{ "oauth_client_secret_file=x", "oauth_client_secret_file is set, but oauth_token_url is not" },
	{ "oauth_scope=x", "oauth_scope is set, but oauth_token_url is not" },
	{ "oauth_refresh_token_file=x token_command=x",
	  "oauth_refresh_token_file is set, but oauth_token_url is not" },
	{ "oauth_token_url=https://x/ token_command=x",
	  "token_command and oauth_token_url exclude one another" },
	{ "oauth_token_url=http://x/ oauth_client_secret_file=x auth=xoauth2",
	  "oauth_token_url must begin with https://: a secret is sent to no other" },
	{ "oauth_token_url=https://x/ oauth_client_id=x auth=xoauth2",
	  "oauth_token_url needs oauth_client_secret_file or oauth_refresh_token_file" },
	{ "oauth_token_url=https://x/ oauth_client_secret_file=x",
	  "oauth_token_url needs auth = xoauth2 or oauthbearer" },
	{ "token_command=x auth=plain", "token_command needs auth = xoauth2 or oauthbearer" },
	{ "oauth_token_url=https://x/ oauth_client_secret_file=x auth=xoauth2", NULL },
	{ "oauth_token_url=HTTPS://x/ oauth_refresh_token_file=x oauth_client_id=x auth=oauthbearer", NULL },
	{ "token_command=x auth=xoauth2", NULL },
};

static enum error check_with(const char *column, const char *value, struct words *words)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	enum error error;

	words->text[0] = '\0';
	ck_assert_int_eq(tenant_settings_set(settings, "host", "mail.acme.example", words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, column, value, words), OK);
	error = session_settings_check(settings, words);
	tenant_settings_release(&settings);
	return error;
}

START_TEST(where_a_token_comes_from_is_told_whole)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	char text[200], *rest = text, *word;
	struct words words = { "" };

	snprintf(text, sizeof(text), "%s", sources[_i].settings);
	ck_assert_int_eq(tenant_settings_set(settings, "host", "mail.acme.example", &words), OK);
	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		*value = '\0';
		ck_assert_int_eq(tenant_settings_set(settings, word, value + 1, &words), OK);
	}
	if (sources[_i].words) {
		ck_assert_int_eq(session_settings_check(settings, &words), ERROR_INVALID);
		ck_assert_str_eq(words.text, sources[_i].words);
	} else {
		ck_assert_msg(session_settings_check(settings, &words) == OK, "%s", words.text);
	}
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(built)
{
	static const char *const good[][2] = {
		{ "auth", "auto" },
		{ "auth", "scram-sha-256" },
		{ "auth", "xoauth2" },
		{ "auth", "oauthbearer" },
		{ "auth", "external" },
		{ "pipeline_depth", "16" },
		{ "tls", "opportunistic" },
		{ "ehlo_name", "[IPv6:2001:db8::1]" },
		{ "ehlo_name", "a.example" },
		{ "password_file", "x" },
		{ "password_command", "x" },
		{ "tls_fingerprints",
		  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
	};
	struct words words;

	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_msg(check_with(good[i][0], good[i][1], &words) == OK, "%s: %s", good[i][0],
		              words.text);
}
END_TEST

START_TEST(ehlo_name_is_one_word)
{
	static const char *const bad[] = { "a b", "a\r\nMAIL", "\x80", "a\tb" };

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct tenant_settings *settings = tenant_settings_create("acme");
		struct words words;

		ck_assert_int_eq(tenant_settings_set(settings, "host", "mail.acme.example", &words), OK);
		/* either door may refuse it */
		if (tenant_settings_set(settings, "ehlo_name", bad[i], &words) == OK)
			ck_assert_int_eq(session_settings_check(settings, &words), ERROR_INVALID);
		tenant_settings_release(&settings);
	}
}
END_TEST

/* --- opening ------------------------------------------------------------------------ */

static enum error open_to(const char *host, int port, struct session **session, struct outcome *trouble)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	static atomic_int stop = STOP_NONE;
	struct resolver *resolver;
	struct words words;
	char text[16];
	enum error error;

	snprintf(text, sizeof(text), "%d", port);
	ck_assert_int_eq(tenant_settings_set(settings, "host", host, &words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, "port", text, &words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, "tls", "none", &words), OK);
	ck_assert_int_eq(resolver_create("127.0.0.1:1", &resolver, &words), OK);
	error = session_open(
		&(struct session_settings){ .tenant = settings, .resolver = resolver, .stop = &stop },
		session, trouble);
	ck_assert_int_eq(error == OK, *session != NULL);
	resolver_destroy(&resolver);
	tenant_settings_release(&settings);
	return error;
}

/* EMFILE means wait: nothing is said against the tenant's server. */
START_TEST(without_descriptors_it_is_nobodys_fault)
{
	struct rlimit before, limit;
	struct outcome trouble = { 0 };
	struct session *session;

	wait_setup();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)open("/dev/null", O_RDONLY) + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(open_to("127.0.0.1", 25, &session, &trouble), ERROR_UNAVAILABLE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(trouble.verdict, VERDICT_UNTRIED);
	ck_assert_int_eq(trouble.trouble, TROUBLE_NONE);
	ck_assert_int_ne(trouble.scope, SCOPE_TENANT);
	outcome_clear(&trouble);
}
END_TEST

/* A server that only wants to know how it is greeted. */
struct listener {
	int fd, port;
	char heard[512];
};

static bool listen_on(struct listener *listener, bool six)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 sixth = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *address = six ? (struct sockaddr *)&sixth : (struct sockaddr *)&four;
	socklen_t length = six ? sizeof(sixth) : sizeof(four);

	*listener = (struct listener){ .fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	if (listener->fd < 0 || bind(listener->fd, address, length) < 0 || listen(listener->fd, 1) < 0 ||
	    getsockname(listener->fd, address, &length) < 0)
		return false;
	listener->port = ntohs(six ? sixth.sin6_port : four.sin_port);
	return true;
}

static void *hear_ehlo(void *argument)
{
	static const char greeting[] = "220 x\r\n", answer[] = "550 that was all\r\n";
	struct listener *listener = argument;
	int fd = accept(listener->fd, NULL, NULL);
	size_t used = 0;
	ssize_t got = 1;

	if (send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) < 0)
		got = 0;
	while (got > 0 && !strchr(listener->heard, '\n') && used < sizeof(listener->heard) - 1) {
		got = recv(fd, listener->heard + used, sizeof(listener->heard) - 1 - used, 0);
		used += got > 0 ? (size_t)got : 0;
	}
	if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0)
		while (recv(fd, (char[64]){ 0 }, 64, 0) > 0)
			shutdown(fd, SHUT_WR);
	close(fd);
	return NULL;
}

/* RFC 5321 4.1.4: the host's name if it is fully qualified, else the literal of our end. */
START_TEST(ehlo_says_a_qualified_name_or_the_literal)
{
	bool six = _i == 1;
	char name[256], want[300];
	struct listener listener;
	struct outcome trouble = { 0 };
	struct session *session;
	pthread_t thread;

	wait_setup();
	if (!listen_on(&listener, six)) {
		ck_assert(six); /* a machine without IPv6 */
		return;
	}
	ck_assert_int_eq(gethostname(name, sizeof(name)), 0);
	if (strchr(name, '.') && strcmp(name, "localhost.localdomain") != 0)
		snprintf(want, sizeof(want), "EHLO %s\r\n", name);
	else
		snprintf(want, sizeof(want), "EHLO %s\r\n", six ? "[IPv6:::1]" : "[127.0.0.1]");
	ck_assert_int_eq(pthread_create(&thread, NULL, hear_ehlo, &listener), 0);
	ck_assert_int_eq(open_to(six ? "::1" : "127.0.0.1", listener.port, &session, &trouble),
	                 ERROR_REFUSED);
	pthread_join(thread, NULL);
	ck_assert_str_eq(listener.heard, want);
	ck_assert_str_eq(trouble.text, "that was all");
	close(listener.fd);
	outcome_clear(&trouble);
}
END_TEST

TCase *smtp_session_cases(void)
{
	TCase *tcase = tcase_create("session");

	tcase_add_loop_test(tcase, where_a_token_comes_from_is_told_whole, 0, COUNT(sources));
	tcase_add_test(tcase, built);
	tcase_add_test(tcase, ehlo_name_is_one_word);
	tcase_add_test(tcase, without_descriptors_it_is_nobodys_fault);
	tcase_add_loop_test(tcase, ehlo_says_a_qualified_name_or_the_literal, 0, 2);
	return tcase;
}
