/*
 * tenant_password.c - see tenant_password.h. run/ does the work, as it does for outboxd.
 */
#include "cli/tenant_password.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/secrets.h"
#include "common/seal_file.h"
#include "run/credential.h"
#include "run/paths.h"
#include "run/token_run.h"

int tenant_secret_file(const struct invocation *invocation, const struct seal_place *place,
                       struct secret *secret)
{
	const char *folder = options_value(&invocation->options, "secrets-dir");
	struct seal_keys *keys = NULL;
	struct words words;
	enum error error;
	int status;

	if (!folder)
		return cli_usage(invocation, "%s names a file of the tenant's: give --secrets-dir",
		                 place->column);
	status = secrets_keys(invocation, &keys);
	if (status != EX_OK)
		return status;
	error = seal_file_read(&(struct seal_files){ folder, keys }, place, secret, NULL, &words);
	seal_keys_release(&keys);
	return error == OK ? EX_OK : cli_fail_file(error, &words);
}

/* Ends the line of a step. */
static int tell_end(const struct tenant_settings *tenant, enum error error, const struct words *words)
{
	(void)printf(error == OK ? ": ok\n" : ": failed\n");
	if (error == OK)
		return EX_OK;
	cli_say("%s: %s", tenant->name, words->text);
	return EX_UNAVAILABLE;
}

static int run_command(const struct invocation *invocation, const struct tenant_settings *tenant,
                       struct secret *password)
{
	const struct credential_place place = {
		.command_dir = options_value(&invocation->options, "command-dir"),
	};
	const char *column = tenant->token_command ? "token_command" : "password_command";
	struct words words;
	enum error error;

	if (!place.command_dir)
		return cli_usage(invocation, "%s names a program of the tenant's: give --command-dir",
		                 column);
	(void)printf("running %s", column);
	(void)fflush(stdout);
	error = credential_load(&place, tenant, password, &words);
	return tell_end(tenant, error, &words);
}

/* A refresh token may come back as another one, which is lost if it cannot be written. */
static int check_folder(const struct invocation *invocation, const struct tenant_settings *tenant,
                        const char *folder)
{
	const char *column = tenant->oauth_refresh_token_file   ? "oauth_refresh_token_file"
	                     : tenant->oauth_client_secret_file ? "oauth_client_secret_file"
	                                                        : NULL;
	struct words words;

	if (column && !folder)
		return cli_usage(invocation, "%s names a file of the tenant's: give --secrets-dir", column);
	if (!tenant->oauth_refresh_token_file || access(folder, W_OK) == 0)
		return EX_OK;
	words_set_errno(&words, errno, "a new refresh token that the endpoint gives cannot be written to %s",
	                folder);
	return cli_fail(ERROR_PERMISSION, &words);
}

static int fetch_token(const struct invocation *invocation, const struct tenant_settings *tenant,
                       struct secret *token)
{
	const char *program = options_value(&invocation->options, "token-program");
	struct seal_keys *keys = NULL;
	struct token_place place = {
		.program = program ? program : path_token_program,
		.ca_file = options_value(&invocation->options, "token-ca-file"),
		.secrets_dir = options_value(&invocation->options, "secrets-dir"),
	};
	struct token_fetch fetch = { .expires_in_s = 0 };
	int status = check_folder(invocation, tenant, place.secrets_dir);
	enum error error;

	if (status == EX_OK && place.secrets_dir)
		status = secrets_keys(invocation, &keys);
	if (status != EX_OK)
		return status;
	place.keys = keys;
	(void)printf("fetching a token");
	(void)fflush(stdout);
	error = token_run(&place, tenant, &fetch);
	status = tell_end(tenant, error, &fetch.words);
	if (error == OK) {
		if (fetch.words.text[0])
			cli_say("%s: %s", tenant->name, fetch.words.text);
		(void)secret_copy(token, &fetch.token);
	}
	token_fetch_fini(&fetch);
	seal_keys_release(&keys);
	return status;
}

static int read_column(const struct invocation *invocation, const struct tenant_settings *tenant,
                       struct secret *password)
{
	struct credential_place place = { .keys = NULL };
	struct seal_keys *keys = NULL;
	struct words words;
	enum error error = OK;
	int status = seal_is_sealed(&tenant->password) ? secrets_keys(invocation, &keys) : EX_OK;

	if (status != EX_OK)
		return status;
	place.keys = keys;
	error = credential_load(&place, tenant, password, &words);
	seal_keys_release(&keys);
	return error == OK ? EX_OK : cli_fail(error, &words);
}

int tenant_password(const struct invocation *invocation, const struct tenant_settings *tenant,
                    struct secret *password)
{
	if (!tenant->token_command && tenant->oauth_token_url)
		return fetch_token(invocation, tenant, password);
	if (tenant->token_command || tenant->password_command)
		return run_command(invocation, tenant, password);
	if (tenant->password_file)
		return tenant_secret_file(
			invocation, &(struct seal_place){ tenant, "password_file", tenant->password_file },
			password);
	return read_column(invocation, tenant, password);
}
