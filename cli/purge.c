/*
 * purge.c - outboxctl purge.
 *
 * Promises: what it says was removed was committed, also where it ends with an error.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "common/clock.h"
#include "common/text.h"
#include "storage/admin_purge.h"

static const struct option_rule rules[] = {
	{ .name = "older-than", .argument = "DURATION", .help = "that ended so long ago: 12h, 30d" },
	{ .name = "tenant", .argument = "T", .help = "only this tenant's" },
	{ .name = "state", .argument = "S", .help = "only sent, failed or cancelled ones" },
	{ .name = "dry-run", .help = "say how many they are, and remove nothing" },
	{ .name = NULL },
};

static int run_purge(const struct invocation *invocation)
{
	const struct options *options = &invocation->options;
	const char *age = options_value(options, "older-than");
	struct admin_purge purge = { .tenant = options_value(options, "tenant"),
		                     .state = options_value(options, "state"),
		                     .dry_run = options_have(options, "dry-run") };
	struct admin *admin;
	struct words words;
	enum error error;
	int64_t age_ms;
	int status;

	if (!age)
		return cli_usage(invocation, "--older-than says of which age: 12h, 30d");
	if (!text_to_duration_ms(age, &age_ms))
		return cli_usage(invocation, "--older-than takes a duration: 90s, 12h, 30d");
	if (purge.state && strcmp(purge.state, "sent") != 0 && strcmp(purge.state, "failed") != 0 &&
	    strcmp(purge.state, "cancelled") != 0)
		return cli_usage(invocation,
		                 "only finished messages can be removed: sent, failed, cancelled");
	status = cli_open(invocation, &admin);
	if (status != EX_OK)
		return status;
	purge.before_ms = clock_wall_ms() - age_ms;
	error = admin_purge(admin, &purge, &words);
	status = cli_close(&admin, error, &words);
	if (status == EX_OK || purge.sent + purge.failed + purge.cancelled > 0)
		(void)printf("%lld sent, %lld failed, %lld cancelled: %s\n", (long long)purge.sent,
		             (long long)purge.failed, (long long)purge.cancelled,
		             purge.dry_run ? "would be removed" : "removed");
	return status;
}

const struct verb cli_purge_verbs[] = {
	{ "purge", "", "Removes finished messages before their time", 0, 0, rules, false, run_purge,
	  "outboxd does so by itself after keep_sent and keep_failed." },
	{ .name = NULL },
};
