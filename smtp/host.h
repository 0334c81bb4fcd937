/*
 * host.h - names and literals of hosts, without asking anybody.
 */
#ifndef OUTBOXD_SMTP_HOST_H
#define OUTBOXD_SMTP_HOST_H

#include <stdbool.h>

#include "common/error.h"
#include "smtp/resolve.h"

#define HOST_BYTES 256

/* Adds an IPv4 or IPv6 address with port filled in; others, and what is over RESOLVED_MAX, are dropped. */
void host_add_address(struct resolved *resolved, const struct sockaddr *address, socklen_t length, int port);

/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "[IPv6:2001:db8::1]": true, and it is added. */
bool host_parse_literal(const char *host, int port, struct resolved *resolved);

/* The name as the DNS has it (RFC 5890 A-labels). ERROR_INVALID with words. */
enum error host_to_ascii(const char *host, char name[HOST_BYTES], struct words *words);

#endif
