/*
 * smtp_transport_resolve.c - names asked of a small name server of our own.
 */
#include "smtp/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/smtp_transport_test.h"

enum behaviour { BEHAVE_ANSWER, BEHAVE_SILENT, BEHAVE_TRUNCATE };

/* Answers by the name that is asked for: see answer(). */
struct name_server {
	int udp, tcp, stop[2], port;
	atomic_int behaviour; /* enum behaviour */
	unsigned char mark;   /* last octet of its IPv4 answers */
	atomic_int asked, asked_by_tcp;
	pthread_t thread;
};

#define TYPE_A    1
#define TYPE_AAAA 28

/* The labels of a question as text; the offset behind it. */
static size_t read_name(const unsigned char *query, size_t length, char name[256])
{
	size_t at = 12, out = 0;

	while (at < length && query[at] != 0) {
		size_t label = query[at++];

		for (size_t i = 0; i < label && at < length && out < 254; i++)
			name[out++] = (char)query[at++];
		name[out++] = '.';
	}
	name[out > 0 ? out - 1 : 0] = '\0';
	return at + 1;
}

static size_t add_record(unsigned char *reply, size_t at, int type, const void *data, size_t size)
{
	const unsigned char head[] = { 0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0,
		                       0,    60, 0, (unsigned char)size };

	memcpy(reply + at, head, sizeof(head));
	memcpy(reply + at + sizeof(head), data, size);
	reply[7]++; /* number of answers, below 256 */
	return at + sizeof(head) + size;
}

/*
 * both.example: IPv6 and IPv4; four.example: IPv4 alone; many.example: 40 of them; none.example: no
 * address; broken.example: SERVFAIL; refused.example: REFUSED; any other: no such name.
 */
static size_t answer(const struct name_server *server, const unsigned char *query, size_t length,
                     unsigned char reply[2048], bool truncate)
{
	const unsigned char four[4] = { 192, 0, 2, server->mark }, six[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	char name[256];
	size_t end = read_name(query, length, name), at = end + 4;
	int type;

	if (length < 17 || at > length)
		return 0;
	type = query[end + 1];
	memcpy(reply, query, at);
	memset(reply + 6, 0, 6);
	reply[2] = 0x81 | (truncate ? 0x02 : 0); /* a reply, recursion as asked */
	reply[3] = 0x80;
	reply[5] = 1;
	if (truncate)
		return at;
	if (strcmp(name, "broken.example") == 0)
		reply[3] |= 2;
	else if (strcmp(name, "refused.example") == 0)
		reply[3] |= 5;
	else if (strcmp(name, "both.example") == 0 || strcmp(name, "xn--mller-kva.example") == 0)
		at = type == TYPE_A ? add_record(reply, at, type, four, 4)
		                    : add_record(reply, at, type, six, 16);
	else if (strcmp(name, "four.example") == 0 || strcmp(name, "many.example") == 0)
		for (int i = 0; type == TYPE_A && i < (name[0] == 'm' ? 40 : 1); i++)
			at = add_record(reply, at, type,
			                (unsigned char[]){ 192, 0, 2, (unsigned char)(server->mark + i) }, 4);
	else if (strcmp(name, "none.example") != 0)
		reply[3] |= 3;
	return at;
}

static void serve_udp(struct name_server *server)
{
	unsigned char query[2048], reply[2048];
	struct sockaddr_storage from;
	socklen_t from_length = sizeof(from);
	ssize_t got = recvfrom(server->udp, query, sizeof(query), 0, (struct sockaddr *)&from, &from_length);
	size_t length;

	if (got <= 0)
		return;
	atomic_fetch_add(&server->asked, 1);
	if (atomic_load(&server->behaviour) == BEHAVE_SILENT)
		return;
	length = answer(server, query, (size_t)got, reply,
	                atomic_load(&server->behaviour) == BEHAVE_TRUNCATE);
	sendto(server->udp, reply, length, 0, (struct sockaddr *)&from, from_length);
}

/* All questions of one connection, each behind its length (RFC 7766 8). */
static void serve_tcp(struct name_server *server)
{
	int fd = accept(server->tcp, NULL, NULL);
	unsigned char query[2048], reply[2050];

	while (peer_read_all(fd, query, 2)) {
		size_t length = (size_t)(query[0] << 8 | query[1]);

		if (length > sizeof(query) || !peer_read_all(fd, query, length))
			break;
		atomic_fetch_add(&server->asked_by_tcp, 1);
		length = answer(server, query, length, reply + 2, false);
		reply[0] = (unsigned char)(length >> 8);
		reply[1] = (unsigned char)length;
		peer_write_all(fd, reply, length + 2);
	}
	close(fd);
}

static void *serve(void *context)
{
	struct name_server *server = context;
	struct pollfd fds[] = { { server->udp, POLLIN, 0 },
		                { server->tcp, POLLIN, 0 },
		                { server->stop[0], POLLIN, 0 } };

	while (poll(fds, 3, -1) > 0 && !fds[2].revents) {
		if (fds[0].revents)
			serve_udp(server);
		if (fds[1].revents)
			serve_tcp(server);
	}
	return NULL;
}

/* UDP and TCP on one port of the address; false if another has the UDP one. */
static bool try_bind(struct name_server *server, const char *address)
{
	struct sockaddr_in here = { .sin_family = AF_INET };

	inet_pton(AF_INET, address, &here.sin_addr);
	if (server->port == 0) {
		server->tcp = peer_listen(address, &server->port);
	} else {
		here.sin_port = htons((uint16_t)server->port);
		server->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(server->tcp, (struct sockaddr *)&here, sizeof(here)) < 0 ||
		    listen(server->tcp, 5) < 0)
			return false;
	}
	here.sin_port = htons((uint16_t)server->port);
	server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return bind(server->udp, (struct sockaddr *)&here, sizeof(here)) == 0;
}

static void start(struct name_server *server, const char *address, int port, unsigned char mark)
{
	memset(server, 0, sizeof(*server));
	server->mark = mark;
	for (int tries = 0;; tries++) {
		server->port = port;
		if (try_bind(server, address))
			break;
		close(server->tcp);
		close(server->udp);
		ck_assert_int_lt(tries, 20);
	}
	ck_assert_int_eq(pipe(server->stop), 0);
	ck_assert_int_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct name_server *server)
{
	close(server->stop[1]);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	close(server->udp);
	close(server->tcp);
}

static struct name_server server;
static struct resolver *resolver;
static struct resolved found;
static struct words words;

static void setup(void)
{
	char servers[32];

	start(&server, "127.0.0.1", 0, 10);
	snprintf(servers, sizeof(servers), "127.0.0.1:%d", server.port);
	ck_assert_int_eq(resolver_create(servers, &resolver, &words), OK);
}

static void teardown(void)
{
	resolver_destroy(&resolver);
	ck_assert_ptr_null(resolver);
	stop(&server);
}

static enum error ask(const char *host, int family)
{
	memset(&found, 0xee, sizeof(found));
	strcpy(words.text, "untouched");
	return resolve(resolver, host, 587, family, deadline_after_ms(LONG_MS), NULL, &found, &words);
}

/* "ADDRESS port" of a result. */
static const char *text_of(int i)
{
	static char text[80];
	char address[INET6_ADDRSTRLEN];
	const struct sockaddr_in *four = (const void *)&found.addresses[i];
	const struct sockaddr_in6 *six = (const void *)&found.addresses[i];

	if (four->sin_family == AF_INET)
		inet_ntop(AF_INET, &four->sin_addr, address, sizeof(address));
	else
		inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof(address));
	snprintf(text, sizeof(text), "%s %d", address, ntohs(four->sin_port));
	return text;
}

static bool has(const char *text)
{
	for (int i = 0; i < found.count; i++)
		if (strcmp(text_of(i), text) == 0)
			return true;
	return false;
}

START_TEST(servers_that_are_none_are_refused_at_once)
{
	static const char *const none[] = { "nonsense", "127.0.0.1:x", "300.1.1.1:53",
		                            "127.0.0.1 ,127.0.0.2" };

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct resolver *other;

		ck_assert_int_eq(resolver_create(none[i], &other, &words), ERROR_INVALID);
		ck_assert_ptr_null(other);
		ck_assert_ptr_nonnull(strstr(words.text, none[i]));
	}
}
END_TEST

START_TEST(both_families_come_with_the_port)
{
	ck_assert_int_eq(ask("both.example", AF_UNSPEC), OK);
	ck_assert_int_eq(found.count, 2);
	ck_assert(has("192.0.2.10 587"));
	ck_assert(has("2001:db8::1 587"));
	ck_assert_int_eq(ask("four.example", AF_UNSPEC), OK);
	ck_assert_int_eq(found.count, 1);
}
END_TEST

START_TEST(a_family_asks_for_that_alone)
{
	ck_assert_int_eq(ask("both.example", AF_INET6), OK);
	ck_assert_int_eq(found.count, 1);
	ck_assert_str_eq(text_of(0), "2001:db8::1 587");
	ck_assert_int_eq(ask("both.example", AF_INET), OK);
	ck_assert_str_eq(text_of(0), "192.0.2.10 587");
	ck_assert_int_eq(atomic_load(&server.asked), 2);
}
END_TEST

START_TEST(more_than_we_keep_are_dropped)
{
	ck_assert_int_eq(ask("many.example", AF_INET), OK);
	ck_assert_int_eq(found.count, RESOLVED_MAX);
}
END_TEST

START_TEST(a_literal_asks_nobody)
{
	static const struct {
		const char *host, *text;
		int family;
	} cases[] = {
		{ "192.0.2.77", "192.0.2.77 587", AF_UNSPEC },
		{ "[192.0.2.77]", "192.0.2.77 587", AF_INET },
		{ "2001:db8::77", "2001:db8::77 587", AF_INET6 },
		{ "[2001:db8::77]", "2001:db8::77 587", AF_UNSPEC },
		{ "[IPv6:2001:db8::77]", "2001:db8::77 587", AF_UNSPEC },
		{ "fe80::1%lo", "fe80::1 587", AF_UNSPEC },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(ask(cases[i].host, cases[i].family) == OK, "%s: %s", cases[i].host, words.text);
		ck_assert_int_eq(found.count, 1);
		ck_assert_str_eq(text_of(0), cases[i].text);
	}
	ck_assert_int_eq(ask("2001:db8::77", AF_INET), ERROR_NOT_FOUND);
	ck_assert_str_eq(words.text, "2001:db8::77 is not an IPv4 address");
	ck_assert_int_eq(atomic_load(&server.asked), 0);
}
END_TEST

START_TEST(the_hosts_file_asks_nobody)
{
	ck_assert_int_eq(ask("localhost", AF_INET), OK);
	ck_assert_str_eq(text_of(0), "127.0.0.1 587");
	ck_assert_int_eq(atomic_load(&server.asked), 0);
}
END_TEST

/* The first name of /etc/hosts that is not localhost, which c-ares would know by itself. */
static bool name_in_hosts(char name[256], char address[64])
{
	FILE *hosts = fopen("/etc/hosts", "r");
	char line[512];
	bool taken = false;

	while (hosts && !taken && fgets(line, sizeof(line), hosts))
		taken = line[0] != '#' && sscanf(line, "%63s %255s", address, name) == 2 &&
		        !strstr(name, "localhost") && strchr(address, '.');
	if (hosts)
		fclose(hosts);
	return taken;
}

START_TEST(every_name_of_the_hosts_file_counts)
{
	char name[256], address[64], wanted[80];

	if (!name_in_hosts(name, address))
		return; /* a machine that lists none */
	snprintf(wanted, sizeof(wanted), "%s 587", address);
	ck_assert_int_eq(ask(name, AF_INET), OK);
	ck_assert(has(wanted));
	ck_assert_int_eq(atomic_load(&server.asked), 0);
}
END_TEST

START_TEST(failures_are_told_apart_in_words)
{
	static const struct {
		const char *host;
		int family;
		enum error error;
		const char *text;
	} cases[] = {
		{ "absent.example", AF_UNSPEC, ERROR_NOT_FOUND, "there is no host absent.example" },
		{ "none.example", AF_UNSPEC, ERROR_NOT_FOUND, "the host none.example has no address" },
		{ "four.example", AF_INET6, ERROR_NOT_FOUND, "the host four.example has no IPv6 address" },
		{ "broken.example", AF_UNSPEC, ERROR_PROTOCOL, "resolving broken.example: " },
		{ "refused.example", AF_INET, ERROR_PROTOCOL, "resolving refused.example: " },
		{ "two..dots.example", AF_INET, ERROR_INVALID,
		  "'two..dots.example' is not the name of a host" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		enum error error = ask(cases[i].host, cases[i].family);

		ck_assert_msg(error == cases[i].error, "%s: %d, %s", cases[i].host, error, words.text);
		ck_assert_int_eq(strncmp(words.text, cases[i].text, strlen(cases[i].text)), 0);
		ck_assert_int_eq(found.count, 0);
	}
}
END_TEST

START_TEST(a_name_that_is_too_long_is_none)
{
	char long_name[400];

	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	ck_assert_int_eq(ask(long_name, AF_UNSPEC), ERROR_INVALID);
	ck_assert_int_eq(ask("", AF_UNSPEC), ERROR_INVALID);
	ck_assert_int_eq(atomic_load(&server.asked), 0);
}
END_TEST

START_TEST(an_international_name_is_asked_as_the_dns_has_it)
{
	ck_assert_int_eq(ask("müller.example", AF_INET), OK);
	ck_assert_str_eq(text_of(0), "192.0.2.10 587");
	ck_assert_int_eq(ask("\xff.example", AF_INET), ERROR_INVALID);
}
END_TEST

static int next_descriptor(void)
{
	int fd = dup(0);

	ck_assert_int_ge(fd, 0);
	close(fd);
	return fd;
}

START_TEST(silence_ends_at_the_deadline)
{
	int64_t deadline_ms = deadline_after_ms(SHORT_MS);
	int next = next_descriptor();

	atomic_store(&server.behaviour, BEHAVE_SILENT); /* before the first question: nobody reads it yet */
	ck_assert_int_eq(resolve(resolver, "both.example", 25, AF_UNSPEC, deadline_ms, NULL, &found, &words),
	                 ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	ck_assert_str_eq(words.text, "resolving both.example: no name server answered in time");
	ck_assert_int_eq(found.count, 0);
	/* the question is forgotten, and its channel serves the next one */
	ck_assert_int_eq(next_descriptor(), next);
	deadline_ms = deadline_after_ms(SHORT_MS);
	ck_assert_int_eq(resolve(resolver, "both.example", 25, AF_UNSPEC, deadline_ms, NULL, &found, &words),
	                 ERROR_TIMEOUT);
}
END_TEST

START_TEST(a_stop_ends_a_question)
{
	atomic_int level = 1;
	struct interrupt interrupt = { &level, 1 };

	ck_assert_int_eq(resolve(resolver, "both.example", 25, AF_UNSPEC, deadline_after_ms(LONG_MS),
	                         &interrupt, &found, &words),
	                 ERROR_INTERRUPTED);
}
END_TEST

START_TEST(nobody_listening_is_told_before_the_deadline)
{
	struct resolver *other;
	char servers[32];
	int port, listener = peer_listen("127.0.0.1", &port);
	enum error error;

	/* a TCP port whose UDP namesake is closed: the question is refused by the kernel */
	snprintf(servers, sizeof(servers), "127.0.0.1:%d", port);
	ck_assert_int_eq(resolver_create(servers, &other, &words), OK);
	error = resolve(other, "both.example", 25, AF_INET, deadline_after_ms(LONG_MS), NULL, &found, &words);
	ck_assert_msg(error == ERROR_PROTOCOL, "%d %s", error, words.text);
	resolver_destroy(&other);
	close(listener);
}
END_TEST

START_TEST(a_truncated_answer_is_asked_again_by_tcp)
{
	atomic_store(&server.behaviour, BEHAVE_TRUNCATE);
	ck_assert_int_eq(ask("both.example", AF_INET), OK);
	ck_assert_str_eq(text_of(0), "192.0.2.10 587");
	ck_assert_int_eq(atomic_load(&server.asked_by_tcp), 1);
}
END_TEST

START_TEST(no_descriptor_means_wait)
{
	struct rlimit limit, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(ask("both.example", AF_INET), ERROR_UNAVAILABLE); /* no channel can be made */
	ck_assert_str_ne(words.text, "untouched");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(ask("both.example", AF_INET), OK);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(ask("four.example", AF_INET), ERROR_UNAVAILABLE); /* a channel, but no socket */
	ck_assert_str_eq(words.text, "resolving four.example: Too many open files");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(ask("four.example", AF_INET), OK);
}
END_TEST

static void write_conf(const char *address, const char *more)
{
	char text[100];

	snprintf(text, sizeof(text), "nameserver %s\n%s", address, more);
	peer_file("resolv.conf", text, strlen(text));
}

START_TEST(a_changed_resolv_conf_is_heard_by_the_next_question)
{
	struct name_server second;
	char conf[160];

	resolver_destroy(&resolver);
	start(&second, "127.0.0.2", server.port, 20);
	write_conf("127.0.0.1", "");
	snprintf(conf, sizeof(conf), "%s/resolv.conf@%d", peer_folder(), server.port);
	ck_assert_int_eq(resolver_create(conf, &resolver, &words), OK);
	ck_assert_int_eq(ask("four.example", AF_INET), OK);
	ck_assert_str_eq(text_of(0), "192.0.2.10 587");
	write_conf("127.0.0.2", "# moved\n");
	ck_assert_int_eq(ask("four.example", AF_INET), OK);
	ck_assert_str_eq(text_of(0), "192.0.2.20 587");
	stop(&second);
}
END_TEST

static void *ask_often(void *context)
{
	int *good = context;
	struct resolved mine;
	struct words why;

	for (int i = 0; i < 20; i++)
		*good += resolve(resolver, i % 2 ? "both.example" : "four.example", 587, AF_UNSPEC,
		                 deadline_after_ms(LONG_MS), NULL, &mine, &why) == OK &&
		         mine.count == 1 + i % 2;
	return NULL;
}

START_TEST(many_threads_share_the_pool)
{
	pthread_t threads[12];
	int good[12] = { 0 };

	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often, &good[i]), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(good[i], 20);
	}
}
END_TEST

TCase *smtp_transport_resolve_cases(void)
{
	TCase *cases = tcase_create("resolve");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, servers_that_are_none_are_refused_at_once);
	tcase_add_test(cases, both_families_come_with_the_port);
	tcase_add_test(cases, a_family_asks_for_that_alone);
	tcase_add_test(cases, more_than_we_keep_are_dropped);
	tcase_add_test(cases, a_literal_asks_nobody);
	tcase_add_test(cases, the_hosts_file_asks_nobody);
	tcase_add_test(cases, every_name_of_the_hosts_file_counts);
	tcase_add_test(cases, failures_are_told_apart_in_words);
	tcase_add_test(cases, a_name_that_is_too_long_is_none);
	tcase_add_test(cases, an_international_name_is_asked_as_the_dns_has_it);
	tcase_add_test(cases, silence_ends_at_the_deadline);
	tcase_add_test(cases, a_stop_ends_a_question);
	tcase_add_test(cases, nobody_listening_is_told_before_the_deadline);
	tcase_add_test(cases, a_truncated_answer_is_asked_again_by_tcp);
	tcase_add_test(cases, no_descriptor_means_wait);
	tcase_add_test(cases, a_changed_resolv_conf_is_heard_by_the_next_question);
	tcase_add_test(cases, many_threads_share_the_pool);
	return cases;
}
