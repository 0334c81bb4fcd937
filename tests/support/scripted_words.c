/*
 * scripted_words.c - what the words of a page do. Each is one function in the
 * table words[]; it answers whether the page may go on.
 */
#include "tests/support/scripted_words.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/wait.h"
#include "tests/support/scripted_sasl.h"

#define TEXT_LIMIT       (64 << 20)
#define LONGEST_STALL_MS 60000

/* --- what went wrong ------------------------------------------------------------------ */

bool play_problem(struct play *play, const char *format, ...)
{
	char text[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer_printf(&play->server->problem, "line %d, connection %d: %s\n",
	              play->line ? play->line->number : 0, play->server->connections, text);
	return false;
}

static void echo(const struct play *play, const char *who, const char *text, size_t length)
{
	FILE *file = play->server->echo;

	if (!file)
		return;
	fprintf(file, "%d %s ", play->server->connections, who);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= ' ' && c <= '~')
			fputc(c, file);
		else
			fprintf(file, "\\x%02x", c);
	}
	fputc('\n', file);
	fflush(file);
}

/* --- hearing ------------------------------------------------------------------------------ */

static bool fill(struct play *play, const char *expected)
{
	switch (peer_fill(&play->peer, PEER_WAIT_MS)) {
	case PEER_OCTETS: return true;
	case PEER_END: return play_problem(play, "expected %s, the client closed", expected);
	case PEER_SILENCE: break;
	}
	return play_problem(play, "expected %s, heard nothing", expected);
}

/* One line without its CRLF; no bare CR or LF may be in it. */
bool play_hear_line(struct play *play, struct buffer *line, const char *expected)
{
	const char *end;
	size_t length;

	while (!(end = play->peer.in.length > 0 ? memchr(play->peer.in.data, '\n', play->peer.in.length)
	                                        : NULL))
		if (!fill(play, expected))
			return false;
	length = (size_t)(end - play->peer.in.data);
	if (length == 0 || end[-1] != '\r' || memchr(play->peer.in.data, '\r', length - 1))
		return play_problem(play, "a bare CR or LF from the client");
	buffer_append(line, play->peer.in.data, length - 1);
	buffer_consume(&play->peer.in, length + 1);
	return true;
}

static bool hear_command(struct play *play, const char *expected, bool whole)
{
	struct buffer line, wanted;
	bool good;

	buffer_init(&line, TEXT_LIMIT);
	buffer_init(&wanted, TEXT_LIMIT);
	buffer_append_text(&line, "");
	buffer_append_text(&wanted, "");
	page_unescape(&wanted, expected);
	good = play_hear_line(play, &line, wanted.data);
	if (good) {
		echo(play, "C:", line.data, line.length);
		buffer_append(&play->server->heard, line.data, line.length);
		buffer_append_char(&play->server->heard, '\n');
		if (whole ? strcmp(line.data, wanted.data) != 0
		          : strncmp(line.data, wanted.data, wanted.length) != 0)
			good = play_problem(play, "expected \"%.200s\", heard \"%.200s\"", wanted.data,
			                    line.data);
	}
	buffer_fini(&line);
	buffer_fini(&wanted);
	return good;
}

static bool say_text(struct play *play, const char *text, const char *end)
{
	struct buffer out;

	buffer_init(&out, TEXT_LIMIT);
	page_unescape(&out, text);
	buffer_append_text(&out, end);
	echo(play, "S:", out.data, out.length);
	/* a client that has gone meanwhile is found where something is expected of it */
	peer_say(&play->peer, out.data, out.length);
	buffer_fini(&out);
	return true;
}

bool play_say(struct play *play, const char *text)
{
	return say_text(play, text, "\r\n");
}

/* --- the words of a page ---------------------------------------------------------------- */

static bool do_say(struct play *play, const char *rest)
{
	return play_say(play, rest);
}

static bool do_say_octets(struct play *play, const char *rest)
{
	return say_text(play, rest, "");
}

static bool do_hear(struct play *play, const char *rest)
{
	return hear_command(play, rest, false);
}

static bool do_hear_whole(struct play *play, const char *rest)
{
	return hear_command(play, rest, true);
}

/* EHLO and a reply that offers what the rest lists. */
static bool do_ehlo(struct play *play, const char *rest)
{
	char reply[1024];
	size_t used = (size_t)snprintf(reply, sizeof(reply), "250%cmail.test.example", *rest ? '-' : ' ');

	if (!hear_command(play, "EHLO ", false))
		return false;
	while (*rest) {
		size_t length = strcspn(rest, ",");
		const char *next = rest + length + strspn(rest + length, ", ");

		used += (size_t)snprintf(reply + used, sizeof(reply) - used, "\\r\\n250%c%.*s",
		                         *next ? '-' : ' ', (int)length, rest);
		rest = next;
	}
	return play_say(play, reply);
}

static bool do_hello(struct play *play, const char *rest)
{
	return play_say(play, "220 mail.test.example ESMTP") && do_ehlo(play, rest);
}

static bool do_mail(struct play *play, const char *rest)
{
	if (!hear_command(play, "MAIL FROM:<", false) || !play_say(play, "250 2.1.0 ok"))
		return false;
	for (int left = atoi(rest); left > 0; left--)
		if (!hear_command(play, "RCPT TO:<", false) || !play_say(play, "250 2.1.5 ok"))
			return false;
	return true;
}

static bool do_envelope(struct play *play, const char *rest)
{
	return do_mail(play, rest) && hear_command(play, "DATA", true) && play_say(play, "354 go on");
}

static bool do_rset(struct play *play, const char *rest)
{
	(void)rest;
	return hear_command(play, "RSET", true) && play_say(play, "250 2.0.0 reset");
}

static struct buffer *next_received(struct play *play)
{
	struct scripted_server *server = play->server;

	if (server->received_count < RECEIVED_MAX)
		return &server->received[server->received_count++];
	return &server->received[RECEIVED_MAX - 1];
}

static bool has_bare(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
			return true;
		if (text[i] == '\r' && (i + 1 == length || text[i + 1] != '\n'))
			return true;
	}
	return false;
}

/* To the lone dot, or for a number of octets. */
static bool do_data(struct play *play, const char *rest)
{
	struct buffer *in = &play->peer.in, *received = next_received(play);
	size_t wanted = (size_t)strtoul(rest, NULL, 10), length;

	if (wanted > 0) {
		while (in->length < wanted)
			if (!fill(play, "more of the message"))
				return false;
		buffer_append(received, in->data, wanted);
		buffer_consume(in, wanted);
		return true;
	}
	for (length = 0;;) {
		const char *end;

		if (in->length >= 3 && length == 0 && memcmp(in->data, ".\r\n", 3) == 0) {
			buffer_consume(in, 3);
			return true;
		}
		end = in->length > length ? memmem(in->data + length, in->length - length, "\r\n.\r\n", 5)
		                          : NULL;
		if (end) {
			length = (size_t)(end - in->data) + 2;
			break;
		}
		length = in->length > 4 ? in->length - 4 : 0;
		if (!fill(play, "the end of the message"))
			return false;
	}
	if (has_bare(in->data, length))
		play_problem(play, "a bare CR or LF in the message");
	buffer_append(received, in->data, length);
	buffer_consume(in, length + 3);
	if (play->server->echo)
		fprintf(play->server->echo, "%d D: %zu octets\n", play->server->connections, length);
	return true;
}

/* RFC 3030: "BDAT 17" or "BDAT 17 LAST", and exactly so many octets. *last says which it was. */
static bool hear_chunk(struct play *play, const char *wanted, bool *last)
{
	size_t before = play->server->heard.length, octets;
	struct buffer *in = &play->peer.in;
	const char *line;
	char *end;

	if (!hear_command(play, "BDAT ", false))
		return false;
	line = play->server->heard.data + before;
	octets = (size_t)strtoul(line + strlen("BDAT "), &end, 10);
	*last = strcmp(end, " LAST\n") == 0;
	if (!*last && strcmp(end, "\n") != 0)
		return play_problem(play, "not a number in \"%.100s\"", line);
	if (*wanted && octets != (size_t)strtoul(wanted, NULL, 10))
		return play_problem(play, "expected %s octets, heard of %zu", wanted, octets);
	if (!play->chunks) {
		play->chunks = next_received(play);
		play->server->in_chunks[play->chunks - play->server->received] = true;
	}
	while (in->length < octets)
		if (!fill(play, "more of the chunk"))
			return false;
	buffer_append(play->chunks, in->length > 0 ? in->data : "", octets);
	buffer_consume(in, octets);
	if (*last && has_bare(play->chunks->data, play->chunks->length))
		play_problem(play, "a bare CR or LF in the message");
	if (*last)
		play->chunks = NULL;
	return true;
}

static bool do_bdat(struct play *play, const char *rest)
{
	bool last;

	return hear_chunk(play, rest, &last);
}

static bool do_take(struct play *play, const char *rest)
{
	bool last = false;

	if (!do_mail(play, rest))
		return false;
	while (!last)
		if (!hear_chunk(play, "", &last) || !play_say(play, "250 2.0.0 ok"))
			return false;
	return true;
}

static bool do_accept(struct play *play, const char *rest)
{
	return do_envelope(play, rest) && do_data(play, "") && play_say(play, "250 2.0.0 ok queued");
}

static bool do_tls(struct play *play, const char *rest)
{
	if (play->peer.in.length > 0)
		return play_problem(play, "the client spoke in clear before the handshake");
	if (!peer_start_tls(&play->peer, play->server->certificate, rest))
		return play_problem(play, "the handshake failed");
	play->server->handshakes++;
	return true;
}

/* Reads whatever comes until the client closes; not more than so many octets if a number is given. */
static bool do_drain(struct play *play, const char *rest)
{
	size_t most = *rest ? (size_t)strtoul(rest, NULL, 10) : SIZE_MAX, octets = 0;
	enum peer_event event;

	while ((event = peer_fill(&play->peer, PEER_WAIT_MS)) == PEER_OCTETS) {
		octets += play->peer.in.length;
		buffer_clear(&play->peer.in);
	}
	if (event == PEER_SILENCE)
		return play_problem(play, "the client did not close");
	peer_close(&play->peer);
	play->over = true;
	return octets <= most || play_problem(play, "the client went on for %zu octets", octets);
}

/* A handshake that the client must not finish. */
static bool do_tls_refused(struct play *play, const char *rest)
{
	if (!peer_start_tls(&play->peer, play->server->certificate, "") ||
	    peer_fill(&play->peer, PEER_WAIT_MS) == PEER_END)
		return do_drain(play, rest);
	return play_problem(play, "the client took the certificate");
}

/* A client certificate is demanded, and the client has none: the client goes without a word of SMTP. */
static bool do_tls_demands(struct play *play, const char *rest)
{
	if (!peer_start_tls(&play->peer, play->server->certificate, "require"))
		return do_drain(play, rest);
	return play_problem(play, "the client had a certificate");
}

/* A ClientHello is answered by something that is no TLS. */
static bool do_not_tls(struct play *play, const char *rest)
{
	if (play->peer.in.length == 0 && !fill(play, "a ClientHello"))
		return false;
	buffer_clear(&play->peer.in);
	return play_say(play, *rest ? rest : "hello?");
}

static bool do_bytes(struct play *play, const char *rest)
{
	int on = 1;

	setsockopt(play->peer.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	play->peer.write_bytes = (size_t)strtoul(rest, NULL, 10);
	return true;
}

static bool do_wait(struct play *play, const char *rest)
{
	(void)play;
	poll(NULL, 0, atoi(rest));
	return true;
}

/* Moves the clock of the whole process, and the client out of its wait to see it. */
static bool do_clock(struct play *play, const char *rest)
{
	if (!play->server->client)
		return play_problem(play, "there is no client whose clock could be moved");
	clock_move_ms(atoi(rest));
	wait_wake(*play->server->client);
	return true;
}

static bool do_idle(struct play *play, const char *rest)
{
	if (play->peer.in.length == 0 && peer_fill(&play->peer, atoi(rest)) == PEER_SILENCE)
		return true;
	return play_problem(play, "the client spoke before it was answered: \"%.*s\"",
	                    (int)play->peer.in.length, play->peer.in.length > 0 ? play->peer.in.data : "");
}

static bool do_repeat(struct play *play, const char *rest)
{
	long times = strtol(rest, (char **)&rest, 10);
	struct buffer line;

	buffer_init(&line, TEXT_LIMIT);
	page_unescape(&line, rest + strspn(rest, " "));
	buffer_append_text(&line, "\r\n");
	while (times-- > 0 && peer_say(&play->peer, line.data, line.length))
		;
	buffer_fini(&line);
	return true;
}

static bool do_flood(struct play *play, const char *rest)
{
	static const char block[1000] = { [0 ... 999] = 'x' };

	for (long left = strtol(rest, NULL, 10); left > 0; left -= (long)sizeof(block))
		if (!peer_say(&play->peer, block, sizeof(block)))
			break;
	return true;
}

/* So slowly that no reply is ever complete. */
static bool do_trickle(struct play *play, const char *rest)
{
	int ms = (int)strtol(rest, (char **)&rest, 10);
	const char *text = rest + strspn(rest, " ");
	int64_t limit_ms = clock_monotonic_ms() + LONGEST_STALL_MS;

	for (const char *at = text;; at = at[0] && at[1] ? at + 1 : text) {
		if (!peer_say(&play->peer, at, 1) || peer_fill(&play->peer, ms) == PEER_END)
			break;
		buffer_clear(&play->peer.in);
		if (clock_monotonic_ms() > limit_ms)
			return play_problem(play, "the client never gave up");
	}
	peer_close(&play->peer);
	play->over = true;
	return true;
}

static bool do_close(struct play *play, const char *rest)
{
	(void)rest;
	/* unread input would turn the close into a reset */
	while (peer_fill(&play->peer, 0) == PEER_OCTETS)
		;
	peer_close(&play->peer);
	play->over = true;
	return true;
}

/* It says nothing any more, and listens on. */
static bool do_half_close(struct play *play, const char *rest)
{
	(void)rest;
	if (play->peer.tls)
		gnutls_bye(play->peer.tls, GNUTLS_SHUT_WR);
	shutdown(play->peer.fd, SHUT_WR);
	return true;
}

static bool do_reset(struct play *play, const char *rest)
{
	(void)rest;
	peer_reset(&play->peer);
	play->over = true;
	return true;
}

/* Reads nothing and says nothing until the client gives up. */
static bool do_stall(struct play *play, const char *rest)
{
	struct pollfd fd = { .fd = play->peer.fd, .events = POLLRDHUP };

	(void)rest;
	if (poll(&fd, 1, LONGEST_STALL_MS) <= 0)
		return play_problem(play, "the client never gave up");
	return do_close(play, "");
}

/* The client says nothing any more and closes. */
static bool do_gone(struct play *play, const char *rest)
{
	enum peer_event event = play->peer.in.length > 0 ? PEER_OCTETS : peer_fill(&play->peer, PEER_WAIT_MS);

	(void)rest;
	if (event == PEER_SILENCE)
		return play_problem(play, "the client did not close");
	if (event == PEER_OCTETS)
		return play_problem(play, "the client went on with \"%.*s\"", (int)play->peer.in.length,
		                    play->peer.in.data);
	peer_close(&play->peer);
	play->over = true;
	return true;
}

static bool do_quit(struct play *play, const char *rest)
{
	return hear_command(play, "QUIT", true) && play_say(play, "221 bye") && do_close(play, rest);
}

static const struct {
	const char *word;
	bool (*run)(struct play *play, const char *rest);
} words[] = {
	{ "S:", do_say },
	{ "S=", do_say_octets },
	{ "C:", do_hear },
	{ "C=", do_hear_whole },
	{ "hello", do_hello },
	{ "ehlo", do_ehlo },
	{ "envelope", do_envelope },
	{ "accept", do_accept },
	{ "mail", do_mail },
	{ "rset", do_rset },
	{ "bdat", do_bdat },
	{ "take", do_take },
	{ "data", do_data },
	{ "tls", do_tls },
	{ "not-tls", do_not_tls },
	{ "bytes", do_bytes },
	{ "wait", do_wait },
	{ "idle", do_idle },
	{ "repeat", do_repeat },
	{ "flood", do_flood },
	{ "trickle", do_trickle },
	{ "close", do_close },
	{ "half-close", do_half_close },
	{ "reset", do_reset },
	{ "stall", do_stall },
	{ "gone", do_gone },
	{ "clock", do_clock },
	{ "drain", do_drain },
	{ "tls-refused", do_tls_refused },
	{ "tls-demands", do_tls_demands },
	{ "quit", do_quit },
	{ "sasl", sasl_play },
};

bool play_line(struct play *play)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, play->line->word) == 0)
			return words[i].run(play, play->line->rest);
	return play_problem(play, "\"%s\" is not a word of a page", play->line->word);
}

bool play_end(struct play *play)
{
	if (play->peer.in.length == 0 && peer_fill(&play->peer, PEER_WAIT_MS) == PEER_END)
		return true;
	return do_quit(play, "");
}
