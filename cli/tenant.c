/*
 * tenant.c - outboxctl tenant …
 *
 * Promises: a password comes from a prompt or from standard input, and is in no
 * output. What a setting may be is the database's to say, but for addresses, which SQL
 * cannot read: one that outboxd would not understand is refused here already.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/password.h"
#include "cli/profile.h"
#include "cli/secrets.h"
#include "cli/table.h"
#include "cli/tenant_password.h"
#include "mime/address.h"
#include "mime/compose.h"
#include "storage/admin_secrets.h"

#define PASSWORD_REFUSAL                                                                                     \
	"a password is not taken from the command line, where ps would show it: --password alone "           \
	"asks for it, --password-stdin reads it, --password-file names a file in secrets_dir"

#define PASSWORD_RULES                                                                                       \
	{ .name = "password", .help = "ask for the password", .refusal = PASSWORD_REFUSAL },                 \
	{                                                                                                    \
		.name = "password-stdin", .help = "read the password from standard input"                    \
	}

static const struct option_rule settings_rules[] = {
	PASSWORD_RULES, SECRETS_KEY_RULE, TENANT_SECRETS_RULE, { .name = NULL }
};

static const struct option_rule add_rules[] = {
	PASSWORD_RULES,
	SECRETS_KEY_RULE,
	{ .name = "profile", .argument = "NAME", .help = "start from a provider's published settings" },
	{ .name = NULL },
};

/* The columns among the options, as admin.h wants them, with room for a profile's; the caller frees them. */
static struct admin_setting *settings_of(const struct options *options, size_t *count)
{
	struct admin_setting *settings = calloc(options->given_count + 1 + PROFILE_SETTINGS,
	                                        sizeof *settings);

	*count = 0;
	if (!settings)
		abort();
	for (size_t i = 0; i < options->given_count; i++)
		if (options->given[i].column)
			settings[(*count)++] = (struct admin_setting){ .column = options->given[i].column,
				                                       .value = options->given[i].value };
	return settings;
}

/* A column that has addresses; '' is its default. */
static enum error check_addresses(const char *column, const char *value, struct words *words)
{
	struct address address;
	enum error error = OK;

	if (!value || !*value)
		return OK;
	if (strcmp(column, "from_address") == 0) {
		error = address_parse_one(column, value, strlen(value), &address, words);
		if (error == OK)
			address_fini(&address);
	} else if (strcmp(column, "allowed_senders") == 0 && !mime_senders_check(value, words)) {
		error = ERROR_INVALID;
	}
	return error;
}

/* *password stays empty if none is asked for. Before the database is opened: a person takes time. */
static int read_password(const struct invocation *invocation, const char *name, struct secret *password)
{
	bool prompt = options_have(&invocation->options, "password");
	bool input = options_have(&invocation->options, "password-stdin");
	struct words words;
	enum error error = OK;

	if (prompt && input)
		return cli_usage(invocation, "--password and --password-stdin exclude one another");
	if (prompt)
		error = password_prompt(name, password, &words);
	else if (input)
		error = password_read(STDIN_FILENO, "standard input", password, &words);
	if (error == ERROR_NOT_FOUND)
		return cli_usage(invocation, "%s", words.text);
	return error == OK ? EX_OK : cli_fail(error, &words);
}

typedef enum error write_tenant(struct admin *admin, const char *name, const struct admin_setting *settings,
                                size_t count, const struct secret *password, struct words *words);

static int write_settings(const struct invocation *invocation, write_tenant *write,
                          const struct admin_setting *settings, size_t count)
{
	const char *name = invocation->options.operands[0];
	struct secret password = { .bytes = NULL };
	struct seal_keys *keys = NULL;
	struct admin *admin = NULL;
	struct words words;
	enum error error;
	int status = EX_OK;

	for (size_t i = 0; i < count && status == EX_OK; i++) {
		error = check_addresses(settings[i].column, settings[i].value, &words);
		if (error != OK)
			status = cli_fail(error, &words);
	}
	if (status == EX_OK)
		status = read_password(invocation, name, &password);
	if (status == EX_OK && write == admin_tenant_set && count == 0 && !secret_is_set(&password))
		status = cli_usage(invocation, "what is to be set? Give --COLUMN VALUE");
	if (status == EX_OK && invocation->verb->columns) /* suspending needs none */
		status = secrets_keys(invocation, &keys);
	if (status == EX_OK)
		status = cli_open(invocation, &admin);
	if (status == EX_OK) {
		admin_use_keys(admin, keys);
		if (invocation->verb->columns)
			admin_use_files(admin, options_value(&invocation->options, "secrets-dir"));
		error = write(admin, name, settings, count, secret_is_set(&password) ? &password : NULL,
		              &words);
		if (error == OK && admin_left_unsealed(admin))
			cli_say("warning: the password of %s was sealed, and the new one is not: no keys were named",
			        name);
		status = cli_close(&admin, error, &words);
		if (error == ERROR_LIMIT) /* said already: no such column */
			status = EX_USAGE;
	}
	secret_wipe(&password);
	seal_keys_release(&keys);
	return status;
}

static int run_add(const struct invocation *invocation)
{
	const char *profile = options_value(&invocation->options, "profile");
	size_t count, more = 0;
	struct admin_setting *settings = settings_of(&invocation->options, &count);
	enum error error = OK;
	struct words words;
	int status;

	if (profile)
		error = profile_settings(profile, settings, count, settings + count, &more, &words);
	status = error == OK ? write_settings(invocation, admin_tenant_add, settings, count + more)
	                     : cli_usage(invocation, "%s", words.text);
	free(settings);
	return status;
}

static int run_set(const struct invocation *invocation)
{
	size_t count;
	struct admin_setting *settings = settings_of(&invocation->options, &count);
	int status = write_settings(invocation, admin_tenant_set, settings, count);

	free(settings);
	return status;
}

static int run_suspend(const struct invocation *invocation)
{
	return write_settings(invocation, admin_tenant_set,
	                      &(struct admin_setting){ .column = "enabled", .value = "0" }, 1);
}

static int run_resume(const struct invocation *invocation)
{
	return write_settings(invocation, admin_tenant_set,
	                      &(struct admin_setting){ .column = "enabled", .value = "1" }, 1);
}

static int run_remove(const struct invocation *invocation)
{
	const char *name = invocation->options.operands[0];
	bool purge = options_have(&invocation->options, "purge");
	struct admin *admin;
	struct words words;
	int64_t purged;
	enum error error;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	error = admin_tenant_remove(admin, name, purge, &purged, &words);
	if (purge && purged > 0)
		(void)printf("%lld finished message%s of %s removed\n", (long long)purged,
		             purged == 1 ? "" : "s", name);
	return cli_close(&admin, error, &words);
}

/* ---- list and show ---------------------------------------------------------- */

static const struct table_column list_columns[] = {
	{ .name = "name", .heading = "TENANT" },
	{ .name = "enabled", .heading = "ENABLED", .kind = TABLE_NUMBER },
	{ .name = "host", .heading = "HOST" },
	{ .name = "port", .heading = "PORT", .kind = TABLE_NUMBER },
	{ .name = "tls", .heading = "TLS" },
	{ .name = "auth", .heading = "AUTH" },
	{ .name = "username", .heading = "USERNAME" },
	{ .name = "from_address", .heading = "FROM" },
	{ .name = NULL },
};

static int run_list(const struct invocation *invocation)
{
	struct table *table;
	struct admin *admin;
	struct words words;
	enum error error;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	table = table_create(stdout, list_columns, options_have(&invocation->options, "json"));
	error = admin_tenants(admin, NULL, table_row, table, &words);
	status = cli_close(&admin, error, &words);
	table_end(&table);
	return status;
}

/* Where a tenant's row goes, and what is wrong with it. */
struct shown {
	struct table *table;   /* --json */
	struct buffer *fields; /* else */
	struct words from, senders;
};

static void show_tenant(void *context, const struct admin_value *values, size_t count)
{
	struct shown *shown = context;

	if (shown->table)
		table_row(shown->table, values, count);
	else
		table_fields(shown->fields, values, count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(values[i].name, "from_address") == 0)
			(void)check_addresses(values[i].name, values[i].text, &shown->from);
		else
			(void)check_addresses(values[i].name, values[i].text, &shown->senders);
	}
}

/* What an application wrote into the table past us. */
static void warn_of_addresses(const struct shown *shown)
{
	if (shown->from.text[0])
		cli_say("warning: %s: messages without a from_address of their own fail", shown->from.text);
	if (shown->senders.text[0])
		cli_say("warning: %s: nobody may send as it", shown->senders.text);
}

static int run_show(const struct invocation *invocation)
{
	bool json = options_have(&invocation->options, "json");
	struct table *table;
	struct buffer fields;
	struct shown shown = { .fields = &fields };
	struct admin *admin;
	struct words words;
	enum error error;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	table = table_create(stdout, list_columns, true);
	buffer_init(&fields, 1 << 20);
	if (json)
		shown.table = table;
	error = admin_tenants(admin, invocation->options.operands[0], show_tenant, &shown, &words);
	status = cli_close(&admin, error, &words);
	if (status == EX_OK && !json)
		(void)fwrite(fields.data, 1, fields.length, stdout);
	if (status == EX_OK && json)
		table_end(&table);
	else
		table_drop(&table);
	if (status == EX_OK)
		warn_of_addresses(&shown);
	buffer_fini(&fields);
	return status;
}

static const struct option_rule list_rules[] = { CLI_JSON_RULE, { .name = NULL } };

static const struct option_rule remove_rules[] = {
	{ .name = "purge", .help = "remove its finished messages first" },
	{ .name = NULL },
};

#define SETTINGS_NOTES                                                                                       \
	"COLUMN is a column of outbox_tenant, with - for _: --host mail.example.net --port 587\n"            \
	"--tls starttls --auth auto --username U --from-address A ... (outboxctl schema lists them);\n"      \
	"an empty VALUE sets the default. --password-file NAME names a file in outboxd's secrets_dir."

const struct verb cli_tenant_verbs[] = {
	{ "tenant add", "NAME", "Adds a tenant", 1, 1, add_rules, true, run_add,
	  SETTINGS_NOTES "\n\n" PROFILE_HELP },
	{ "tenant set", "NAME", "Changes settings of a tenant", 1, 1, settings_rules, true, run_set,
	  SETTINGS_NOTES },
	{ "tenant list", "", "Lists the tenants", 0, 0, list_rules, false, run_list, NULL },
	{ "tenant show", "NAME", "Shows a tenant's settings", 1, 1, list_rules, false, run_show, NULL },
	{ "tenant remove", "NAME", "Removes a tenant that has no messages", 1, 1, remove_rules, false,
	  run_remove, NULL },
	{ "tenant suspend", "NAME", "Keeps a tenant's mail and sends none", 1, 1, NULL, false, run_suspend,
	  NULL },
	{ "tenant resume", "NAME", "Ends a suspension", 1, 1, NULL, false, run_resume, NULL },
	{ "tenant test", "NAME", "Opens a session with a tenant's server and sends nothing", 1, 1,
	  cli_tenant_test_rules, false, cli_tenant_test,
	  "Each step is told. When all went well, the tenant's backoff is forgotten." },
	{ "tenant authorize", "NAME", "Gets a refresh token: a person consents, in a browser", 1, 1,
	  cli_tenant_authorize_rules, false, cli_tenant_authorize,
	  "The endpoints of Microsoft and Google are known. The refresh token is written to\n"
	  "the file of oauth_refresh_token_file in secrets_dir." },
	{ .name = NULL },
};
