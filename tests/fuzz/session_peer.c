/*
 * session_peer.c - see session_peer.h.
 */
#include "tests/fuzz/session_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"
#include "smtp/connect.h"
#include "smtp/resolve.h"
#include "smtp/session.h"

#define CONNECTIONS_MAX 8
#define TURNS_MAX       200000
#define SAID_MAX        (1 << 20)
#define TOLD_MAX_MS     INT64_C(4000000)
#define CLIENT_BYTES    4096 /* the client's socket buffer: it waits for room soon */

struct session_peer *session_peer;

/* Under a sanitizer malloc's own figures are not kept. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

size_t session_peer_allocated(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

void session_peer_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

/* --- saying ------------------------------------------------------------------------------ */

void session_peer_hang_up(struct session_peer *peer)
{
	if (peer->tls)
		gnutls_deinit(peer->tls);
	peer->tls = NULL;
	peer->shaking = peer->in_tls = false;
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

static void say_on_wire(struct session_peer *peer, const char *octets, size_t length)
{
	if (peer->fd >= 0 && send(peer->fd, octets, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length)
		session_peer_hang_up(peer); /* nobody reads: it has flooded enough */
}

static void say(struct session_peer *peer, const char *octets, size_t length)
{
	if (peer->fd < 0 || length == 0)
		return;
	peer->octets += length;
	if (peer->octets > SAID_MAX) {
		session_peer_hang_up(peer);
		return;
	}
	session_ear_say(&peer->ear, octets, length);
	if (!peer->in_tls)
		say_on_wire(peer, octets, length);
	else if (gnutls_record_send(peer->tls, octets, length) != (ssize_t)length)
		session_peer_hang_up(peer);
}

static void say_line(struct session_peer *peer, const char *line)
{
	say(peer, line, strlen(line));
	say(peer, "\r\n", 2);
}

/* --- TLS ------------------------------------------------------------------------------------ */

static void begin_tls(struct session_peer *peer)
{
	if (peer->tls || peer->fd < 0)
		return;
	MUST(gnutls_init(&peer->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK) == 0);
	MUST(gnutls_set_default_priority(peer->tls) == 0);
	MUST(gnutls_credentials_set(peer->tls, GNUTLS_CRD_CERTIFICATE, peer->credentials) == 0);
	gnutls_transport_set_int(peer->tls, peer->fd);
	gnutls_handshake_set_timeout(peer->tls, 0);
	peer->shaking = true;
}

static void go_on_shaking(struct session_peer *peer)
{
	int rc = gnutls_handshake(peer->tls);

	if (rc < 0 && !gnutls_error_is_fatal(rc))
		return;
	peer->shaking = false;
	if (rc < 0) {
		session_peer_hang_up(peer);
		return;
	}
	peer->in_tls = peer->ear.in_tls = true;
	buffer_clear(&peer->ear.line);
	peer->ear.said_length = 0;
}

/* --- hearing --------------------------------------------------------------------------------- */

/* A ClientHello or what follows it is none of the ear's business. */
static bool is_record(const struct session_peer *peer)
{
	char first;

	return !peer->in_tls && recv(peer->fd, &first, 1, MSG_DONTWAIT | MSG_PEEK) == 1 && first >= 20 &&
	       first <= 23;
}

static void listen_on(struct session_peer *peer)
{
	char octets[4096];
	ssize_t got;

	while (peer->fd >= 0) {
		if (peer->shaking)
			go_on_shaking(peer);
		if (peer->shaking || peer->fd < 0)
			return;
		if (is_record(peer)) { /* a client that was told to begin TLS, whatever we make of it */
			MUST(peer->implicit_tls || peer->ear.starttls_heard);
			return;
		}
		got = peer->in_tls ? gnutls_record_recv(peer->tls, octets, sizeof(octets))
		                   : recv(peer->fd, octets, sizeof(octets), MSG_DONTWAIT);
		if (got <= 0)
			return;
		session_ear_hear(&peer->ear, octets, (size_t)got);
	}
}

/* --- a good server ----------------------------------------------------------------------------- */

static void answer_ehlo(struct session_peer *peer)
{
	const char *offer = peer->offers;
	char line[200];

	say_line(peer, "250-good.example");
	while (*offer) {
		int length = (int)strcspn(offer, ",");

		snprintf(line, sizeof(line), "250-%.*s", length, offer);
		if (!(peer->in_tls && strcmp(line, "250-STARTTLS") == 0))
			say_line(peer, line);
		offer += length + (offer[length] == ',');
	}
	say_line(peer, "250 HELP");
}

static void answer_login(struct session_peer *peer, const char *line)
{
	bool plain = strncmp(line, "AUTH PLAIN ", 11) == 0, cram = strcmp(line, "AUTH CRAM-MD5") == 0;

	if (strncmp(line, "AUTH ", 5) == 0)
		peer->login_rounds = strcmp(line, "AUTH LOGIN") == 0 ? 2 : !plain;
	if (peer->login_rounds-- > 0)
		say_line(peer, cram ? "334 PDEyMzRAZ29vZC5leGFtcGxlPg==" : "334 VXNlcm5hbWU6");
	else
		say_line(peer, "235 2.7.0 welcome");
}

static void answer(struct session_peer *peer, const char *line)
{
	if (strncmp(line, "EHLO ", 5) == 0) {
		answer_ehlo(peer);
	} else if (strcmp(line, "STARTTLS") == 0) {
		say_line(peer, "220 go");
		begin_tls(peer);
	} else if (strcmp(line, "DATA") == 0) {
		say_line(peer, "354 go on");
	} else if (strcmp(line, "QUIT") == 0) {
		say_line(peer, "221 bye");
	} else if (strncmp(line, "AUTH ", 5) == 0 || peer->ear.in_login) {
		answer_login(peer, line);
	} else {
		say_line(peer, strcmp(line, "*") == 0 ? "501 cancelled" : "250 2.0.0 ok");
	}
}

/* True if there was something to answer. */
static bool answer_all(struct session_peer *peer)
{
	char *commands, *line, *rest;

	if (is_record(peer) && !peer->tls) {
		begin_tls(peer);
		listen_on(peer);
		return true;
	}
	if (peer->shaking)
		return false;
	if (!peer->greeted) {
		peer->greeted = true;
		say_line(peer, "220 good.example ESMTP");
		return true;
	}
	if (peer->ear.pending.length == 0)
		return false;
	commands = buffer_take(&peer->ear.pending);
	buffer_init(&peer->ear.pending, 1 << 20);
	for (line = strtok_r(commands, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		answer(peer, line);
	free(commands);
	return true;
}

/* --- the input's lines -------------------------------------------------------------------------- */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *unescape_one(struct session_peer *peer, struct buffer *out, const char *at,
                                const char *end)
{
	const char *kind = at + 1 < end ? strchr("rn0pbe\\", at[1]) : NULL;

	if (at + 3 < end && at[1] == 'x' && hex(at[2]) >= 0 && hex(at[3]) >= 0) {
		buffer_append_char(out, (char)(hex(at[2]) * 16 + hex(at[3])));
		return at + 4;
	}
	if (!kind || !*kind) {
		buffer_append_char(out, *at);
		return at + 1;
	}
	switch (*kind) {
	case 'r': buffer_append_char(out, '\r'); break;
	case 'n': buffer_append_char(out, '\n'); break;
	case '0': buffer_append_char(out, '\0'); break;
	case 'p': buffer_append_text(out, FUZZ_PASSWORD); break;
	case 'b': text_base64_encode(out, FUZZ_PASSWORD, strlen(FUZZ_PASSWORD)); break;
	case 'e': buffer_append(out, peer->ear.last.data, peer->ear.last.length); break;
	default: buffer_append_char(out, '\\'); break;
	}
	return at + 2;
}

static void say_text(struct session_peer *peer, char how, const char *text, const char *end)
{
	struct buffer out;

	buffer_init(&out, 65536);
	buffer_append_text(&out, "");
	while (text < end && out.length < 60000) {
		if (*text == '\\')
			text = unescape_one(peer, &out, text, end);
		else
			buffer_append_char(&out, *text++);
	}
	if (how == '>')
		buffer_append_text(&out, "\r\n");
	buffer_clear(&peer->ear.pending); /* this is the answer, whatever it is */
	for (; peer->repeat >= 0; peer->repeat--) {
		if (how == 'w')
			say_on_wire(peer, out.data, out.length);
		else
			say(peer, out.data, out.length);
	}
	peer->repeat = 0;
	buffer_fini(&out);
}

static void flood(struct session_peer *peer)
{
	char octets[5000];

	memset(octets, '2', sizeof(octets));
	say(peer, octets, sizeof(octets));
}

/* Does a line; TIMEOUT = the deadline is to pass. */
static enum error do_line(struct session_peer *peer, const char *line, const char *end)
{
	int number = 0;

	for (const char *at = line + 1; at < end && *at >= '0' && *at <= '9' && number < 400; at++)
		number = number * 10 + *at - '0';
	number = number < 400 ? number : 400;

	switch (line[0]) {
	case '>':
	case '=':
	case 'w': say_text(peer, line[0], line + 1, end); break;
	case '+': peer->repeat = number; break;
	case 'f': flood(peer); break;
	case 'g': answer_all(peer); break;
	case 't': begin_tls(peer); break;
	case '~': return ERROR_TIMEOUT;
	case 'd': clock_move_ms(number * INT64_C(1000)); break;
	case '!': session_peer_hang_up(peer); break;
	case 'h':
		if (peer->fd >= 0)
			shutdown(peer->fd, SHUT_WR);
		break;
	case 's': atomic_store(peer->stop, STOP_SOON); break;
	case 'n': atomic_store(peer->stop, STOP_NOW); break;
	default: break;
	}
	return OK;
}

static const char *line_end(const struct session_peer *peer)
{
	const char *end = memchr(peer->script, '\n', (size_t)(peer->script_end - peer->script));

	return end ? end : peer->script_end;
}

static enum error next_line(struct session_peer *peer)
{
	const char *line = peer->script, *end;

	if (line < peer->script_end) {
		end = line_end(peer);
		peer->script = end < peer->script_end ? end + 1 : end;
		return end > line ? do_line(peer, line, end) : OK;
	}
	if (peer->good_at_end && peer->fd >= 0)
		return answer_all(peer) ? OK : ERROR_TIMEOUT;
	session_peer_hang_up(peer);
	return OK;
}

/* --- in the place of common/wait.c, smtp/resolve.c and smtp/connect.c ----------------------------- */

enum error __wrap_wait_for(int fd, short events, int64_t deadline_ms, const struct interrupt *interrupt);

static bool is_ready(int fd, short events)
{
	struct pollfd one = { .fd = fd, .events = events };

	return poll(&one, 1, 0) > 0;
}

static void check_wait(struct session_peer *peer, int64_t deadline_ms)
{
	size_t allocated = session_peer_allocated();

	MUST(deadline_ms <= peer->told_deadline_ms);
	MUST(deadline_ms - clock_monotonic_ms() <= TOLD_MAX_MS);
	MUST(++peer->turns < TURNS_MAX);
	if (allocated > peer->allocated_most)
		peer->allocated_most = allocated;
}

enum error __wrap_wait_for(int fd, short events, int64_t deadline_ms, const struct interrupt *interrupt)
{
	struct session_peer *peer = session_peer;
	enum error error = OK;

	check_wait(peer, deadline_ms);
	MUST(events & (POLLIN | POLLOUT));
	listen_on(peer);
	for (;;) {
		if (interrupt && interrupt->level && atomic_load(interrupt->level) >= interrupt->threshold)
			return ERROR_INTERRUPTED;
		if (deadline_ms <= clock_monotonic_ms())
			return ERROR_TIMEOUT;
		if (error == ERROR_TIMEOUT)
			clock_move_ms(deadline_ms - clock_monotonic_ms());
		else if (is_ready(fd, events))
			return OK;
		else
			error = next_line(peer);
		if (peer->shaking)
			listen_on(peer);
	}
}

enum error resolve(struct resolver *resolver, const char *host, int port, int family, int64_t deadline_ms,
                   const struct interrupt *interrupt, struct resolved *resolved, struct words *words)
{
	struct sockaddr_in *address = (void *)&resolved->addresses[0];

	(void)resolver, (void)host, (void)family, (void)interrupt, (void)words;
	MUST(deadline_ms <= session_peer->told_deadline_ms);
	memset(resolved, 0, sizeof(*resolved));
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address->sin_port = htons((uint16_t)port);
	resolved->lengths[0] = sizeof(*address);
	resolved->count = 1;
	return OK;
}

enum error connect_any(const struct resolved *resolved, const char *bind_address, int64_t deadline_ms,
                       const struct interrupt *interrupt, int *fd, int *used, struct words *words)
{
	struct session_peer *peer = session_peer;
	const int room = CLIENT_BYTES, much = SAID_MAX;
	int ends[2];

	(void)bind_address, (void)interrupt;
	MUST(resolved->count == 1 && deadline_ms <= peer->told_deadline_ms);
	session_peer_hang_up(peer);
	if (peer->script < peer->script_end && *peer->script == 'c') {
		next_line(peer);
		words_set(words, "connecting: refused");
		return ERROR_CLOSED;
	}
	if (peer->connections++ == CONNECTIONS_MAX) {
		words_set(words, "connecting: that was enough");
		return ERROR_CLOSED;
	}
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &much, sizeof(much));
	*fd = ends[0];
	*used = 0;
	peer->fd = ends[1];
	peer->greeted = false;
	peer->login_rounds = 0;
	session_ear_fini(&peer->ear);
	session_ear_init(&peer->ear);
	return OK;
}
