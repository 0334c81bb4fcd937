/*
 * check_secret.c - outboxctl check: passwords in the table, files in secrets_dir, programs in command_dir.
 *
 * Promises: no secret is in the words, and none stays in memory.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/check.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "run/credential.h"

#define NAMES_BYTES 4000

/* ---- the column ------------------------------------------------------------------------ */

static void note_unsealed(struct check *check, const char *tenant)
{
	if (check->unsealed_count++ == 0)
		buffer_init(&check->unsealed, NAMES_BYTES);
	(void)buffer_printf(&check->unsealed, "%s%s", check->unsealed.length ? ", " : "", tenant);
}

static void check_password(struct check *check, const struct tenant_settings *tenant)
{
	const struct seal_place place = { .settings = tenant, .column = "password" };
	struct secret password = { NULL, 0 };
	struct words words;

	if (!secret_is_set(&tenant->password))
		return;
	if (!seal_is_sealed(&tenant->password)) {
		note_unsealed(check, tenant->name);
		return;
	}
	if (check->keys_unknown) {
		check->unlooked += !check->has_settings;
		return;
	}
	if (seal_open(check->keys, &place, &tenant->password, &password, &words) != OK)
		check_found(check, CHECK_ERROR, "secret.sealed", tenant->name, NULL, "%s", words.text);
	secret_wipe(&password);
}

/* ---- files ------------------------------------------------------------------------------- */

static bool path_of(const char *folder, const char *name, char path[PATH_MAX])
{
	return folder && secret_file_is_name(name) &&
	       snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

/* A folder that others cannot enter closes what is in it. */
static void check_mode(struct check *check, const char *tenant, const char *column, const char *folder,
                       const char *path, mode_t forbidden)
{
	struct stat file, around;

	if (stat(path, &file) != 0 || stat(folder, &around) != 0 || !(around.st_mode & S_IXOTH) ||
	    !(file.st_mode & forbidden))
		return;
	check_found(check, CHECK_WARNING, "secret.mode", tenant, "chmod o= it",
	            "the file of %s, %s, has mode %04o: others than its owner and group may use it", column,
	            path, (unsigned)(file.st_mode & 07777));
}

static void tell_unread(struct check *check, const char *tenant, const char *column, const char *path)
{
	check_found(check, CHECK_WARNING, "secret.unread", tenant, "run this as root or as outboxd's user",
	            "the file of %s, %s, cannot be looked at by this user", column, path);
}

enum error check_secret_file(const struct check *check, const struct tenant_settings *tenant,
                             const char *column, const char *name, struct secret *secret, bool *sealed,
                             struct words *words)
{
	const struct seal_files files = { .folder = check->secrets_dir, .keys = check->keys };
	const struct seal_place place = { .settings = tenant, .column = column, .file = name };
	enum error error;

	*sealed = false;
	error = seal_file_read(&files, &place, secret, sealed, words);
	return error != OK && *sealed && check->keys_unknown ? ERROR_UNAVAILABLE : error;
}

static void check_file(struct check *check, const struct tenant_settings *settings, const char *column,
                       const char *name)
{
	const char *tenant = settings->name;
	struct secret secret = { NULL, 0 };
	char path[PATH_MAX];
	struct words words;
	enum error error;
	bool sealed;

	if (path_of(check->secrets_dir, name, path) && check_unreadable(path)) {
		tell_unread(check, tenant, column, path);
		return;
	}
	error = check_secret_file(check, settings, column, name, &secret, &sealed, &words);
	if (error != OK && error != ERROR_UNAVAILABLE)
		check_found(check, CHECK_ERROR, sealed ? "secret.sealed" : "secret.file", tenant, NULL, "%s",
		            words.text);
	if (path_of(check->secrets_dir, name, path))
		check_mode(check, tenant, column, check->secrets_dir, path, S_IRWXO);
	secret_wipe(&secret);
}

static void check_program(struct check *check, const char *tenant, const char *column, const char *name)
{
	char path[PATH_MAX];

	if (!check->command_dir) {
		check_found(check, CHECK_ERROR, "secret.program", tenant, NULL,
		            "%s is set, but outboxd has no command_dir", column);
	} else if (!path_of(check->command_dir, name, path)) {
		check_found(check, CHECK_ERROR, "secret.program", tenant, NULL,
		            "%s = %s is not the name of a program in command_dir", column, name);
	} else if (check_unreadable(path)) {
		tell_unread(check, tenant, column, path);
	} else if (access(path, X_OK) != 0) {
		check_found(check, CHECK_ERROR, "secret.program", tenant, NULL, "%s: %s cannot be run: %s",
		            column, path, strerror(errno));
	} else {
		check_mode(check, tenant, column, check->command_dir, path, S_IWOTH);
	}
}

/* outboxd-token is one program for all. */
static void check_token_program(struct check *check)
{
	if (check->token_program_known)
		return;
	check->token_program_known = true;
	if (access(check->token_program, X_OK) != 0)
		check_found(check, CHECK_ERROR, "config.token_program", NULL, NULL,
		            "token_program %s cannot be run: %s", check->token_program, strerror(errno));
}

/* Those that outboxd would read, as run/credential.c and daemon/token.h choose. */
static void check_named_files(struct check *check, const struct tenant_settings *tenant)
{
	bool tls = tenant->tls != TLS_NONE;
	bool oauth = tenant->oauth_token_url && !tenant->token_command;
	const char *program = tenant->token_command     ? tenant->token_command
	                      : tenant->oauth_token_url ? NULL
	                                                : tenant->password_command;
	const struct {
		const char *column, *name;
	} files[] = {
		{ "password_file", oauth || program ? NULL : tenant->password_file },
		{ "oauth_client_secret_file", oauth ? tenant->oauth_client_secret_file : NULL },
		{ "oauth_refresh_token_file", oauth ? tenant->oauth_refresh_token_file : NULL },
		{ "tls_cert_file", tls ? tenant->tls_cert_file : NULL },
		{ "tls_key_file", tls ? tenant->tls_key_file : NULL },
	};
	bool any = program || oauth;

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		if (!files[i].name)
			continue;
		any = true;
		if (check->has_settings)
			check_file(check, tenant, files[i].column, files[i].name);
	}
	if (program && check->has_settings)
		check_program(check, tenant->name,
		              tenant->token_command ? "token_command" : "password_command", program);
	if (oauth && check->has_settings)
		check_token_program(check);
	check->unlooked += any && !check->has_settings;
}

/* What a login cannot do without, whatever the server offers. */
static void check_login(struct check *check, const struct tenant_settings *tenant)
{
	bool named = tenant->auth != AUTH_AUTO && tenant->auth != AUTH_NONE && tenant->auth != AUTH_EXTERNAL;
	bool has_secret = secret_is_set(&tenant->password) || !credential_is_column(tenant);

	if (named && !tenant->username)
		check_found(check, CHECK_ERROR, "tenant.login", tenant->name, NULL,
		            "auth = %s needs a username", auth_choice_name(tenant->auth));
	else if ((named || tenant->auth == AUTH_AUTO) && tenant->username && !has_secret)
		check_found(check, CHECK_ERROR, "tenant.login", tenant->name, NULL,
		            "it has a username, and no password or token to log in with");
}

void check_secrets(struct check *check, const struct tenant_settings *tenant)
{
	check_password(check, tenant);
	if (!tenant->enabled)
		return;
	check_login(check, tenant);
	check_named_files(check, tenant);
}

void check_secrets_end(struct check *check)
{
	if (check->unsealed_count)
		check_found(check, CHECK_WARNING, "secret.unsealed", NULL,
		            "outboxctl secrets seal seals them; who can read the file or a copy has them now",
		            "%d password%s not sealed: %s", check->unsealed_count,
		            check->unsealed_count == 1 ? " is" : "s are", check->unsealed.data);
	if (check->unlooked)
		check_found(
			check, CHECK_WARNING, "secret.unlooked", NULL,
			"name outboxd's configuration: --config FILE",
			"files, programs or sealed passwords of tenants were not looked at: where they are is "
			"not known");
	if (check->unsealed_count)
		buffer_fini(&check->unsealed);
	check->unsealed_count = check->unlooked = 0;
}
