/*
 * smtp_transport_test.c - runs the unit tests of smtp/'s transport, and their helpers.
 */
#include "tests/unit/smtp_transport_test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "smtp/connect.h"
#include "tests/unit/smtp_transport_tls.h"

static struct sockaddr_storage make_address(const char *host, int port, socklen_t *length)
{
	struct sockaddr_storage address;
	struct sockaddr_in *four = (void *)&address;
	struct sockaddr_in6 *six = (void *)&address;

	memset(&address, 0, sizeof(address));
	if (strchr(host, ':')) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		ck_assert_int_eq(inet_pton(AF_INET6, host, &six->sin6_addr), 1);
		*length = sizeof(*six);
	} else {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		ck_assert_int_eq(inet_pton(AF_INET, host, &four->sin_addr), 1);
		*length = sizeof(*four);
	}
	return address;
}

int peer_listen(const char *host, int *port)
{
	socklen_t length;
	struct sockaddr_storage address = make_address(host, 0, &length);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(((struct sockaddr_in *)(void *)&address)->sin_port); /* at the same place in both */
	return fd;
}

void peer_address(struct resolved *resolved, const char *host, int port)
{
	int i = resolved->count++;

	ck_assert_int_lt(i, RESOLVED_MAX);
	resolved->addresses[i] = make_address(host, port, &resolved->lengths[i]);
}

void peer_pair(int ends[2])
{
	struct resolved resolved = { .count = 0 };
	struct words words;
	int port, used, listener = peer_listen("127.0.0.1", &port);

	ck_assert_int_ge(listener, 0);
	peer_address(&resolved, "127.0.0.1", port);
	ck_assert_int_eq(
		connect_any(&resolved, NULL, deadline_after_ms(LONG_MS), NULL, &ends[0], &used, &words), OK);
	ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(ends[1], 0);
	close(listener);
}

bool peer_read_all(int fd, void *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = read(fd, (char *)bytes + done, length - done);

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

bool peer_write_all(int fd, const void *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t sent = send(fd, (const char *)bytes + done, length - done, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		done += (size_t)sent;
	}
	return true;
}

static struct tenant_settings *tenants[64];
static size_t tenant_count;

struct tenant_settings *peer_tenant(const char *column, ...)
{
	struct tenant_settings *tenant = tenant_settings_create("acme");
	struct words words;
	va_list arguments;

	ck_assert_uint_lt(tenant_count, COUNT(tenants));
	tenants[tenant_count++] = tenant;
	ck_assert_int_eq(tenant_settings_set(tenant, "host", "mail.acme.example", &words), OK);
	va_start(arguments, column);
	while (column) {
		const char *value = va_arg(arguments, const char *);

		ck_assert_msg(tenant_settings_set(tenant, column, value, &words) == OK, "%s = %s", column,
		              value);
		column = va_arg(arguments, const char *);
	}
	va_end(arguments);
	return tenant;
}

static char folder[64];

static void remove_folder(void)
{
	DIR *listing = opendir(folder);
	struct dirent *entry;
	char path[400];

	while (listing && (entry = readdir(listing))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	if (listing)
		closedir(listing);
	rmdir(folder);
}

const char *peer_folder(void)
{
	return folder;
}

const char *peer_file(const char *name, const void *bytes, size_t length)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % COUNT(paths)];
	int fd;

	snprintf(path, sizeof(paths[0]), "%s/%s", peer_folder(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
	close(fd);
	return path;
}

static void clean_up(void)
{
	while (tenant_count > 0)
		tenant_settings_release(&tenants[--tenant_count]);
	identity_forget_all();
}

int main(void)
{
	static TCase *(*const cases[])(void) = {
		smtp_transport_auth_cases,     smtp_transport_certificate_cases,
		smtp_transport_connect_cases,  smtp_transport_handshake_cases,
		smtp_transport_identity_cases, smtp_transport_records_cases,
		smtp_transport_resolve_cases,  smtp_transport_stream_cases,
		smtp_transport_verify_cases,
	};
	const struct rlimit no_core = { 0, 0 };
	Suite *suite = suite_create("smtp_transport");
	SRunner *runner;
	int failed;

	setrlimit(RLIMIT_CORE, &no_core); /* broken promises abort on purpose here */
	for (size_t i = 0; i < COUNT(cases); i++) {
		TCase *one = cases[i]();

		tcase_set_timeout(one, 60);
		tcase_add_checked_fixture(one, wait_setup, clean_up);
		suite_add_tcase(suite, one);
	}
	/* made and removed here: a test that aborts on purpose removes nothing */
	strcpy(folder, "/tmp/outboxd-smtp-XXXXXX");
	if (!mkdtemp(folder))
		return EXIT_FAILURE;
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	remove_folder();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
