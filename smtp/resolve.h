/*
 * resolve.h - a host name to addresses, by c-ares, under the caller's deadline.
 *
 * A resolver keeps a small pool of c-ares channels (74 KiB each), borrowed for
 * one question and given back; the pool is emptied when resolv.conf changes.
 * /etc/hosts and nsswitch.conf count as they do for other programs.
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

/*
 * servers: NULL = the system's; for tests "127.0.0.1:5353,…", or "/path@5353": another
 * resolv.conf, whose servers answer on that port. Before threads start. ERROR_SYSTEM, and
 * ERROR_INVALID for servers that are none, with words.
 */
enum error resolver_create(const char *servers, struct resolver **resolver, struct words *words);
/* Nobody is resolving any more. Leaves NULL. */
void resolver_destroy(struct resolver **resolver);

/*
 * Addresses of host with port filled in, IPv6 and IPv4 in the system's order
 * (RFC 6724). A literal ("192.0.2.1", "2001:db8::1", also in brackets) asks nobody;
 * family AF_UNSPEC, AF_INET or AF_INET6. Any thread. Blocks until answered, the
 * deadline (ERROR_TIMEOUT) or interrupt. With words for the tenant's administrator:
 * ERROR_NOT_FOUND (no such host, no address), ERROR_TIMEOUT, ERROR_PROTOCOL (the name
 * servers fail or refuse), ERROR_INVALID (not a host name). ERROR_UNAVAILABLE: no
 * descriptor could be had (EMFILE): wait, it is nobody's fault.
 */
enum error resolve(struct resolver *resolver, const char *host, int port, int family, int64_t deadline_ms,
                   const struct interrupt *interrupt, struct resolved *resolved, struct words *words);

#endif
