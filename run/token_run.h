/*
 * token_run.h - one fetch of an OAuth2 token: files, outboxd-token, and the file of a rotated one.
 */
#ifndef OUTBOXD_RUN_TOKEN_RUN_H
#define OUTBOXD_RUN_TOKEN_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/seal.h"
#include "common/secret.h"
#include "common/tenant.h"
#include "run/token_ask.h"

/* Where things are; texts live as long as who uses them. */
struct token_place {
	const char *program;          /* outboxd-token */
	const char *ca_file;          /* authorities of token endpoints, NULL = the system's */
	const char *secrets_dir;      /* NULL = none */
	const struct seal_keys *keys; /* that open what is sealed there, NULL = none; borrowed by a fetch */
};

/* What came of a fetch, and what the next one needs to know. */
struct token_fetch {
	/* in and out: a rotated refresh token that could not be written, and the file's content that it
	 * replaces */
	struct secret unsaved, replaces;
	bool sealed; /* the file is */
	/* out */
	struct secret token; /* set if OK */
	int64_t expires_in_s;
	bool refused;       /* the endpoint says no to who we are */
	char error[64];     /* its word for it (RFC 6749 5.2), or "" */
	struct words words; /* not OK: why; OK: "" or why a rotated refresh token could not be written */
};

/*
 * Blocks for the disk and the endpoint, up to TOKEN_KILL_MS for the latter: a thread of its own,
 * no worker. The words never hold a secret.
 */
enum error token_run(const struct token_place *place, const struct tenant_settings *settings,
                     struct token_fetch *fetch);
/*
 * Once more, what a fetch could not write: fetch->unsaved stays set where it cannot be again, and the words
 * say why. Blocks for the disk.
 */
void token_save(const struct token_place *place, const struct tenant_settings *settings,
                struct token_fetch *fetch);
void token_fetch_fini(struct token_fetch *fetch);

#endif
