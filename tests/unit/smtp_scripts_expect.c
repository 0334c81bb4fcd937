/*
 * smtp_scripts_expect.c - what must have come of a page's messages.
 *
 * Besides what the page says, what holds always: everybody has an outcome with
 * words, nothing is sent or uncertain unless the observer was asked before the
 * end of the data, and no text holds the password.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/unit/smtp_scripts.h"

/* What one line of a page is compared with. */
struct check {
	struct client *client;
	const struct scripted_server *server;
	const struct page_line *line;
	const struct result *result; /* NULL in the part for all */
};

static const char *const verdict_names[] = { "none", "sent", "retry", "refused", "uncertain", "untried" };
static const char *const scope_names[] = { "none", "recipient", "message", "tenant" };
static const char *const trouble_names[] = { "none", "plain", "auth_failed", "throttled" };

static void fail(const struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(const struct check *check, const char *format, ...)
{
	char text[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer_printf(&check->client->problem, "line %d: %s %s: %s\n", check->line->number, check->line->word,
	              check->line->rest, text);
}

static const char *said(const struct outcome *outcome)
{
	return outcome->text ? outcome->text : "";
}

static void expect_word(const struct check *check, const char *name)
{
	if (strcmp(name, check->line->rest) != 0)
		fail(check, "it is \"%s\" (%s)", name, said(&check->result->outcome));
}

static void expect_part(const struct check *check, const char *text)
{
	struct buffer part;

	buffer_init(&part, 4096);
	buffer_append_text(&part, "");
	page_unescape(&part, check->line->rest);
	if (!strstr(text ? text : "", part.data))
		fail(check, "it is \"%s\"", text ? text : "nothing");
	buffer_fini(&part);
}

/* "1 uncertain message 421": who, what, whose, which code; the last two may be left out. */
static void expect_verdict(const struct check *check)
{
	char who[16], verdict[16], scope[16], code[16];
	const char *rest = page_word(check->line->rest, who, sizeof(who));
	const struct outcome *outcome;
	size_t number = rest ? strtoul(who, NULL, 10) : 0;

	rest = rest ? page_word(rest, verdict, sizeof(verdict)) : NULL;
	if (!rest || number == 0 || number > check->result->recipient_count) {
		fail(check, "no such recipient");
		return;
	}
	outcome = &check->result->recipients[number - 1].outcome;
	rest = page_word(rest, scope, sizeof(scope));
	if (strcmp(verdict, verdict_names[outcome->verdict]) != 0 ||
	    (rest && strcmp(scope, scope_names[outcome->scope]) != 0))
		fail(check, "it is %s %s at %s (%d %s %s)", verdict_names[outcome->verdict],
		     scope_names[outcome->scope], stage_name(outcome->stage), outcome->code,
		     outcome->enhanced, said(outcome));
	if (rest && page_word(rest, code, sizeof(code)) && atoi(code) != outcome->code)
		fail(check, "the code is %d", outcome->code);
}

static void expect_count(const struct check *check, int count)
{
	if (count != atoi(check->line->rest))
		fail(check, "there were %d", count);
}

static void expect_heard(const struct check *check)
{
	const char *number = strrchr(check->line->rest, ' ');
	char *beginning;
	int count;

	if (!number) {
		fail(check, "no number");
		return;
	}
	beginning = memory_strndup(check->line->rest, (size_t)(number - check->line->rest));
	count = server_heard(check->server, beginning);
	if (count != atoi(number))
		fail(check, "it was heard %d times", count);
	free(beginning);
}

/* The lines "> text" that follow are the K-th message as the server had it. */
static void expect_received(const struct check *check)
{
	const struct page *page = check->client->page;
	int number = atoi(check->line->rest);
	const struct buffer *received;
	struct buffer expected;

	if (number < 1 || number > check->server->received_count) {
		fail(check, "only %d were received", check->server->received_count);
		return;
	}
	received = &check->server->received[number - 1];
	buffer_init(&expected, 1 << 20);
	for (const struct page_line *line = check->line + 1;
	     line < page->lines + page->count && strcmp(line->word, ">") == 0; line++) {
		page_unescape(&expected, line->rest);
		buffer_append_text(&expected, "\r\n");
	}
	if (expected.length != received->length ||
	    (expected.length > 0 && memcmp(expected.data, received->data, expected.length) != 0))
		fail(check, "it is \"%.*s\"", (int)(received->length < 400 ? received->length : 400),
		     received->data ? received->data : "");
	buffer_fini(&expected);
}

static bool check_message_line(const struct check *check)
{
	const struct result *result = check->result;
	const char *word = check->line->word;

	if (strcmp(word, "verdict") == 0)
		expect_verdict(check);
	else if (strcmp(word, "tenant") == 0)
		expect_word(check, trouble_names[result->outcome.trouble]);
	else if (strcmp(word, "usable") == 0)
		expect_word(check, result->usable ? "yes" : "no");
	else if (strcmp(word, "opened") == 0)
		expect_word(check, result->opened ? "yes" : "no");
	else if (strcmp(word, "stage") == 0)
		expect_word(check, stage_name(result->outcome.stage));
	else if (strcmp(word, "enhanced") == 0)
		expect_word(check, result->outcome.enhanced);
	else if (strcmp(word, "says") == 0)
		expect_part(check, result->outcome.text);
	else if (strcmp(word, "says-not") == 0 && strstr(said(&result->outcome), check->line->rest))
		fail(check, "it is \"%s\"", said(&result->outcome));
	else if (strcmp(word, "fallback") == 0)
		expect_part(check, result->fallback);
	else if (strcmp(word, "auth") == 0)
		expect_word(check, result->auth ? result->auth : "none");
	else if (strcmp(word, "tls") == 0)
		expect_word(check, result->tls ? "yes" : "no");
	else if (strcmp(word, "parked") == 0)
		expect_part(check, result->parked);
	else
		return strcmp(word, "says-not") == 0;
	return true;
}

static bool check_common_line(const struct check *check)
{
	const char *word = check->line->word;

	if (strcmp(word, "connections") == 0)
		expect_count(check, check->server->connections);
	else if (strcmp(word, "handshakes") == 0)
		expect_count(check, check->server->handshakes);
	else if (strcmp(word, "heard") == 0)
		expect_heard(check);
	else if (strcmp(word, "received") == 0)
		expect_received(check);
	else
		return strcmp(word, ">") == 0;
	return true;
}

/* --- what holds always -------------------------------------------------------------------- */

static bool shows_secret(const struct secret *secret, const char *text)
{
	struct buffer encoded;
	bool shown;

	if (!text || secret->length < 4)
		return false;
	buffer_init(&encoded, 4 * SECRET_MAX_BYTES);
	text_base64_encode(&encoded, secret->bytes, secret->length);
	shown = strstr(text, (const char *)secret->bytes) || strstr(text, encoded.data);
	buffer_fini(&encoded);
	return shown;
}

static void check_always(struct client *client, const struct result *result, int number)
{
	bool given = false;

	if (result->outcome.verdict == VERDICT_NONE || !result->outcome.text)
		buffer_printf(&client->problem, "message %d has no outcome\n", number);
	if (shows_secret(&client->password, result->outcome.text) ||
	    shows_secret(&client->password, result->parked) ||
	    shows_secret(&client->password, result->fallback))
		buffer_printf(&client->problem, "message %d: the password in a text\n", number);
	if (!result->opened)
		return;
	for (size_t i = 0; i < result->recipient_count; i++) {
		const struct outcome *outcome = &result->recipients[i].outcome;

		if (outcome->verdict == VERDICT_NONE || !outcome->text)
			buffer_printf(&client->problem, "message %d: recipient %zu has no outcome\n", number,
			              i + 1);
		if (shows_secret(&client->password, outcome->text))
			buffer_printf(&client->problem, "message %d: the password in a text\n", number);
		given = given || outcome->stage == STAGE_END;
	}
	if (result->ends > 1 || (given && result->ends != 1))
		buffer_printf(&client->problem, "message %d: the observer was asked %d times\n", number,
		              result->ends);
}

/* RFC 5321 4.5.2 and 2.3.8 (chunks: RFC 3030), written here a second time. */
static void put_on_wire(const struct buffer *text, bool chunks, struct buffer *wire)
{
	const char *at = text->data, *end = text->data + text->length;

	buffer_append_text(wire, "");
	while (at && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
		size_t length = (size_t)(stop - at);

		if (length > 0 && at[length - 1] == '\r')
			length--;
		if (at[0] == '.' && !chunks)
			buffer_append_char(wire, '.');
		buffer_append(wire, at, length);
		buffer_append_text(wire, "\r\n");
		at = newline ? newline + 1 : end;
	}
}

static bool was_received(const struct scripted_server *server, int at, const struct buffer *text)
{
	const struct buffer *received = &server->received[at];
	struct buffer wire;
	bool same;

	buffer_init(&wire, SIZE_MAX);
	put_on_wire(text, server->in_chunks[at], &wire);
	same = received->length == wire.length &&
	       (wire.length == 0 || memcmp(received->data, wire.data, wire.length) == 0);
	buffer_fini(&wire);
	return same;
}

/* What was accepted is what was given, octet by octet, and was received in that order. */
static void check_received(struct client *client, const struct scripted_server *server)
{
	int at = 0;

	for (size_t i = 0; i < client->page->count; i++)
		if (strcmp(client->page->lines[i].word, "data") == 0 && client->page->lines[i].rest[0])
			return; /* in pieces */
	for (int i = 0; i < client->count; i++) {
		if (client->results[i].outcome.verdict != VERDICT_SENT)
			continue;
		while (at < server->received_count && !was_received(server, at, &client->letters[i].text))
			at++;
		if (at++ == server->received_count)
			buffer_printf(&client->problem, "message %d is not what was received\n", i + 1);
	}
}

void client_check(struct client *client, const struct scripted_server *server)
{
	struct check check = { .client = client, .server = server };
	int expectations = 0;

	for (int i = 0; i < client->count; i++)
		check_always(client, &client->results[i], i + 1);
	check_received(client, server);
	for (size_t i = 0; i < client->page->count; i++) {
		bool known;

		check.line = &client->page->lines[i];
		if (check.line->part != PAGE_EXPECT)
			continue;
		expectations++;
		if (check.line->index > client->count) {
			fail(&check, "there is no such message");
			continue;
		}
		check.result = check.line->index > 0 ? &client->results[check.line->index - 1] : NULL;
		known = check.result ? check_message_line(&check) : check_common_line(&check);
		if (!known)
			fail(&check, "not a word of a page");
	}
	if (expectations == 0)
		buffer_append_text(&client->problem, "a page that expects nothing\n");
}

/* --- told ------------------------------------------------------------------------------------- */

/* "behind": given while the one before it was under way, which was refused. */
static const char *place_of(const struct client *client, int number, bool accepted_before)
{
	if (client->together && number > 1 && client->results[number - 2].outcome.code >= 400)
		return "behind";
	return accepted_before ? "accepted" : "";
}

static void tell_outcome(const struct client *client, int number, size_t recipient, bool accepted_before,
                         const struct outcome *outcome, FILE *table)
{
	const struct result *result = &client->results[number - 1];

	flockfile(table);
	fprintf(table, "%s\t%s\t%d\t%zu\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", client->page->name,
	        client->page->variant, number, recipient, result->reused ? "reused" : "new",
	        place_of(client, number, accepted_before), verdict_names[outcome->verdict],
	        scope_names[outcome->scope], trouble_names[outcome->trouble], stage_name(outcome->stage),
	        outcome->code, outcome->enhanced, said(outcome));
	funlockfile(table);
}

void client_tell(const struct client *client, FILE *table)
{
	for (int number = 1; number <= client->count; number++) {
		const struct result *result = &client->results[number - 1];
		bool accepted = false;

		tell_outcome(client, number, 0, false, &result->outcome, table);
		for (size_t i = 0; result->opened && i < result->recipient_count; i++) {
			const struct outcome *outcome = &result->recipients[i].outcome;

			tell_outcome(client, number, i + 1, accepted, outcome, table);
			accepted = accepted || outcome->stage > STAGE_RCPT;
		}
	}
}
