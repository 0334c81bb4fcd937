/*
 * main.c - outboxctl: finds the verb and gives it its options.
 *
 * Promises: exit statuses of sysexits.h; output that could not be written is a
 * failure; nothing of this process lands in a core file, for it may hold a
 * password.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "common/buffer.h"
#include "config.h"

static const struct option_rule common_rules[] = {
	{ .name = "database", .argument = "FILE", .help = "the database (else $OUTBOXD_DATABASE)" },
	{ .name = "help", .help = "this help" },
	{ .name = "version", .help = "the version" },
	{ .name = NULL },
};

static const struct verb later_verbs[] = {
	{ .name = "top", .operands = "", .summary = "not built yet" },
	{ .name = NULL },
};

static const struct verb *const verb_tables[] = {
	cli_init_verbs,  cli_tenant_verbs,  cli_send_verbs,  cli_queue_verbs, cli_status_verbs,
	cli_purge_verbs, cli_secrets_verbs, cli_check_verbs, later_verbs,
};

#define VERB_TABLES (sizeof verb_tables / sizeof verb_tables[0])

/* The verb that the first words name; *used = how many they are. */
static const struct verb *find_verb(int argc, char *const *argv, int *used)
{
	for (size_t i = 0; i < VERB_TABLES; i++) {
		for (const struct verb *verb = verb_tables[i]; verb->name; verb++) {
			const char *space = strchr(verb->name, ' ');
			size_t first = space ? (size_t)(space - verb->name) : strlen(verb->name);

			if (strlen(argv[0]) != first || memcmp(argv[0], verb->name, first) != 0)
				continue;
			*used = space ? 2 : 1;
			if (!space || (argc > 1 && strcmp(argv[1], space + 1) == 0))
				return verb;
		}
	}
	return NULL;
}

static void print_rules(const struct option_rule *rules)
{
	for (; rules && rules->name; rules++) {
		char left[64];

		(void)snprintf(left, sizeof left, "--%s%s%s", rules->name, rules->argument ? " " : "",
		               rules->argument ? rules->argument : "");
		(void)printf("  %-26s %s\n", left, rules->help);
	}
}

static int print_verb_help(const struct verb *verb)
{
	(void)printf("usage: outboxctl [--database FILE] %s%s%s%s%s\n\n%s.\n\n", verb->name,
	             *verb->operands ? " " : "", verb->operands, verb->columns ? " --COLUMN VALUE…" : "",
	             verb->rules ? " [OPTION…]" : "", verb->summary);
	print_rules(verb->rules);
	print_rules(common_rules);
	if (verb->notes)
		(void)printf("\n%s\n", verb->notes);
	return EX_OK;
}

/* first: only verbs that begin with this word, NULL = all. */
static int print_help(const char *first)
{
	(void)printf("usage: outboxctl [--database FILE] VERB [OPTION…]\n\n");
	for (size_t i = 0; i < VERB_TABLES; i++) {
		for (const struct verb *verb = verb_tables[i]; verb->name; verb++) {
			char left[64];

			if (first && strncmp(verb->name, first, strlen(first)) != 0)
				continue;
			(void)snprintf(left, sizeof left, "%s %s", verb->name, verb->operands);
			(void)printf("  %-26s %s\n", left, verb->summary);
		}
	}
	(void)printf("\n");
	print_rules(common_rules);
	(void)printf("\n'outboxctl VERB --help' tells a verb's options. Exit status as in sysexits.h.\n");
	return EX_OK;
}

static int print_version(void)
{
	(void)printf("outboxctl %s\n", PACKAGE_VERSION);
	return EX_OK;
}

/* A flag before a word that was meant as its value: say the flag's own words. */
static int too_many_operands(const struct invocation *invocation)
{
	const struct options *options = &invocation->options;

	for (size_t i = 0; i < options->given_count; i++)
		if (options->given[i].rule && options->given[i].rule->refusal)
			return cli_usage(invocation, "%s", options->given[i].rule->refusal);
	return cli_usage(invocation, "%s takes %s%zu argument%s (%zu given)", invocation->verb->name,
	                 invocation->verb->operands_min < invocation->verb->operands_max ? "at most " : "",
	                 invocation->verb->operands_max, invocation->verb->operands_max == 1 ? "" : "s",
	                 options->operand_count);
}

static bool needs_database(const struct invocation *invocation)
{
	const char *name = invocation->verb->name;

	return strcmp(name, "schema") != 0 && strcmp(name, "secrets keygen") != 0 &&
	       (invocation->database || !options_value(&invocation->options, "config"));
}

static int run_verb(struct invocation *invocation)
{
	const struct verb *verb = invocation->verb;
	const struct options *options = &invocation->options;

	if (options_have(options, "help"))
		return print_verb_help(verb);
	if (options_have(options, "version"))
		return print_version();
	if (options->operand_count > verb->operands_max)
		return too_many_operands(invocation);
	if (options->operand_count < verb->operands_min)
		return cli_usage(invocation, "%s needs %s", verb->name, verb->operands);
	if (options_value(options, "database") && invocation->database)
		return cli_usage(invocation, "--database is given twice");
	if (options_value(options, "database"))
		invocation->database = options_value(options, "database");
	if (!invocation->database && !options_value(options, "config")) /* which names its own */
		invocation->database = getenv("OUTBOXD_DATABASE");
	if ((!invocation->database || !*invocation->database) && needs_database(invocation))
		return cli_usage(invocation, "which database? Give --database FILE, or set OUTBOXD_DATABASE");
	return verb->run(invocation);
}

static int parse_and_run(int argc, char *const *argv, const char *database)
{
	struct invocation invocation = { .database = database };
	struct words words;
	int used = 0, status;
	enum error error;

	invocation.verb = find_verb(argc, argv, &used);
	if (!invocation.verb && used == 2 && argc > 1 && strcmp(argv[1], "--help") == 0)
		return print_help(argv[0]);
	if (!invocation.verb && used == 2 && argc == 1)
		return cli_usage(&invocation, "%s what?", argv[0]);
	if (!invocation.verb)
		return cli_usage(&invocation, "there is no verb %.40s%s%.40s", argv[0], used == 2 ? " " : "",
		                 used == 2 ? argv[1] : "");
	if (!invocation.verb->run) {
		cli_say("%s is not built yet", invocation.verb->name);
		return EX_USAGE;
	}
	error = options_parse(&(struct option_grammar){ .rules = invocation.verb->rules,
	                                                .common = common_rules,
	                                                .columns = invocation.verb->columns },
	                      argc - used, argv + used, &invocation.options, &words);
	status = error == OK ? run_verb(&invocation) : cli_usage(&invocation, "%s", words.text);
	options_fini(&invocation.options);
	return status;
}

static int run(int argc, char *const *argv)
{
	struct option_grammar grammar = { .common = common_rules, .leading = true };
	struct invocation invocation = { .verb = NULL };
	struct words words;
	int status;

	if (options_parse(&grammar, argc - 1, argv + 1, &invocation.options, &words) != OK)
		status = cli_usage(&invocation, "%s", words.text);
	else if (options_have(&invocation.options, "help"))
		status = print_help(NULL);
	else if (options_have(&invocation.options, "version"))
		status = print_version();
	else if (invocation.options.consumed == argc - 1)
		status = cli_usage(&invocation, "which verb?");
	else
		status = parse_and_run(argc - 1 - invocation.options.consumed,
		                       argv + 1 + invocation.options.consumed,
		                       options_value(&invocation.options, "database"));
	options_fini(&invocation.options);
	return status;
}

int main(int argc, char **argv)
{
	int status;

	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
#ifndef WITH_SANITIZER /* whose leak check must be able to attach */
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	/* what we print is UTF-8 whatever the environment says; this is for its widths alone */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	status = run(argc, argv);
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EX_OK) {
		cli_say("cannot write the output");
		status = EX_IOERR;
	}
	return status;
}
