/*
 * loopback.c - see loopback.h.
 *
 * Anybody on this machine can connect, and a browser opens connections that it does not use: none of
 * them may keep the right one waiting, so that the oldest goes when a ninth comes. Whoever does not know
 * the state changes nothing.
 */
#include "cli/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/text.h"
#include "common/wait.h"

#define VISITORS    8
#define SAID_BYTES  200
#define PAGE_DONE   "Authorized. You can close this page and go back to outboxctl.\n"
#define PAGE_DENIED "Not authorized. outboxctl says why.\n"
#define PAGE_OTHER  "Nothing is here.\n"

/* ---- a request ------------------------------------------------------------------- */

/* The parameters of a response to an authorization request (RFC 6749 4.1.2), decoded. */
struct parameters {
	char *state, *code, *error, *description;
};

static void wipe(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static void parameters_fini(struct parameters *parameters)
{
	wipe(&parameters->state);
	wipe(&parameters->code);
	wipe(&parameters->error);
	wipe(&parameters->description);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* application/x-www-form-urlencoded; NULL: it is none, or holds a NUL. Allocated. */
static char *decode(const char *from, size_t length)
{
	char *to = memory_alloc(length + 1);
	size_t n = 0;

	for (size_t i = 0; i < length; i++) {
		char c = from[i] == '+' ? ' ' : from[i];

		if (c == '%') {
			int high = i + 2 < length ? hex_value(from[i + 1]) : -1;
			int low = i + 2 < length ? hex_value(from[i + 2]) : -1;

			c = high < 0 || low < 0 ? '\0' : (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0') {
			explicit_bzero(to, length + 1);
			free(to);
			return NULL;
		}
		to[n++] = c;
	}
	return to;
}

static char **parameter_named(struct parameters *parameters, const char *name, size_t length)
{
	const struct {
		const char *name;
		char **value;
	} known[] = { { "state", &parameters->state },
		      { "code", &parameters->code },
		      { "error", &parameters->error },
		      { "error_description", &parameters->description } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == length && memcmp(known[i].name, name, length) == 0)
			return known[i].value;
	return NULL;
}

/* False: one that is given twice (RFC 6749 3.1), or cannot be decoded. */
static bool read_query(const char *query, size_t length, struct parameters *parameters)
{
	const char *end = query + length;

	while (query < end) {
		const char *next = memchr(query, '&', (size_t)(end - query));
		const char *stop = next ? next : end;
		const char *equals = memchr(query, '=', (size_t)(stop - query));
		char **value = equals ? parameter_named(parameters, query, (size_t)(equals - query)) : NULL;

		if (value && *value)
			return false;
		if (value && !(*value = decode(equals + 1, (size_t)(stop - equals - 1))))
			return false;
		query = stop + 1;
	}
	return true;
}

static void say_denied(const struct parameters *parameters, struct words *words)
{
	const char *description = parameters->description ? parameters->description : "";
	char *error = text_clean(parameters->error, strlen(parameters->error), SAID_BYTES);
	char *more = text_clean(description, strlen(description), SAID_BYTES);

	words_set(words, "the authorization was refused: %s%s%s%s", error, *more ? " (" : "", more,
	          *more ? ")" : "");
	free(error);
	free(more);
}

static enum loopback_request judge(const struct parameters *parameters, const char *state,
                                   struct secret *code, struct words *words)
{
	if (!parameters->state || strcmp(parameters->state, state) != 0)
		return LOOPBACK_FORGED;
	if (parameters->error) {
		say_denied(parameters, words);
		return LOOPBACK_DENIED;
	}
	if (!parameters->code || !*parameters->code || strlen(parameters->code) > LOOPBACK_CODE_BYTES)
		return LOOPBACK_OTHER;
	secret_set(code, parameters->code, strlen(parameters->code));
	return LOOPBACK_CODE;
}

enum loopback_request loopback_read(const char *octets, size_t length, const char *state, struct secret *code,
                                    struct words *words)
{
	static const char begin[] = "GET /?", version[] = " HTTP/1.";
	const char *line_end, *query = octets + strlen(begin), *query_end;
	struct parameters parameters = { .state = NULL };
	enum loopback_request request = LOOPBACK_OTHER;

	if (!memmem(octets, length, "\r\n\r\n", 4))
		return LOOPBACK_MORE;
	line_end = memmem(octets, length, "\r\n", 2);
	if ((size_t)(line_end - octets) < strlen(begin) || memcmp(octets, begin, strlen(begin)) != 0)
		return LOOPBACK_OTHER;
	query_end = memchr(query, ' ', (size_t)(line_end - query));
	if (!query_end || (size_t)(line_end - query_end) != strlen(version) + 1 ||
	    memcmp(query_end, version, strlen(version)) != 0)
		return LOOPBACK_OTHER;
	if (read_query(query, (size_t)(query_end - query), &parameters))
		request = judge(&parameters, state, code, words);
	parameters_fini(&parameters);
	return request;
}

/* ---- the port ---------------------------------------------------------------------- */

enum error loopback_open(int *fd, int *port, struct words *words)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof(address);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&address, length) != 0 || listen(*fd, VISITORS) != 0 ||
	    getsockname(*fd, (struct sockaddr *)&address, &length) != 0) {
		words_set_errno(words, errno, "no port of 127.0.0.1 can be listened on");
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return ERROR_SYSTEM;
	}
	*port = ntohs(address.sin_port);
	return OK;
}

struct visitor {
	int fd; /* -1 = none */
	int64_t number;
	size_t length;
	char octets[LOOPBACK_REQUEST_BYTES];
};

static void leave(struct visitor *visitor)
{
	if (visitor->fd >= 0)
		close(visitor->fd);
	explicit_bzero(visitor->octets, visitor->length);
	visitor->fd = -1;
	visitor->length = 0;
}

static void answer(struct visitor *visitor, const char *status, const char *page)
{
	struct buffer text;

	buffer_init(&text, 1024);
	buffer_printf(
		&text,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n%s",
		status, strlen(page), page);
	/* it fits into the socket's buffer; who does not read it has lost nothing */
	(void)!send(visitor->fd, text.data, text.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	buffer_fini(&text);
	leave(visitor);
}

/* The oldest gives way. */
static void admit(struct visitor *visitors, int listener, int64_t number)
{
	/* cppcheck-suppress nullPointer ; accept(2) takes them */
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct visitor *place = &visitors[0];

	if (fd < 0)
		return;
	for (int i = 0; i < VISITORS && place->fd >= 0; i++)
		if (visitors[i].fd < 0 || visitors[i].number < place->number)
			place = &visitors[i];
	leave(place);
	place->fd = fd;
	place->number = number;
}

/* LOOPBACK_MORE: nothing is decided. */
static enum loopback_request hear(struct visitor *visitor, const char *state, struct secret *code,
                                  struct words *words)
{
	ssize_t n = recv(visitor->fd, visitor->octets + visitor->length,
	                 sizeof(visitor->octets) - visitor->length, 0);
	enum loopback_request request;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return LOOPBACK_MORE;
	if (n <= 0) {
		leave(visitor);
		return LOOPBACK_MORE;
	}
	visitor->length += (size_t)n;
	request = loopback_read(visitor->octets, visitor->length, state, code, words);
	if (request == LOOPBACK_MORE && visitor->length == sizeof(visitor->octets))
		request = LOOPBACK_OTHER;
	switch (request) {
	case LOOPBACK_MORE: break;
	case LOOPBACK_OTHER: answer(visitor, "404 Not Found", PAGE_OTHER); break;
	case LOOPBACK_FORGED: answer(visitor, "400 Bad Request", PAGE_OTHER); break;
	case LOOPBACK_DENIED: answer(visitor, "200 OK", PAGE_DENIED); break;
	case LOOPBACK_CODE: answer(visitor, "200 OK", PAGE_DONE); break;
	}
	return request;
}

static enum error serve(struct visitor *visitors, int listener, const char *state, int64_t deadline_ms,
                        struct secret *code, struct words *words)
{
	int64_t came = 0;

	for (;;) {
		struct pollfd fds[VISITORS + 1] = { { .fd = listener, .events = POLLIN } };
		enum error error;

		for (int i = 0; i < VISITORS; i++)
			fds[i + 1] = (struct pollfd){ .fd = visitors[i].fd, .events = POLLIN };
		error = wait_for_any(fds, VISITORS + 1, deadline_ms, NULL);
		if (error != OK)
			return error;
		for (int i = 0; i < VISITORS; i++) {
			enum loopback_request request = LOOPBACK_MORE;

			if (fds[i + 1].revents)
				request = hear(&visitors[i], state, code, words);
			if (request == LOOPBACK_CODE)
				return OK;
			if (request == LOOPBACK_DENIED)
				return ERROR_REFUSED;
		}
		if (fds[0].revents)
			admit(visitors, listener, ++came);
	}
}

enum error loopback_wait(int fd, const char *state, int64_t deadline_ms, struct secret *code,
                         struct words *words)
{
	struct visitor *visitors = memory_alloc(VISITORS * sizeof(*visitors));
	enum error error;

	for (int i = 0; i < VISITORS; i++)
		visitors[i].fd = -1;
	error = serve(visitors, fd, state, deadline_ms, code, words);
	if (error == ERROR_TIMEOUT)
		words_set(words, "no browser came back with a code in time");
	else if (error != OK && error != ERROR_REFUSED)
		words_set(words, "the browser cannot be waited for");
	for (int i = 0; i < VISITORS; i++)
		leave(&visitors[i]);
	free(visitors);
	return error;
}
