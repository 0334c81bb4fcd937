/*
 * connect.h - a TCP connection to the first address that answers.
 */
#ifndef OUTBOXD_SMTP_CONNECT_H
#define OUTBOXD_SMTP_CONNECT_H

#include "common/error.h"
#include "common/wait.h"
#include "smtp/resolve.h"

/*
 * Tries the addresses in turn, each with its share of what is left, until one
 * answers. bind_address NULL = the system's choice, else only addresses of its
 * family are tried ("0.0.0.0" = IPv4 only). *fd is non-blocking, close-on-exec,
 * TCP_NODELAY, and the caller's; *used is the index of the address. Blocks until
 * connected, the deadline or interrupt. Words name the last address and what
 * went wrong ("connecting to 192.0.2.1 port 587: connection refused").
 * ERROR_CLOSED (refused, unreachable, bind_address of no use), ERROR_TIMEOUT, ERROR_INVALID
 * (bind_address is not an address), ERROR_INTERRUPTED.
 * ERROR_UNAVAILABLE: no descriptor could be had (EMFILE): wait, it is not the server's fault.
 */
enum error connect_any(const struct resolved *resolved, const char *bind_address, int64_t deadline_ms,
                       const struct interrupt *interrupt, int *fd, int *used, struct words *words);

#endif
