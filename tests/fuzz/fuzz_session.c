/*
 * fuzz_session.c - a whole session against a server that says whatever the input says,
 * before and after TLS (a real handshake with a real GnuTLS server in this process).
 *
 * The first line of the input is letters, in any order: how the tenant is set and what is
 * sent. The others are the server's (session_peer.h).
 *
 *   tls         S starttls (T is offered too)   I implicit   O opportunistic   else none
 *   auth        a auto   p plain   l login   c cram-md5   1 scram-sha-1   2 scram-sha-256   else none
 *   messages    m one more   r one more recipient   8 an 8-bit one   L a large one   E an empty one
 *               D dots at line starts   N null sender   B bare LF   k parked between   h held back before its
 * end the good    P pipelining   C chunking   9 8bitmime   Z size   A auth   X starttls inside TLS too at the
 * end  g a good server   else it closes
 *
 * What must hold: every recipient has an outcome with words; SENT only if the whole text
 * and its end were heard and a 2xx was said behind it; UNCERTAIN only if the observer agreed to
 * the end; nothing but commands and the message on the wire (session_ear.c); the password
 * neither in words nor in clear; waits within the deadline that was told; bounded memory.
 */
#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "smtp/session.h"
#include "tests/fuzz/session_peer.h"
#include "tests/support/scripted_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES_MAX   4
#define RECIPIENTS_MAX 5
#define LARGE_BYTES    70000
/* Ours, the session's, and the server's TLS session with what it has heard beside. */
#define MEMORY_BYTES (1 << 20)

struct play {
	char letters[64];
	struct session_peer peer;
	struct tenant_settings *settings;
	struct secret password;
	atomic_int stop;
	struct session *session;
	struct buffer text, expected;
	int ends;  /* how often the observer was asked, for this message */
	bool tell; /* FUZZ_SESSION_TELL=1: what came of it, and the memory it took */
};

static bool has(const struct play *play, char letter)
{
	return strchr(play->letters, letter) != NULL;
}

static int count(const struct play *play, char letter, int most)
{
	int found = 1;

	for (const char *at = play->letters; *at; at++)
		found += *at == letter;
	return found < most ? found : most;
}

/* --- settings ------------------------------------------------------------------------------ */

static void set(struct play *play, const char *column, const char *value)
{
	struct words words;

	MUST(tenant_settings_set(play->settings, column, value, &words) == OK);
}

static void set_up_tenant(struct play *play)
{
	static const struct {
		char letter;
		const char *column, *value;
	} choices[] = {
		{ 'S', "tls", "starttls" },      { 'I', "tls", "implicit" },
		{ 'O', "tls", "opportunistic" }, { 'p', "auth", "plain" },
		{ 'l', "auth", "login" },        { 'c', "auth", "cram-md5" },
		{ '1', "auth", "scram-sha-1" },  { '2', "auth", "scram-sha-256" },
		{ 'a', "auth", "auto" },
	};

	play->settings = tenant_settings_create("acme");
	set(play, "host", "good.example");
	set(play, "tls", "none");
	set(play, "auth", "none");
	set(play, "tls_verify", "none");
	set(play, "ehlo_name", "client.example");
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if (has(play, choices[i].letter))
			set(play, choices[i].column, choices[i].value);
	if (play->settings->auth != AUTH_NONE) {
		set(play, "username", "user");
		secret_set(&play->password, FUZZ_PASSWORD, strlen(FUZZ_PASSWORD));
	}
	tenant_settings_seal(play->settings);
}

static void offer(const struct play *play, struct buffer *offers)
{
	static const struct {
		char letter;
		const char *keyword;
	} keywords[] = {
		{ 'P', "PIPELINING" }, { 'C', "CHUNKING" },
		{ '9', "8BITMIME" },   { 'Z', "SIZE 200000" },
		{ 'S', "STARTTLS" },   { 'O', "STARTTLS" },
		{ 'X', "StartTLS" },   { 'A', "AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256" },
	};

	buffer_append_text(offers, "");
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (has(play, keywords[i].letter))
			buffer_printf(offers, "%s%s", offers->length > 0 ? "," : "", keywords[i].keyword);
}

/* --- the message --------------------------------------------------------------------------------- */

/* Lines begin with "x", so that they are no commands; the ear has them as expected. */
static void write_text(struct play *play)
{
	const char *line_end = has(play, 'B') ? "\n" : "\r\n";

	buffer_append_text(&play->text, "");
	buffer_append_text(&play->expected, "");
	if (has(play, 'E'))
		return;
	do {
		const char *line =
			has(play, 'D') ? ".x\x2e"
			: has(play, '8')
				? "x caf\xc3\xa9"
				: "x and a line of a text that is long enough to be sent in several pieces, as a large one is";

		buffer_printf(&play->text, "%s%s", line, line_end);
		buffer_printf(&play->expected, "%s\r\n", line);
	} while (has(play, 'L') && play->text.length < LARGE_BYTES);
	buffer_append_text(&play->text, has(play, 'D') ? "." : "x without an end");
	buffer_append_text(&play->expected, has(play, 'D') ? ".\r\n" : "x without an end\r\n");
}

/* --- the observer ---------------------------------------------------------------------------------- */

static void observe_deadline(void *context, int64_t deadline_ms)
{
	struct play *play = context;

	MUST(deadline_ms >= clock_monotonic_ms());
	play->peer.told_deadline_ms = deadline_ms;
}

static void observe_stage(void *context, enum stage stage)
{
	(void)context;
	MUST(stage > STAGE_NONE && stage < STAGE_COUNT);
}

static enum error observe_end(void *context, struct transaction *transaction)
{
	struct play *play = context;

	play->ends++;
	MUST(!play->peer.ear.end_heard);
	for (size_t i = 0; i < transaction->recipient_count; i++)
		MUST(transaction->recipients[i].outcome.verdict != VERDICT_SENT &&
		     transaction->recipients[i].outcome.verdict != VERDICT_UNCERTAIN);
	return has(play, 'h') ? ERROR_UNAVAILABLE : OK;
}

/* --- what must hold ------------------------------------------------------------------------------------ */

static void check_words(const struct play *play, const char *text)
{
	struct buffer encoded;

	if (!text || !secret_is_set(&play->password))
		return;
	MUST(text_utf8_valid(text, strlen(text)) == strlen(text));
	buffer_init(&encoded, 1000);
	text_base64_encode(&encoded, FUZZ_PASSWORD, strlen(FUZZ_PASSWORD));
	MUST(!strstr(text, FUZZ_PASSWORD) && !strstr(text, encoded.data));
	buffer_fini(&encoded);
}

static void check_outcome(const struct play *play, const struct outcome *outcome)
{
	const struct session_ear *ear = &play->peer.ear;

	if (play->tell)
		fprintf(stderr, "  %d %d %s %d %s %s\n", outcome->verdict, outcome->scope,
		        stage_name(outcome->stage), outcome->code, outcome->enhanced,
		        outcome->text ? outcome->text : "-");
	MUST(outcome->verdict != VERDICT_NONE && outcome->text);
	check_words(play, outcome->text);
	if (outcome->verdict == VERDICT_SENT) {
		MUST(ear->end_heard && ear->accepted_after && play->ends == 1);
		MUST(outcome->stage == STAGE_END && outcome->code / 100 == 2);
		MUST(ear->text.length == play->expected.length &&
		     memcmp(ear->text.data ? ear->text.data : "", play->expected.data, ear->text.length) ==
		             0);
	}
	if (outcome->verdict == VERDICT_UNCERTAIN)
		MUST(play->ends == 1 && outcome->stage == STAGE_END &&
		     outcome->trouble != TROUBLE_AUTH_FAILED);
	if (outcome->scope == SCOPE_TENANT)
		MUST(outcome->verdict == VERDICT_UNTRIED && outcome->trouble != TROUBLE_NONE);
	if (outcome->verdict == VERDICT_REFUSED || outcome->verdict == VERDICT_RETRY)
		MUST(outcome->scope == SCOPE_MESSAGE || outcome->scope == SCOPE_RECIPIENT);
}

/* --- one message --------------------------------------------------------------------------------------- */

static bool open_session(struct play *play)
{
	struct session_observer observer = {
		.context = play,
		.deadline = observe_deadline,
		.stage = observe_stage,
		.before_end = observe_end,
	};
	struct session_settings settings = {
		.tenant = play->settings,
		.password = secret_is_set(&play->password) ? &play->password : NULL,
		.stop = &play->stop,
		.observer = &observer,
	};
	struct outcome trouble = { 0 };
	enum error error;

	if (play->session && !session_usable(play->session))
		session_close(&play->session);
	if (play->session)
		return true;
	error = session_open(&settings, &play->session, &trouble);
	MUST((error == OK) == (play->session != NULL));
	if (error != OK) {
		check_outcome(play, &trouble);
		MUST(trouble.verdict == VERDICT_UNTRIED);
	}
	outcome_clear(&trouble);
	return error == OK;
}

static void check_facts(const struct play *play)
{
	struct session_facts facts;

	session_facts(play->session, &facts);
	check_words(play, facts.fallback);
	MUST(play->settings->tls == TLS_NONE || play->settings->tls == TLS_OPPORTUNISTIC || facts.tls);
}

static void send_message(struct play *play)
{
	static char addresses[RECIPIENTS_MAX][16];
	struct recipient recipients[RECIPIENTS_MAX] = { 0 };
	struct source_memory source;
	struct transaction transaction = {
		.sender = has(play, 'N') ? "" : "a@client.example",
		.recipients = recipients,
		.recipient_count = (size_t)count(play, 'r', RECIPIENTS_MAX),
		.source = &source.source,
		.size = (int64_t)play->text.length,
		.eight_bit = has(play, '8'),
	};

	source_memory_init(&source, play->text.data, play->text.length);
	for (size_t i = 0; i < transaction.recipient_count; i++) {
		snprintf(addresses[i], sizeof(addresses[i]), "b%zu@x.example", i);
		recipients[i].address = addresses[i];
		recipients[i].wanted = true;
	}
	play->ends = 0;
	session_ear_expect(&play->peer.ear);
	session_send(play->session, &transaction);
	check_outcome(play, &transaction.outcome);
	for (size_t i = 0; i < transaction.recipient_count; i++) {
		check_outcome(play, &recipients[i].outcome);
		outcome_clear(&recipients[i].outcome);
	}
	outcome_clear(&transaction.outcome);
	MUST(play->ends <= 1);
	check_facts(play);
}

static void run(struct play *play)
{
	int messages = count(play, 'm', MESSAGES_MAX);
	struct words words = { "" };

	while (messages-- > 0 && open_session(play)) {
		send_message(play);
		if (has(play, 'k') && session_lost(play->session, &words))
			check_words(play, words.text);
	}
	if (play->session)
		MUST(session_fd(play->session) >= 0);
	session_close(&play->session);
	MUST(play->session == NULL);
}

/* Made once: nothing is verified by it, all sessions of the server show it. */
static gnutls_certificate_credentials_t credentials(void)
{
	static struct test_certificate certificate;

	if (!certificate.credentials)
		test_certificate_make(&certificate);
	return certificate.credentials;
}

static void take_input(struct play *play, const char *input, size_t size)
{
	const char *end = memchr(input, '\n', size);
	size_t letters = end ? (size_t)(end - input) : size;

	play->peer.script = input + letters + (end != NULL);
	play->peer.script_end = input + size;
	if (letters >= sizeof(play->letters))
		letters = sizeof(play->letters) - 1;
	for (size_t i = 0, used = 0; i < letters; i++)
		if (input[i])
			play->letters[used++] = input[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play play = { .peer = { .fd = -1, .credentials = credentials() } };
	struct buffer offers;

	play.tell = getenv("FUZZ_SESSION_TELL") != NULL;
	take_input(&play, (const char *)data, size);
	set_up_tenant(&play);
	buffer_init(&offers, 1000);
	buffer_init(&play.text, 2 * LARGE_BYTES);
	buffer_init(&play.expected, 2 * LARGE_BYTES);
	offer(&play, &offers);
	write_text(&play);
	play.peer.offers = offers.data;
	play.peer.good_at_end = has(&play, 'g');
	play.peer.implicit_tls = play.settings->tls == TLS_IMPLICIT;
	play.peer.stop = &play.stop;
	session_peer = &play.peer;
	session_ear_init(&play.peer.ear);
	play.peer.allocated_start = play.peer.allocated_most = session_peer_allocated();
	run(&play);
	MUST(play.peer.allocated_most - play.peer.allocated_start < MEMORY_BYTES);
	if (play.tell)
		fprintf(stderr, "  %zu KiB\n", (play.peer.allocated_most - play.peer.allocated_start) / 1024);
	session_peer_hang_up(&play.peer);
	session_ear_fini(&play.peer.ear);
	secret_wipe(&play.password);
	tenant_settings_release(&play.settings);
	buffer_fini(&play.text);
	buffer_fini(&play.expected);
	buffer_fini(&offers);
	return 0;
}
