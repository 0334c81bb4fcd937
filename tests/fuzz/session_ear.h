/*
 * session_ear.h - what the client of fuzz_session says, octet by octet, and whether it may.
 *
 * Every line ends in CRLF and holds no other CR, LF or NUL; outside a message it is a
 * command that SMTP has, in a place where it may stand; a message is told from commands by
 * its lines, which begin with "x" or are empty.
 */
#ifndef OUTBOXD_TESTS_FUZZ_SESSION_EAR_H
#define OUTBOXD_TESTS_FUZZ_SESSION_EAR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

struct session_ear {
	struct buffer line;    /* that has not ended yet */
	struct buffer pending; /* whole commands that were not answered, one a line */
	struct buffer last;    /* the last whole line */
	bool in_tls, starttls_heard, quit_heard;
	bool in_login;      /* lines may be responses to challenges */
	bool data_heard;    /* DATA, and nothing but a message since */
	bool told_to_go_on; /* a 3xx was said since MAIL */
	size_t chunk_left;  /* octets of a BDAT chunk to come */
	bool chunk_is_last;
	bool end_heard;      /* of a message's data, since session_ear_expect() */
	bool accepted_after; /* and a whole reply of 2xx said behind it */
	size_t rcpts;        /* since MAIL */
	struct buffer text;  /* of the last message, dots undone */
	/* what is said to the client */
	char said[4];
	size_t said_length; /* of the present line, at most 4 */
};

void session_ear_init(struct session_ear *ear);
void session_ear_fini(struct session_ear *ear);
/* Another message begins. */
void session_ear_expect(struct session_ear *ear);
void session_ear_hear(struct session_ear *ear, const char *octets, size_t length);
/* The server said this. */
void session_ear_say(struct session_ear *ear, const char *octets, size_t length);

#endif
