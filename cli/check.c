/*
 * check.c - outboxctl check: all that is wrong with an installation, without asking a server.
 *
 * Promises: changes nothing, needs no outboxd, takes no lock that somebody waits for. What this user may not
 * read is told, not passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/check.h"

static const struct table_column columns[] = {
	{ .name = "level", .heading = "LEVEL" },
	{ .name = "check", .heading = "CHECK" },
	{ .name = "tenant", .heading = "TENANT" },
	{ .name = "finding", .heading = "FINDING" },
	{ .name = NULL },
};

static const struct table_column columns_of_several[] = {
	{ .name = "level", .heading = "LEVEL" },       { .name = "check", .heading = "CHECK" },
	{ .name = "database", .heading = "DATABASE" }, { .name = "tenant", .heading = "TENANT" },
	{ .name = "finding", .heading = "FINDING" },   { .name = NULL },
};

bool check_unreadable(const char *path)
{
	return access(path, R_OK) != 0 && errno == EACCES;
}

static void check_all(struct check *check)
{
	if (check->invocation->database) {
		check_database(check, check->invocation->database);
		return;
	}
	for (size_t i = 0; i < check->database_count; i++)
		check_database(check, check->databases[i]);
}

static int run_check(const struct invocation *invocation)
{
	struct check check = { .invocation = invocation, .json = options_have(&invocation->options, "json") };
	char sum[64];

	check.table = table_create(stdout, invocation->database ? columns : columns_of_several, check.json);
	check_config(&check);
	check_all(&check);
	check_config_fini(&check);
	table_end(&check.table);
	(void)snprintf(sum, sizeof sum, "%d error%s, %d warning%s", check.errors,
	               check.errors == 1 ? "" : "s", check.warnings, check.warnings == 1 ? "" : "s");
	if (check.errors)
		cli_say("%s", sum);
	else if (!check.json)
		(void)printf("%s\n", sum);
	return check.errors ? EX_CONFIG : EX_OK;
}

static const struct option_rule check_rules[] = {
	{ .name = "config",
	  .argument = "FILE",
	  .help = "outboxd's configuration, which names databases, folders and keys" },
	CLI_JSON_RULE,
	{ .name = NULL },
};

const struct verb cli_check_verbs[] = {
	{ .name = "check",
	  .operands = "",
	  .summary = "Tells what is wrong with an installation, and what to do about it",
	  .rules = check_rules,
	  .run = run_check,
	  .notes =
	          "Changes nothing and asks no server ('tenant test' does). Exit status 78 if there is an error." },
	{ .name = NULL },
};
