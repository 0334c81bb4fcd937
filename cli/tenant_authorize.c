/*
 * tenant_authorize.c - outboxctl tenant authorize: a person consents once, and a refresh token lies where
 * outboxd reads it.
 *
 * Promises: no token is shown; the file has the old one or the new one whole at any moment; the
 * database is closed while a person is waited for.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/authorize.h"
#include "cli/authorize_url.h"
#include "cli/cli.h"
#include "cli/secrets.h"
#include "cli/tenant_password.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "common/text.h"
#include "common/wait.h"
#include "run/paths.h"
#include "smtp/session.h"

#define WITHIN_MS     (15 * 60 * 1000) /* Microsoft's codes live as long */
#define WITHIN_MAX_MS (24 * 3600 * 1000)

const struct option_rule cli_tenant_authorize_rules[] = {
	{ .name = "device", .help = "the code is entered on any device (RFC 8628)" },
	{ .name = "loopback", .help = "a browser on this machine comes back to it (RFC 8252)" },
	TENANT_SECRETS_RULE,
	SECRETS_KEY_RULE,
	TENANT_TOKEN_RULES,
	{ .name = "device-url",
	  .argument = "URL",
	  .help = "the device authorization endpoint, where it is not known" },
	{ .name = "authorize-url",
	  .argument = "URL",
	  .help = "the authorization endpoint, where it is not known" },
	{ .name = "within", .argument = "DURATION", .help = "how long the person is waited for: 15m" },
	{ .name = NULL },
};

/* What the command line and the tenant make of it. */
struct way {
	bool device;
	bool sealed;
	struct seal_keys *keys;
	char *url;
	int64_t within_ms;
};

static int check_tenant(const struct tenant_settings *tenant)
{
	const char *missing = !tenant->oauth_token_url            ? "oauth_token_url"
	                      : !tenant->oauth_client_id          ? "oauth_client_id"
	                      : !tenant->oauth_refresh_token_file ? "oauth_refresh_token_file"
	                                                          : NULL;
	struct words words;

	if (session_settings_check(tenant, &words) != OK) {
		cli_say("%s: %s", tenant->name, words.text);
		return EX_USAGE;
	}
	if (!missing)
		return EX_OK;
	cli_say("%s has no %s, which this needs: outboxctl tenant set", tenant->name, missing);
	return EX_USAGE;
}

static int no_url(const struct invocation *invocation, const struct tenant_settings *tenant, bool device)
{
	if (device && authorize_is_google(tenant->oauth_token_url))
		return cli_usage(invocation, "Google has no device flow for mail: use --loopback");
	return cli_usage(invocation, "the endpoint beside oauth_token_url is not known: give --%s-url",
	                 device ? "device" : "authorize");
}

static int choose_url(const struct invocation *invocation, const struct tenant_settings *tenant,
                      struct way *way)
{
	const char *given = options_value(&invocation->options, way->device ? "device-url" : "authorize-url");

	if (given)
		way->url = memory_strdup(given);
	else
		way->url = (way->device ? authorize_device_url
		                        : authorize_browser_url)(tenant->oauth_token_url);
	if (!way->url)
		return no_url(invocation, tenant, way->device);
	if (text_starts_nocase(way->url, "https://") && text_is_ascii(way->url, strlen(way->url)))
		return EX_OK;
	return cli_usage(invocation, "--%s-url must begin with https://",
	                 way->device ? "device" : "authorize");
}

/* The device's where it is known or named: outboxctl mostly runs where no browser is. */
static int choose_way(const struct invocation *invocation, const struct tenant_settings *tenant,
                      struct way *way)
{
	const struct options *options = &invocation->options;
	const char *within = options_value(options, "within");
	char *known = authorize_device_url(tenant->oauth_token_url);
	bool loopback = options_have(options, "loopback");

	way->device = options_have(options, "device") ||
	              (!loopback && (options_have(options, "device-url") ||
	                             (known && !options_have(options, "authorize-url"))));
	free(known);
	way->within_ms = WITHIN_MS;
	if (options_have(options, "device") && loopback)
		return cli_usage(invocation, "--device and --loopback exclude one another");
	if (within && (!text_to_duration_ms(within, &way->within_ms) || way->within_ms < 1 ||
	               way->within_ms > WITHIN_MAX_MS))
		return cli_usage(invocation, "--within is a duration of a day at most, as 90, 15m or 1h");
	return choose_url(invocation, tenant, way);
}

/* With keys it is sealed; and a file that was sealed stays so, whatever it is sealed for. */
static int choose_sealing(const char *folder, const struct tenant_settings *tenant, struct way *way)
{
	struct secret old = { .bytes = NULL };
	struct words words;

	way->sealed = way->keys != NULL;
	if (!way->keys && secret_file_read(folder, "oauth_refresh_token_file",
	                                   tenant->oauth_refresh_token_file, &old, &words) == OK)
		way->sealed = seal_is_sealed(&old);
	secret_wipe(&old);
	if (!way->sealed || way->keys)
		return EX_OK;
	words_set(&words,
	          "the file of oauth_refresh_token_file = %s is sealed: name the keys (--secrets-key-file)",
	          tenant->oauth_refresh_token_file);
	return cli_fail(ERROR_REFUSED, &words);
}

/* Before a person is asked: what they consent to is lost if it cannot be kept. */
static int find_secrets(const struct invocation *invocation, const struct tenant_settings *tenant,
                        struct way *way, struct authorize *authorize)
{
	const char *folder = options_value(&invocation->options, "secrets-dir");
	const struct seal_place client = { tenant, "oauth_client_secret_file",
		                           tenant->oauth_client_secret_file };
	struct words words;
	int status;

	if (!folder)
		return cli_usage(invocation, "oauth_refresh_token_file is written: give --secrets-dir");
	if (access(folder, W_OK | X_OK) != 0) {
		words_set_errno(&words, errno, "the refresh token cannot be written to %s", folder);
		return cli_fail(ERROR_PERMISSION, &words);
	}
	status = secrets_keys(invocation, &way->keys);
	if (status == EX_OK)
		status = choose_sealing(folder, tenant, way);
	if (status != EX_OK || !client.file)
		return status;
	return tenant_secret_file(invocation, &client, &authorize->client);
}

static enum error keep(const struct invocation *invocation, const struct tenant_settings *tenant,
                       const struct way *way, const struct buffer *result, struct words *words)
{
	const struct seal_files files = { options_value(&invocation->options, "secrets-dir"), way->keys };
	const struct seal_place place = { tenant, "oauth_refresh_token_file",
		                          tenant->oauth_refresh_token_file };
	const char *value = fields_find(result, "refresh_token");
	struct secret refresh = { .bytes = NULL };
	enum error error;
	int lock;

	if (!value || !*value || !secret_set(&refresh, value, strlen(value))) {
		words_set(words,
		          "a token was given, but no refresh token: Microsoft wants offline_access among "
		          "the words of oauth_scope for one");
		return ERROR_REFUSED;
	}
	error = secret_file_lock(files.folder, &lock, words);
	if (error == OK)
		error = seal_file_replace(&files, &place, &refresh, way->sealed, words);
	secret_file_unlock(lock);
	secret_wipe(&refresh);
	return error;
}

static int run(const struct invocation *invocation, const struct tenant_settings *tenant,
               const struct way *way, struct authorize *authorize)
{
	const char *program = options_value(&invocation->options, "token-program");
	struct buffer result;
	struct words words = { "" };
	enum error error;

	authorize->program = program ? program : path_token_program;
	authorize->ca_file = options_value(&invocation->options, "token-ca-file");
	authorize->url = way->url;
	authorize->deadline_ms = deadline_after_ms(way->within_ms);
	fields_init(&result);
	error = (way->device ? authorize_by_device : authorize_by_loopback)(authorize, &result, &words);
	if (error == OK)
		error = keep(invocation, tenant, way, &result, &words);
	fields_fini(&result);
	if (error == OK) {
		(void)printf("%s: authorized; the refresh token is in the file of "
		             "oauth_refresh_token_file = %s\n",
		             tenant->name, tenant->oauth_refresh_token_file);
		return cli_tenant_retry(invocation, tenant->name);
	}
	cli_say("%s: %s", tenant->name, words.text);
	return error == ERROR_PERMISSION || error == ERROR_REFUSED ? EX_NOPERM : EX_UNAVAILABLE;
}

int cli_tenant_authorize(const struct invocation *invocation)
{
	struct tenant_settings *tenant = NULL;
	struct authorize authorize = { .tenant = NULL };
	struct way way = { .url = NULL };
	struct admin *admin;
	struct words words;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	status = cli_close(&admin,
	                   admin_tenant_settings(admin, invocation->options.operands[0], &tenant, &words),
	                   &words);
	if (status != EX_OK)
		return status;
	wait_setup();
	(void)signal(SIGPIPE, SIG_IGN);
	authorize.tenant = tenant;
	status = check_tenant(tenant);
	if (status == EX_OK)
		status = choose_way(invocation, tenant, &way);
	if (status == EX_OK)
		status = find_secrets(invocation, tenant, &way, &authorize);
	if (status == EX_OK)
		status = run(invocation, tenant, &way, &authorize);
	secret_wipe(&authorize.client);
	seal_keys_release(&way.keys);
	free(way.url);
	tenant_settings_release(&tenant);
	return status;
}
