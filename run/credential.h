/*
 * credential.h - a tenant's password where the tenant says it is: a program, a file, the column.
 */
#ifndef OUTBOXD_RUN_CREDENTIAL_H
#define OUTBOXD_RUN_CREDENTIAL_H

#include "common/error.h"
#include "common/seal.h"
#include "common/secret.h"
#include "common/tenant.h"

#define CREDENTIAL_COMMAND_MS 10000 /* a password_command or token_command has so long */

/* Where things are; NULL = nowhere: who names something there is refused with words. */
struct credential_place {
	const char *secrets_dir, *command_dir;
	const struct seal_keys *keys; /* that open what is sealed */
};

/*
 * From token_command, password_command, password_file or the column, in this order; unset = none, or
 * the tenant has an oauth_token_url, which comes after token_command alone (run/token_run.h). The
 * caller wipes it. Blocks for the disk and the program: the loader's threads, and outboxctl. Errors
 * as of secret_file_read() and command_run(), with words that never hold the secret.
 */
enum error credential_load(const struct credential_place *place, const struct tenant_settings *settings,
                           struct secret *password, struct words *words);

/* Whether it is the column that counts: nothing else is asked. */
bool credential_is_column(const struct tenant_settings *settings);

#endif
