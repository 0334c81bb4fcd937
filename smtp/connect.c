/*
 * connect.c - a TCP connection to the first address that answers.
 *
 * Promises that a dead address takes its share of the time and no more, so that
 * a second one still gets its chance; that no descriptor is inherited by a
 * program that is started meanwhile.  Fails with the last address's reason;
 * ERROR_UNAVAILABLE where this machine, not the server, is short of something.
 */
#include "smtp/connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

/* Where we connect from: family AF_UNSPEC = anywhere. */
struct source_address {
	struct sockaddr_storage address;
	socklen_t length;
	sa_family_t family;
};

/* One try of one address, and why it failed. */
struct attempt {
	const struct sockaddr_storage *to;
	socklen_t length;
	const struct source_address *from;
	int64_t deadline_ms;
	const struct interrupt *interrupt;
	int number;   /* errno behind ERROR_CLOSED and ERROR_UNAVAILABLE */
	bool at_bind; /* it was bind(2) that failed */
};

/* The numeric address and port for the words. */
static void describe(const struct sockaddr_storage *address, char *text, size_t size, int *port)
{
	const struct sockaddr_in *four = (const void *)address;
	const struct sockaddr_in6 *six = (const void *)address;
	bool is_six = address->ss_family == AF_INET6;

	*port = ntohs(is_six ? six->sin6_port : four->sin_port);
	if (!inet_ntop(address->ss_family,
	               is_six ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr, text,
	               (socklen_t)size))
		strcpy(text, "?");
}

static bool parse_source(const char *text, struct source_address *from)
{
	struct sockaddr_in *four = (void *)&from->address;
	struct sockaddr_in6 *six = (void *)&from->address;

	memset(from, 0, sizeof(*from));
	from->family = AF_UNSPEC;
	if (!text)
		return true;
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		from->length = sizeof(*four);
		from->family = AF_INET;
	} else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
		from->length = sizeof(*six);
		from->family = AF_INET6;
	}
	from->address.ss_family = from->family;
	return from->family != AF_UNSPEC;
}

/*
 * A port of the ephemeral range on which nobody listens can be connected to
 * itself (RFC 9293 3.5, simultaneous open): that is no server.
 */
static bool is_own_end(int fd)
{
	struct sockaddr_storage here = { .ss_family = AF_UNSPEC }, there = { .ss_family = AF_UNSPEC };
	socklen_t here_length = sizeof(here), there_length = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &here_length) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &there_length) == 0 &&
	       here_length == there_length && memcmp(&here, &there, here_length) == 0;
}

/*
 * A reset in answer to our SYN is ECONNREFUSED (RFC 9293 3.10.7.3). ECONNRESET and EPIPE say that the
 * connection was there and is gone already: that is the loss of a greeting, as it is a moment later.
 */
static bool was_established(int number)
{
	return number == ECONNRESET || number == EPIPE;
}

static enum error finish_connect(int fd, struct attempt *attempt)
{
	socklen_t length = sizeof(attempt->number);
	enum error error = wait_for(fd, POLLOUT, attempt->deadline_ms, attempt->interrupt);

	if (error != OK)
		return error;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &attempt->number, &length) < 0)
		attempt->number = errno;
	if (was_established(attempt->number))
		attempt->number = 0;
	else if (attempt->number == 0 && is_own_end(fd))
		attempt->number = ECONNREFUSED;
	return attempt->number == 0 ? OK : ERROR_CLOSED;
}

static enum error connect_one(int fd, struct attempt *attempt)
{
	const struct source_address *from = attempt->from;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (from->family != AF_UNSPEC) {
		/* the port is chosen at connect, where only the pair must be free: many more connections fit
		 */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, (const struct sockaddr *)&from->address, from->length) < 0) {
			attempt->number = errno;
			attempt->at_bind = true;
			return ERROR_CLOSED;
		}
	}
	if (connect(fd, (const struct sockaddr *)attempt->to, attempt->length) == 0 || errno == EINPROGRESS ||
	    errno == EINTR)
		return finish_connect(fd, attempt);
	attempt->number = errno;
	return error_is_shortage(errno) ? ERROR_UNAVAILABLE : ERROR_CLOSED;
}

/* An equal share of what is left for each address that was not tried yet. */
static int64_t share_deadline(int64_t deadline_ms, int addresses_left)
{
	int64_t now = clock_monotonic_ms();

	if (deadline_ms == DEADLINE_NEVER || addresses_left <= 1 || deadline_ms <= now)
		return deadline_ms;
	return now + (deadline_ms - now + addresses_left - 1) / addresses_left;
}

static void tell(const struct attempt *attempt, enum error error, const char *bind_address,
                 struct words *words)
{
	char text[INET6_ADDRSTRLEN];
	int port;

	describe(attempt->to, text, sizeof(text), &port);
	if (error == ERROR_TIMEOUT)
		words_set(words, "connecting to %s port %d: no answer in time", text, port);
	else if (error == ERROR_INTERRUPTED)
		words_set(words, "connecting to %s port %d was called off", text, port);
	else if (attempt->at_bind)
		words_set_errno(words, attempt->number, "bind_address %s cannot be used", bind_address);
	else
		words_set_errno(words, attempt->number, "connecting to %s port %d", text, port);
}

static enum error try_address(struct attempt *attempt, int *fd)
{
	enum error error;

	*fd = socket(attempt->to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (*fd < 0) {
		attempt->number = errno;
		return error_is_shortage(errno) ? ERROR_UNAVAILABLE : ERROR_CLOSED;
	}
	error = connect_one(*fd, attempt);
	if (error != OK) {
		close(*fd);
		*fd = -1;
	}
	return error;
}

static bool fits(const struct resolved *resolved, int index, const struct source_address *from)
{
	return from->family == AF_UNSPEC || from->family == resolved->addresses[index].ss_family;
}

enum error connect_any(const struct resolved *resolved, const char *bind_address, int64_t deadline_ms,
                       const struct interrupt *interrupt, int *fd, int *used, struct words *words)
{
	struct source_address from;
	enum error error = ERROR_CLOSED;
	int left = 0;

	*fd = -1;
	if (!parse_source(bind_address, &from)) {
		words_set(words, "bind_address '%s' is not an IP address", bind_address);
		return ERROR_INVALID;
	}
	for (int i = 0; i < resolved->count; i++)
		left += fits(resolved, i, &from);
	if (left == 0) {
		words_set(words, "the server has no %saddress%s%s",
		          from.family == AF_INET    ? "IPv4 "
		          : from.family == AF_INET6 ? "IPv6 "
		                                    : "",
		          bind_address ? ", as is needed from bind_address " : "",
		          bind_address ? bind_address : "");
		return ERROR_CLOSED;
	}
	for (int i = 0; i < resolved->count; i++) {
		struct attempt attempt = {
			.to = &resolved->addresses[i],
			.length = resolved->lengths[i],
			.from = &from,
			.interrupt = interrupt,
		};

		if (!fits(resolved, i, &from))
			continue;
		attempt.deadline_ms = share_deadline(deadline_ms, left--);
		error = try_address(&attempt, fd);
		*used = i;
		if (error == OK)
			return OK;
		tell(&attempt, error, bind_address, words);
		/* a refusal or its share of the time tells of this address only */
		if (error != ERROR_CLOSED && error != ERROR_TIMEOUT)
			break;
	}
	return error;
}
