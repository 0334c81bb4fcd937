/*
 * token_rotation.h - a tenant's refresh token, over changes of the tenant's settings.
 *
 * A refresh token may be spent by being used: the endpoint gives another with the answer and takes the old
 * one no longer. Two rules keep the tenant from being locked out, whatever is changed meanwhile:
 *
 * - one fetch at a time, of all token objects that use the same one;
 *
 * - one that could not be written is kept here for the next, which may be of newer settings.
 *
 * It belongs to the credential and its file: username, oauth_token_url, oauth_client_id,
 * oauth_refresh_token_file. Where one of these is another there is nothing to share: no token ever comes to
 * another credential.
 */
#ifndef OUTBOXD_DAEMON_TOKEN_ROTATION_H
#define OUTBOXD_DAEMON_TOKEN_ROTATION_H

#include <stdbool.h>

#include "common/tenant.h"
#include "run/token_run.h"

struct token_rotation;

/* One reference. Keeps none of the settings. */
struct token_rotation *token_rotation_create(const struct tenant_settings *settings);
/* Another reference, if it is the same refresh token; else NULL. Any thread; does not block. */
struct token_rotation *token_rotation_share(struct token_rotation *rotation,
                                            const struct tenant_settings *settings);
void token_rotation_release(struct token_rotation **rotation); /* leaves NULL; the last one wipes */

/*
 * Blocks until no other fetch is under way, each of which has its own limit; then hands what is kept to
 * fetch. Only a thread that does nothing else.
 */
void token_rotation_begin(struct token_rotation *rotation, struct token_fetch *fetch);
/* Takes it back. */
void token_rotation_end(struct token_rotation *rotation, struct token_fetch *fetch);

/* Whether one is kept that is to be written, or may be once the fetch under way has ended. */
bool token_rotation_pending(struct token_rotation *rotation);

#endif
