/*
 * scripted_words.h - one connection of the scripted server under way.
 */
#ifndef OUTBOXD_TESTS_SUPPORT_SCRIPTED_WORDS_H
#define OUTBOXD_TESTS_SUPPORT_SCRIPTED_WORDS_H

#include "tests/support/scripted_server.h"

struct play {
	struct scripted_server *server;
	struct peer peer;
	const struct page_line *line; /* the present one */
	struct buffer *chunks;        /* the message that BDAT is in the middle of */
	bool over;                    /* closed by the page itself, or the client went as it should */
};

/* Does what play->line says. False with server->problem if the client did not keep to it. */
bool play_line(struct play *play);
/* For words that have a file of their own: one line from the client without its CRLF; a line to it; what went
 * wrong, which is false. */
bool play_hear_line(struct play *play, struct buffer *line, const char *expected);
bool play_say(struct play *play, const char *text);
bool play_problem(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* After the last line a client may say QUIT or close, and nothing else. */
bool play_end(struct play *play);

#endif
