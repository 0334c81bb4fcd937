/*
 * check_status.c - outboxctl check: whether an outboxd runs, which tenants are in trouble, which messages
 * wait for somebody.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/check.h"
#include "common/clock.h"
#include "storage/admin_check.h"

struct status {
	struct check *check;
	int64_t last_sign; /* s, 0 = none */
	int64_t waiting;   /* queued and deferred */
};

static const struct admin_value *find(const struct admin_value *values, size_t count, const char *name)
{
	static const struct admin_value none = { .type = ADMIN_NULL };

	for (size_t i = 0; i < count; i++)
		if (strcmp(values[i].name, name) == 0)
			return &values[i];
	return &none;
}

static const char *text_of(const struct admin_value *value)
{
	return value->type == ADMIN_TEXT ? value->text : "";
}

static int64_t number_of(const struct admin_value *value)
{
	return value->type == ADMIN_INTEGER ? value->integer : 0;
}

/* The states that outboxd names trouble; what each asks of the operator. */
static void check_state(struct check *check, const char *tenant, const char *state, const char *error)
{
	static const struct {
		const char *state;
		enum check_level level;
		const char *advice;
	} troubles[] = {
		{ "auth_failed", CHECK_ERROR, "mend its login; outboxctl tenant test tells more" },
		{ "quarantined", CHECK_ERROR, "outboxd's log says which message it was" },
		{ "backoff", CHECK_WARNING,
		  "outboxd tries again by itself; outboxctl tenant test tells more" },
		{ "throttled", CHECK_WARNING, "outboxd tries again by itself, more slowly" },
	};

	for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++)
		if (strcmp(state, troubles[i].state) == 0)
			check_found(check, troubles[i].level, "tenant.trouble", tenant, troubles[i].advice,
			            "%s: %s", state, *error ? error : "no reason was recorded");
}

static void check_row(void *context, const struct admin_value *values, size_t count)
{
	struct status *status = context;
	const char *tenant = text_of(find(values, count, "tenant"));
	const char *token_error = text_of(find(values, count, "token_error"));
	int64_t uncertain = number_of(find(values, count, "uncertain"));
	int64_t sign = number_of(find(values, count, "updated_at"));

	if (sign > status->last_sign)
		status->last_sign = sign;
	status->waiting += number_of(find(values, count, "queued")) +
	                   number_of(find(values, count, "deferred"));
	check_state(status->check, tenant, text_of(find(values, count, "state")),
	            text_of(find(values, count, "last_error")));
	if (*token_error)
		check_found(status->check, CHECK_WARNING, "tenant.token", tenant, NULL,
		            "its last OAuth2 token could not be fetched: %s", token_error);
	if (uncertain > 0)
		check_found(
			status->check, CHECK_WARNING, "message.uncertain", tenant,
			"outboxctl queue --state uncertain lists them; retry sends again, cancel does not",
			"%lld message%s may have arrived and wait%s for a decision", (long long)uncertain,
			uncertain == 1 ? "" : "s", uncertain == 1 ? "s" : "");
}

static void check_stray(void *context, const struct admin_value *values, size_t count)
{
	const char *tenant = text_of(find(values, count, "tenant"));

	check_found(context, CHECK_ERROR, "message.tenant", tenant,
	            "add the tenant (outboxctl tenant add), or remove it with its messages",
	            "%lld message%s (%lld not finished) of a tenant that does not exist",
	            (long long)number_of(find(values, count, "messages")),
	            number_of(find(values, count, "messages")) == 1 ? "" : "s",
	            (long long)number_of(find(values, count, "unfinished")));
}

/* "outboxd's last sign was 5 min ago"; in the buffer of the caller's. */
static const char *last_sign(const struct status *status, char text[TABLE_WHEN_BYTES])
{
	if (status->last_sign == 0)
		return "never";
	table_when(status->last_sign, clock_wall_s(), text);
	return text;
}

static void check_daemon(struct check *check, const struct status *status, const char *path)
{
	char when[TABLE_WHEN_BYTES];
	long process = 0;

	switch (admin_check_served(path, &process)) {
	case ADMIN_SERVED:
		check_good(check, check_mark(check), "daemon",
		           "process %ld serves it; outboxd's last sign in the tables: %s", process,
		           last_sign(status, when));
		return;
	case ADMIN_SERVED_UNKNOWN:
		check_found(
			check, CHECK_WARNING, "daemon.unknown", NULL, NULL,
			"whether an outboxd serves it cannot be told: /proc/locks cannot be read; its last "
			"sign in the tables: %s",
			last_sign(status, when));
		return;
	case ADMIN_SERVED_NOT:
	default:
		check_found(
			check, CHECK_WARNING, "daemon.none", NULL, "start outboxd",
			"no outboxd that can be seen from here serves it; its last sign in the tables: %s; "
			"messages that wait: %lld",
			last_sign(status, when), (long long)status->waiting);
	}
}

void check_status(struct check *check, struct admin *admin, const char *path)
{
	struct status status = { .check = check };
	struct words words;
	int mark = check_mark(check);
	enum error error = admin_status(admin, check_row, &status, &words);

	if (error == OK)
		error = admin_check_strays(admin, check_stray, check, &words);
	if (error != OK)
		check_found(check, CHECK_ERROR, "database.unavailable", NULL, NULL, "%s", words.text);
	check_good(check, mark, "messages", "no tenant is in trouble, no message waits for a decision");
	check_daemon(check, &status, path);
}
