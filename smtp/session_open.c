/*
 * session_open.c - from a host name to a session that takes messages.
 *
 * Promises: STARTTLS once and never inside TLS; nothing that was said before the
 * handshake is believed after it; tls = starttls never goes on in clear, and
 * opportunistic says what it fell back from, on a new connection if a handshake
 * had begun. Every failure is judged: scope TENANT, or UNTRIED if it is ours.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/text.h"
#include "smtp/connect.h"
#include "smtp/session_internal.h"
#include "smtp/tls_identity.h"

#define NAME_BYTES 256 /* RFC 5321 4.5.3.1.2 */

static enum error lose(struct session *session, enum error error, const struct words *words,
                       struct outcome *trouble)
{
	session_judge_loss(session, error, words, trouble);
	return error;
}

/* A step that the server refused, or that its words make impossible: the connection is still good for QUIT.
 */
static enum error refuse(struct session *session, const struct words *words, struct outcome *trouble)
{
	if (words) {
		session_judge_loss(session, ERROR_PROTOCOL, words, trouble);
		session->usable = true;
	} else {
		session_judge_reply(session, false, trouble);
	}
	return ERROR_REFUSED;
}

/* --- resolve, connect -------------------------------------------------------------- */

static int wanted_family(const char *bind_address)
{
	if (!bind_address)
		return AF_UNSPEC;
	return strchr(bind_address, ':') ? AF_INET6 : AF_INET;
}

static void note_address(struct session *session, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *four = (const void *)address;
	const struct sockaddr_in6 *six = (const void *)address;

	if (!inet_ntop(address->ss_family,
	               address->ss_family == AF_INET6 ? (const void *)&six->sin6_addr
	                                              : (const void *)&four->sin_addr,
	               session->address, sizeof(session->address)))
		session->address[0] = '\0';
}

/*
 * What failed here is the server's or its settings', whatever the error is called, but
 * for a stop and (connecting) a shortage of descriptors, which are ours.
 */
static enum error servers_fault(enum error error)
{
	return error == ERROR_INTERRUPTED || error == ERROR_TIMEOUT ? error : ERROR_CLOSED;
}

static enum error reach(struct session *session, struct outcome *trouble)
{
	const struct tenant_settings *tenant = session->tenant;
	struct resolved resolved;
	struct words words = { "" };
	enum error error;
	int fd, used;

	session_allow_ms(session, tenant->connect_timeout * INT64_C(1000));
	session_enter(session, STAGE_RESOLVE);
	error = resolve(session->resolver, tenant->host, tenant->port, wanted_family(tenant->bind_address),
	                session->deadline_ms, &session->interrupt, &resolved, &words);
	if (error != OK)
		return lose(session, error == ERROR_UNAVAILABLE ? error : servers_fault(error), &words,
		            trouble);
	session_enter(session, STAGE_CONNECT);
	error = connect_any(&resolved, tenant->bind_address, session->deadline_ms, &session->interrupt, &fd,
	                    &used, &words);
	if (error != OK)
		return lose(session, error == ERROR_UNAVAILABLE ? error : servers_fault(error), &words,
		            trouble);
	note_address(session, &resolved.addresses[used]);
	session->stream = stream_create(fd, &session->interrupt);
	return OK;
}

/* --- greeting, EHLO ------------------------------------------------------------------ */

/*
 * Dovecot's submission service (seen in 2.3.19; its greeting: "Dovecot ready.") offers PIPELINING and dies of
 * an assertion when the next message's RCPT comes before the end of a message is answered: each time
 * one or two messages would be uncertain.
 */
static bool fails_of_pipelined_messages(const char *greeting)
{
	return strstr(greeting, "Dovecot") != NULL;
}

static enum error hear_greeting(struct session *session, struct outcome *trouble)
{
	enum error error;

	session_enter(session, STAGE_GREETING);
	session_allow_command(session);
	error = session_hear(session, false);
	if (error != OK)
		return lose(session, error, NULL, trouble);
	session->usable = true;
	if (session->reply.code / 100 != 2)
		return refuse(session, NULL, trouble);
	if (fails_of_pipelined_messages(session->reply.text))
		session->one_at_a_time = true;
	return OK;
}

/* Dots inside, and only what a domain is made of (RFC 5321 2.3.5). */
static bool is_qualified(const char *name)
{
	const char *dot = strchr(name, '.');
	size_t length = strlen(name);

	if (!dot || dot == name || name[length - 1] == '.' ||
	    text_equal_nocase(name, "localhost.localdomain"))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == length;
}

/* RFC 5321 4.1.3: the address literal of our end of the connection. */
static bool own_literal(const struct session *session, char name[NAME_BYTES])
{
	struct sockaddr_storage own = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(own);
	const struct sockaddr_in *four = (const void *)&own;
	const struct sockaddr_in6 *six = (const void *)&own;
	char text[INET6_ADDRSTRLEN];
	bool is_six;

	if (getsockname(stream_fd(session->stream), (struct sockaddr *)&own, &length) < 0)
		return false;
	is_six = own.ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
	if (is_six)
		inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
	else if (own.ss_family == AF_INET6)
		inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
	snprintf(name, NAME_BYTES, is_six ? "[IPv6:%s]" : "[%s]", text);
	return true;
}

/* RFC 5321 4.1.4: a name that means something, else the literal. */
static void own_name(const struct session *session, char name[NAME_BYTES])
{
	if (session->tenant->ehlo_name) {
		snprintf(name, NAME_BYTES, "%s", session->tenant->ehlo_name);
		return;
	}
	if (gethostname(name, NAME_BYTES) == 0) {
		name[NAME_BYTES - 1] = '\0';
		if (is_qualified(name))
			return;
	}
	if (!own_literal(session, name))
		snprintf(name, NAME_BYTES, "[127.0.0.1]");
}

static enum error ask_for(struct session *session, const char *verb, const char *name,
                          struct outcome *trouble)
{
	enum error error;

	session_allow_command(session);
	error = session_check_silence(session);
	if (error == OK)
		error = session_say(session, name ? "%s %s" : "%s", verb, name);
	if (error == OK)
		error = session_ask(session);
	return error == OK ? OK : lose(session, error, NULL, trouble);
}

static enum error greet(struct session *session, struct outcome *trouble)
{
	char name[NAME_BYTES];
	enum error error;

	own_name(session, name);
	session_enter(session, STAGE_EHLO);
	error = ask_for(session, "EHLO", name, trouble);
	if (error != OK)
		return error;
	capabilities_parse(&session->reply, &session->capabilities);
	if (session->reply.code == 500 || session->reply.code == 502) { /* RFC 5321 4.1.4 */
		error = ask_for(session, "HELO", name, trouble);
		if (error != OK)
			return error;
	}
	return session->reply.code / 100 == 2 ? OK : refuse(session, NULL, trouble);
}

/* --- TLS ------------------------------------------------------------------------------ */

static enum error shake_hands(struct session *session, struct outcome *trouble)
{
	const struct tls_settings settings = { session->tenant, session->trust, session->identity };
	struct words words = { "" };
	enum error error;

	session_enter(session, STAGE_TLS);
	session_allow_command(session);
	error = stream_start_tls(session->stream, &settings, session->deadline_ms, &words);
	if (error == OK)
		return OK;
	session->handshake_failed = error != ERROR_INTERRUPTED;
	return lose(session, servers_fault(error), &words, trouble);
}

static void note_fallback(struct session *session, const char *what, const char *text)
{
	char *joined = NULL;

	if (asprintf(&joined, "%s%s%s", what, text ? ": " : "", text ? text : "") < 0)
		joined = memory_strdup(what);
	free(session->fallback);
	session->fallback = joined;
}

static enum error no_starttls(struct session *session, struct outcome *trouble)
{
	struct words words;

	if (session->tenant->tls == TLS_OPPORTUNISTIC) {
		note_fallback(session, "STARTTLS is not offered", NULL);
		return OK;
	}
	session_enter(session, STAGE_STARTTLS);
	words_set(&words, "%s does not offer STARTTLS, which tls = starttls requires", session->tenant->host);
	return refuse(session, &words, trouble);
}

/* RFC 3207: STARTTLS, the handshake, and EHLO as if nothing had been said before. */
static enum error start_tls(struct session *session, struct outcome *trouble)
{
	enum error error;

	assert(!stream_tls(session->stream));
	if (!session->capabilities.starttls)
		return no_starttls(session, trouble);
	session_enter(session, STAGE_STARTTLS);
	error = ask_for(session, "STARTTLS", NULL, trouble);
	if (error != OK)
		return error;
	if (session->reply.code >= 400 && session->reply.code != 421 &&
	    session->tenant->tls == TLS_OPPORTUNISTIC) {
		char *said = text_clean(session->reply.text, session->reply.length, 200);

		note_fallback(session, "STARTTLS was refused", said);
		free(said);
		return OK;
	}
	if (session->reply.code >= 400)
		return refuse(session, NULL, trouble);
	if (session->reply.code != 220)
		return lose(session, ERROR_PROTOCOL, NULL, trouble);
	/* what came in clear behind the 220 ends the session whatever the mode is (RFC 3207 6) */
	error = session_check_silence(session);
	if (error == ERROR_PROTOCOL) {
		struct words words;

		words_set(&words, "%s sent more in clear behind its answer to STARTTLS",
		          session->tenant->host);
		return lose(session, error, &words, trouble);
	}
	error = shake_hands(session, trouble);
	return error == OK ? greet(session, trouble) : error;
}

/* --- all of it -------------------------------------------------------------------------- */

static enum error open_connection(struct session *session, bool use_starttls, struct outcome *trouble)
{
	enum error error = reach(session, trouble);

	if (error == OK && session->tenant->tls == TLS_IMPLICIT)
		error = shake_hands(session, trouble);
	if (error == OK)
		error = hear_greeting(session, trouble);
	if (error == OK)
		error = greet(session, trouble);
	if (error == OK && use_starttls)
		error = start_tls(session, trouble);
	if (error == OK)
		error = session_log_in(session, trouble);
	return error;
}

static void hold_settings(struct session *session, const struct session_settings *settings)
{
	const char *host = settings->tenant->host;
	bool bare = strchr(host, ':') && host[0] != '['; /* an IPv6 literal */

	session->tenant = tenant_settings_hold(settings->tenant);
	session->one_at_a_time = settings->one_at_a_time;
	if (settings->trust)
		session->trust = tls_trust_hold(settings->trust);
	if (settings->identity)
		session->identity = tls_identity_hold(settings->identity);
	session->resolver = settings->resolver;
	if (settings->password)
		secret_copy(&session->password, settings->password);
	if (settings->observer)
		session->observer = *settings->observer;
	session->interrupt = (struct interrupt){ settings->stop, STOP_SOON };
	if (asprintf(&session->server, bare ? "[%s]:%d" : "%s:%d", host, settings->tenant->port) < 0)
		session->server = memory_strdup(host);
}

enum error session_open(const struct session_settings *settings, struct session **session,
                        struct outcome *trouble)
{
	struct session *made = memory_alloc(sizeof(*made));
	enum tls_mode mode = settings->tenant->tls;
	struct words words;
	enum error error;

	*session = made;
	hold_settings(made, settings);
	error = session_settings_check(made->tenant, &words);
	if (error != OK) {
		lose(made, ERROR_PROTOCOL, &words, trouble);
		goto out;
	}
	error = open_connection(made, mode == TLS_STARTTLS || mode == TLS_OPPORTUNISTIC, trouble);
	if (error != OK && made->handshake_failed && mode == TLS_OPPORTUNISTIC) {
		note_fallback(made, "the TLS handshake failed", trouble->text);
		outcome_clear(trouble);
		stream_close(&made->stream);
		made->usable = false;
		error = open_connection(made, false, trouble);
	}
out:
	if (error != OK)
		session_close(session);
	return error;
}
