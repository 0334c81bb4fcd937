/*
 * smtp_transport_stream.c - buffers that end, waits that end, and what a server said before it closed.
 */
#include "smtp/stream.h"

#include <linux/sockios.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "tests/unit/smtp_transport_test.h"

#define MUCH (4 * 1024 * 1024)

static int ends[2];
static struct stream *stream;
static char pattern[MUCH];

static void setup(void)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i * 7 + i / 251);
	peer_pair(ends);
	stream = stream_create(ends[0], NULL);
}

static void teardown(void)
{
	stream_close(&stream);
	ck_assert_ptr_null(stream);
	if (ends[1] >= 0)
		close(ends[1]);
}

static int64_t later(void)
{
	return deadline_after_ms(LONG_MS);
}

static void say(const char *text)
{
	ck_assert(peer_write_all(ends[1], text, strlen(text)));
}

/* Fills until exactly the text is there, however the network cut it. */
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

START_TEST(bytes_wait_until_they_are_consumed)
{
	size_t length;

	stream_input(stream, &length);
	ck_assert_uint_eq(length, 0);
	say("220 mail\r\n");
	expect_input("220 mail\r\n");
	stream_consume(stream, 4);
	expect_input("mail\r\n");
	say("more");
	expect_input("mail\r\nmore");
	stream_consume(stream, 10);
	stream_input(stream, &length);
	ck_assert_uint_eq(length, 0);
}
END_TEST

START_TEST(a_full_buffer_is_a_limit_not_a_growth)
{
	size_t length = 0;

	ck_assert(peer_write_all(ends[1], pattern, STREAM_IN_BYTES + 1));
	while (length < STREAM_IN_BYTES) {
		ck_assert_int_eq(stream_fill(stream, later()), OK);
		stream_input(stream, &length);
	}
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_LIMIT);
	stream_consume(stream, 1);
	ck_assert_int_eq(stream_fill(stream, later()), OK);
	ck_assert_mem_eq(stream_input(stream, &length), pattern + 1, STREAM_IN_BYTES);
}
END_TEST

START_TEST(silence_ends_at_the_deadline)
{
	int64_t deadline_ms = deadline_after_ms(SHORT_MS);

	ck_assert_int_eq(stream_fill(stream, deadline_ms), ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	say("late"); /* and the stream is as good as before */
	expect_input("late");
}
END_TEST

struct trickle {
	int fd;
	atomic_bool stop;
};

/* One octet at a time, as long as anybody takes them. */
static void *trickle_on(void *context)
{
	struct trickle *trickle = context;

	while (!atomic_load(&trickle->stop) && peer_write_all(trickle->fd, "x", 1)) {
		struct timespec pause = { 0, 1000000 }; /* the peer is slow: that is what it is */

		nanosleep(&pause, NULL);
	}
	return NULL;
}

START_TEST(a_peer_that_trickles_cannot_stretch_a_step)
{
	struct trickle trickle = { .fd = ends[1] };
	int64_t deadline_ms = deadline_after_ms(SHORT_MS);
	enum error error = OK;
	pthread_t thread;
	int octets = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, trickle_on, &trickle), 0);
	while (error == OK && octets < STREAM_IN_BYTES) {
		size_t length;

		error = stream_fill(stream, deadline_ms);
		stream_input(stream, &length);
		octets += (int)length;
		stream_consume(stream, length);
	}
	ck_assert_int_eq(error, ERROR_TIMEOUT);
	atomic_store(&trickle.stop, true);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_stop_ends_a_wait_and_its_owner_may_move_the_threshold)
{
	atomic_int level = 1;
	struct interrupt interrupt = { &level, 1 };

	stream_close(&stream);
	close(ends[1]);
	peer_pair(ends);
	stream = stream_create(ends[0], &interrupt);
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_INTERRUPTED);
	interrupt.threshold = 2;
	say("250 taken\r\n");
	expect_input("250 taken\r\n");
	ck_assert_int_eq(stream_fill(stream, deadline_after_ms(SHORT_MS)), ERROR_TIMEOUT);
}
END_TEST

START_TEST(what_was_said_before_the_end_is_read_and_then_the_end)
{
	say("221 bye\r\n");
	close(ends[1]);
	ends[1] = -1;
	expect_input("221 bye\r\n");
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
	ck_assert_int_eq(stream_fill_now(stream), ERROR_CLOSED);
	expect_input("221 bye\r\n");
}
END_TEST

START_TEST(fill_now_never_waits)
{
	size_t length;

	ck_assert_int_eq(stream_fill_now(stream), OK);
	stream_input(stream, &length);
	ck_assert_uint_eq(length, 0);
	say("421 idle\r\n");
	shutdown(ends[1], SHUT_WR);
	expect_input("421 idle\r\n");
	/* the end follows at once, but perhaps not in the same packet */
	while (stream_fill_now(stream) == OK)
		ck_assert_int_eq(wait_for(stream_fd(stream), POLLIN, later(), NULL), OK);
	expect_input("421 idle\r\n");
}
END_TEST

START_TEST(writing_blocks_only_when_the_buffer_is_full)
{
	char got[STREAM_OUT_BYTES];

	ck_assert_int_eq(stream_write(stream, pattern, STREAM_OUT_BYTES, 0), OK); /* a deadline long past */
	ck_assert_uint_eq(stream_given(stream), STREAM_OUT_BYTES);
	ck_assert_uint_eq(stream_sent(stream), 0);
	ck_assert_int_eq(recv(ends[1], got, 1, MSG_DONTWAIT), -1); /* nothing was written yet */
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	ck_assert_uint_eq(stream_sent(stream), STREAM_OUT_BYTES);
	ck_assert(peer_read_all(ends[1], got, sizeof(got)));
	ck_assert_mem_eq(got, pattern, sizeof(got));
}
END_TEST

/* What waited is dropped and no longer counts; reading goes on. */
START_TEST(output_that_has_ended_says_nothing_more)
{
	char got[3];

	ck_assert_int_eq(stream_write(stream, "abc", 3, later()), OK);
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	ck_assert_int_eq(stream_write(stream, "def", 3, later()), OK);
	stream_end_output(stream);
	ck_assert_uint_eq(stream_given(stream), 3);
	ck_assert_uint_eq(stream_sent(stream), 3);
	ck_assert_int_eq(stream_write(stream, "g", 1, later()), ERROR_CLOSED);
	say("250 ok\r\n");
	ck_assert_int_eq(stream_fill(stream, later()), OK);
	expect_input("250 ok\r\n");
	ck_assert(peer_read_all(ends[1], got, sizeof(got)));
	ck_assert_mem_eq(got, "abc", 3);
	ck_assert_int_eq(recv(ends[1], got, 1, MSG_DONTWAIT), -1);
}
END_TEST

START_TEST(fill_hands_on_what_was_not_flushed)
{
	char got[6];

	ck_assert_int_eq(stream_write(stream, "NOOP\r\n", 6, later()), OK);
	ck_assert_int_eq(stream_fill(stream, deadline_after_ms(SHORT_MS)), ERROR_TIMEOUT);
	ck_assert(peer_read_all(ends[1], got, sizeof(got)));
	ck_assert_mem_eq(got, "NOOP\r\n", 6);
}
END_TEST

/* Reads all of the pattern and says once that it was the same. */
static void *swallow(void *context)
{
	int fd = *(int *)context;
	char *got = malloc(MUCH);
	bool same = peer_read_all(fd, got, MUCH) && memcmp(got, pattern, MUCH) == 0;

	free(got);
	peer_write_all(fd, same ? "250 same\r\n" : "550 differs\r\n", same ? 10 : 13);
	return NULL;
}

START_TEST(much_arrives_whole_and_in_order)
{
	pthread_t thread;
	size_t part = 1;

	ck_assert_int_eq(pthread_create(&thread, NULL, swallow, &ends[1]), 0);
	for (size_t at = 0; at < MUCH; at += part, part = part * 3 % 50021 + 1) {
		if (part > MUCH - at)
			part = MUCH - at;
		ck_assert_int_eq(stream_write(stream, pattern + at, part, later()), OK);
	}
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	expect_input("250 same\r\n");
	pthread_join(thread, NULL);
}
END_TEST

/* A server that listens again only when all that it said was read. */
static void *talk_first(void *context)
{
	int fd = *(int *)context, unread = 1;

	peer_write_all(fd, pattern, STREAM_IN_BYTES);
	for (int i = 0; i < LONG_MS && unread > 0; i++) {
		struct timespec pause = { 0, 1000000 }; /* nothing wakes who waits for the other's reading */

		ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &unread), 0);
		if (unread > 0)
			nanosleep(&pause, NULL);
	}
	return unread > 0 ? NULL : swallow(context);
}

START_TEST(two_full_pipes_do_not_wait_for_each_other)
{
	pthread_t thread;
	size_t length;

	/* a local socket knows how much of what was said the other has read */
	stream_close(&stream);
	close(ends[1]);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	stream = stream_create(ends[0], NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, talk_first, &ends[1]), 0);
	/* far more than the pipe holds while nobody reads there */
	ck_assert_int_eq(stream_write(stream, pattern, MUCH, later()), OK);
	ck_assert_mem_eq(stream_input(stream, &length), pattern, STREAM_IN_BYTES);
	ck_assert_uint_eq(length, STREAM_IN_BYTES);
	stream_consume(stream, length);
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	expect_input("250 same\r\n");
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_peer_that_does_not_read_ends_at_the_deadline)
{
	int64_t deadline_ms = deadline_after_ms(SHORT_MS);
	enum error error = OK;

	for (int i = 0; i < 64 && error == OK; i++)
		error = stream_write(stream, pattern, MUCH, deadline_ms);
	ck_assert_int_eq(error, ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
}
END_TEST

START_TEST(the_421_before_a_reset_is_still_read)
{
	enum error error = OK;
	char first[1];

	/* the server hears the beginning, says why it goes, and closes with our octets unread: a reset */
	ck_assert_int_eq(stream_write(stream, pattern, 100, later()), OK);
	ck_assert_int_eq(stream_flush(stream, later()), OK);
	ck_assert(peer_read_all(ends[1], first, 1));
	say("421 4.3.2 shutting down\r\n");
	close(ends[1]);
	ends[1] = -1;
	for (int i = 0; i < 64 && error == OK; i++)
		error = stream_write(stream, pattern, MUCH, later());
	ck_assert_int_eq(error, ERROR_CLOSED);
	expect_input("421 4.3.2 shutting down\r\n");
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
}
END_TEST

START_TEST(a_write_error_does_not_hide_what_comes_later)
{
	enum error error = OK;

	/* the server stops reading, then says why: our write fails first */
	shutdown(stream_fd(stream), SHUT_WR);
	for (int i = 0; i < 2 && error == OK; i++) {
		error = stream_write(stream, "MAIL", 4, later());
		if (error == OK)
			error = stream_flush(stream, later());
	}
	ck_assert_int_eq(error, ERROR_CLOSED);
	ck_assert_int_eq(stream_write(stream, "x", 1, later()), ERROR_CLOSED);
	say("421 ");
	expect_input("421 ");
	say("too late\r\n");
	expect_input("421 too late\r\n");
}
END_TEST

struct haste {
	pthread_t waiter;
	atomic_bool stop;
};

/* Time passes for who waits: a second at each turn. */
static void *hasten(void *context)
{
	struct haste *haste = context;

	while (!atomic_load(&haste->stop)) {
		struct timespec pause = { 0, 1000000 };

		clock_move_ms(1000);
		wait_wake(haste->waiter);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

START_TEST(a_write_error_is_not_waited_on_for_an_answer)
{
	struct haste haste = { .waiter = pthread_self() };
	int64_t deadline_ms = deadline_after_ms(LONG_MS * 1000);
	pthread_t thread;

	/* as under a firewall's rule: what we say is refused here, and the server knows nothing of it */
	shutdown(stream_fd(stream), SHUT_WR);
	ck_assert_int_eq(stream_write(stream, "NOOP\r\n", 6, deadline_ms), OK);
	ck_assert_int_eq(pthread_create(&thread, NULL, hasten, &haste), 0);
	ck_assert_int_eq(stream_fill(stream, deadline_ms), ERROR_CLOSED);
	ck_assert_int_eq(stream_fill(stream, deadline_ms), ERROR_CLOSED);
	atomic_store(&haste.stop, true);
	pthread_join(thread, NULL);
	ck_assert_int_lt(clock_monotonic_ms(), deadline_ms);
}
END_TEST

START_TEST(a_lost_peer_kills_nobody_by_signal)
{
	close(ends[1]);
	ends[1] = -1;
	/* the second one meets the reset: SIGPIPE would end this process */
	for (int i = 0; i < 3; i++) {
		stream_write(stream, "QUIT\r\n", 6, later());
		stream_flush(stream, later());
		stream_fill_now(stream);
	}
	ck_assert_int_eq(stream_fill(stream, later()), ERROR_CLOSED);
}
END_TEST

TCase *smtp_transport_stream_cases(void)
{
	TCase *cases = tcase_create("stream");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, bytes_wait_until_they_are_consumed);
	tcase_add_test(cases, a_full_buffer_is_a_limit_not_a_growth);
	tcase_add_test(cases, silence_ends_at_the_deadline);
	tcase_add_test(cases, a_peer_that_trickles_cannot_stretch_a_step);
	tcase_add_test(cases, a_stop_ends_a_wait_and_its_owner_may_move_the_threshold);
	tcase_add_test(cases, what_was_said_before_the_end_is_read_and_then_the_end);
	tcase_add_test(cases, fill_now_never_waits);
	tcase_add_test(cases, writing_blocks_only_when_the_buffer_is_full);
	tcase_add_test(cases, output_that_has_ended_says_nothing_more);
	tcase_add_test(cases, fill_hands_on_what_was_not_flushed);
	tcase_add_test(cases, much_arrives_whole_and_in_order);
	tcase_add_test(cases, two_full_pipes_do_not_wait_for_each_other);
	tcase_add_test(cases, a_peer_that_does_not_read_ends_at_the_deadline);
	tcase_add_test(cases, the_421_before_a_reset_is_still_read);
	tcase_add_test(cases, a_write_error_does_not_hide_what_comes_later);
	tcase_add_test(cases, a_write_error_is_not_waited_on_for_an_answer);
	tcase_add_test(cases, a_lost_peer_kills_nobody_by_signal);
	return cases;
}
