/*
 * secrets.c - outboxctl secrets …: keys, and the passwords that they seal.
 *
 * Promises: shows no password; what could not be changed is told by its tenant's name, and is a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/secrets.h"
#include "cli/table.h"
#include "cli/tenant_password.h"
#include "storage/admin_secrets.h"

int secrets_keys(const struct invocation *invocation, struct seal_keys **keys)
{
	const char *path = options_value(&invocation->options, "secrets-key-file");
	struct words words;
	enum error error;

	*keys = NULL;
	if (!path)
		path = getenv("OUTBOXD_SECRETS_KEY_FILE");
	if (!path || !*path)
		return EX_OK;
	error = seal_keys_read(path, keys, &words);
	return error == OK ? EX_OK : cli_fail_file(error, &words);
}

/* ---- keygen -------------------------------------------------------------------------- */

static bool write_line(int fd, const struct secret *line)
{
	return write(fd, line->bytes, line->length) == (ssize_t)line->length && write(fd, "\n", 1) == 1;
}

static int write_new_file(const char *path, const struct secret *line)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	struct words words;
	int errno_value;

	if (fd < 0) {
		errno_value = errno;
		words_set_errno(&words, errno_value, "%s", path);
		return cli_fail(errno_value == EACCES ? ERROR_PERMISSION : ERROR_EXISTS, &words);
	}
	if (write_line(fd, line) && fsync(fd) == 0 && close(fd) == 0)
		return EX_OK;
	words_set_errno(&words, errno, "%s cannot be written", path);
	(void)unlink(path);
	return cli_fail(ERROR_SYSTEM, &words);
}

static int run_keygen(const struct invocation *invocation)
{
	const struct options *options = &invocation->options;
	struct secret line = { NULL, 0 };
	int status = EX_OK;

	seal_key_make(&line);
	/* not by stdio, whose buffer nobody wipes */
	if (options->operand_count > 0) {
		status = write_new_file(options->operands[0], &line);
	} else if (!write_line(STDOUT_FILENO, &line)) {
		cli_say("cannot write the output");
		status = EX_IOERR;
	}
	secret_wipe(&line);
	return status;
}

/* ---- seal, rekey, unseal --------------------------------------------------------------- */

static void tell_trouble(void *context, const struct words *words)
{
	(void)context;
	cli_say("%s", words->text);
}

static int change_all(const struct invocation *invocation, struct admin *admin, enum admin_secrets verb)
{
	static const char *const verbs[] = { "sealed", "sealed anew", "unsealed" };
	const char *folder = options_value(&invocation->options, "secrets-dir");
	struct admin_secrets_done done;
	struct words words;
	enum error error = admin_secrets(admin, verb, &done, tell_trouble, NULL, &words);

	if (error != OK)
		return cli_fail(error, &words);
	(void)printf("%lld password%s", (long long)done.changed, done.changed == 1 ? "" : "s");
	if (folder)
		(void)printf(" and %lld file%s", (long long)done.files, done.files == 1 ? "" : "s");
	(void)printf(" %s", verbs[verb]);
	if (done.failed)
		(void)printf(", %lld left as %s", (long long)done.failed,
		             done.failed == 1 ? "it is" : "they are");
	if (verb != ADMIN_SECRETS_UNSEAL && done.unsealed + done.files_unsealed)
		(void)printf(", %lld unsealed", (long long)(done.unsealed + done.files_unsealed));
	(void)printf("\n");
	if (verb != ADMIN_SECRETS_UNSEAL)
		error = admin_secrets_forget(admin, options_have(&invocation->options, "vacuum"), &words);
	if (error != OK)
		return cli_fail(error, &words);
	return done.failed ? EX_DATAERR : EX_OK;
}

static int run_change(const struct invocation *invocation, enum admin_secrets verb)
{
	struct seal_keys *keys;
	struct admin *admin = NULL;
	int status = secrets_keys(invocation, &keys);

	if (status == EX_OK && !keys)
		status = cli_usage(
			invocation,
			"which keys? Give --secrets-key-file FILE, or set OUTBOXD_SECRETS_KEY_FILE");
	if (status == EX_OK)
		status = cli_open(invocation, &admin);
	if (status == EX_OK) {
		admin_use_keys(admin, keys);
		admin_use_files(admin, options_value(&invocation->options, "secrets-dir"));
		status = change_all(invocation, admin, verb);
	}
	admin_close(&admin);
	seal_keys_release(&keys);
	return status;
}

static int run_seal(const struct invocation *invocation)
{
	return run_change(invocation, ADMIN_SECRETS_SEAL);
}

static int run_rekey(const struct invocation *invocation)
{
	return run_change(invocation, ADMIN_SECRETS_REKEY);
}

static int run_unseal(const struct invocation *invocation)
{
	return run_change(invocation, ADMIN_SECRETS_UNSEAL);
}

/* ---- status ------------------------------------------------------------------------------ */

static const struct table_column status_columns[] = {
	{ .name = "tenant", .heading = "TENANT" },   { .name = "secret", .heading = "SECRET" },
	{ .name = "file", .heading = "FILE" },       { .name = "state", .heading = "STATE" },
	{ .name = "version", .heading = "VERSION" }, { .name = "key", .heading = "KEY" },
	{ .name = "trouble", .heading = "TROUBLE" }, { .name = NULL },
};

struct status_view {
	struct table *table;
	int64_t old; /* of version 1 */
};

static void show_status(void *context, const struct admin_value *values, size_t count)
{
	struct status_view *view = context;

	for (size_t i = 0; i < count; i++)
		if (strcmp(values[i].name, "version") == 0 && values[i].text &&
		    strcmp(values[i].text, "1") == 0)
			view->old++;
	table_row(view->table, values, count);
}

static int run_status(const struct invocation *invocation)
{
	struct seal_keys *keys;
	struct admin *admin = NULL;
	struct status_view view = { .old = 0 };
	struct words words;
	enum error error;
	int status = secrets_keys(invocation, &keys);

	if (status == EX_OK)
		status = cli_open(invocation, &admin);
	if (status == EX_OK) {
		admin_use_keys(admin, keys);
		admin_use_files(admin, options_value(&invocation->options, "secrets-dir"));
		view.table = table_create(stdout, status_columns, options_have(&invocation->options, "json"));
		error = admin_secrets_status(admin, show_status, &view, &words);
		status = cli_close(&admin, error, &words);
		table_end(&view.table);
		if (view.old)
			cli_say("%lld value%s of version 1, which is not bound to tls_priority: outboxctl secrets "
			        "rekey seals %s anew",
			        (long long)view.old, view.old == 1 ? "" : "s", view.old == 1 ? "it" : "them");
	}
	seal_keys_release(&keys);
	return status;
}

#define VACUUM_RULE                                                                                          \
	{                                                                                                    \
		.name = "vacuum", .help = "write the whole file anew, so that no free page has an old one"   \
	}

static const struct option_rule change_rules[] = {
	SECRETS_KEY_RULE, TENANT_SECRETS_RULE, VACUUM_RULE, { .name = NULL }
};
static const struct option_rule unseal_rules[] = { SECRETS_KEY_RULE, TENANT_SECRETS_RULE, { .name = NULL } };
static const struct option_rule status_rules[] = {
	SECRETS_KEY_RULE, TENANT_SECRETS_RULE, CLI_JSON_RULE, { .name = NULL }
};

const struct verb cli_secrets_verbs[] = {
	{ "secrets keygen", "[FILE]", "Makes a key, in a new file of mode 0400 or on standard output", 0, 1,
	  NULL, false, run_keygen, NULL },
	{ "secrets seal", "", "Seals all passwords, with --secrets-dir files too, that are not", 0, 0,
	  change_rules, false, run_seal, NULL },
	{ "secrets rekey", "", "Seals anew what another key than the first, or version 1, has sealed", 0, 0,
	  change_rules, false, run_rekey, NULL },
	{ "secrets unseal", "", "Opens all passwords, with --secrets-dir files too", 0, 0, unseal_rules,
	  false, run_unseal, NULL },
	{ "secrets status", "", "Shows whose passwords and files are sealed, with which key", 0, 0,
	  status_rules, false, run_status, NULL },
	{ .name = NULL },
};
