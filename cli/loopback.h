/*
 * loopback.h - where a browser comes back to with an authorization code (RFC 8252 7.3): one port of
 * 127.0.0.1 that answers GET / alone, a short page each.
 */
#ifndef OUTBOXD_CLI_LOOPBACK_H
#define OUTBOXD_CLI_LOOPBACK_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"

#define LOOPBACK_REQUEST_BYTES 16384 /* a browser sends cookies of other programs on this host, too */
#define LOOPBACK_CODE_BYTES    8192

/* What a request is. */
enum loopback_request {
	LOOPBACK_MORE,   /* not whole yet */
	LOOPBACK_OTHER,  /* not ours */
	LOOPBACK_FORGED, /* with another state than was given away, or none (RFC 6749 10.12) */
	LOOPBACK_DENIED, /* words: what the authorization endpoint says instead of a code */
	LOOPBACK_CODE,
};

/* Judges what has come so far; of what names the code or words, only where that is the answer. Pure. */
enum loopback_request loopback_read(const char *octets, size_t length, const char *state, struct secret *code,
                                    struct words *words);

/* A listening socket of 127.0.0.1 and its port, which the system picks; closed by close(2). */
enum error loopback_open(int *fd, int *port, struct words *words);

/*
 * Answers whoever comes, up to eight at a time, until a request has state and a code. The caller
 * wipes code. Blocks until the deadline (ERROR_TIMEOUT). ERROR_REFUSED: the answer was no.
 */
enum error loopback_wait(int fd, const char *state, int64_t deadline_ms, struct secret *code,
                         struct words *words);

#endif
