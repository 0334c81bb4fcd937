/*
 * credential.c - see credential.h.
 */
#include "run/credential.h"

#include "common/clock.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "run/command.h"

static enum error load_from_command(const struct credential_place *place, const char *tenant,
                                    const char *column, const char *name, struct secret *password,
                                    struct words *words)
{
	struct command command = { column, place->command_dir, name, tenant };

	if (!command.dir) {
		words_set(words, "%s is set, but outboxd has no command_dir", column);
		return ERROR_REFUSED;
	}
	if (!secret_file_is_name(name)) {
		words_set(words, "%s = %s is not the name of a program in command_dir", column, name);
		return ERROR_REFUSED;
	}
	return command_run(&command, deadline_after_ms(CREDENTIAL_COMMAND_MS), password, words);
}

bool credential_is_column(const struct tenant_settings *settings)
{
	return !settings->token_command && !settings->oauth_token_url && !settings->password_command &&
	       !settings->password_file;
}

enum error credential_load(const struct credential_place *place, const struct tenant_settings *settings,
                           struct secret *password, struct words *words)
{
	const struct seal_files files = { place->secrets_dir, place->keys };
	const struct seal_place file = { settings, "password_file", settings->password_file };
	const struct seal_place column = { .settings = settings, .column = "password" };

	if (settings->token_command)
		return load_from_command(place, settings->name, "token_command", settings->token_command,
		                         password, words);
	if (settings->oauth_token_url)
		return OK;
	if (settings->password_command)
		return load_from_command(place, settings->name, "password_command",
		                         settings->password_command, password, words);
	if (settings->password_file)
		return seal_file_read(&files, &file, password, NULL, words);
	if (seal_is_sealed(&settings->password))
		return seal_open(place->keys, &column, &settings->password, password, words);
	secret_copy(password, &settings->password);
	return OK;
}
