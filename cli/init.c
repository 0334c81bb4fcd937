/*
 * init.c - outboxctl init, schema.
 */
#include <stdio.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "storage/schema_sql.h"

static int run_init(const struct invocation *invocation)
{
	const char *done;
	struct words words;
	enum error error = admin_init(invocation->database, options_have(&invocation->options, "wal"), &done,
	                              &words);

	if (error != OK)
		return cli_fail_file(error, &words);
	(void)printf("%s %s\n", invocation->database, done);
	return EX_OK;
}

static int run_schema(const struct invocation *invocation)
{
	(void)invocation;
	(void)fputs(storage_schema_sql, stdout);
	return EX_OK;
}

static const struct option_rule init_rules[] = {
	{ .name = "wal", .help = "change an application's file to WAL mode, for all its users" },
	{ .name = NULL },
};

const struct verb cli_init_verbs[] = {
	{ .name = "init",
	  .operands = "",
	  .summary = "Makes the database, or adds our tables to an application's own",
	  .rules = init_rules,
	  .run = run_init },
	{ .name = "schema", .operands = "", .summary = "Prints the schema as SQL", .run = run_schema },
	{ .name = NULL },
};
