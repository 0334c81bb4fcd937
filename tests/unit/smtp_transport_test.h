/*
 * smtp_transport_test.h - what the unit tests of smtp/'s transport share.
 *
 * Peers are threads of the test (each test has a process of its own), on
 * loopback, on ports that the system chooses.
 */
#ifndef OUTBOXD_TESTS_UNIT_SMTP_TRANSPORT_TEST_H
#define OUTBOXD_TESTS_UNIT_SMTP_TRANSPORT_TEST_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/tenant.h"
#include "smtp/resolve.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A bound that no test reaches unless something is broken; and one that is meant to be reached. */
#define LONG_MS  30000
#define SHORT_MS 40

TCase *smtp_transport_auth_cases(void);
TCase *smtp_transport_certificate_cases(void);
TCase *smtp_transport_connect_cases(void);
TCase *smtp_transport_handshake_cases(void);
TCase *smtp_transport_identity_cases(void);
TCase *smtp_transport_records_cases(void);
TCase *smtp_transport_resolve_cases(void);
TCase *smtp_transport_stream_cases(void);
TCase *smtp_transport_verify_cases(void);

/* A listening TCP socket on host ("127.0.0.1", "::1"), *port chosen; -1 if the family is not to be had here.
 */
int peer_listen(const char *host, int *port);
/* Two ends of a TCP connection: ends[0] as connect_any() gives it, ends[1] blocking. */
void peer_pair(int ends[2]);
/* Exactly so many octets on a blocking socket; false at its end. */
bool peer_read_all(int fd, void *bytes, size_t length);
bool peer_write_all(int fd, const void *bytes, size_t length);

/* Addresses for connect_any(). */
void peer_address(struct resolved *resolved, const char *host, int port);

/* Settings of a tenant: column, value pairs up to NULL. Released after the test. */
struct tenant_settings *peer_tenant(const char *column, ...);

/* A folder for files, one for all tests, removed with what is in it at the end. */
const char *peer_folder(void);
/* Writes a file there; the path is valid as long as the process. */
const char *peer_file(const char *name, const void *bytes, size_t length);

#endif
