/*
 * token_ask.h - one request to outboxd-token, and its result (token/request.h, token/main.c).
 */
#ifndef OUTBOXD_RUN_TOKEN_ASK_H
#define OUTBOXD_RUN_TOKEN_ASK_H

#include "common/buffer.h"
#include "common/error.h"

#define TOKEN_ASK_MS  20000 /* outboxd-token has so long for its request: its timeout_ms */
#define TOKEN_KILL_MS 25000 /* and is killed then */

/*
 * Starts program, writes request to it and reads result, both fields (common/fields.h). Blocks for
 * TOKEN_KILL_MS at most: no worker. SIGPIPE must be ignored. OK: it ended by itself, whatever it said.
 * ERROR_TIMEOUT: killed; ERROR_UNAVAILABLE (something is short just now), ERROR_SYSTEM, with words.
 */
enum error token_ask(const char *program, const struct buffer *request, struct buffer *result,
                     struct words *words);

#endif
