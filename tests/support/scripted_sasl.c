/*
 * scripted_sasl.c - see scripted_sasl.h.
 */
#include "tests/support/scripted_sasl.h"

#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define LINE_LIMIT (1 << 20)

struct account {
	char mechanism[64], username[128], password[256], foreign[16];
	char *binding; /* in base64, NULL = none */
};

static int give(Gsasl *context, Gsasl_session *session, Gsasl_property property)
{
	const struct account *account = gsasl_session_hook_get(session);
	const char *user = gsasl_property_fast(session, GSASL_AUTHID);

	(void)context;
	if (property == GSASL_CB_TLS_EXPORTER && account->binding)
		return gsasl_property_set(session, property, account->binding);
	if (property == GSASL_PASSWORD && user && strcmp(user, account->username) == 0)
		return gsasl_property_set(session, property, account->password);
	return GSASL_NO_CALLBACK;
}

static char *take_binding(const struct play *play, bool foreign)
{
	gnutls_datum_t octets;
	struct buffer text;

	if (!play->peer.tls ||
	    gnutls_session_channel_binding(play->peer.tls, GNUTLS_CB_TLS_EXPORTER, &octets) < 0)
		return NULL;
	if (foreign)
		octets.data[0] ^= 1;
	buffer_init(&text, LINE_LIMIT);
	text_base64_encode(&text, octets.data, octets.size);
	gnutls_free(octets.data);
	return buffer_take(&text);
}

/* What the client says in answer, or with AUTH; "" for "=". */
static bool hear_response(struct play *play, struct buffer *line, const char *mechanism, bool first)
{
	char command[80];
	size_t length = 0;

	buffer_clear(line);
	if (!play_hear_line(play, line, "SASL"))
		return false;
	if (first) {
		length = (size_t)snprintf(command, sizeof(command), "AUTH %s", mechanism);
		if (strncmp(line->data, command, length) != 0)
			return play_problem(play, "expected \"%s\", heard \"%.200s\"", command, line->data);
		length += line->data[length] == ' ';
		buffer_append(&play->server->heard, command, strlen(command));
		buffer_append_char(&play->server->heard, '\n');
	}
	buffer_consume(line, length);
	if (line->length == 1 && line->data[0] == '=')
		buffer_consume(line, 1);
	return true;
}

static bool exchange(struct play *play, const struct account *account, Gsasl_session *session)
{
	struct buffer line, reply;
	bool first = true, good = true;
	int rc = GSASL_NEEDS_MORE;

	buffer_init(&line, LINE_LIMIT);
	buffer_init(&reply, LINE_LIMIT);
	while (good && rc == GSASL_NEEDS_MORE) {
		char *challenge = NULL;

		good = hear_response(play, &line, account->mechanism, first);
		first = false;
		if (!good)
			break;
		rc = gsasl_step64(session, line.length > 0 ? line.data : "", &challenge);
		if ((rc == GSASL_OK && challenge && *challenge) || rc == GSASL_NEEDS_MORE) {
			buffer_clear(&reply);
			buffer_printf(&reply, "334 %s", challenge ? challenge : "");
			play_say(play, reply.data);
			/* the server's proof is not the end: the client answers it with an empty line */
			if (rc == GSASL_OK)
				good = hear_response(play, &line, account->mechanism, false);
		}
		gsasl_free(challenge);
	}
	buffer_fini(&line);
	buffer_fini(&reply);
	return good && play_say(play, rc == GSASL_OK ? "235 2.7.0 welcome" : "535 5.7.8 not you");
}

bool sasl_play(struct play *play, const char *rest)
{
	struct account account = { "", "", "", "", NULL };
	Gsasl *context = NULL;
	Gsasl_session *session = NULL;
	bool good;

	rest = page_word(rest, account.mechanism, sizeof(account.mechanism));
	rest = rest ? page_word(rest, account.username, sizeof(account.username)) : NULL;
	rest = rest ? page_word(rest, account.password, sizeof(account.password)) : NULL;
	if (!rest)
		return play_problem(play, "not \"sasl MECHANISM USER PASSWORD\"");
	page_word(rest, account.foreign, sizeof(account.foreign));
	account.binding = take_binding(play, strcmp(account.foreign, "foreign") == 0);
	if (gsasl_init(&context) != GSASL_OK)
		abort();
	gsasl_callback_set(context, give);
	good = gsasl_server_start(context, account.mechanism, &session) == GSASL_OK;
	if (good) {
		gsasl_session_hook_set(session, &account);
		good = exchange(play, &account, session);
		gsasl_finish(session);
	} else {
		play_problem(play, "GNU SASL does not know %s", account.mechanism);
	}
	gsasl_done(context);
	free(account.binding);
	return good;
}
