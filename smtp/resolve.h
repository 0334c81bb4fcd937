/*
 * resolve.h - a host name to addresses, by c-ares, under the caller's deadline.
 *
 * A resolver keeps a small pool of c-ares channels (74 KiB each), borrowed for
 * one question and given back; the pool is emptied when resolv.conf changes.
 */
#ifndef OUTBOXD_SMTP_RESOLVE_H
#define OUTBOXD_SMTP_RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/wait.h"

#define RESOLVED_MAX 16

struct resolved {
	struct sockaddr_storage addresses[RESOLVED_MAX];
	socklen_t lengths[RESOLVED_MAX];
	int count;
};

struct resolver;

/* servers: "127.0.0.1:5353,…" instead of the system's (tests), NULL = the system's. */
enum error resolver_create(const char *servers, struct resolver **resolver, struct words *words);
void resolver_destroy(struct resolver **resolver);

/*
 * Addresses of host with port filled in, IPv6 and IPv4 in the system's order
 * (RFC 6724). A literal ("192.0.2.1", "2001:db8::1", also in brackets) asks nobody;
 * family AF_UNSPEC, AF_INET or AF_INET6. Any thread. Blocks until answered, the
 * deadline (ERROR_TIMEOUT) or interrupt. ERROR_NOT_FOUND, ERROR_UNAVAILABLE with words for the tenant's
 * administrator.
 */
enum error resolve(struct resolver *resolver, const char *host, int port, int family,
		   int64_t deadline_ms, const struct interrupt *interrupt,
		   struct resolved *resolved, struct words *words);

#endif
