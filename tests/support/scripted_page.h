/*
 * scripted_page.h - a conversation written down: tests/scripts/NAME.smtp.
 *
 * A page is lines of a word and a rest. Three parts, in this order:
 *
 *   what the client does   set COLUMN VALUE · password P · message FROM TO,TO [eight-bit] [smtputf8] [size N]
 *                          [dsn NOTIFY|- RETURN|- ID]
 *                          | text of the message (CRLF is added unless it ends in \) · fill OCTETS
 *                          pad OCTETS · unreadable · park
 *                          stop soon|now at STAGE · hold-end [N] · no-server
 *                          identity (a client certificate) · together   messages are given while those before
 * are under way connection             what the server does on the first, second … connection: S: reply   S=
 * octets without CRLF   C: beginning of the command expected   C= the whole of it hello A, B   220, EHLO and
 * a reply that offers A and B     ehlo A, B   without the 220 envelope N   MAIL, N × RCPT, DATA up to the 354
 * accept N    and the data, and 250 mail N   MAIL and N × RCPT     rset   RSET and 250     bdat [N]   BDAT of
 * N octets, and these take N   mail N, bdat to the LAST one, and 250 data   to the lone dot     data N   so
 * many octets of it    idle MS    nothing must come meanwhile tls [ask|require]   a handshake (and a client
 * certificate is asked for or demanded) tls-refused   one that the client must not finish     tls-demands one
 * that fails for want of a client's sasl MECHANISM USER PASSWORD [foreign]   AUTH to its end, bound to TLS
 * where the mechanism is not-tls   an answer to a handshake that is none     bytes N   a write from now on
 *     repeat N LINE   flood N OCTETS   wait MS   close   half-close   reset   stall   quit
 *     clock MS   moves the client's clock (a page with it is played alone)
 *     trickle MS TEXT   an octet each MS, over and over, until the client closes
 *     gone   the client must close and say nothing before     drain [N]   whatever (N octets at most)
 *   expect [N]             what must have come of message N:
 *     verdict R sent|retry|refused|uncertain|untried [recipient|message|tenant [CODE]]
 *     tenant none|plain|auth_failed|throttled   usable yes|no   opened no   stage NAME   enhanced CODE
 *     says TEXT   says-not TEXT   fallback TEXT   auth NAME   tls yes|no   parked TEXT
 *                          and without N, of all: connections N · handshakes N · heard BEGINNING N
 *     received K           the K-th message as it was on the wire, in lines "> text"
 *
 * "each NAME A | B | C" makes the page one page for each: $NAME stands for A, B or C in
 * the lines that follow. With several of them, for each combination.
 *
 * Escapes in all texts: \r \n \t \0 \\ \xHH. "#" begins a comment; the first
 * line is "# promise: NAME".
 */
#ifndef OUTBOXD_TESTS_SUPPORT_SCRIPTED_PAGE_H
#define OUTBOXD_TESTS_SUPPORT_SCRIPTED_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

enum page_part { PAGE_CLIENT, PAGE_SERVER, PAGE_EXPECT };

struct page_line {
	int number; /* in the file */
	enum page_part part;
	int index; /* which connection, which message; from 1, 0 = of all */
	char *word;
	char *rest; /* never NULL, escapes not yet read */
};

struct page {
	char *name;
	char *variant; /* what "each" stands for, "" = there is none */
	int variants;  /* how many the page has, 1 = no "each" */
	struct page_line *lines;
	size_t count;
	int connections;
};

/* The variant of that number, from 0. False with a reason on stderr if the file cannot be read or is no page.
 */
bool page_read(const char *path, int variant, struct page *page);
void page_fini(struct page *page);
bool page_has(const struct page *page, const char *word);

/* Appends text with its escapes read. */
void page_unescape(struct buffer *out, const char *text);

/* The next word of a rest, copied into word; NULL at the end, else what follows. */
const char *page_word(const char *rest, char *word, size_t size);

#endif
