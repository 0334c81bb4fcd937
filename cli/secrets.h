/*
 * secrets.h - the keys that seal passwords, for the verbs that need them.
 */
#ifndef OUTBOXD_CLI_SECRETS_H
#define OUTBOXD_CLI_SECRETS_H

#include "cli/cli.h"
#include "common/seal.h"

/* A row of a verb's options. */
#define SECRETS_KEY_RULE                                                                                     \
	{                                                                                                    \
		.name = "secrets-key-file", .argument = "FILE",                                              \
		.help = "outboxd's secrets_key_file (else $OUTBOXD_SECRETS_KEY_FILE)"                        \
	}

/*
 * The keys that the option or the environment names; *keys NULL = none was named. The caller releases them.
 * 0, or a status after having said why.
 */
int secrets_keys(const struct invocation *invocation, struct seal_keys **keys);

#endif
