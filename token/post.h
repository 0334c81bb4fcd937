/*
 * post.h - one HTTPS POST. The only home of libcurl.
 */
#ifndef OUTBOXD_TOKEN_POST_H
#define OUTBOXD_TOKEN_POST_H

#include "common/buffer.h"
#include "common/error.h"
#include "token/request.h"

/*
 * The host of a URL, for words: no path, no query, no user. Caller frees; NULL: it is no https URL.
 */
char *post_host(const char *url);

/*
 * Posts form to request's url: TLS 1.2 or later, the certificate verified, no redirect, no
 * proxy of the environment. Blocks until the whole answer came or request's timeout. body has
 * a limit, beyond which nothing is read. ERROR_UNAVAILABLE, ERROR_TIMEOUT, ERROR_LIMIT,
 * ERROR_REFUSED (certificate, authorities) with words that name the host.
 */
enum error post(const struct request *request, const char *host, const struct buffer *form, int *status,
                struct buffer *body, struct words *words);

#endif
