/*
 * status.c - outboxctl status: a row a tenant.
 */
#include <stdio.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "cli/table.h"
#include "storage/admin_space.h"

static const struct table_column status_columns[] = {
	{ .name = "tenant", .heading = "TENANT" },
	{ .name = "state", .heading = "STATE" },
	{ .name = "queued", .heading = "QUEUED", .kind = TABLE_NUMBER },
	{ .name = "deferred", .heading = "DEFERRED", .kind = TABLE_NUMBER },
	{ .name = "uncertain", .heading = "UNCERTAIN", .kind = TABLE_NUMBER },
	{ .name = "oldest_due_at", .heading = "OLDEST DUE", .kind = TABLE_WHEN },
	{ .name = "last_sent_at", .heading = "LAST SENT", .kind = TABLE_WHEN },
	{ .name = "retry_at", .heading = "RETRY", .kind = TABLE_WHEN },
	{ .name = "token_expires_at", .heading = "TOKEN EXPIRES", .kind = TABLE_WHEN },
	{ .name = "sharing", .heading = "SHARING", .kind = TABLE_NUMBER },
	{ .name = "last_error", .heading = "LAST ERROR" },
	{ .name = "token_error", .heading = "TOKEN ERROR" },
	{ .name = NULL },
};

static int run_status(const struct invocation *invocation)
{
	struct table *table;
	struct admin *admin;
	struct words words;
	enum error error;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	table = table_create(stdout, status_columns, options_have(&invocation->options, "json"));
	if (admin_cannot_grow(admin, &words))
		cli_say("warning: %s", words.text);
	if (admin_rules_differ(admin, &words))
		cli_say("warning: %s", words.text);
	error = admin_status(admin, table_row, table, &words);
	status = cli_close(&admin, error, &words);
	table_end(&table);
	return status;
}

static const struct option_rule status_rules[] = { CLI_JSON_RULE, { .name = NULL } };

const struct verb cli_status_verbs[] = {
	{ .name = "status",
	  .operands = "",
	  .summary = "Shows each tenant: its state, its queue, its last error",
	  .rules = status_rules,
	  .run = run_status },
	{ .name = NULL },
};
