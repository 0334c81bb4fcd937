/*
 * scripted_server.h - a server that says what a page says, and notes what it hears.
 *
 * server_listen() at once, then server_play() once for each connection that the
 * page describes, in a thread of the caller's choice. Everything that the
 * client says in SMTP is checked for bare CR and bare LF.
 */
#ifndef OUTBOXD_TESTS_SUPPORT_SCRIPTED_SERVER_H
#define OUTBOXD_TESTS_SUPPORT_SCRIPTED_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "tests/support/scripted_page.h"
#include "tests/support/scripted_peer.h"

#define RECEIVED_MAX 16

struct scripted_server {
	const struct page *page;
	const struct test_certificate *certificate;
	const pthread_t *client; /* the thread that "clock" wakes, NULL = none of ours */
	FILE *echo;              /* what is heard and said, as it happens; NULL = nowhere */
	int listener;
	int port;
	/* what came of it */
	int connections, handshakes;
	struct buffer heard;                  /* all commands, one a line */
	struct buffer received[RECEIVED_MAX]; /* messages as they were on the wire, without the lone dot */
	bool in_chunks[RECEIVED_MAX];         /* by BDAT */
	int received_count;
	struct buffer problem; /* empty = the client kept to the page */
};

/* Listens on a free port of loopback. False if there is none. */
bool server_listen(struct scripted_server *server, const struct page *page,
                   const struct test_certificate *certificate);
/* Accepts one connection (waits PEER_WAIT_MS) and plays connection index of the page; false if none came or
 * it went wrong. */
bool server_play(struct scripted_server *server, int index);
/* Takes no more connections. */
void server_stop_listening(struct scripted_server *server);
void server_fini(struct scripted_server *server);

/* How many commands began like this. */
int server_heard(const struct scripted_server *server, const char *beginning);

#endif
