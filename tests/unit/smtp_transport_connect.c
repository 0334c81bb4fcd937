/*
 * smtp_transport_connect.c - the first address that answers, and what the others cost.
 */
#include "smtp/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "tests/unit/smtp_transport_test.h"

#define RESETS 2000

static struct resolved resolved;
static struct words words;
static int fd, used;

static void setup(void)
{
	memset(&resolved, 0, sizeof(resolved));
	strcpy(words.text, "untouched");
	fd = used = -2;
}

/* A port of loopback on which nobody listens. */
static int free_port(const char *host)
{
	int port = 0, listener = peer_listen(host, &port);

	ck_assert_int_ge(listener, 0);
	close(listener);
	return port;
}

static enum error try_all(const char *bind_address)
{
	return connect_any(&resolved, bind_address, deadline_after_ms(LONG_MS), NULL, &fd, &used, &words);
}

START_TEST(a_connection_is_nonblocking_private_and_without_delay)
{
	int port, on = 0, listener = peer_listen("127.0.0.1", &port);
	socklen_t length = sizeof(on);

	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(try_all(NULL), OK);
	ck_assert_int_eq(used, 0);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
	ck_assert_int_ne(on, 0);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(a_refusal_names_address_and_reason)
{
	char wanted[200];
	int port = free_port("127.0.0.1");

	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(try_all(NULL), ERROR_CLOSED);
	ck_assert_int_eq(fd, -1);
	snprintf(wanted, sizeof(wanted), "connecting to 127.0.0.1 port %d: %s", port, strerror(ECONNREFUSED));
	ck_assert_str_eq(words.text, wanted);
}
END_TEST

START_TEST(the_next_address_is_tried_after_a_refusal)
{
	int port, listener = peer_listen("127.0.0.1", &port);

	peer_address(&resolved, "127.0.0.1", free_port("127.0.0.1"));
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(try_all(NULL), OK);
	ck_assert_int_eq(used, 1);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(ipv6_falls_back_to_ipv4)
{
	int port, six_port, listener = peer_listen("127.0.0.1", &port), six = peer_listen("::1", &six_port);

	/* without IPv6 on this machine the first one fails in another way: the second is reached just so */
	peer_address(&resolved, "::1", six >= 0 ? six_port : 1);
	if (six >= 0)
		close(six);
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(try_all(NULL), OK);
	ck_assert_int_eq(used, 1);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(ipv6_connects)
{
	int port, listener = peer_listen("::1", &port);

	if (listener < 0)
		return; /* a machine without IPv6 */
	peer_address(&resolved, "::1", port);
	ck_assert_int_eq(try_all("::1"), OK);
	close(fd);
	close(listener);
}
END_TEST

/* Fills the queue of a listener that accepts nobody, so that a further SYN is not answered. */
static int deaf_listener(int *port, int held[64])
{
	int listener = peer_listen("127.0.0.1", port), count = 0;
	struct resolved to = { .count = 0 };
	struct words why;
	int index;

	ck_assert_int_eq(listen(listener, 0), 0);
	peer_address(&to, "127.0.0.1", *port);
	while (count < 64 &&
	       connect_any(&to, NULL, deadline_after_ms(SHORT_MS), NULL, &held[count], &index, &why) == OK)
		count++;
	ck_assert_int_lt(count, 64);
	return listener;
}

START_TEST(an_address_that_never_answers_costs_its_share_only)
{
	int port, deaf_port, held[64], listener = peer_listen("127.0.0.1", &port);
	int64_t deadline_ms;

	deaf_listener(&deaf_port, held);
	peer_address(&resolved, "127.0.0.1", deaf_port);
	peer_address(&resolved, "127.0.0.1", port);
	deadline_ms = deadline_after_ms(2000);
	ck_assert_int_eq(connect_any(&resolved, NULL, deadline_ms, NULL, &fd, &used, &words), OK);
	ck_assert_int_eq(used, 1);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(the_deadline_ends_it_with_words)
{
	int port, held[64];
	int64_t deadline_ms;

	deaf_listener(&port, held);
	peer_address(&resolved, "127.0.0.1", port);
	deadline_ms = deadline_after_ms(SHORT_MS);
	ck_assert_int_eq(connect_any(&resolved, NULL, deadline_ms, NULL, &fd, &used, &words), ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	ck_assert_int_eq(fd, -1);
	ck_assert_ptr_nonnull(strstr(words.text, "no answer in time"));
}
END_TEST

START_TEST(a_stop_ends_it)
{
	atomic_int level = 1;
	struct interrupt interrupt = { &level, 1 };
	int port, held[64];

	deaf_listener(&port, held);
	peer_address(&resolved, "127.0.0.1", port);
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(
		connect_any(&resolved, NULL, deadline_after_ms(LONG_MS), &interrupt, &fd, &used, &words),
		ERROR_INTERRUPTED);
	ck_assert_int_eq(used, 0); /* and no further address is tried */
}
END_TEST

/* Resets each connection as soon as it is there. */
static void *reset_all(void *argument)
{
	const struct linger at_once = { 1, 0 };
	int listener = *(int *)argument;

	for (int i = 0; i < RESETS; i++) {
		int end;

		do
			end = accept(listener, NULL, NULL);
		while (end < 0 && errno == EAGAIN);
		if (end < 0)
			return NULL;
		setsockopt(end, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(end);
	}
	return NULL;
}

START_TEST(a_connection_that_is_reset_at_once_was_there)
{
	int port, listener = peer_listen("127.0.0.1", &port);
	char byte;
	pthread_t thread;

	fcntl(listener, F_SETFL, O_NONBLOCK); /* it spins, to be quick enough */
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(pthread_create(&thread, NULL, reset_all, &listener), 0);
	for (int i = 0; i < RESETS; i++) {
		ck_assert_msg(try_all(NULL) == OK, "%s", words.text);
		ck_assert_int_eq(wait_for(fd, POLLIN, deadline_after_ms(LONG_MS), NULL), OK);
		ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
		close(fd);
	}
	pthread_join(thread, NULL);
	close(listener);
}
END_TEST

START_TEST(bind_address_is_where_it_comes_from)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	int port, end, listener = peer_listen("127.0.0.1", &port);

	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(try_all("127.0.0.5"), OK);
	end = accept(listener, (struct sockaddr *)&from, &length);
	ck_assert_int_ge(end, 0);
	ck_assert_uint_eq(ntohl(from.sin_addr.s_addr), 0x7f000005);
	close(end);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(bind_address_chooses_the_family)
{
	int port, listener = peer_listen("127.0.0.1", &port);

	peer_address(&resolved, "::1", port);
	ck_assert_int_eq(try_all("0.0.0.0"), ERROR_CLOSED);
	ck_assert_ptr_nonnull(strstr(words.text, "no IPv4 address"));
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(try_all("0.0.0.0"), OK);
	ck_assert_int_eq(used, 1);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(a_bind_address_of_no_use_is_told)
{
	peer_address(&resolved, "127.0.0.1", 1);
	ck_assert_int_eq(try_all("198.51.100.7"), ERROR_CLOSED); /* not ours: RFC 5737 */
	ck_assert_ptr_nonnull(strstr(words.text, "bind_address 198.51.100.7 cannot be used"));
	ck_assert_int_eq(try_all("mail.acme.example"), ERROR_INVALID);
	ck_assert_str_eq(words.text, "bind_address 'mail.acme.example' is not an IP address");
}
END_TEST

START_TEST(no_descriptor_means_wait)
{
	struct rlimit limit, none;
	int port, listener = peer_listen("127.0.0.1", &port);

	peer_address(&resolved, "127.0.0.1", port);
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(try_all(NULL), ERROR_UNAVAILABLE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(fd, -1);
	ck_assert_str_ne(words.text, "untouched");
	close(listener);
}
END_TEST

TCase *smtp_transport_connect_cases(void)
{
	TCase *cases = tcase_create("connect");

	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, a_connection_is_nonblocking_private_and_without_delay);
	tcase_add_test(cases, a_refusal_names_address_and_reason);
	tcase_add_test(cases, the_next_address_is_tried_after_a_refusal);
	tcase_add_test(cases, ipv6_falls_back_to_ipv4);
	tcase_add_test(cases, ipv6_connects);
	tcase_add_test(cases, an_address_that_never_answers_costs_its_share_only);
	tcase_add_test(cases, the_deadline_ends_it_with_words);
	tcase_add_test(cases, a_stop_ends_it);
	tcase_add_test(cases, a_connection_that_is_reset_at_once_was_there);
	tcase_add_test(cases, bind_address_is_where_it_comes_from);
	tcase_add_test(cases, bind_address_chooses_the_family);
	tcase_add_test(cases, a_bind_address_of_no_use_is_told);
	tcase_add_test(cases, no_descriptor_means_wait);
	return cases;
}
