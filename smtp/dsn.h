/*
 * dsn.h - what a message asks of delivery status notifications (RFC 3461), and how it is said.
 *
 * Pure. Whoever asks for anything also gives an envelope id and the original
 * recipients, so that a notification can be matched with its message.
 */
#ifndef OUTBOXD_SMTP_DSN_H
#define OUTBOXD_SMTP_DSN_H

#include <stdbool.h>

#include "common/error.h"

/* RFC 3461 4.1, bits; none = the server's default. DSN_NEVER stands alone. */
enum { DSN_NEVER = 1, DSN_SUCCESS = 2, DSN_FAILURE = 4, DSN_DELAY = 8 };

/* RFC 3461 4.3 */
enum dsn_return { DSN_RETURN_UNSAID, DSN_RETURN_FULL, DSN_RETURN_HEADERS };

#define DSN_ENVID_BYTES 100 /* of the encoded value, RFC 3461 4.4 */
#define DSN_ORCPT_BYTES 500 /* likewise with its address type, RFC 3461 4.2 */
#define DSN_MAIL_BYTES  (sizeof(" RET=HDRS ENVID=") + DSN_ENVID_BYTES)
#define DSN_RCPT_BYTES  (sizeof(" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=") + DSN_ORCPT_BYTES)

struct dsn_request {
	unsigned notify;
	enum dsn_return returns;
	char envelope_id[DSN_ENVID_BYTES + 1]; /* not encoded; "" = none */
};

/*
 * From the columns dsn_notify and dsn_return (NULL = not set); envelope_id is
 * left as it is. ERROR_INVALID with words that name the column.
 */
enum error dsn_parse(const char *notify, const char *returns, struct dsn_request *request,
                     struct words *words);

/* Whether it asks for anything. */
bool dsn_is_asked(const struct dsn_request *request);

/*
 * What MAIL and RCPT get, each parameter with a space before it; "" if nothing is
 * asked. A value that would be longer than its RFC allows is left out.
 */
void dsn_mail_parameters(const struct dsn_request *request, char text[DSN_MAIL_BYTES]);
void dsn_rcpt_parameters(const struct dsn_request *request, const char *address, char text[DSN_RCPT_BYTES]);

#endif
