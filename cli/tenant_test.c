/*
 * tenant_test.c - outboxctl tenant test: a real session, and no mail.
 *
 * Promises: tells each step in words; the password is in none of them. The
 * database is closed while the network is waited for. A good session ends the
 * tenant's backoff.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/password.h"
#include "common/wait.h"
#include "smtp/session.h"

const struct option_rule cli_tenant_test_rules[] = {
	{ .name = "secrets-dir", .argument = "DIR", .help = "outboxd's secrets_dir, where password_file is" },
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

/* password_file, a name without a slash (the schema saw to that; so do we). */
static int read_secret_file(const struct invocation *invocation, const char *name, struct secret *password)
{
	const char *folder = options_value(&invocation->options, "secrets-dir");
	enum error error = ERROR_PERMISSION;
	struct words words;
	struct stat st;
	int dir, fd;

	if (!folder)
		return cli_usage(invocation, "the tenant's password is in a file: give --secrets-dir");
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 || strchr(name, '/') ? -1
	                                  : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		words_set_errno(&words, errno, "password_file %s in %s", name, folder);
		error = errno == ENOENT ? ERROR_NOT_FOUND : ERROR_PERMISSION;
	} else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		words_set(&words, "password_file %s in %s is not a regular file", name, folder);
	} else {
		error = password_read(fd, name, password, &words);
	}
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	return error == OK ? EX_OK : cli_fail_file(error, &words);
}

/* What wins over the column password, as in outboxd. */
static int find_password(const struct invocation *invocation, const struct tenant_settings *tenant,
                         struct secret *password)
{
	if (tenant->password_command) {
		cli_say("tenant test with password_command is not built yet");
		return EX_USAGE;
	}
	if (tenant->password_file)
		return read_secret_file(invocation, tenant->password_file, password);
	(void)secret_copy(password, &tenant->password);
	return EX_OK;
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

static int open_and_close(struct tenant_settings *tenant, const struct secret *password,
                          struct tls_trust *trust, struct resolver *resolver)
{
	static const atomic_int stop = STOP_NONE;
	enum stage stage = STAGE_NONE;
	struct session_observer observer = { .context = &stage, .stage = tell_step };
	struct session_settings settings = { .tenant = tenant,
		                             .password = secret_is_set(password) ? password : NULL,
		                             .trust = trust,
		                             .resolver = resolver,
		                             .stop = &stop,
		                             .observer = &observer };
	struct outcome trouble = { .text = NULL };
	struct session *session = NULL;
	int status = EX_OK;

	if (session_open(&settings, &session, &trouble) != OK) {
		status = tell_trouble(tenant->name, stage, &trouble);
	} else {
		tell_facts(session, tenant->name);
		session_close(&session);
	}
	outcome_clear(&trouble);
	return status;
}

static int run_session(struct tenant_settings *tenant, const struct secret *password)
{
	struct tls_trust *trust = NULL;
	struct resolver *resolver = NULL;
	struct words words;
	enum error error = OK;
	int status;

	wait_setup();
	(void)signal(SIGPIPE, SIG_IGN);
	if (tenant->tls_verify == TLS_VERIFY_FULL &&
	    (tenant->tls == TLS_STARTTLS || tenant->tls == TLS_IMPLICIT))
		error = tls_trust_load(tenant->tls_ca_file, &trust, &words);
	if (error == OK)
		error = resolver_create(NULL, &resolver, &words);
	status = error == OK ? open_and_close(tenant, password, trust, resolver)
	                     : cli_fail(ERROR_UNAVAILABLE, &words);
	if (resolver)
		resolver_destroy(&resolver);
	if (trust)
		tls_trust_release(&trust);
	return status;
}

static int clear_backoff(const struct invocation *invocation, const char *name)
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
	if (status == EX_OK)
		status = find_password(invocation, tenant, &password);
	if (status == EX_OK)
		status = run_session(tenant, &password);
	if (status == EX_OK)
		status = clear_backoff(invocation, name);
	secret_wipe(&password);
	tenant_settings_release(&tenant);
	return status;
}
