/*
 * scripted_peer.h - the scripted server's end of one connection, in clear or in TLS.
 *
 * Blocking, every wait with a limit. One thread at a time.
 */
#ifndef OUTBOXD_TESTS_SUPPORT_SCRIPTED_PEER_H
#define OUTBOXD_TESTS_SUPPORT_SCRIPTED_PEER_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

#define PEER_WAIT_MS 60000 /* nothing a test waits for takes so long */

/*
 * A certificate made for the test, signed by itself, for localhost, 127.0.0.1
 * and mail.test.example. Used by all connections; read only once made.
 */
struct test_certificate {
	gnutls_certificate_credentials_t credentials;
	char *pem, *key_pem;
};
void test_certificate_make(struct test_certificate *certificate);
void test_certificate_free(struct test_certificate *certificate);

struct peer {
	int fd;
	gnutls_session_t tls; /* NULL = clear */
	struct buffer in;
	size_t write_bytes; /* at most so many octets a write, 0 = no limit */
};
void peer_init(struct peer *peer, int fd);
void peer_close(struct peer *peer);
/* Ends the connection with a RST. */
void peer_reset(struct peer *peer);

/* asks: for a client certificate, which may be any; "" = does not, "ask" or "require". */
bool peer_start_tls(struct peer *peer, const struct test_certificate *certificate, const char *asks);

enum peer_event { PEER_OCTETS, PEER_END, PEER_SILENCE };
/* Waits up to ms for more octets in peer->in. */
enum peer_event peer_fill(struct peer *peer, int ms);

/* False if the client has gone. */
bool peer_say(struct peer *peer, const char *octets, size_t length);

#endif
