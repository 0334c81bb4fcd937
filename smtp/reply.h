/*
 * reply.h - SMTP replies (RFC 5321 4.2), byte by byte. Pure.
 *
 * Bounded: a line of at most 4096 octets (longer is malformed), at most 256
 * lines, at most REPLY_TEXT_BYTES of text kept (what is over is dropped, the
 * reply stays good). A bare LF is taken as a line end; NUL is malformed. Memory grows with
 * what is said, so that a session with a server of few words is small; it is kept from
 * reply to reply, and wiped whenever it is given back.
 */
#ifndef OUTBOXD_SMTP_REPLY_H
#define OUTBOXD_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_LINE_BYTES 4096
#define REPLY_LINES      256
#define REPLY_TEXT_BYTES 8192

struct reply {
	int code;          /* 200 to 599; 0 before the first line */
	char enhanced[12]; /* RFC 2034 of the first line, e.g. "5.1.1", "" = none */
	char *text;        /* lines without code, separated by '\n', enhanced code cut off each, not
	                      cleaned; terminated. NULL before the first reply_begin() */
	size_t length, room;
	int lines;
};

enum reply_progress { REPLY_MORE, REPLY_DONE, REPLY_MALFORMED };

struct reply_parser {
	char *line;
	size_t line_length, line_room;
	struct reply *reply;
	const char *why; /* after REPLY_MALFORMED: constant words */
};

/* Both must have been zeroed before their first use. */
void reply_begin(struct reply_parser *parser, struct reply *reply);
/* Wipe and free what they hold; they are as zeroed. */
void reply_parser_fini(struct reply_parser *parser);
void reply_fini(struct reply *reply);

/* Takes bytes up to the end of one reply; *consumed says how many. Octets of the next reply are left. */
enum reply_progress reply_feed(struct reply_parser *parser, const char *bytes, size_t length,
                               size_t *consumed);

/* What an EHLO reply offers (RFC 5321 4.1.1.1, keywords without case). */
struct capabilities {
	bool esmtp; /* EHLO was accepted */
	bool starttls, pipelining, eight_bit_mime, smtputf8, chunking, enhanced_codes, dsn;
	bool size;
	long long size_limit; /* 0 = none stated */
	char auth[512];       /* mechanisms, separated by a space, upper case; also from "AUTH=" */
	/* RFC 9422: transactions a session, recipients a transaction, recipients' domains a session; 0 = none
	 * stated, or not as its syntax has it */
	int mail_max, rcpt_max, rcpt_domain_max;
};
void capabilities_parse(const struct reply *reply, struct capabilities *capabilities);

/*
 * "5.1.1" at the start of text, followed by a space or the end: its length if it
 * is an enhanced status code (RFC 3463 2) of class_digit ('2', '4' or '5'), else 0.
 */
size_t reply_enhanced_length(const char *text, size_t length, int class_digit);

#endif
