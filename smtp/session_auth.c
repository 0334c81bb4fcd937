/*
 * session_auth.c - AUTH (RFC 4954): carries smtp/auth.c's lines.
 *
 * Promises: an initial response only where the command stays within the line
 * limit, a server that asks on and on or asks nonsense is cancelled with "*",
 * no session comes of a login that the mechanism does not believe in, and whatever
 * was said to log in is masked where the server repeats it.
 */
#include <stdlib.h>
#include <string.h>

#include "smtp/auth.h"
#include "smtp/login_advice.h"
#include "smtp/session_internal.h"
#include "smtp/session_mask.h"

#define COMMAND_BYTES 512 /* RFC 5321 4.5.3.1.4, which RFC 4954 4 keeps for AUTH */
/*
 * RFC 4954 4 has servers take 12288 octets a response "at the time of writing" and says 500
 * to what is longer; tokens have grown since, so it is the server that decides.
 */
#define PASSWORD_BYTES 16384
#define RESPONSE_BYTES 32768 /* the password and a name beside it, in base64 */
/* auth_step() refuses sooner: a bound that does not depend on it */
#define ROUNDS_MAX SAID_MAX

/* One exchange. */
struct login {
	struct session *session;
	struct auth *auth;
	const char *mechanism;
	struct buffer response;
	bool held_back; /* the initial response waits for an empty challenge */
};

static enum error say_piece(struct session *session, const char *bytes, size_t length)
{
	return stream_write(session->stream, bytes, length, session->deadline_ms);
}

static enum error say_response(struct login *login)
{
	enum error error = OK;

	if (login->response.length > 0)
		error = say_piece(login->session, login->response.data, login->response.length);
	if (error == OK)
		error = say_piece(login->session, "\r\n", 2);
	if (login->response.length > 0)
		explicit_bzero(login->response.data, login->response.length);
	buffer_clear(&login->response);
	return error;
}

static enum error say_auth(struct login *login)
{
	struct session *session = login->session;
	size_t length = strlen("AUTH  \r\n") + strlen(login->mechanism) + login->response.length;
	enum error error;

	login->held_back = length > COMMAND_BYTES;
	if (login->held_back || login->response.length == 0)
		return session_say(session, "AUTH %s", login->mechanism);
	error = say_piece(session, "AUTH ", 5);
	if (error == OK)
		error = say_piece(session, login->mechanism, strlen(login->mechanism));
	if (error == OK)
		error = say_piece(session, " ", 1);
	return error == OK ? say_response(login) : error;
}

/* The next response to the challenge in session->reply. Not OK: words. */
static enum error answer_challenge(struct login *login, struct words *words)
{
	struct reply *reply = &login->session->reply;
	bool complete;

	if (login->held_back) {
		login->held_back = false;
		return OK;
	}
	while (reply->length > 0 && reply->text[reply->length - 1] == ' ')
		reply->text[--reply->length] = '\0';
	return auth_step(login->auth, reply->text, &login->response, &complete, words);
}

/* RFC 4954 4: the client gives up with a lone "*"; what the server says to it changes nothing. */
static void cancel(struct session *session)
{
	if (session_say(session, "*") != OK || session_ask(session) != OK)
		session->usable = false;
}

static enum error give_up(struct session *session, const struct words *words, struct outcome *trouble)
{
	bool usable = session->usable;

	session_judge_loss(session, ERROR_PROTOCOL, words, trouble);
	session->usable = usable; /* for a QUIT */
	return ERROR_REFUSED;
}

static enum error lose(struct session *session, enum error error, struct outcome *trouble)
{
	session_judge_loss(session, error, NULL, trouble);
	return error;
}

/* Providers whose answers are known: what is to be changed. */
static void advise(const struct login *login, struct outcome *trouble)
{
	bool bearer = strcmp(login->mechanism, "XOAUTH2") == 0 ||
	              strcmp(login->mechanism, "OAUTHBEARER") == 0;
	const char *advice = login_advice(trouble->code, trouble->enhanced, trouble->text, bearer);
	char *said;

	if (!advice)
		return;
	said = memory_strdup(trouble->text ? trouble->text : "");
	outcome_say(trouble, "%s [%s]", said, advice);
	free(said);
}

/* The server's no, and what it said of the token before. */
static enum error refuse(struct login *login, struct outcome *trouble)
{
	const char *why = auth_refusal(login->auth);
	char *said;

	session_judge_reply(login->session, false, trouble);
	if (why) {
		said = memory_strdup(trouble->text ? trouble->text : "");
		outcome_say(trouble, "%s%s(%s)", said, *said ? " " : "", why);
		session_mask(login->session, trouble->text);
		free(said);
	}
	advise(login, trouble);
	return ERROR_REFUSED;
}

/* 334 after 334 until another reply ends the exchange. */
static enum error exchange(struct login *login, struct outcome *trouble)
{
	struct session *session = login->session;
	struct words words;
	enum error error;
	int round;

	for (round = 0; round < ROUNDS_MAX; round++) {
		error = session_ask(session);
		if (error != OK)
			return lose(session, error, trouble);
		if (session->reply.code != 334)
			break;
		error = answer_challenge(login, &words);
		if (error != OK) {
			cancel(session);
			return give_up(session, &words, trouble);
		}
		session_remember(session, &login->response);
		session_allow_command(session);
		error = say_response(login);
		if (error != OK)
			return lose(session, error, trouble);
	}
	if (round == ROUNDS_MAX) {
		cancel(session);
		words_set(&words, "%s asks for ever more to log in with %s", session->tenant->host,
		          login->mechanism);
		return give_up(session, &words, trouble);
	}
	if (session->reply.code == 235) {
		error = auth_verify(login->auth, &words);
		return error == OK ? OK : give_up(session, &words, trouble);
	}
	if (session->reply.code < 400)
		return lose(session, ERROR_PROTOCOL, trouble);
	return refuse(login, trouble);
}

static enum error run_login(struct login *login, const struct auth_login *how, struct outcome *trouble)
{
	struct session *session = login->session;
	struct words words;
	bool complete;
	enum error error;

	if (session->password.length > PASSWORD_BYTES) {
		words_set(&words, "the password or token is longer than %d octets", PASSWORD_BYTES);
		return give_up(session, &words, trouble);
	}
	error = auth_begin(how, login->mechanism, &login->auth, &words);
	if (error == OK)
		error = auth_step(login->auth, NULL, &login->response, &complete, &words);
	if (error != OK)
		return give_up(session, &words, trouble);
	session_remember(session, &login->response);
	session_allow_command(session);
	error = session_check_silence(session);
	if (error == OK)
		error = say_auth(login);
	if (error != OK)
		return lose(session, error, trouble);
	return exchange(login, trouble);
}

enum error session_log_in(struct session *session, struct outcome *trouble)
{
	const struct tenant_settings *tenant = session->tenant;
	struct tls *tls = stream_tls(session->stream);
	unsigned char binding[TLS_BINDING_BYTES];
	bool required = tenant->tls == TLS_STARTTLS || tenant->tls == TLS_IMPLICIT;
	struct auth_channel channel = {
		.encrypted = tls != NULL,
		.verified = tls &&
		            (tls_is_verified(tls) || (required && tenant->tls_verify == TLS_VERIFY_NONE)),
		.opportunistic = tenant->tls == TLS_OPPORTUNISTIC,
		.certificate = tls && tls_showed_identity(tls),
		.binding = binding,
	};
	struct auth_login how = {
		.tenant = tenant,
		.password = secret_is_set(&session->password) ? &session->password : NULL,
		.offered = session->capabilities.auth,
		.channel = &channel,
	};
	struct login login = { .session = session };
	struct words words;
	enum error error;

	if (tls)
		channel.binding_type = tls_binding(tls, binding, &channel.binding_length);
	error = auth_choose(&how, &login.mechanism, &words);
	if (error == OK && !login.mechanism)
		return OK;
	session_enter(session, STAGE_AUTH);
	if (error != OK)
		return give_up(session, &words, trouble);
	buffer_init(&login.response, RESPONSE_BYTES);
	error = run_login(&login, &how, trouble);
	if (login.response.length > 0)
		explicit_bzero(login.response.data, login.response.length);
	buffer_fini(&login.response);
	auth_end(&login.auth);
	if (error == OK)
		session->auth = login.mechanism;
	return error;
}
