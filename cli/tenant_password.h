/*
 * tenant_password.h - what a tenant logs in with, got as outboxd gets it: a column, a file, a program,
 * an OAuth2 token.
 */
#ifndef OUTBOXD_CLI_TENANT_PASSWORD_H
#define OUTBOXD_CLI_TENANT_PASSWORD_H

#include "cli/cli.h"
#include "common/seal.h"
#include "common/secret.h"
#include "common/tenant.h"

/* Rows of a verb's options: where outboxd is told to look. */
#define TENANT_SECRETS_RULE                                                                                  \
	{                                                                                                    \
		.name = "secrets-dir", .argument = "DIR", .help = "outboxd's secrets_dir"                    \
	}
#define TENANT_TOKEN_RULES                                                                                   \
	{ .name = "token-ca-file",                                                                           \
	  .argument = "FILE",                                                                                \
	  .help = "outboxd's token_ca_file: authorities of the token endpoint" },                            \
	{                                                                                                    \
		.name = "token-program", .argument = "FILE", .help = "outboxd's token_program"               \
	}

/*
 * A file in secrets_dir that a column names, opened if it is sealed. The caller wipes it. 0, or a status
 * after having said why.
 */
int tenant_secret_file(const struct invocation *invocation, const struct seal_place *place,
                       struct secret *secret);

/*
 * The password or token; unset = none. A line tells what is waited for. The caller wipes it. Blocks
 * for the disk, the program (10 s) and the token endpoint (25 s). SIGPIPE must be ignored. 0, or a
 * status after having said why.
 */
int tenant_password(const struct invocation *invocation, const struct tenant_settings *tenant,
                    struct secret *password);

#endif
