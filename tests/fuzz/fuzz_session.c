/*
 * fuzz_session.c - a whole session against a server that says whatever the input says,
 * before and after TLS (a real handshake with a real GnuTLS server in this process).
 *
 * The first line of the input is letters, in any order: how the tenant is set and what is
 * sent. The others are the server's (session_peer.h).
 *
 *   tls         S starttls   I implicit   O opportunistic   else none
 *   auth        a auto   p plain   l login   c cram-md5   1 scram-sha-1   2 scram-sha-256   else none
 *   messages    m one more   r one more recipient   8 an 8-bit one   L a large one   E an empty
 *               one   D dots at line starts   N null sender   B bare LF   k parked between   h held
 *               back before its end   w given one behind another (pipeline_depth is 3)
 *   the good    P pipelining   C chunking   9 8bitmime   Z size   A auth   X starttls in TLS too
 *   in the end  g a good server   else it closes
 *
 * What must hold: every message is over once, and every recipient of it has an outcome with
 * words; SENT only if the whole text and its end were heard and a 2xx was said behind it;
 * UNCERTAIN only if the observer agreed to the end, and of no more messages than are let under way;
 * nothing but commands and the message on the wire (session_ear.c); the password neither in
 * words nor in clear; waits within the deadline that was told; bounded memory.
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
/* Both ends of a session, and what is compared: large messages are kept here three times. */
#define MEMORY_BYTES       (512 << 10)
#define MEMORY_LARGE_BYTES (3 << 20)

/* One message. */
struct letter {
	struct transaction transaction;
	struct recipient recipients[RECIPIENTS_MAX];
	char addresses[RECIPIENTS_MAX][40];
	struct source_memory source;
	struct buffer text, expected;
	int ends; /* how often the observer was asked */
	bool over;
};

struct play {
	char letters[64];
	struct letter messages[MESSAGES_MAX];
	int uncertain; /* of the present session */
	struct session_peer peer;
	struct tenant_settings *settings;
	struct secret password;
	atomic_int stop;
	struct session *session;
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
	set(play, "pipeline_depth", "3");
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
static void write_text(const struct play *play, struct letter *letter, int number)
{
	const char *line_end = has(play, 'B') ? "\n" : "\r\n";
	const char *line = has(play, 'D') ? ".x."
	                   : has(play, '8')
	                           ? "x caf\xc3\xa9"
	                           : "x and a line of a text that is long enough to be sent in pieces";

	buffer_init(&letter->text, 2 * LARGE_BYTES);
	buffer_init(&letter->expected, 2 * LARGE_BYTES);
	buffer_append_text(&letter->text, "");
	buffer_append_text(&letter->expected, "");
	if (has(play, 'E'))
		return;
	buffer_printf(&letter->text, "x %d%s", number, line_end);
	buffer_printf(&letter->expected, "x %d\r\n", number);
	do {
		buffer_printf(&letter->text, "%s%s", line, line_end);
		buffer_printf(&letter->expected, "%s\r\n", line);
	} while (has(play, 'L') && letter->text.length < LARGE_BYTES);
	buffer_append_text(&letter->text, has(play, 'D') ? "." : "x without an end");
	buffer_append_text(&letter->expected, has(play, 'D') ? ".\r\n" : "x without an end\r\n");
}

static void write_letter(const struct play *play, struct letter *letter, int number)
{
	write_text(play, letter, number);
	source_memory_init(&letter->source, letter->text.data, letter->text.length);
	letter->transaction = (struct transaction){
		.sender = has(play, 'N') ? "" : "a@client.example",
		.recipients = letter->recipients,
		.recipient_count = (size_t)count(play, 'r', RECIPIENTS_MAX),
		.source = &letter->source.source,
		.size = (int64_t)letter->text.length,
		.eight_bit = has(play, '8'),
	};
	for (size_t i = 0; i < letter->transaction.recipient_count; i++) {
		snprintf(letter->addresses[i], sizeof(letter->addresses[i]), "b%zu@x.example", i);
		letter->recipients[i].address = letter->addresses[i];
		letter->recipients[i].wanted = true;
	}
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

static struct letter *letter_of(struct play *play, const struct transaction *transaction)
{
	for (int i = 0; i < MESSAGES_MAX; i++)
		if (transaction == &play->messages[i].transaction)
			return &play->messages[i];
	MUST(!"a transaction that was given");
}

static enum error observe_end(void *context, struct transaction *transaction)
{
	struct play *play = context;
	struct letter *letter = letter_of(play, transaction);

	letter->ends++;
	MUST(letter->ends == 1 && !letter->over);
	/* all empty messages look alike */
	MUST(has(play, 'E') || !session_ear_find(&play->peer.ear, &letter->expected));
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

/* letter NULL: no session could be opened. */
static void check_outcome(const struct play *play, const struct letter *letter, const struct outcome *outcome)
{
	if (play->tell)
		fprintf(stderr, "  %d %d %s %d %s %s\n", outcome->verdict, outcome->scope,
		        stage_name(outcome->stage), outcome->code, outcome->enhanced,
		        outcome->text ? outcome->text : "-");
	MUST(outcome->verdict != VERDICT_NONE && outcome->text);
	check_words(play, outcome->text);
	if (outcome->verdict == VERDICT_SENT) {
		const struct ear_ended *ended;

		MUST(letter && letter->ends == 1);
		ended = session_ear_find(&play->peer.ear, &letter->expected);
		MUST(ended && ended->accepted_after);
		MUST(outcome->stage == STAGE_END && outcome->code / 100 == 2);
	}
	if (outcome->verdict == VERDICT_UNCERTAIN)
		MUST(letter && letter->ends == 1 && outcome->stage == STAGE_END);
	if (outcome->scope == SCOPE_TENANT)
		MUST(outcome->verdict == VERDICT_UNTRIED && outcome->trouble != TROUBLE_NONE);
	if (outcome->verdict == VERDICT_REFUSED || outcome->verdict == VERDICT_RETRY)
		MUST(outcome->scope == SCOPE_MESSAGE || outcome->scope == SCOPE_RECIPIENT);
}

static void observe_over(void *context, struct transaction *transaction)
{
	struct play *play = context;
	struct letter *letter = letter_of(play, transaction);
	bool uncertain = false;

	MUST(!letter->over);
	letter->over = true;
	check_outcome(play, letter, &transaction->outcome);
	for (size_t i = 0; i < transaction->recipient_count; i++) {
		uncertain = uncertain || letter->recipients[i].outcome.verdict == VERDICT_UNCERTAIN;
		check_outcome(play, letter, &letter->recipients[i].outcome);
		outcome_clear(&letter->recipients[i].outcome);
	}
	outcome_clear(&transaction->outcome);
	play->uncertain += uncertain;
	MUST(play->uncertain <= 3); /* pipeline_depth, and no more than 2 without chunks */
}

/* --- one message --------------------------------------------------------------------------------------- */

static bool open_session(struct play *play)
{
	struct session_observer observer = {
		.context = play,
		.deadline = observe_deadline,
		.stage = observe_stage,
		.before_end = observe_end,
		.over = observe_over,
	};
	struct session_settings settings = {
		.tenant = play->settings,
		.password = secret_is_set(&play->password) ? &play->password : NULL,
		.stop = &play->stop,
		.observer = &observer,
	};
	struct outcome trouble = { 0 };
	enum error error;

	if (play->session && !session_usable(play->session)) {
		while (session_finish(play->session))
			continue;
		session_close(&play->session);
	}
	if (play->session)
		return true;
	play->uncertain = 0;
	error = session_open(&settings, &play->session, &trouble);
	MUST((error == OK) == (play->session != NULL));
	if (error != OK) {
		check_outcome(play, NULL, &trouble);
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

static void send_message(struct play *play, struct letter *letter)
{
	struct words words = { "" };

	if (has(play, 'w')) {
		session_give(play->session, &letter->transaction);
		MUST(session_under_way(play->session) <= session_window(play->session));
	} else {
		session_send(play->session, &letter->transaction);
		MUST(letter->over && session_under_way(play->session) == 0);
	}
	check_facts(play);
	if (has(play, 'k') && session_under_way(play->session) == 0 && session_lost(play->session, &words))
		check_words(play, words.text);
}

static void run(struct play *play)
{
	int messages = count(play, 'm', MESSAGES_MAX), given = 0;

	for (int i = 0; i < messages; i++)
		write_letter(play, &play->messages[i], i);
	while (given < messages && open_session(play))
		send_message(play, &play->messages[given++]);
	while (play->session && session_finish(play->session))
		continue;
	session_close(&play->session);
	MUST(play->session == NULL);
	for (int i = 0; i < messages; i++) {
		MUST(play->messages[i].over == (i < given));
		buffer_fini(&play->messages[i].text);
		buffer_fini(&play->messages[i].expected);
	}
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
	offer(&play, &offers);
	play.peer.offers = offers.data;
	play.peer.good_at_end = has(&play, 'g');
	play.peer.implicit_tls = play.settings->tls == TLS_IMPLICIT;
	play.peer.stop = &play.stop;
	session_peer = &play.peer;
	session_ear_init(&play.peer.ear);
	play.peer.allocated_start = play.peer.allocated_most = session_peer_allocated();
	run(&play);
	MUST(play.peer.allocated_most - play.peer.allocated_start <
	     (has(&play, 'L') ? MEMORY_LARGE_BYTES : MEMORY_BYTES));
	if (play.tell)
		fprintf(stderr, "  %zu KiB\n", (play.peer.allocated_most - play.peer.allocated_start) / 1024);
	session_peer_hang_up(&play.peer);
	session_ear_fini(&play.peer.ear);
	secret_wipe(&play.password);
	tenant_settings_release(&play.settings);
	buffer_fini(&offers);
	return 0;
}
