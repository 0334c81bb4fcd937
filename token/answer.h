/*
 * answer.h - what a token endpoint answers (RFC 6749 5), and a device authorization endpoint (RFC 8628
 * 3.2). Pure.
 */
#ifndef OUTBOXD_TOKEN_ANSWER_H
#define OUTBOXD_TOKEN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"

#define ANSWER_BYTES          (256 * 1024) /* of a body */
#define ANSWER_TOKEN_BYTES    16384 /* of a token; an AUTH command holds less than 12288 (RFC 4954 4) */
#define ANSWER_REFRESH_BYTES  32768
#define ANSWER_LIFE_S         600 /* of a token whose endpoint does not say */
#define ANSWER_LIFE_MAX_S     (366 * 86400)

#define ANSWER_DEVICE_BYTES   1000 /* of a user's code or address */
#define ANSWER_INTERVAL_S     5    /* between two polls, where the endpoint does not say (RFC 8628 3.2) */
#define ANSWER_INTERVAL_MAX_S 3600

struct answer_device {
	struct secret code;
	char *user_code, *uri; /* printable ASCII; uri begins with https:// */
	int64_t interval_s;
};

struct answer {
	struct secret token; /* unset: words say why */
	int64_t expires_in_s;
	struct secret refresh_token; /* a new one to keep instead of the old; unset: the old one stays */
	struct answer_device
		*device; /* after answer_read_device(): what a person is to do, NULL: words say why */
	bool refused;    /* the endpoint said no to who we are: asking again changes nothing */
	char error[64];  /* its error (RFC 6749 5.2), or "" */
	struct words words;
};

/*
 * Reads a body that came with an HTTP status from host. What it says is masked (each of
 * masks, up to the first NULL), cleaned and cut. The caller ends it with answer_fini().
 */
void answer_read(int status, const char *body, size_t length, const char *host,
                 const struct secret *const masks[], struct answer *answer);
/* The same of a device authorization endpoint; expires_in_s is the code's. */
void answer_read_device(int status, const char *body, size_t length, const char *host,
                        const struct secret *const masks[], struct answer *answer);
void answer_fini(struct answer *answer);

#endif
