/*
 * auth_choose.c - which mechanism a tenant logs in with.
 *
 * Promises: a mechanism that shows the password is chosen by itself only on an
 * encrypted and verified connection (the contract's promise 4); one that is named is
 * that or nothing. Fails with ERROR_REFUSED (nothing fits) and words.
 */
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "smtp/auth_mechanism.h"

#define OFFER_BYTES 200 /* of what the server offers, in words */

/* Our order, strongest first. */
static const struct auth_mechanism mechanisms[] = {
	{ "SCRAM-SHA-256-PLUS", AUTH_SCRAM_SHA_256, AUTH_KIND_SCRAM, .client_first = true, .binds = true },
	{ "SCRAM-SHA-1-PLUS", AUTH_SCRAM_SHA_1, AUTH_KIND_SCRAM, .client_first = true, .binds = true },
	{ "SCRAM-SHA-256", AUTH_SCRAM_SHA_256, AUTH_KIND_SCRAM, .client_first = true },
	{ "SCRAM-SHA-1", AUTH_SCRAM_SHA_1, AUTH_KIND_SCRAM, .client_first = true },
	{ "CRAM-MD5", AUTH_CRAM_MD5, AUTH_KIND_LIBRARY, .client_first = false },
	{ "PLAIN", AUTH_PLAIN, AUTH_KIND_LIBRARY, .shows_password = true, .client_first = true },
	/* many servers take no initial response to LOGIN, which has no standard */
	{ "LOGIN", AUTH_LOGIN, AUTH_KIND_LIBRARY, .shows_password = true },
	{ "OAUTHBEARER", AUTH_OAUTHBEARER, AUTH_KIND_BEARER, .shows_password = true, .client_first = true,
	  .by_name = true },
	{ "XOAUTH2", AUTH_XOAUTH2, AUTH_KIND_BEARER, .shows_password = true, .client_first = true,
	  .by_name = true },
	{ "EXTERNAL", AUTH_EXTERNAL, AUTH_KIND_EXTERNAL, .client_first = true, .by_name = true },
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

const struct auth_mechanism *auth_mechanism_find(const char *name)
{
	for (size_t i = 0; i < MECHANISMS; i++)
		if (strcmp(mechanisms[i].name, name) == 0)
			return &mechanisms[i];
	return NULL;
}

static bool is_offered(const char *offered, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = offered; *at;) {
		size_t word = strcspn(at, " ");

		if (word == length && text_starts_nocase(at, name))
			return true;
		at += word;
		at += strspn(at, " ");
	}
	return false;
}

bool auth_offers_binding(const char *offered)
{
	for (size_t i = 0; i < MECHANISMS; i++)
		if (mechanisms[i].binds && is_offered(offered, mechanisms[i].name))
			return true;
	return false;
}

static bool may_show_password(const struct auth_channel *channel)
{
	return channel->encrypted && channel->verified && !channel->opportunistic;
}

static const char *why_not_shown(const struct auth_channel *channel)
{
	if (!channel->encrypted)
		return "on a connection without TLS";
	return channel->opportunistic ? "on a connection that tls = opportunistic does not verify"
	                              : "on a connection that is not verified";
}

/* Mechanisms that auto could use but for the channel, for people: "PLAIN and LOGIN". */
static void list_offered(const char *offered, bool by_name, struct buffer *list)
{
	buffer_init(list, OFFER_BYTES);
	for (size_t i = 0; i < MECHANISMS; i++)
		if (mechanisms[i].by_name == by_name && !mechanisms[i].binds &&
		    is_offered(offered, mechanisms[i].name))
			buffer_printf(list, "%s%s", list->length > 0 ? " and " : "", mechanisms[i].name);
}

static enum error nothing_fits(const struct auth_login *login, struct words *words)
{
	const char *host = login->tenant->host, *offered = login->offered;
	char *all = text_clean(offered, strlen(offered), OFFER_BYTES);
	struct buffer known, named;

	list_offered(offered, false, &known);
	list_offered(offered, true, &named);
	if (!all[0])
		words_set(words, "%s offers no authentication%s, and the tenant has a username", host,
		          login->channel->encrypted ? "" : " without TLS");
	else if (known.length > 0)
		words_set(words, "%s offers only %s, which would show the password %s", host, known.data,
		          why_not_shown(login->channel));
	else if (named.length > 0)
		words_set(words, "%s takes no password, only %s: name one of them in auth", host, named.data);
	else
		words_set(words, "%s offers only %s to log in, of which outboxd knows none", host, all);
	buffer_fini(&known);
	buffer_fini(&named);
	free(all);
	return ERROR_REFUSED;
}

static bool fits(const struct auth_mechanism *mechanism, const struct auth_login *login)
{
	if (mechanism->by_name || !is_offered(login->offered, mechanism->name))
		return false;
	if (mechanism->shows_password && !may_show_password(login->channel))
		return false;
	if (mechanism->binds && !login->channel->binding_type)
		return false;
	return mechanism->kind != AUTH_KIND_LIBRARY || auth_library_has(mechanism->name);
}

static enum error choose_best(const struct auth_login *login, const char **name, struct words *words)
{
	for (size_t i = 0; i < MECHANISMS; i++) {
		if (!fits(&mechanisms[i], login))
			continue;
		*name = mechanisms[i].name;
		return OK;
	}
	return nothing_fits(login, words);
}

/* The operator named one: that, or nothing. */
static enum error choose_named(const struct auth_login *login, const char **name, struct words *words)
{
	const struct tenant_settings *tenant = login->tenant;
	const struct auth_mechanism *mechanism = NULL;
	const char *choice = auth_choice_name(tenant->auth);
	char *all;

	for (size_t i = 0; i < MECHANISMS; i++)
		if (mechanisms[i].choice == tenant->auth && !mechanisms[i].binds)
			mechanism = &mechanisms[i];
	if (!mechanism) {
		words_set(words, "auth = %s is not known", choice);
		return ERROR_REFUSED;
	}
	if (!tenant->username && mechanism->kind != AUTH_KIND_EXTERNAL) {
		words_set(words, "auth = %s needs a username", choice);
		return ERROR_REFUSED;
	}
	if (is_offered(login->offered, mechanism->name)) {
		*name = mechanism->name;
		return OK;
	}
	all = text_clean(login->offered, strlen(login->offered), OFFER_BYTES);
	words_set(words, "%s does not offer %s (auth = %s); it offers %s", tenant->host, mechanism->name,
	          choice, all[0] ? all : "no authentication");
	free(all);
	return ERROR_REFUSED;
}

enum error auth_choose(const struct auth_login *login, const char **name, struct words *words)
{
	const struct tenant_settings *tenant = login->tenant;

	*name = NULL;
	if (tenant->auth == AUTH_NONE || (tenant->auth == AUTH_AUTO && !tenant->username))
		return OK;
	if (tenant->auth == AUTH_AUTO)
		return choose_best(login, name, words);
	return choose_named(login, name, words);
}
