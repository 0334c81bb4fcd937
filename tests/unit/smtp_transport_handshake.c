/*
 * smtp_transport_handshake.c - what may begin, in which version, and how it ends when it does not.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/smtp_transport_test.h"
#include "tests/unit/smtp_transport_tls.h"

#define HOST "mail.acme.example"

static struct identity authority;
static struct tls_trust *trust;
static struct tls_server server;
static struct stream *stream;
static struct words words;
static int ends[2];

static void setup(void)
{
	authority = identity_make(&(struct identity_settings){ .common_name = "Acme CA", .authority = true });
	ck_assert_int_eq(tls_trust_load(identity_write(&authority, "ca.pem"), &trust, &words), OK);
	memset(&server, 0, sizeof(server));
	server.chain[0] = identity_make(
		&(struct identity_settings){ .names = { HOST }, .issuer = &authority });
	server.chain_length = 1;
	peer_pair(ends);
	stream = stream_create(ends[0], NULL);
	strcpy(words.text, "untouched");
}

static void teardown(void)
{
	stream_close(&stream);
	tls_trust_release(&trust);
}

static enum error start_tls(struct tenant_settings *tenant)
{
	return stream_start_tls(stream, &(struct tls_settings){ tenant, trust, NULL },
	                        deadline_after_ms(LONG_MS), &words);
}

/* A new connection in place of the one that was used up. */
static void connect_again(void)
{
	stream_close(&stream);
	peer_pair(ends);
	stream = stream_create(ends[0], NULL);
}

START_TEST(the_version_and_suite_are_told)
{
	tls_server_start(&server, ends[1]);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), OK);
	ck_assert_int_eq(strncmp(tls_describe(stream_tls(stream)), "TLS1.3 TLS_", 11), 0);
	stream_close(&stream);
	tls_server_join(&server);
}
END_TEST

START_TEST(version_1_2_will_do)
{
	server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
	tls_server_start(&server, ends[1]);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), OK);
	ck_assert_int_eq(strncmp(tls_describe(stream_tls(stream)), "TLS1.2 TLS_", 11), 0);
	stream_close(&stream);
	tls_server_join(&server);
}
END_TEST

START_TEST(version_1_1_will_not_whatever_the_priority)
{
	server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0";
	tls_server_start(&server, ends[1]);
	ck_assert_int_eq(start_tls(peer_tenant("tls_priority", "NORMAL:+VERS-TLS1.1:+VERS-TLS1.0", NULL)),
	                 ERROR_PROTOCOL);
	ck_assert_str_ne(words.text, "untouched");
	stream_close(&stream);
	tls_server_join(&server);
	ck_assert_int_lt(server.handshake, 0);
}
END_TEST

START_TEST(the_tenants_priority_is_used)
{
	tls_server_start(&server, ends[1]);
	ck_assert_int_eq(
		start_tls(peer_tenant("tls_priority", "NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM", NULL)),
		OK);
	ck_assert_str_eq(tls_describe(stream_tls(stream)), "TLS1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
	stream_close(&stream);
	tls_server_join(&server);
}
END_TEST

START_TEST(settings_are_checked_without_a_connection)
{
	static const struct {
		const char *column, *value;
		enum error error;
		const char *text;
	} cases[] = {
		{ "tls_priority", "NORMAL:%COMPAT", OK, NULL },
		{ "tls_priority", "NORMAL:+NONSENSE", ERROR_INVALID,
		  "tls_priority: GnuTLS does not understand '" },
		{ "tls_priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1", ERROR_INVALID,
		  "tls_priority 'NORMAL:-VERS-ALL:+VERS-TLS1.1' leaves nothing to use with TLS from 1.2 on" },
		{ "tls_verify", "fingerprint", ERROR_INVALID,
		  "tls_verify = fingerprint needs tls_fingerprints" },
		{ "tls_fingerprints", "sha256:12", ERROR_INVALID,
		  "tls_fingerprints: 'sha256:12' is neither" },
		{ "tls_cert_file", "client.pem", ERROR_INVALID,
		  "tls_cert_file is set and tls_key_file is not" },
		{ "tls_key_file", "client.key", ERROR_INVALID,
		  "tls_key_file is set and tls_cert_file is not" },
	};

	ck_assert_int_eq(tls_settings_check(peer_tenant(NULL), &words), OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum error error = tls_settings_check(peer_tenant(cases[i].column, cases[i].value, NULL),
		                                      &words);

		ck_assert_msg(error == cases[i].error, "%s: %s", cases[i].value, words.text);
		if (error != OK)
			ck_assert_msg(strncmp(words.text, cases[i].text, strlen(cases[i].text)) == 0, "%s",
			              words.text);
	}
	ck_assert_int_eq(start_tls(peer_tenant("tls_priority", "NONSENSE", NULL)), ERROR_INVALID);
	close(ends[1]);
}
END_TEST

START_TEST(every_connection_is_a_fresh_session)
{
	ck_assert_int_eq(gnutls_session_ticket_key_generate(&server.ticket_key), 0);
	for (int i = 0; i < 3; i++) {
		tls_server_start(&server, ends[1]);
		ck_assert_int_eq(start_tls(peer_tenant("tls_priority",
		                                       i == 2 ? "NORMAL:-VERS-TLS1.3" : "NORMAL", NULL)),
		                 OK);
		connect_again();
		tls_server_join(&server);
		ck_assert(!server.resumed);
		ck_assert(!server.ticket_wanted);
	}
	close(ends[1]);
	gnutls_free(server.ticket_key.data);
}
END_TEST

START_TEST(octets_behind_the_220_end_it)
{
	size_t length = 0;

	/* they were read together with the reply … */
	ck_assert(peer_write_all(ends[1], "220 go\r\n250 injected\r\n", 22));
	while (length < 22) {
		ck_assert_int_eq(stream_fill(stream, deadline_after_ms(LONG_MS)), OK);
		stream_input(stream, &length);
	}
	stream_consume(stream, 8);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " sent more in clear behind its answer to STARTTLS");
	ck_assert_ptr_null(stream_tls(stream));
	stream_input(stream, &length);
	ck_assert_uint_eq(length, 0);
	ck_assert_int_eq(stream_write(stream, "MAIL", 4, deadline_after_ms(LONG_MS)), ERROR_PROTOCOL);
	close(ends[1]);
}
END_TEST

START_TEST(octets_that_only_the_kernel_has_end_it_too)
{
	ck_assert(peer_write_all(ends[1], "250 injected\r\n", 14));
	ck_assert_int_eq(wait_for(ends[0], POLLIN, deadline_after_ms(LONG_MS), NULL), OK);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " sent more in clear behind its answer to STARTTLS");
	close(ends[1]);
}
END_TEST

START_TEST(a_greeting_in_clear_where_tls_was_due_is_told)
{
	ck_assert(peer_write_all(ends[1], "220 mail ESMTP\r\n", 16));
	ck_assert_int_eq(wait_for(ends[0], POLLIN, deadline_after_ms(LONG_MS), NULL), OK);
	ck_assert_int_eq(start_tls(peer_tenant("tls", "implicit", "port", "465", NULL)), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " speaks in clear on port 465, where tls = implicit expects TLS");
	close(ends[1]);
}
END_TEST

/* Reads our ClientHello, says what it likes, and ends its side. */
struct answer {
	const void *bytes;
	size_t length;
	bool close;
};

static void *answer_hello(void *context)
{
	const struct answer *answer = context;
	unsigned char head[5], rest[4096];
	bool whole = peer_read_all(ends[1], head, sizeof(head)) &&
	             (size_t)(head[3] << 8 | head[4]) <= sizeof(rest) &&
	             peer_read_all(ends[1], rest, (size_t)(head[3] << 8 | head[4]));

	if (whole)
		peer_write_all(ends[1], answer->bytes, answer->length);
	if (answer->close)
		shutdown(ends[1], SHUT_WR);
	return NULL;
}

static enum error start_tls_of(struct tenant_settings *tenant, struct answer answer)
{
	pthread_t thread;
	enum error error;

	ck_assert_int_eq(pthread_create(&thread, NULL, answer_hello, &answer), 0);
	error = start_tls(tenant);
	pthread_join(thread, NULL);
	close(ends[1]);
	return error;
}

static enum error start_tls_with(struct answer answer)
{
	return start_tls_of(peer_tenant(NULL), answer);
}

START_TEST(a_greeting_in_clear_that_comes_late_is_told_in_the_same_words)
{
	ck_assert_int_eq(start_tls_of(peer_tenant("tls", "implicit", "port", "465", NULL),
	                              (struct answer){ "220 mail ESMTP\r\n", 16, false }),
	                 ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " speaks in clear on port 465, where tls = implicit expects TLS");
}
END_TEST

START_TEST(an_answer_that_is_no_tls_is_told)
{
	ck_assert_int_eq(start_tls_with((struct answer){ "500 5.5.1 what?\r\n", 17, false }), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " answered the TLS handshake in something that is not TLS");
}
END_TEST

START_TEST(a_refusal_of_the_handshake_is_told)
{
	/* an alert record: fatal, handshake_failure (RFC 8446 6) */
	ck_assert_int_eq(start_tls_with((struct answer){ "\x15\x03\x03\0\2\2\x28", 7, false }),
	                 ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " refused the TLS handshake: Handshake failed");
}
END_TEST

START_TEST(warnings_without_end_end_it)
{
	unsigned char flood[40 * 7];

	/* unrecognized_name as a warning, over and over: it changes nothing, and never stops */
	for (size_t i = 0; i < sizeof(flood); i += 7)
		memcpy(flood + i, "\x15\x03\x03\0\2\1\x70", 7);
	ck_assert_int_eq(start_tls_with((struct answer){ flood, sizeof(flood), false }), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text,
	                 "the TLS handshake with " HOST " failed: A TLS warning alert has been received.");
}
END_TEST

START_TEST(silence_ends_at_the_deadline)
{
	int64_t deadline_ms = deadline_after_ms(SHORT_MS);

	ck_assert_int_eq(stream_start_tls(stream, &(struct tls_settings){ peer_tenant(NULL), trust, NULL },
	                                  deadline_ms, &words),
	                 ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	ck_assert_str_eq(words.text, HOST " did not finish the TLS handshake in time");
	close(ends[1]);
}
END_TEST

START_TEST(a_stop_ends_a_handshake)
{
	atomic_int level = 1;
	struct interrupt interrupt = { &level, 1 };

	stream_close(&stream);
	close(ends[1]);
	peer_pair(ends);
	stream = stream_create(ends[0], &interrupt);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), ERROR_INTERRUPTED);
	close(ends[1]);
}
END_TEST

START_TEST(a_close_before_the_handshake_is_told)
{
	shutdown(ends[1], SHUT_WR);
	ck_assert_int_eq(wait_for(ends[0], POLLIN, deadline_after_ms(LONG_MS), NULL), OK);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), ERROR_CLOSED);
	ck_assert_str_eq(words.text, HOST " closed the connection during the TLS handshake");
	close(ends[1]);
}
END_TEST

START_TEST(a_close_in_the_handshake_is_told)
{
	ck_assert_int_eq(start_tls_with((struct answer){ "\x16\x03\x03", 3, true }), ERROR_CLOSED);
	ck_assert_str_eq(words.text, HOST " closed the connection during the TLS handshake");
}
END_TEST

/* Carries octets between two sockets, one a write: slow, and cut at every place. */
struct relay {
	int from, to;
};

static void *relay_on(void *context)
{
	struct relay *relay = context;
	char octet;

	while (peer_read_all(relay->from, &octet, 1) && peer_write_all(relay->to, &octet, 1))
		;
	shutdown(relay->to, SHUT_WR);
	return NULL;
}

START_TEST(a_handshake_cut_at_every_octet_succeeds)
{
	int inner[2];
	struct relay there, back;
	pthread_t threads[2];
	size_t length = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inner), 0);
	there = (struct relay){ ends[1], inner[0] };
	back = (struct relay){ inner[0], ends[1] };
	tls_server_start(&server, inner[1]);
	ck_assert_int_eq(pthread_create(&threads[0], NULL, relay_on, &there), 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, relay_on, &back), 0);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), OK);
	ck_assert_int_eq(stream_write(stream, "EHLO", 4, deadline_after_ms(LONG_MS)), OK);
	while (length < 4) {
		ck_assert_int_eq(stream_fill(stream, deadline_after_ms(LONG_MS)), OK);
		stream_input(stream, &length);
	}
	stream_close(&stream);
	tls_server_join(&server);
	ck_assert_int_eq(server.ended, 0); /* our farewell arrived */
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	close(ends[1]);
	close(inner[0]);
}
END_TEST

START_TEST(starttls_inside_tls_is_our_own_mistake)
{
	tls_server_start(&server, ends[1]);
	ck_assert_int_eq(start_tls(peer_tenant(NULL)), OK);
	start_tls(peer_tenant(NULL)); /* aborts */
}
END_TEST

/* A worker and its server, many times at once over one list of authorities. */
static void *worker(void *context)
{
	struct tls_server mine = { .chain = { server.chain[0] }, .chain_length = 1 };
	struct tenant_settings *tenant = context;
	int good = 0;

	for (int i = 0; i < 4; i++) {
		int pair[2];
		struct words why;
		struct stream *own;

		peer_pair(pair);
		tls_server_start(&mine, pair[1]);
		own = stream_create(pair[0], NULL);
		good += stream_start_tls(own, &(struct tls_settings){ tenant, trust, NULL },
		                         deadline_after_ms(LONG_MS), &why) == OK &&
		        tls_is_verified(stream_tls(own));
		stream_close(&own);
		tls_server_join(&mine);
	}
	return (void *)(intptr_t)good;
}

START_TEST(authorities_are_shared_by_threads)
{
	struct tenant_settings *tenant = peer_tenant(NULL);
	pthread_t threads[6];

	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, worker, tenant), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *good;

		pthread_join(threads[i], &good);
		ck_assert_int_eq((intptr_t)good, 4);
	}
	close(ends[1]);
}
END_TEST

TCase *smtp_transport_handshake_cases(void)
{
	TCase *cases = tcase_create("handshake");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, the_version_and_suite_are_told);
	tcase_add_test(cases, version_1_2_will_do);
	tcase_add_test(cases, version_1_1_will_not_whatever_the_priority);
	tcase_add_test(cases, the_tenants_priority_is_used);
	tcase_add_test(cases, settings_are_checked_without_a_connection);
	tcase_add_test(cases, every_connection_is_a_fresh_session);
	tcase_add_test(cases, octets_behind_the_220_end_it);
	tcase_add_test(cases, octets_that_only_the_kernel_has_end_it_too);
	tcase_add_test(cases, a_greeting_in_clear_where_tls_was_due_is_told);
	tcase_add_test(cases, a_greeting_in_clear_that_comes_late_is_told_in_the_same_words);
	tcase_add_test(cases, an_answer_that_is_no_tls_is_told);
	tcase_add_test(cases, a_refusal_of_the_handshake_is_told);
	tcase_add_test(cases, warnings_without_end_end_it);
	tcase_add_test(cases, silence_ends_at_the_deadline);
	tcase_add_test(cases, a_stop_ends_a_handshake);
	tcase_add_test(cases, a_close_before_the_handshake_is_told);
	tcase_add_test(cases, a_close_in_the_handshake_is_told);
	tcase_add_test(cases, a_handshake_cut_at_every_octet_succeeds);
	tcase_add_test_raise_signal(cases, starttls_inside_tls_is_our_own_mistake, SIGABRT);
	tcase_add_test(cases, authorities_are_shared_by_threads);
	return cases;
}
