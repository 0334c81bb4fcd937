/*
 * token.h - the OAuth2 token of a tenant: fetched, kept, and fetched again.
 *
 * One object a tenant and its settings, so that no token ever serves others: new settings
 * get a new object. Its sessions share it; it has a lock of its own, held for no wait.
 * A fetch runs in a thread `token` of its own, one at a time a tenant, so that an endpoint or a
 * disk that hangs delays nobody else; who needs the token waits under its own deadline.
 * A token is used for 80 % of its life, then fetched anew; while that fails the old one is used as
 * long as it lives.
 */
#ifndef OUTBOXD_DAEMON_TOKEN_H
#define OUTBOXD_DAEMON_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"
#include "common/wait.h"
#include "run/token_run.h"

struct token;

/* NULL: the tenant has no oauth_token_url. place is copied, without keys. */
struct token *token_create(const struct token_place *place, struct tenant_settings *settings);
/*
 * Before its first use, with its keys: after the tenant's last one, of other settings, NULL = none. Where
 * both use the same refresh token (token_rotation.h) this one waits for the other's fetch, and writes at once
 * what that could not: a new refresh token, whose file was sealed for these settings meanwhile. The token
 * itself is each one's own. The supervisor's thread; does not block.
 */
void token_follow(struct token *token, struct token *last);
/* NULL gives NULL. */
struct token *token_hold(struct token *token);
void token_release(struct token **token); /* leaves NULL */

/* The keys that open sealed files from the next fetch on; taken over, NULL = none. Any thread. */
void token_use_keys(struct token *token, struct seal_keys *keys);

struct token_given {
	struct secret secret; /* the caller wipes it */
	int64_t serial;       /* which one it is, for token_reject(); 0: none was given */
	bool fresh;           /* fetched while the caller waited */
};

/*
 * A worker's thread (WAKE_SIGNAL blocked). Blocks until there is a token, the fetch failed, the
 * deadline (ERROR_TIMEOUT) or interrupt. ERROR_REFUSED: the endpoint says no to who we are.
 */
enum error token_get(struct token *token, int64_t deadline_ms, const struct interrupt *interrupt,
                     struct token_given *given, struct words *words);

/* The server refuses this one: it is not given again. Any thread; does not block. */
void token_reject(struct token *token, int64_t serial);

/* What the log is to say of a fetch: once, to whoever asks first. */
struct token_news {
	bool fetched;
	int64_t expires_in_s;
	struct words words; /* not fetched: why; fetched: "" or what is wrong all the same */
	char error[64];
};
bool token_take_news(struct token *token, struct token_news *news);

/* How it stands, for outbox_tenant_status. */
struct token_state {
	int64_t expires_in_ms; /* of the token in hand: negative once it has expired */
	bool held;             /* there is one, and no server has refused it */
	bool fetching;         /* another state comes soon */
	bool refused;          /* the last fetch ended so: the endpoint says no to who we are */
	struct words words;    /* why the last fetch failed, or what was wrong all the same; "" = nothing */
};
/* Any thread; does not block. token NULL: none is held, and nothing is wrong. */
void token_describe(struct token *token, struct token_state *state);

#endif
