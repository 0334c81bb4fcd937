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

#define EAR_ENDED_MAX 16

/* A message whose end was heard. */
struct ear_ended {
	struct buffer text;  /* dots undone */
	bool accepted_after; /* a whole reply of 2xx was said behind it */
};

struct session_ear {
	struct buffer line;    /* that has not ended yet */
	struct buffer pending; /* whole commands that were not answered, one a line */
	struct buffer last;    /* the last whole line */
	bool in_tls, starttls_heard, quit_heard;
	bool in_login;      /* lines may be responses to challenges */
	bool data_heard;    /* DATA, and nothing but a message since */
	bool told_to_go_on; /* a 3xx was said */
	size_t chunk_left;  /* octets of a BDAT chunk to come */
	bool chunk_is_last;
	struct buffer text; /* of the message under way, dots undone */
	struct ear_ended ended[EAR_ENDED_MAX];
	int ended_count;
	/* what is said to the client */
	char said[4];
	size_t said_length; /* of the present line, at most 4 */
};

void session_ear_init(struct session_ear *ear);
void session_ear_fini(struct session_ear *ear);
/* The message with this text whose end was heard, NULL = there is none. */
const struct ear_ended *session_ear_find(const struct session_ear *ear, const struct buffer *text);
void session_ear_hear(struct session_ear *ear, const char *octets, size_t length);
/* The server said this. */
void session_ear_say(struct session_ear *ear, const char *octets, size_t length);

#endif
