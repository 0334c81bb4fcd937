/*
 * check_config.c - outboxctl check: the configuration, as outboxd reads it, and what it names.
 *
 * What is kept of it is copied into struct check: run/configuration.h brings the log with it, and
 * other files here hold secrets.
 */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/check.h"
#include "run/configuration.h"
#include "smtp/pem_file.h"
#include "smtp/resolve.h"

/* others_write: whoever may write there is trusted with more than the folder. */
static void check_folder(struct check *check, const char *setting, const char *path, bool others_write)
{
	struct words words;
	struct stat st;

	if (stat(path, &st) != 0) {
		if (check_unreadable(path)) {
			check_found(check, CHECK_WARNING, "config.unread", NULL,
			            "run this as root or as outboxd's user",
			            "%s %s cannot be looked at by this user", setting, path);
			return;
		}
		words_set(&words, "%s %s does not exist", setting, path);
	} else if (!S_ISDIR(st.st_mode)) {
		words_set(&words, "%s %s is not a folder", setting, path);
	} else if (!others_write && (st.st_mode & S_IWOTH)) {
		words_set(&words, "%s %s has mode %04o: everybody may put files there", setting, path,
		          (unsigned)(st.st_mode & 07777));
	} else {
		return;
	}
	check_found(check, CHECK_ERROR, "config.folder", NULL, NULL, "%s", words.text);
}

/* A file that outboxd makes needs its folder alone. */
static void check_folder_of(struct check *check, const char *setting, const char *path)
{
	char *copy = memory_strdup(path);

	check_folder(check, setting, dirname(copy), true);
	free(copy);
}

static void check_folders(struct check *check, const struct config *config)
{
	const struct {
		const char *setting, *path;
		bool is_folder, others_write;
	} folders[] = {
		{ "log_file: the folder",
		  strcmp(config->log_file ? config->log_file : "-", "-") ? config->log_file : NULL, false,
		  true },
		{ "log_dir", config->log_dir, true, true },
		{ "pid_file: the folder", config->pid_file, false, true },
		{ "metrics_file: the folder", config->metrics_file, false, true },
		{ "spool_dir", config->spool_dir, true, true },
		{ "secrets_dir", config->secrets_dir, true, false },
		{ "command_dir", config->command_dir, true, false },
	};

	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		if (!folders[i].path)
			continue;
		if (folders[i].is_folder)
			check_folder(check, folders[i].setting, folders[i].path, folders[i].others_write);
		else
			check_folder_of(check, folders[i].setting, folders[i].path);
	}
}

static void check_dns(struct check *check, const struct config *config)
{
	struct resolver *resolver = NULL;
	struct words words;

	if (resolver_create(config->dns_servers, &resolver, &words) == OK)
		resolver_destroy(&resolver);
	else
		check_found(check, CHECK_ERROR, "config.dns", NULL, NULL, "%s", words.text);
}

static void check_token_authorities(struct check *check, const struct config *config)
{
	struct buffer pem;
	struct words words;

	if (!config->token_ca_file)
		return;
	if (pem_file_read("token_ca_file", config->token_ca_file, &pem, &words) == OK)
		check_dates(check, NULL, "token_ca_file", pem.data, pem.length);
	else if (check_unreadable(config->token_ca_file))
		check_found(check, CHECK_WARNING, "config.unread", NULL,
		            "run this as root or as outboxd's user", "%s", words.text);
	else
		check_found(check, CHECK_ERROR, "config.authorities", NULL, NULL, "%s", words.text);
	buffer_fini(&pem);
}

static void check_keys(struct check *check)
{
	const char *path = check->secrets_key_file;
	struct words words;
	enum error error;

	if (!path)
		return;
	error = seal_keys_read(path, &check->keys, &words);
	if (error == OK)
		return;
	check->keys_unknown = true;
	if (error == ERROR_NOT_FOUND && !strchr(path, '/') && !getenv("CREDENTIALS_DIRECTORY"))
		check_found(
			check, CHECK_WARNING, "config.keys_unread", NULL, NULL,
			"secrets_key_file: %s is the name of a credential, which only a service of systemd's "
			"has: its keys, and what they seal, were not looked at",
			path);
	else if (check_unreadable(path))
		check_found(check, CHECK_WARNING, "config.keys_unread", NULL,
		            "run this as root or as outboxd's user",
		            "secrets_key_file: %s: its keys, and what they seal, were not looked at",
		            words.text);
	else
		check_found(check, CHECK_ERROR, "config.keys", NULL, NULL, "secrets_key_file: %s",
		            words.text);
}

static void adopt(struct check *check, const struct config *config)
{
	check->has_settings = true;
	check->keys_unknown = false;
	check->database_count = config->database_count;
	check->databases = memory_alloc(config->database_count * sizeof *check->databases);
	for (size_t i = 0; i < config->database_count; i++)
		check->databases[i] = memory_strdup(config->databases[i]);
	check->secrets_dir = memory_strdup(config->secrets_dir);
	check->command_dir = memory_strdup(config->command_dir);
	check->secrets_key_file = memory_strdup(config->secrets_key_file);
	check->token_program = memory_strdup(config->token_program);
}

void check_config(struct check *check)
{
	const char *path = options_value(&check->invocation->options, "config");
	const char *database = check->invocation->database;
	struct config_options options = { .file = path,
		                          .databases = &database,
		                          .database_count = database ? 1 : 0 };
	struct config *config = NULL;
	struct words words;
	int mark = check_mark(check);

	check->keys_unknown = true;
	if (!path)
		return;
	if (config_read(&options, &config, &words) != OK) {
		check_found(check, CHECK_ERROR, "config.invalid", NULL, NULL, "%s", words.text);
		return;
	}
	adopt(check, config);
	check_folders(check, config);
	check_dns(check, config);
	check_token_authorities(check, config);
	config_release(&config);
	check_keys(check);
	check_good(check, mark, "config", "%s is as outboxd can use it", path);
}

void check_config_fini(struct check *check)
{
	for (size_t i = 0; i < check->database_count; i++)
		free(check->databases[i]);
	free(check->databases);
	free(check->secrets_dir);
	free(check->command_dir);
	free(check->secrets_key_file);
	free(check->token_program);
	seal_keys_release(&check->keys);
}
