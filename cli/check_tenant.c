/*
 * check_tenant.c - outboxctl check: each enabled tenant's settings.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/check.h"
#include "common/text.h"
#include "mime/address.h"
#include "mime/compose.h"
#include "smtp/session.h"
#include "storage/admin.h"

/* ---- senders -------------------------------------------------------------------------- */

static void check_senders(struct check *check, const struct tenant_settings *tenant)
{
	const char *from = tenant->from_address;
	struct address address;
	struct words words;

	if (tenant->allowed_senders && !mime_senders_check(tenant->allowed_senders, &words))
		check_found(check, CHECK_ERROR, "tenant.senders", tenant->name,
		            "nobody may send as what cannot be read", "%s", words.text);
	if (!from)
		return;
	if (address_parse_one("from_address", from, strlen(from), &address, &words) != OK) {
		check_found(check, CHECK_ERROR, "tenant.from", tenant->name,
		            "messages without a from_address of their own fail", "%s", words.text);
		return;
	}
	if (!mime_sender_allowed(tenant->allowed_senders, address.address))
		check_found(check, CHECK_ERROR, "tenant.from", tenant->name,
		            "messages without a from_address of their own fail",
		            "its from_address %s is not among its allowed_senders", address.address);
	address_fini(&address);
}

/* ---- providers ------------------------------------------------------------------------- */

static bool is_host_of(const char *host, const char *domain)
{
	size_t length = strlen(host), tail = strlen(domain);

	return length > tail && host[length - tail - 1] == '.' &&
	       text_equal_nocase(host + length - tail, domain);
}

static bool shows_password(const struct tenant_settings *tenant)
{
	return tenant->username && !tenant->oauth_token_url && !tenant->token_command &&
	       (tenant->auth == AUTH_AUTO || tenant->auth == AUTH_PLAIN || tenant->auth == AUTH_LOGIN);
}

/*
 * Microsoft's notice MC786329 as of 27 January 2026; for Outlook.com "Modern authentication methods now
 * needed" (support.microsoft.com), since 16 September 2024. Google: support.google.com/a/answer/14114704.
 */
static void check_provider(struct check *check, const struct tenant_settings *tenant)
{
	if (!tenant->host || !shows_password(tenant))
		return;
	if (is_host_of(tenant->host, "office365.com"))
		check_found(
			check, CHECK_WARNING, "provider.basic", tenant->name,
			"use auth = xoauth2 with OAuth2 (outboxctl tenant add --profile m365 shows the rest)",
			"it logs in with a password, which Microsoft 365 switches off by default at the end "
			"of December 2026 (MC786329)");
	else if (is_host_of(tenant->host, "outlook.com"))
		check_found(
			check, CHECK_WARNING, "provider.basic", tenant->name,
			"use auth = xoauth2 with OAuth2",
			"it logs in with a password, which Outlook.com has not taken since 16 September 2024 "
			"(Microsoft 365: off by default at the end of December 2026, MC786329)");
	else if (text_equal_nocase(tenant->host, "smtp.gmail.com"))
		check_found(check, CHECK_OK, "provider.app_password", tenant->name, NULL,
		            "Google takes an app password here and no other one; which it is cannot be told");
}

/* ---- all of them ------------------------------------------------------------------------ */

struct names {
	char **names;
	size_t count;
};

static void add_name(void *context, const struct admin_value *values, size_t count)
{
	struct names *list = context;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(values[i].name, "name") != 0)
			continue;
		if ((list->count & (list->count - 1)) == 0)
			list->names = memory_resize(list->names, (list->count ? 2 * list->count : 1) *
			                                                 sizeof *list->names);
		list->names[list->count++] = memory_strdup(values[i].text);
	}
}

static void check_tenant(struct check *check, const struct tenant_settings *tenant)
{
	struct words words;

	if (session_settings_check(tenant, &words) != OK)
		check_found(check, CHECK_ERROR, "tenant.settings", tenant->name,
		            "outboxctl tenant set mends it", "%s", words.text);
	check_senders(check, tenant);
	check_tls(check, tenant);
	check_provider(check, tenant);
}

/* Removed meanwhile is no finding. True: it is enabled. */
static bool check_named(struct check *check, struct admin *admin, const char *name)
{
	struct tenant_settings *tenant;
	struct words words;
	enum error error = admin_tenant_settings(admin, name, &tenant, &words);
	bool enabled;

	if (error == ERROR_NOT_FOUND)
		return false;
	if (error != OK) {
		check_found(check, CHECK_ERROR, "tenant.settings", name, NULL, "%s", words.text);
		return true;
	}
	enabled = tenant->enabled;
	if (enabled)
		check_tenant(check, tenant);
	check_secrets(check, tenant); /* a password lies there all the same */
	tenant_settings_release(&tenant);
	return enabled;
}

void check_tenants(struct check *check, struct admin *admin)
{
	struct names list = { .names = NULL };
	int mark = check_mark(check), enabled = 0;
	struct words words;

	if (admin_tenants(admin, NULL, add_name, &list, &words) != OK)
		check_found(check, CHECK_ERROR, "database.unavailable", NULL, NULL, "%s", words.text);
	for (size_t i = 0; i < list.count; i++) {
		enabled += check_named(check, admin, list.names[i]);
		free(list.names[i]);
	}
	free(list.names);
	check_secrets_end(check);
	check_good(check, mark, "tenants",
	           "%d enabled tenant%s of %zu: settings, senders, TLS and secrets are good", enabled,
	           enabled == 1 ? "" : "s", list.count);
}
