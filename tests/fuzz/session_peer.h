/*
 * session_peer.h - the server of fuzz_session: one thread, one socketpair, no network.
 *
 * It takes its turn where the client waits: common/wait.h's wait_for() is wrapped by the
 * linker, resolve() and connect_any() are session_peer.c's own. A turn reads all that the
 * client said, then does what the input's next lines say, until the client has something to
 * hear; silence moves the clock to the deadline. Lines of the input, by their first octet:
 *
 *   >text  say it and CRLF      =text  say it as it is      wtext  the same past TLS, on the wire
 *   +N     the next line so many times more (400 at most)   f      5000 octets without a line end
 *   g      answer all that was said as a good server does   t      begin a handshake
 *   ~      silence until the deadline   dN  N seconds pass  !      close     h  close its own side
 *   c      the connection that is to be made fails          s, n   stop soon, stop now
 *
 * In texts \r \n \0 \\ \xHH, \p = the password, \b = it in base64, \e = the client's last line.
 */
#ifndef OUTBOXD_TESTS_FUZZ_SESSION_PEER_H
#define OUTBOXD_TESTS_FUZZ_SESSION_PEER_H

#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/fuzz/session_ear.h"

#define FUZZ_PASSWORD "s3same-0pen!"

struct session_peer {
	/* how it plays */
	const char *script, *script_end;
	const char *offers; /* EHLO keywords of the good server, separated by spaces */
	bool good_at_end;   /* after the last line it is a good server; else it closes */
	bool implicit_tls;
	atomic_int *stop;
	int64_t told_deadline_ms; /* what the observer was told last */
	gnutls_certificate_credentials_t credentials;

	/* the present connection */
	int fd; /* the server's end, -1 = none */
	gnutls_session_t tls;
	bool shaking, in_tls, greeted, over;
	int login_rounds;
	struct session_ear ear;

	/* of all of them */
	int connections, turns;
	int repeat;
	size_t octets;          /* said so far */
	size_t allocated_start; /* by the process, before the session */
	size_t allocated_most;
};

/* Set before the session is opened; there is one at a time. */
extern struct session_peer *session_peer;

void session_peer_hang_up(struct session_peer *peer);
/* What the process has allocated now, as far as its allocator can tell. */
size_t session_peer_allocated(void);

/* Ends the process: an invariant does not hold. */
#define MUST(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			session_peer_failed(#condition, __FILE__, __LINE__);                                 \
	} while (0)
void session_peer_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#endif
