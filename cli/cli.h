/*
 * cli.h - what the verbs of outboxctl share.
 *
 * A verb is a row of a table: its name, its options, its function, which
 * returns the exit status (sysexits.h) after it has said why on standard error.
 */
#ifndef OUTBOXD_CLI_CLI_H
#define OUTBOXD_CLI_CLI_H

#include <stddef.h>

#include "cli/options.h"
#include "common/error.h"
#include "storage/admin.h"

struct invocation {
	const struct verb *verb;
	const char *database; /* NULL = none was named */
	struct options options;
};

struct verb {
	const char *name;     /* one or two words; NULL ends a table */
	const char *operands; /* as the help writes them, "" = none */
	const char *summary;
	size_t operands_min, operands_max;
	const struct option_rule *rules;                 /* may be NULL */
	bool columns;                                    /* other options name columns of outbox_tenant */
	int (*run)(const struct invocation *invocation); /* NULL: not built yet */
	const char *notes;                               /* the help's last lines; may be NULL */
};

/* The tables of each file, found by main.c. */
extern const struct verb cli_init_verbs[], cli_tenant_verbs[], cli_send_verbs[], cli_queue_verbs[],
	cli_status_verbs[], cli_purge_verbs[], cli_secrets_verbs[], cli_check_verbs[];

/* tenant_test.c: one verb of cli_tenant_verbs. */
extern const struct option_rule cli_tenant_test_rules[];
int cli_tenant_test(const struct invocation *invocation);
/* Ends its backoff; 0, or a status after having said why. */
int cli_tenant_retry(const struct invocation *invocation, const char *name);

/* tenant_authorize.c: another. */
extern const struct option_rule cli_tenant_authorize_rules[];
int cli_tenant_authorize(const struct invocation *invocation);

/* The row of each listing verb's options. */
#define CLI_JSON_RULE                                                                                        \
	{                                                                                                    \
		.name = "json", .help = "one JSON document: an array of objects"                             \
	}

/* "outboxctl: …" on standard error. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says it and where the help is; returns 64. */
int cli_usage(const struct invocation *invocation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Says the words and returns the status for error; with file, what was not found is a file (66). */
int cli_fail(enum error error, const struct words *words);
int cli_fail_file(enum error error, const struct words *words);

/* Opens the database that was named; 0, or a status after having said why. */
int cli_open(const struct invocation *invocation, struct admin **admin);

/* Closes it and passes on a status: error's, if it is not OK. */
int cli_close(struct admin **admin, enum error error, const struct words *words);

#endif
