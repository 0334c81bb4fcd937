/*
 * sink_worker.c - threads, sockets, and replies that leave later.
 *
 * Every reply waits equally long, so those of all connections of a worker leave in the order in
 * which they were made: one ring holds them, one timer its first.
 */
#include "tests/bench/sink.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct connection {
	int fd;
	struct worker *worker;
	struct sink_tls *tls;
	struct sink_session session;
	struct sink_output output;
	size_t ripe;     /* output.data[..ripe) may leave */
	unsigned unripe; /* how many entries of the ring name it */
	unsigned rest_length;
	char *rest; /* of the last read: the beginning of a line */
	uint32_t events;
	bool closed;
	struct connection *next_dead; /* freed when the ring has forgotten it */
};

struct later {
	uint64_t due_ns;
	struct connection *connection;
	size_t octets;
};

struct worker {
	const struct sink_options *options;
	int epoll, timer;
	struct later *ring; /* room is a power of two */
	size_t first, count, room;
	char *buffer;
	struct connection *dead;
};

struct sink_numbers sink_numbers;
static struct worker *workers;
static unsigned next_worker;
static int listener;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void watch(struct connection *c, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	bool watched = c->events != 0;

	if (events == c->events)
		return;
	c->events = events; /* before: it may be another thread's behind epoll_ctl() */
	if (epoll_ctl(c->worker->epoll, watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) != 0)
		sink_die("epoll_ctl");
}

/* What is closed stays until its worker has gone through the events of one epoll_wait(). */
static void bury(struct worker *w)
{
	struct connection **link = &w->dead;

	while (*link != NULL) {
		struct connection *c = *link;

		if (c->unripe > 0) {
			link = &c->next_dead;
			continue;
		}
		*link = c->next_dead;
		free(c->output.data);
		free(c->rest);
		free(c);
	}
}

static void finish(struct connection *c)
{
	if (c->closed)
		return;
	sink_tls_destroy(c->tls);
	close(c->fd);
	c->closed = true;
	c->next_dead = c->worker->dead;
	c->worker->dead = c;
	__atomic_fetch_sub(&sink_numbers.open, 1, __ATOMIC_RELAXED);
}

/* --- replies -------------------------------------------------------------------- */

static void set_timer(struct worker *w)
{
	uint64_t due = w->count ? w->ring[w->first].due_ns : 0; /* 0 stops it */
	struct itimerspec at = { .it_value = { (time_t)(due / 1000000000), (long)(due % 1000000000) } };

	timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void put_later(struct connection *c, size_t octets, uint64_t due_ns)
{
	struct worker *w = c->worker;

	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		struct later *ring = calloc(room, sizeof(*ring));

		if (ring == NULL)
			sink_die("ring");
		for (size_t n = 0; n < w->count; n++)
			ring[n] = w->ring[(w->first + n) % w->room];
		free(w->ring);
		w->ring = ring;
		w->first = 0;
		w->room = room;
	}
	w->ring[(w->first + w->count++) % w->room] = (struct later){ due_ns, c, octets };
	c->unripe++;
	if (w->count == 1)
		set_timer(w);
}

/* Writes what may leave; then TLS, or the end, where the session said so. */
static void flush(struct connection *c)
{
	while (c->output.sent < c->ripe) {
		const char *data = c->output.data + c->output.sent;
		size_t length = c->ripe - c->output.sent;
		ssize_t sent = c->tls ? sink_tls_write(c->tls, data, length)
		                      : send(c->fd, data, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			watch(c, EPOLLIN | EPOLLOUT);
			return;
		}
		if (sent <= 0) {
			finish(c);
			return;
		}
		sink_add(&sink_numbers.writes, 1);
		c->output.sent += (size_t)sent;
	}
	watch(c, EPOLLIN);
	if (c->output.sent < c->output.length)
		return;
	c->output.sent = c->output.length = c->ripe = 0;
	if (c->session.over) {
		finish(c);
	} else if (c->session.start_tls) {
		sink_session_init(&c->session, c->worker->options, false);
		c->tls = sink_tls_create(c->fd);
	}
}

/* What was added to the output since it had `before` octets leaves now, or after the delay. */
static void answer(struct connection *c, size_t before, uint64_t now_ns)
{
	uint64_t delay_ns = c->worker->options->delay_ns;

	if (c->output.length - c->output.sent > SINK_OUTPUT_BYTES) {
		finish(c);
	} else if (delay_ns == 0) {
		c->ripe = c->output.length;
		flush(c);
	} else if (c->output.length > before) {
		put_later(c, c->output.length - before, now_ns + delay_ns);
	}
}

static void on_timer(struct worker *w)
{
	uint64_t times, now_ns = now();

	if (read(w->timer, &times, sizeof(times)) < 0 && errno != EAGAIN)
		sink_die("timer");
	while (w->count > 0 && w->ring[w->first].due_ns <= now_ns) {
		struct later later = w->ring[w->first];
		struct connection *c = later.connection;

		w->first = (w->first + 1) % w->room;
		w->count--;
		c->unripe--;
		c->ripe += later.octets;
		if (!c->closed)
			flush(c);
	}
	set_timer(w);
}

/* --- connections ------------------------------------------------------------------ */

static void keep_rest(struct connection *c, const char *data, size_t length)
{
	if (length > 0 && c->rest == NULL && (c->rest = malloc(SINK_LINE_BYTES)) == NULL)
		sink_die("rest");
	if (length > 0)
		memcpy(c->rest, data, length);
	c->rest_length = (unsigned)length;
}

/* As much as is there, at most a buffer full; 0 at the end, -1 with errno. */
static ssize_t receive(struct connection *c, char *data, size_t room)
{
	size_t length = 0;
	ssize_t got;

	if (c->tls == NULL)
		return recv(c->fd, data, room, 0);
	/* a record at a time, and the socket knows nothing of those that GnuTLS has read */
	while ((got = sink_tls_read(c->tls, data + length, room - length)) > 0) {
		length += (size_t)got;
		if (length == room)
			break;
	}
	return length > 0 ? (ssize_t)length : got;
}

/* False when nothing more is there now. */
static bool take_some(struct connection *c)
{
	char *buffer = c->worker->buffer;
	size_t room = SINK_READ_BYTES - c->rest_length, length, taken, before;
	uint64_t now_ns;
	ssize_t got;

	memcpy(buffer, c->rest ? c->rest : "", c->rest_length);
	got = receive(c, buffer + c->rest_length, room);
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0) {
		finish(c);
		return false;
	}
	sink_add(&sink_numbers.reads, 1);
	now_ns = now();
	length = c->rest_length + (size_t)got;
	if (c->output.sent == c->output.length && c->unripe == 0)
		c->output.sent = c->output.length = c->ripe = 0;
	before = c->output.length;
	taken = sink_session_take(&c->session, buffer, length, now_ns, &c->output);
	if (c->session.start_tls && taken < length) { /* nothing may follow STARTTLS (RFC 3207 4) */
		finish(c);
		return false;
	}
	keep_rest(c, buffer + taken, c->session.over ? 0 : length - taken);
	answer(c, before, now_ns);
	return !c->closed && (size_t)got == room;
}

static void on_event(struct connection *c, uint32_t events)
{
	if (events & EPOLLOUT)
		flush(c);
	if (!c->closed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		while (take_some(c))
			;
	}
}

static void accept_all(const struct sink_options *options)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *c = calloc(1, sizeof(*c));
		static const char greeting[] = "220 sink.example ESMTP\r\n";
		uint64_t open;

		if (c == NULL)
			sink_die("connection");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		c->worker = &workers[next_worker++ % options->threads];
		sink_session_init(&c->session, options, options->certificate != NULL);
		sink_add(&sink_numbers.connections, 1);
		open = __atomic_add_fetch(&sink_numbers.open, 1, __ATOMIC_RELAXED);
		if (open > __atomic_load_n(&sink_numbers.most_open, __ATOMIC_RELAXED))
			__atomic_store_n(&sink_numbers.most_open, open, __ATOMIC_RELAXED);
		/* the greeting has no command to wait behind; from watch() on it is its worker's */
		send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
		watch(c, EPOLLIN);
	}
}

static void *work(void *argument)
{
	struct worker *w = argument;
	struct epoll_event events[256];

	while (true) {
		int count = epoll_wait(w->epoll, events, 256, -1);

		if (count < 0 && errno != EINTR)
			sink_die("epoll_wait");
		for (int n = 0; n < count; n++) {
			if (events[n].data.ptr == &listener)
				accept_all(w->options);
			else if (events[n].data.ptr == w)
				on_timer(w);
			else
				on_event(events[n].data.ptr, events[n].events);
		}
		bury(w);
	}
	return NULL;
}

static void prepare(struct worker *w, const struct sink_options *options)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

	*w = (struct worker){ .options = options,
		              .epoll = epoll_create1(EPOLL_CLOEXEC),
		              .timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
		              .buffer = malloc(SINK_READ_BYTES) };
	if (w->epoll < 0 || w->timer < 0 || w->buffer == NULL ||
	    epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->timer, &event) != 0)
		sink_die("worker");
}

uint16_t sink_start(const struct sink_options *options)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr = { htonl(INADDR_LOOPBACK) },
		                       .sin_port = htons(options->port) };
	socklen_t length = sizeof(address);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &listener };
	int one = 1;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 ||
	    listen(listener, 4096) != 0 || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
		sink_die("listen");
	workers = calloc(options->threads, sizeof(*workers));
	if (workers == NULL)
		sink_die("workers");
	for (unsigned n = 0; n < options->threads; n++)
		prepare(&workers[n], options);
	if (epoll_ctl(workers[0].epoll, EPOLL_CTL_ADD, listener, &event) != 0)
		sink_die("epoll_ctl");
	for (unsigned n = 0; n < options->threads; n++) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, work, &workers[n]);
		if (errno != 0)
			sink_die("thread");
		pthread_detach(thread);
	}
	return ntohs(address.sin_port);
}
