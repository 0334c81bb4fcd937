/*
 * smtp_transport_records.c - octets in TLS: slow peers, full pipes, ends of every kind.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/smtp_transport_test.h"
#include "tests/unit/smtp_transport_tls.h"

#define MUCH (2 * 1024 * 1024)

static struct tls_server server;
static struct stream *stream;
static int ends[2];
static char pattern[MUCH];

static void setup(void)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i * 11 + i / 241);
	memset(&server, 0, sizeof(server));
	server.chain[0] = identity_make(&(struct identity_settings){ .names = { "mail.acme.example" } });
	server.chain_length = 1;
}

static int64_t later(void)
{
	return deadline_after_ms(LONG_MS);
}

static void begin(void (*serve)(struct tls_server *, gnutls_session_t), const char *priority)
{
	struct words words;

	server.serve = serve;
	server.priority = priority;
	peer_pair(ends);
	tls_server_start(&server, ends[1]);
	stream = stream_create(ends[0], NULL);
	ck_assert_int_eq(stream_start_tls(stream,
	                                  &(struct tls_settings){ peer_tenant("tls_verify", "none", NULL),
	                                                          NULL, NULL },
	                                  later(), &words),
	                 OK);
}

static void end(void)
{
	stream_close(&stream);
	tls_server_join(&server);
}

static void expect_input(const char *text)
{
	size_t length = 0;
	const char *input = stream_input(stream, &length);

	while (length < strlen(text)) {
		ck_assert_int_eq(stream_fill(stream, later()), OK);
		input = stream_input(stream, &length);
	}
	ck_assert_uint_eq(length, strlen(text));
	ck_assert_mem_eq(input, text, length);
}

static void swallow(struct tls_server *mine, gnutls_session_t session)
{
	char *got = malloc(MUCH);
	ssize_t rc = 1;

	while (mine->octets < MUCH && rc > 0) {
		/* small bites, so that our pipe is full most of the time */
		rc = gnutls_record_recv(session, got + mine->octets,
		                        MUCH - mine->octets > 777 ? 777 : (size_t)(MUCH - mine->octets));
		mine->octets += rc > 0 ? rc : 0;
	}
	if (mine->octets == MUCH && memcmp(got, pattern, MUCH) == 0)
		gnutls_record_send(session, "250 same\r\n", 10);
	free(got);
	mine->ended = (int)gnutls_record_recv(session, &rc, 1);
}

START_TEST(much_arrives_whole_and_in_order)
{
	size_t part = 1;
	int small = 4096;

	begin(swallow, NULL);
	ck_assert_int_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (size_t at = 0; at < MUCH; at += part, part = part * 3 % 50021 + 1) {
		if (part > MUCH - at)
			part = MUCH - at;
		ck_assert_int_eq(stream_write(stream, pattern + at, part, later()), OK);
	}
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	expect_input("250 same\r\n");
	end();
	ck_assert_int_eq(server.ended, 0); /* close_notify */
}
END_TEST

START_TEST(records_larger_than_our_buffer_are_read_in_parts)
{
	size_t done = 0;

	begin(NULL, NULL);
	ck_assert_int_eq(stream_write(stream, pattern, STREAM_OUT_BYTES, later()), OK);
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	while (done < STREAM_OUT_BYTES) {
		size_t length;
		const char *input;

		/* what is decrypted already is found without the socket */
		ck_assert_int_eq(stream_fill(stream, later()), OK);
		input = stream_input(stream, &length);
		ck_assert_mem_eq(input, pattern + done, length);
		done += length;
		stream_consume(stream, length);
	}
	end();
}
END_TEST

START_TEST(fill_now_never_waits)
{
	size_t length;

	begin(NULL, NULL);
	ck_assert_int_eq(stream_fill_now(stream), OK);
	stream_input(stream, &length);
	ck_assert_uint_eq(length, 0);
	end();
}
END_TEST

START_TEST(silence_ends_at_the_deadline)
{
	int64_t deadline_ms;

	begin(NULL, NULL);
	deadline_ms = deadline_after_ms(SHORT_MS);
	ck_assert_int_eq(stream_fill(stream, deadline_ms), ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	end();
}
END_TEST

static void say_and_leave(struct tls_server *mine, gnutls_session_t session)
{
	(void)mine;
	gnutls_record_send(session, "221 bye\r\n", 9);
	gnutls_bye(session, GNUTLS_SHUT_WR);
}

START_TEST(a_farewell_is_an_end)
{
	begin(say_and_leave, NULL);
	expect_input("221 bye\r\n");
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
	end();
}
END_TEST

static void say_and_drop(struct tls_server *mine, gnutls_session_t session)
{
	(void)mine;
	gnutls_record_send(session, "421 bye\r\n", 9);
}

START_TEST(an_end_without_farewell_is_one_too)
{
	begin(say_and_drop, NULL);
	expect_input("421 bye\r\n");
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
	end();
}
END_TEST

/* Hears the beginning, says why it goes, and goes with our octets unread. */
static void refuse_and_drop(struct tls_server *mine, gnutls_session_t session)
{
	char first;

	gnutls_record_recv(session, &first, 1);
	say_and_drop(mine, session);
}

START_TEST(the_421_before_a_reset_is_still_read)
{
	enum error error = OK;

	begin(refuse_and_drop, NULL);
	for (int i = 0; i < 64 && error == OK; i++)
		error = stream_write(stream, pattern, MUCH, later());
	ck_assert_int_eq(error, ERROR_CLOSED);
	expect_input("421 bye\r\n");
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
	end();
}
END_TEST

START_TEST(a_write_error_does_not_hide_what_was_said)
{
	enum error error = OK;

	begin(refuse_and_drop, NULL);
	ck_assert_int_eq(stream_write(stream, "x", 1, later()), OK);
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	tls_server_join(&server);   /* it has spoken and gone */
	shutdown(ends[0], SHUT_WR); /* and our next octet cannot go: the write fails before any read */
	error = stream_write(stream, "MAIL", 4, later());
	if (error == OK)
		error = stream_flush(stream, later());
	ck_assert_int_eq(error, ERROR_CLOSED);
	expect_input("421 bye\r\n");
	stream_close(&stream);
}
END_TEST

static void ask_for_another_handshake(struct tls_server *mine, gnutls_session_t session)
{
	char answer;

	gnutls_rehandshake(session);
	mine->ended = (int)gnutls_record_recv(session, &answer, 1);
}

START_TEST(a_second_handshake_is_refused)
{
	begin(ask_for_another_handshake, "NORMAL:-VERS-ALL:+VERS-TLS1.2");
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_PROTOCOL);
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_PROTOCOL);
	end();
	ck_assert_int_le(server.ended, 0);
}
END_TEST

static void renew_keys(struct tls_server *mine, gnutls_session_t session)
{
	for (int i = 0; i < 3; i++) {
		gnutls_session_key_update(session, GNUTLS_KU_PEER);
		gnutls_record_send(session, "250 ok\r\n", 8);
	}
	tls_server_echo(mine, session);
}

START_TEST(new_keys_of_tls_1_3_are_followed)
{
	begin(renew_keys, "NORMAL:-VERS-ALL:+VERS-TLS1.3");
	expect_input("250 ok\r\n250 ok\r\n250 ok\r\n");
	stream_consume(stream, 24);
	ck_assert_int_eq(stream_write(stream, "NOOP", 4, later()), OK);
	expect_input("NOOP");
	end();
	ck_assert_int_eq(server.ended, 0);
}
END_TEST

static void break_a_record(struct tls_server *mine, gnutls_session_t session)
{
	char answer;

	peer_write_all(mine->fd, "\x17\x03\x03\0\x20garbage garbage garbage garbage!", 37);
	mine->ended = (int)gnutls_record_recv(session, &answer, 1);
}

START_TEST(a_broken_record_is_a_broken_protocol)
{
	begin(break_a_record, NULL);
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_PROTOCOL);
	ck_assert_int_eq(stream_fill_now(stream), ERROR_PROTOCOL);
	end();
}
END_TEST

static void end_in_clear(struct tls_server *mine, gnutls_session_t session)
{
	char answer;

	peer_write_all(mine->fd, "250 in clear\r\n", 14);
	mine->ended = (int)gnutls_record_recv(session, &answer, 1);
}

START_TEST(clear_text_inside_tls_is_never_input)
{
	size_t length;

	begin(end_in_clear, NULL);
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_PROTOCOL);
	stream_input(stream, &length);
	ck_assert_uint_eq(length, 0);
	end();
}
END_TEST

TCase *smtp_transport_records_cases(void)
{
	TCase *cases = tcase_create("records");

	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, much_arrives_whole_and_in_order);
	tcase_add_test(cases, records_larger_than_our_buffer_are_read_in_parts);
	tcase_add_test(cases, fill_now_never_waits);
	tcase_add_test(cases, silence_ends_at_the_deadline);
	tcase_add_test(cases, a_farewell_is_an_end);
	tcase_add_test(cases, an_end_without_farewell_is_one_too);
	tcase_add_test(cases, the_421_before_a_reset_is_still_read);
	tcase_add_test(cases, a_write_error_does_not_hide_what_was_said);
	tcase_add_test(cases, a_second_handshake_is_refused);
	tcase_add_test(cases, new_keys_of_tls_1_3_are_followed);
	tcase_add_test(cases, a_broken_record_is_a_broken_protocol);
	tcase_add_test(cases, clear_text_inside_tls_is_never_input);
	return cases;
}
