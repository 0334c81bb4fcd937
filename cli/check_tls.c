/*
 * check_tls.c - outboxctl check: authorities and certificates, and what goes over the network in clear.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli/check.h"
#include "common/clock.h"
#include "common/text.h"
#include "smtp/pem_file.h"
#include "smtp/tls_dates.h"
#include "smtp/tls_identity.h"
#include "smtp/tls.h"

#define DAY_S 86400

void check_dates(struct check *check, const char *tenant, const char *place, const void *pem, size_t length)
{
	int64_t now = clock_wall_s(), left;
	char day[16] = "an unknown day";
	struct tls_dates dates;
	struct tm parts;
	time_t ends;

	if (tls_dates_read(pem, length, &dates) != OK) {
		check_found(check, CHECK_ERROR, "tls.file", tenant, NULL,
		            "%s: there is no certificate in PEM", place);
		return;
	}
	ends = (time_t)dates.first.ends_s;
	if (gmtime_r(&ends, &parts))
		(void)strftime(day, sizeof day, "%Y-%m-%d", &parts);
	left = dates.first.ends_s - now;
	if (left < 0)
		check_found(check, CHECK_ERROR, "tls.expired", tenant, "put a new one in its place",
		            "%s: the certificate of %s expired on %s", place, dates.first.subject, day);
	else if (left < (int64_t)CHECK_DAYS * DAY_S)
		check_found(check, CHECK_WARNING, "tls.expires", tenant, "have a new one made",
		            "%s: the certificate of %s expires on %s", place, dates.first.subject, day);
}

/* ---- authorities ------------------------------------------------------------------------ */

static bool needs_authorities(const struct tenant_settings *tenant)
{
	return tenant->tls_verify == TLS_VERIFY_FULL &&
	       (tenant->tls == TLS_STARTTLS || tenant->tls == TLS_IMPLICIT);
}

static void check_authorities(struct check *check, const struct tenant_settings *tenant)
{
	struct tls_trust *trust = NULL;
	struct buffer pem;
	struct words words;
	enum error error;

	if (!needs_authorities(tenant) || (!tenant->tls_ca_file && check->system_trust_known))
		return;
	check->system_trust_known = check->system_trust_known || !tenant->tls_ca_file;
	error = tls_trust_load(tenant->tls_ca_file, &trust, &words);
	tls_trust_release(&trust);
	if (error != OK && tenant->tls_ca_file && check_unreadable(tenant->tls_ca_file)) {
		check_found(check, CHECK_WARNING, "tls.unread", tenant->name,
		            "run this as root or as outboxd's user", "%s", words.text);
	} else if (error != OK) {
		check_found(check, CHECK_ERROR, "tls.file", tenant->tls_ca_file ? tenant->name : NULL, NULL,
		            "%s", words.text);
	} else if (tenant->tls_ca_file) {
		if (pem_file_read("tls_ca_file", tenant->tls_ca_file, &pem, &words) == OK) {
			words_set(&words, "tls_ca_file %s", tenant->tls_ca_file);
			check_dates(check, tenant->name, words.text, pem.data, pem.length);
		}
		buffer_fini(&pem);
	}
}

/* ---- the client's certificate ------------------------------------------------------------- */

/* Files that cannot be read are check_secret.c's to tell. */
static void check_identity(struct check *check, const struct tenant_settings *tenant)
{
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 };
	struct tls_identity *identity = NULL;
	struct words words;
	bool sealed;

	if (tenant->tls == TLS_NONE || !tenant->tls_cert_file || !tenant->tls_key_file || !check->secrets_dir)
		return;
	if (check_secret_file(check, tenant, "tls_cert_file", tenant->tls_cert_file, &certificate, &sealed,
	                      &words) == OK &&
	    check_secret_file(check, tenant, "tls_key_file", tenant->tls_key_file, &key, &sealed, &words) ==
	            OK) {
		if (tls_identity_parse(tenant, &certificate, &key, &identity, &words) != OK) {
			check_found(check, CHECK_ERROR, "tls.file", tenant->name, NULL, "%s", words.text);
		} else {
			words_set(&words, "tls_cert_file = %s", tenant->tls_cert_file);
			check_dates(check, tenant->name, words.text, certificate.bytes, certificate.length);
		}
	}
	tls_identity_release(&identity);
	secret_wipe(&certificate);
	secret_wipe(&key);
}

/* ---- in clear ---------------------------------------------------------------------------- */

static bool is_this_machine(const char *host)
{
	return text_equal_nocase(host, "localhost") || strncmp(host, "127.", 4) == 0 ||
	       strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0;
}

static bool logs_in(const struct tenant_settings *tenant)
{
	return tenant->username && tenant->auth != AUTH_NONE && tenant->auth != AUTH_EXTERNAL;
}

/* By a mechanism that does not hide it: auto takes none of these on a clear connection. */
static bool shows_secret(const struct tenant_settings *tenant)
{
	return tenant->auth == AUTH_PLAIN || tenant->auth == AUTH_LOGIN || tenant->auth == AUTH_XOAUTH2 ||
	       tenant->auth == AUTH_OAUTHBEARER;
}

static void check_clear(struct check *check, const struct tenant_settings *tenant)
{
	static const char *const advice = "tls = starttls or implicit, if its server can";

	if (!tenant->host || is_this_machine(tenant->host) || !logs_in(tenant))
		return;
	if (tenant->tls == TLS_NONE && shows_secret(tenant))
		check_found(check, CHECK_WARNING, "tls.clear", tenant->name, advice,
		            "tls = none and auth = %s: its password or token goes over the network in clear",
		            auth_choice_name(tenant->auth));
	else if (tenant->tls == TLS_NONE)
		check_found(
			check, CHECK_WARNING, "tls.clear", tenant->name, advice,
			"tls = none with a password: it is only used with mechanisms that do not show it, but "
			"all mail goes over the network in clear");
	else if (tenant->tls == TLS_OPPORTUNISTIC && shows_secret(tenant))
		check_found(
			check, CHECK_WARNING, "tls.clear", tenant->name, advice,
			"tls = opportunistic and auth = %s: who is between can have its password or token",
			auth_choice_name(tenant->auth));
	else if (tenant->tls != TLS_OPPORTUNISTIC && tenant->tls_verify == TLS_VERIFY_NONE)
		check_found(check, CHECK_WARNING, "tls.unverified", tenant->name,
		            "tls_ca_file or tls_fingerprints tell the right server from another",
		            "tls_verify = none: who is between can have its password or token");
}

void check_tls(struct check *check, const struct tenant_settings *tenant)
{
	check_authorities(check, tenant);
	check_identity(check, tenant);
	check_clear(check, tenant);
}
