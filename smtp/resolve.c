/*
 * resolve.c - a host name to addresses, by c-ares, under the caller's deadline.
 *
 * Promises that no question outlives its deadline or a stop; that a change of
 * resolv.conf is heard by the next question; that a machine short of
 * descriptors is told apart from name servers that fail.  The channels own no
 * descriptor while nobody asks.  Fails as the header says, always with words.
 *
 * c-ares 1.18 has no thread of its own: whoever borrows a channel drives it.
 */
#include "smtp/resolve.h"

#include <ares.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "smtp/host.h"

#define RESOLV_CONF   "/etc/resolv.conf"
#define IDLE_CHANNELS 8
/*
 * 3 and then 6 s for each server: a resolver that swallows AAAA questions (there
 * are such) must leave some of connect_timeout for connecting; c-ares would take 75 s.
 */
#define FIRST_TIMEOUT_MS 3000
#define TRIES            2

/* What tells one resolv.conf from the next; all 0 = there is none. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct channel {
	struct channel *next;
	ares_channel ares;
	struct stamp stamp;
	int shortage; /* why a socket could not be had: not the name servers' fault; 0 = it could */
};

struct resolver {
	char *servers; /* "ADDRESS:PORT,…", NULL = from conf */
	char *conf;
	int port;             /* of the servers in conf, 0 = as usual */
	pthread_mutex_t lock; /* of the two below */
	struct channel *idle;
	int idle_count;
};

/* One question under way. */
struct question {
	const char *host;
	int port, family;
	int64_t deadline_ms;
	const struct interrupt *interrupt;
	struct resolved *resolved;
	bool done;
	int status; /* c-ares's, once done */
};

/* --- sockets: ours, so that none is inherited and a shortage is seen --------------- */

static ares_socket_t open_socket(int family, int type, int protocol, void *context)
{
	struct channel *channel = context;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0 && error_is_shortage(errno))
		channel->shortage = errno;
	return fd;
}

static int close_socket(ares_socket_t fd, void *context)
{
	(void)context;
	return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t length,
                          void *context)
{
	(void)context;
	return connect(fd, address, length);
}

static ares_ssize_t receive(ares_socket_t fd, void *bytes, size_t capacity, int flags, struct sockaddr *from,
                            ares_socklen_t *from_length, void *context)
{
	(void)context;
	return recvfrom(fd, bytes, capacity, flags, from, from_length);
}

static ares_ssize_t send_parts(ares_socket_t fd, const struct iovec *parts, int count, void *context)
{
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };

	(void)context;
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static const struct ares_socket_functions socket_functions = {
	.asocket = open_socket,
	.aclose = close_socket,
	.aconnect = connect_socket,
	.arecvfrom = receive,
	.asendv = send_parts,
};

/* --- channels ---------------------------------------------------------------------- */

static struct stamp take_stamp(const char *path)
{
	struct stamp stamp;
	struct stat facts;

	memset(&stamp, 0, sizeof(stamp)); /* compared with its padding */
	if (stat(path, &facts) == 0) {
		stamp.device = facts.st_dev;
		stamp.inode = facts.st_ino;
		stamp.size = facts.st_size;
		stamp.changed = facts.st_mtim;
	}
	return stamp;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * c-ares that cannot open resolv.conf asks 127.0.0.1 instead, in silence: such a channel must not be.
 * The errno of a shortage, 0 = it can, or there is no such file.
 */
static int shortage_at(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_is_shortage(errno) ? errno : 0;
	close(fd);
	return 0;
}

static int open_channel(const struct resolver *resolver, struct channel *channel)
{
	struct ares_options options = {
		.flags = ARES_FLAG_NOALIASES,
		.timeout = FIRST_TIMEOUT_MS,
		.tries = TRIES,
		.udp_port = (unsigned short)resolver->port,
		.tcp_port = (unsigned short)resolver->port,
		.resolvconf_path = resolver->conf,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_RESOLVCONF;
	int status;

	if (resolver->port != 0)
		mask |= ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT;
	status = ares_init_options(&channel->ares, &options, mask);
	if (status != ARES_SUCCESS)
		return status;
	ares_set_socket_functions(channel->ares, &socket_functions, channel);
	if (resolver->servers)
		status = ares_set_servers_ports_csv(channel->ares, resolver->servers);
	if (status != ARES_SUCCESS)
		ares_destroy(channel->ares);
	return status;
}

static void destroy_channel(struct channel *channel)
{
	ares_destroy(channel->ares);
	free(channel);
}

static void destroy_chain(struct channel *channel)
{
	while (channel) {
		struct channel *next = channel->next;

		destroy_channel(channel);
		channel = next;
	}
}

/* NULL with *error and words if none can be had. */
static struct channel *make_channel(const struct resolver *resolver, enum error *error, struct words *words)
{
	struct channel *channel = memory_alloc(sizeof(*channel));
	int status = ARES_EFILE, shortage = shortage_at(resolver->conf);

	channel->stamp = take_stamp(resolver->conf);
	if (!shortage)
		status = open_channel(resolver, channel);
	if (status == ARES_SUCCESS && !(shortage = shortage_at(resolver->conf)))
		return channel;
	if (status == ARES_SUCCESS)
		ares_destroy(channel->ares);
	free(channel);
	*error = ERROR_UNAVAILABLE;
	if (shortage)
		words_set_errno(words, shortage, "the resolver cannot be started");
	else
		words_set(words, "the resolver cannot be started: %s", ares_strerror(status));
	return NULL;
}

/* An idle channel that knows the present resolv.conf, or NULL; those that do not are destroyed. */
static struct channel *take_idle(struct resolver *resolver)
{
	struct stamp now = take_stamp(resolver->conf);
	struct channel *taken = NULL, *stale = NULL;

	pthread_mutex_lock(&resolver->lock);
	if (resolver->idle && !same_stamp(&resolver->idle->stamp, &now)) {
		stale = resolver->idle;
		resolver->idle = NULL;
		resolver->idle_count = 0;
	} else if (resolver->idle) {
		taken = resolver->idle;
		resolver->idle = taken->next;
		resolver->idle_count--;
	}
	pthread_mutex_unlock(&resolver->lock);
	destroy_chain(stale);
	return taken;
}

/* All idle channels are of one stamp: one of another is not kept. */
static void give_back(struct resolver *resolver, struct channel *channel)
{
	struct stamp now = take_stamp(resolver->conf);
	bool keep = same_stamp(&channel->stamp, &now);

	pthread_mutex_lock(&resolver->lock);
	keep = keep && resolver->idle_count < IDLE_CHANNELS &&
	       (!resolver->idle || same_stamp(&resolver->idle->stamp, &channel->stamp));
	if (keep) {
		channel->next = resolver->idle;
		resolver->idle = channel;
		resolver->idle_count++;
	}
	pthread_mutex_unlock(&resolver->lock);
	if (!keep)
		destroy_channel(channel);
}

/* Servers that c-ares cannot read would make every question wait for a better time: they are told at once. */
static enum error check_servers(const struct resolver *resolver, struct words *words)
{
	struct channel trial = { .shortage = 0 };
	int status = open_channel(resolver, &trial);

	if (status == ARES_SUCCESS) {
		ares_destroy(trial.ares);
		return OK;
	}
	words_set(words, "'%s' are no name servers (ADDRESS:PORT,...): %s", resolver->servers,
	          ares_strerror(status));
	return ERROR_INVALID;
}

enum error resolver_create(const char *servers, struct resolver **resolver, struct words *words)
{
	struct resolver *made;
	enum error error;
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	*resolver = NULL;
	if (status != ARES_SUCCESS) {
		words_set(words, "c-ares: %s", ares_strerror(status));
		return ERROR_SYSTEM;
	}
	made = memory_alloc(sizeof(*made));
	pthread_mutex_init(&made->lock, NULL);
	if (servers && servers[0] == '/') {
		size_t length = strcspn(servers, "@");

		made->conf = memory_strndup(servers, length);
		made->port = servers[length] ? atoi(servers + length + 1) : 0;
	} else {
		made->conf = memory_strdup(RESOLV_CONF);
		made->servers = memory_strdup(servers);
	}
	error = made->servers ? check_servers(made, words) : OK;
	*resolver = made;
	if (error != OK)
		resolver_destroy(resolver);
	return error;
}

void resolver_destroy(struct resolver **resolver)
{
	struct resolver *destroyed = *resolver;

	if (!destroyed)
		return;
	destroy_chain(destroyed->idle);
	pthread_mutex_destroy(&destroyed->lock);
	free(destroyed->servers);
	free(destroyed->conf);
	free(destroyed);
	ares_library_cleanup();
	*resolver = NULL;
}

/* --- answers ------------------------------------------------------------------------- */

static void answered(void *context, int status, int timeouts, struct ares_addrinfo *answer)
{
	struct question *question = context;

	(void)timeouts;
	question->done = true;
	question->status = status;
	if (status != ARES_SUCCESS)
		return;
	for (struct ares_addrinfo_node *node = answer->nodes; node; node = node->ai_next)
		host_add_address(question->resolved, node->ai_addr, node->ai_addrlen, question->port);
	ares_freeaddrinfo(answer);
}

/* Lets c-ares read, write and grow impatient on what is ready. */
static void drive(ares_channel ares, const struct pollfd *fds, unsigned count)
{
	bool any = false;

	for (unsigned i = 0; i < count; i++) {
		bool readable = fds[i].revents & (POLLIN | POLLERR | POLLHUP);
		bool writable = fds[i].revents & POLLOUT;

		if (!readable && !writable)
			continue;
		any = true;
		ares_process_fd(ares, readable ? fds[i].fd : ARES_SOCKET_BAD,
		                writable ? fds[i].fd : ARES_SOCKET_BAD);
	}
	if (!any)
		ares_process_fd(ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* One wait for the sockets, c-ares's own next time limit or the deadline, whichever is first. */
static enum error wait_once(ares_channel ares, int64_t deadline_ms, const struct interrupt *interrupt)
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	struct pollfd fds[ARES_GETSOCK_MAXNUM];
	struct timeval limit, *next = ares_timeout(ares, NULL, &limit);
	int64_t until_ms = deadline_ms;
	/* not by c-ares's macros: they shift into the sign of an int */
	unsigned bits = (unsigned)ares_getsock(ares, sockets, ARES_GETSOCK_MAXNUM);
	unsigned count = 0;
	enum error error;

	for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		short events = (short)((bits >> i & 1 ? POLLIN : 0) |
		                       (bits >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));

		if (events)
			fds[count++] = (struct pollfd){ .fd = sockets[i], .events = events };
	}
	if (next) {
		int64_t next_ms = deadline_after_ms((int64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1);

		if (next_ms < until_ms)
			until_ms = next_ms;
	}
	error = wait_for_any(fds, count, until_ms, interrupt);
	if (error == ERROR_TIMEOUT && deadline_left_ms(deadline_ms) == 0)
		return ERROR_TIMEOUT;
	if (error != OK && error != ERROR_TIMEOUT && error != ERROR_UNAVAILABLE)
		return error;
	drive(ares, fds, error == OK ? count : 0);
	return OK;
}

static const char *family_words(int family)
{
	return family == AF_INET ? "IPv4 " : family == AF_INET6 ? "IPv6 " : "";
}

static enum error judge(const struct question *question, const struct channel *channel, struct words *words)
{
	const char *host = question->host;

	if (question->status == ARES_SUCCESS && question->resolved->count > 0)
		return OK;
	if (channel->shortage) {
		words_set_errno(words, channel->shortage, "resolving %s", host);
		return ERROR_UNAVAILABLE;
	}
	switch (question->status) {
	case ARES_ENOTFOUND: words_set(words, "there is no host %s", host); return ERROR_NOT_FOUND;
	case ARES_SUCCESS:
	case ARES_ENODATA:
		words_set(words, "the host %s has no %saddress", host, family_words(question->family));
		return ERROR_NOT_FOUND;
	case ARES_EBADNAME: words_set(words, "'%s' is not the name of a host", host); return ERROR_INVALID;
	case ARES_ETIMEOUT:
		words_set(words, "resolving %s: no name server answers", host);
		return ERROR_TIMEOUT;
	default:
		words_set(words, "resolving %s: %s", host, ares_strerror(question->status));
		return ERROR_PROTOCOL;
	}
}

static enum error ask(struct channel *channel, struct question *question, struct words *words)
{
	struct ares_addrinfo_hints hints = { .ai_family = question->family, .ai_socktype = SOCK_STREAM };
	enum error error = OK;

	channel->shortage = 0;
	ares_getaddrinfo(channel->ares, question->host, NULL, &hints, answered, question);
	while (!question->done && error == OK)
		error = wait_once(channel->ares, question->deadline_ms, question->interrupt);
	if (error == OK)
		return judge(question, channel, words);
	ares_cancel(channel->ares); /* calls answered() */
	question->resolved->count = 0;
	words_set(words, "resolving %s%s", question->host,
	          error == ERROR_TIMEOUT ? ": no name server answered in time" : " was called off");
	return error;
}

enum error resolve(struct resolver *resolver, const char *host, int port, int family, int64_t deadline_ms,
                   const struct interrupt *interrupt, struct resolved *resolved, struct words *words)
{
	char name[HOST_BYTES];
	struct question question = {
		.host = name,
		.port = port,
		.family = family,
		.deadline_ms = deadline_ms,
		.interrupt = interrupt,
		.resolved = resolved,
	};
	struct channel *channel;
	enum error error;

	resolved->count = 0;
	if (host_parse_literal(host, port, resolved)) {
		if (family == AF_UNSPEC || family == resolved->addresses[0].ss_family)
			return OK;
		resolved->count = 0;
		words_set(words, "%s is not an %saddress", host, family_words(family));
		return ERROR_NOT_FOUND;
	}
	error = host_to_ascii(host, name, words);
	if (error != OK)
		return error;
	channel = take_idle(resolver);
	if (!channel)
		channel = make_channel(resolver, &error, words);
	if (!channel)
		return error;
	error = ask(channel, &question, words);
	give_back(resolver, channel);
	return error;
}
