/*
 * session.c - a session between its messages, and its end.
 *
 * Promises: what a parked connection's server says is noticed before the next
 * message is entrusted to it; QUIT waits two seconds at most; the password is
 * wiped with the session.
 */
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "smtp/session_window.h"
#include "smtp/tls_identity.h"

#define QUIT_MS 2000

void session_facts(const struct session *session, struct session_facts *facts)
{
	const struct tls *tls = stream_tls(session->stream);

	*facts = (struct session_facts){
		.server = session->server,
		.address = session->address,
		.tls = tls ? tls_describe(tls) : NULL,
		.auth = session->auth,
		.fallback = session->fallback,
		.messages = session->messages,
		.eight_bit_mime = session->capabilities.eight_bit_mime,
		.dsn = session->capabilities.dsn,
		.lost_in_company = session->lost_in_company,
	};
}

bool session_usable(const struct session *session)
{
	int most = session->capabilities.mail_max; /* RFC 9422 */

	return session->usable && !session->domains_full && (most == 0 || session->mails < most);
}

int session_window(const struct session *session)
{
	const struct capabilities *offers = &session->capabilities;
	int depth = session->tenant->pipeline_depth;

	if (!offers->pipelining || session->one_at_a_time)
		return 1;
	if (!offers->chunking || depth <= 1)
		return 2;
	return depth < SESSION_WINDOW_MOST ? depth : SESSION_WINDOW_MOST;
}

int session_under_way(const struct session *session)
{
	return session->flight_count;
}

int session_fd(const struct session *session)
{
	return stream_fd(session->stream);
}

/* What is there of a reply, without waiting for the rest of it. */
static void hear_farewell(struct session *session, struct words *words)
{
	char *said;

	session->deadline_ms = 0;
	if (session_hear(session, false) != OK) {
		words_set(words, "%s said something that nobody asked for", session->tenant->host);
		return;
	}
	said = text_clean(session->reply.text, session->reply.length, 300);
	words_set(words, "%s said %d %s%s%s", session->tenant->host, session->reply.code,
	          session->reply.enhanced, session->reply.enhanced[0] ? " " : "", said);
	free(said);
}

bool session_lost(struct session *session, struct words *words)
{
	enum error error = session_check_silence(session);

	if (error == OK && session->usable)
		return false;
	if (error == ERROR_PROTOCOL)
		hear_farewell(session, words);
	else
		words_set(words, "%s closed the connection", session->tenant->host);
	session->usable = false;
	return true;
}

/* RFC 5321 4.1.1.10; the reply is waited for so that the server does not see a reset. */
static void quit(struct session *session)
{
	session->interrupt.threshold = STOP_NOW;
	if (session_is_stopped(session))
		return;
	session_allow_ms(session, QUIT_MS);
	if (session_say(session, "QUIT") == OK && session_flush(session) == OK)
		session_hear(session, false);
}

void session_close(struct session **session)
{
	struct session *closed = *session;

	if (!closed)
		return;
	if (closed->stream && closed->usable && !closed->flights)
		quit(closed);
	window_fini(closed);
	stream_close(&closed->stream);
	tls_trust_release(&closed->trust);
	tls_identity_release(&closed->identity);
	tenant_settings_release(&closed->tenant);
	secret_wipe(&closed->password);
	for (int i = 0; i < closed->said_count; i++)
		secret_wipe(&closed->said[i]);
	free(closed->server);
	free(closed->fallback);
	reply_parser_fini(&closed->parser);
	reply_fini(&closed->reply);
	free(closed);
	*session = NULL;
}

/* Where a bearer token comes from (outboxd's daemon/token.h): all of it, or nothing. */
static enum error check_token_source(const struct tenant_settings *tenant, struct words *words)
{
	const struct {
		const char *column, *value;
	} parts[] = {
		{ "oauth_client_id", tenant->oauth_client_id },
		{ "oauth_client_secret_file", tenant->oauth_client_secret_file },
		{ "oauth_scope", tenant->oauth_scope },
		{ "oauth_refresh_token_file", tenant->oauth_refresh_token_file },
	};
	const char *source = tenant->token_command ? "token_command" : "oauth_token_url";

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!parts[i].value || tenant->oauth_token_url)
			continue;
		words_set(words, "%s is set, but oauth_token_url is not", parts[i].column);
		return ERROR_INVALID;
	}
	if (!tenant->oauth_token_url && !tenant->token_command)
		return OK;
	if (tenant->oauth_token_url && tenant->token_command)
		words_set(words, "token_command and oauth_token_url exclude one another");
	else if (tenant->oauth_token_url && !text_starts_nocase(tenant->oauth_token_url, "https://"))
		words_set(words, "oauth_token_url must begin with https://: a secret is sent to no other");
	else if (tenant->oauth_token_url && !tenant->oauth_client_secret_file &&
	         !tenant->oauth_refresh_token_file)
		words_set(words,
		          "oauth_token_url needs oauth_client_secret_file or oauth_refresh_token_file");
	else if (tenant->auth != AUTH_XOAUTH2 && tenant->auth != AUTH_OAUTHBEARER)
		words_set(words, "%s needs auth = xoauth2 or oauthbearer", source);
	else
		return OK;
	return ERROR_INVALID;
}

/* One word of visible ASCII, as a command's argument must be. */
static bool is_argument(const char *text)
{
	for (const char *at = text; *at; at++)
		if (*at <= ' ' || *at > '~')
			return false;
	return text[0] && strlen(text) <= 255;
}

enum error session_settings_check(const struct tenant_settings *tenant, struct words *words)
{
	enum error error;

	if (!tenant->host || !tenant->host[0]) {
		words_set(words, "the tenant has no host");
		return ERROR_INVALID;
	}
	if (tenant->ehlo_name && !is_argument(tenant->ehlo_name)) {
		words_set(words, "ehlo_name is not a host name or an address literal");
		return ERROR_INVALID;
	}
	if (tenant->tls == TLS_NONE && (tenant->tls_cert_file || tenant->tls_key_file)) {
		words_set(words, "a client certificate (tls_cert_file) needs TLS, and tls = none");
		return ERROR_INVALID;
	}
	error = check_token_source(tenant, words);
	if (error == OK && tenant->tls != TLS_NONE)
		error = tls_settings_check(tenant, words);
	return error;
}
