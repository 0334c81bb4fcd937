/*
 * tenant_test.c - outboxctl tenant test: a real session, and no mail.
 *
 * Promises: tells each step in words; the password is in none of them. The
 * database is closed while the network is waited for. A good session ends the
 * tenant's backoff.
 */
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "cli/secrets.h"
#include "cli/tenant_password.h"
#include "common/wait.h"
#include "smtp/session.h"
#include "smtp/tls_identity.h"

const struct option_rule cli_tenant_test_rules[] = {
	TENANT_SECRETS_RULE,
	SECRETS_KEY_RULE,
	{ .name = "command-dir", .argument = "DIR", .help = "outboxd's command_dir" },
	TENANT_TOKEN_RULES,
	{ .name = NULL },
};

static const char *const steps[STAGE_COUNT] = {
	[STAGE_RESOLVE] = "looking up the server's address",
	[STAGE_CONNECT] = "connecting",
	[STAGE_GREETING] = "waiting for the greeting",
	[STAGE_EHLO] = "saying EHLO",
	[STAGE_STARTTLS] = "asking for STARTTLS",
	[STAGE_TLS] = "TLS handshake",
	[STAGE_AUTH] = "logging in",
};

/* The context is the stage under way. */
static void tell_step(void *context, enum stage stage)
{
	enum stage *now = context;

	if (*now == stage || stage >= STAGE_COUNT || !steps[stage])
		return;
	if (*now != STAGE_NONE)
		(void)printf(": ok\n");
	(void)printf("%s", steps[stage]);
	(void)fflush(stdout);
	*now = stage;
}

/* The client certificate, if the tenant has one. */
static int find_identity(const struct invocation *invocation, const struct tenant_settings *tenant,
                         struct tls_identity **identity)
{
	struct secret certificate = { .bytes = NULL }, key = { .bytes = NULL };
	struct words words;
	int status;

	if (tenant->tls == TLS_NONE || !tenant->tls_cert_file || !tenant->tls_key_file)
		return EX_OK;
	status = tenant_secret_file(invocation,
	                            &(struct seal_place){ tenant, "tls_cert_file", tenant->tls_cert_file },
	                            &certificate);
	if (status == EX_OK)
		status = tenant_secret_file(
			invocation, &(struct seal_place){ tenant, "tls_key_file", tenant->tls_key_file },
			&key);
	if (status == EX_OK && tls_identity_parse(tenant, &certificate, &key, identity, &words) != OK)
		status = cli_fail(ERROR_INVALID, &words);
	secret_wipe(&certificate);
	secret_wipe(&key);
	return status;
}

static int tell_trouble(const char *tenant, enum stage stage, const struct outcome *trouble)
{
	if (stage != STAGE_NONE)
		(void)printf(": failed\n");
	if (trouble->code)
		cli_say("%s: the server said %d%s%s: %s", tenant, trouble->code,
		        *trouble->enhanced ? " " : "", trouble->enhanced,
		        trouble->text ? trouble->text : "no reason");
	else
		cli_say("%s: %s", tenant, trouble->text ? trouble->text : "no session could be opened");
	return EX_UNAVAILABLE;
}

static void tell_facts(const struct session *session, const char *tenant)
{
	struct session_facts facts;

	session_facts(session, &facts);
	(void)printf(": ok\n%s: %s (%s) is ready; %s%s; %s%s%s%s\n", tenant, facts.server, facts.address,
	             facts.tls ? "encrypted with " : "not encrypted", facts.tls ? facts.tls : "",
	             facts.auth ? "logged in with " : "not logged in", facts.auth ? facts.auth : "",
	             facts.fallback ? "; fell back: " : "", facts.fallback ? facts.fallback : "");
}

static int open_and_close(const struct session_settings *given)
{
	static const atomic_int stop = STOP_NONE;
	struct tenant_settings *tenant = given->tenant;
	enum stage stage = STAGE_NONE;
	struct session_observer observer = { .context = &stage, .stage = tell_step };
	struct session_settings settings = *given;
	struct outcome trouble = { .text = NULL };
	struct session *session = NULL;
	int status = EX_OK;

	settings.stop = &stop;
	settings.observer = &observer;
	if (session_open(&settings, &session, &trouble) != OK) {
		status = tell_trouble(tenant->name, stage, &trouble);
	} else {
		tell_facts(session, tenant->name);
		session_close(&session);
	}
	outcome_clear(&trouble);
	return status;
}

static int run_session(struct tenant_settings *tenant, const struct secret *password,
                       struct tls_identity *identity)
{
	struct session_settings settings = { .tenant = tenant,
		                             .password = secret_is_set(password) ? password : NULL,
		                             .identity = identity };
	struct words words;
	enum error error = OK;
	int status;

	if (tenant->tls_verify == TLS_VERIFY_FULL &&
	    (tenant->tls == TLS_STARTTLS || tenant->tls == TLS_IMPLICIT))
		error = tls_trust_load(tenant->tls_ca_file, &settings.trust, &words);
	if (error == OK)
		error = resolver_create(NULL, &settings.resolver, &words);
	status = error == OK ? open_and_close(&settings) : cli_fail(ERROR_UNAVAILABLE, &words);
	if (settings.resolver)
		resolver_destroy(&settings.resolver);
	tls_trust_release(&settings.trust);
	return status;
}

int cli_tenant_retry(const struct invocation *invocation, const char *name)
{
	struct admin *admin;
	struct words words;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	return cli_close(&admin, admin_tenant_retry(admin, name, NULL, &words), &words);
}

int cli_tenant_test(const struct invocation *invocation)
{
	const char *name = invocation->options.operands[0];
	struct tenant_settings *tenant = NULL;
	struct tls_identity *identity = NULL;
	struct secret password = { .bytes = NULL };
	struct admin *admin;
	struct words words;
	enum error error;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	error = admin_tenant_settings(admin, name, &tenant, &words);
	status = cli_close(&admin, error, &words);
	if (status != EX_OK)
		return status;
	if (session_settings_check(tenant, &words) != OK) {
		cli_say("%s: %s", name, words.text);
		status = EX_USAGE;
	}
	wait_setup();
	(void)signal(SIGPIPE, SIG_IGN);
	if (status == EX_OK)
		status = tenant_password(invocation, tenant, &password);
	if (status == EX_OK)
		status = find_identity(invocation, tenant, &identity);
	if (status == EX_OK)
		status = run_session(tenant, &password, identity);
	if (status == EX_OK)
		status = cli_tenant_retry(invocation, name);
	tls_identity_release(&identity);
	secret_wipe(&password);
	tenant_settings_release(&tenant);
	return status;
}
