/*
 * smtp_scripts_client.c - plays a page's client with smtp/session.h as it is.
 */
#include "tests/unit/smtp_scripts.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define PARK_MS    10000
#define TEXT_LIMIT (64 << 20)

static void problem(struct client *client, const struct page_line *line, const char *what)
{
	buffer_printf(&client->problem, "line %d: %s: %s %s\n", line->number, what, line->word, line->rest);
}

/* --- settings ------------------------------------------------------------------------ */

static enum stage stage_named(const char *name)
{
	for (int stage = STAGE_NONE; stage < STAGE_COUNT; stage++)
		if (strcmp(stage_name((enum stage)stage), name) == 0)
			return (enum stage)stage;
	return STAGE_NONE;
}

static void take_stop(struct client *client, const struct page_line *line)
{
	char level[16], at[8], stage[16];
	const char *rest = page_word(line->rest, level, sizeof(level));

	rest = rest ? page_word(rest, at, sizeof(at)) : NULL;
	if (!rest || !page_word(rest, stage, sizeof(stage)) || stage_named(stage) == STAGE_NONE) {
		problem(client, line, "not \"stop soon|now at STAGE\"");
		return;
	}
	client->stop_level = strcmp(level, "now") == 0 ? STOP_NOW : STOP_SOON;
	client->stop_stage = stage_named(stage);
}

static void take_setting(struct client *client, const struct page_line *line)
{
	char column[64];
	const char *value = page_word(line->rest, column, sizeof(column));
	struct words words;

	if (!value || tenant_settings_set(client->settings, column, value, &words) != OK)
		problem(client, line, value ? words.text : "no column");
}

static void set_default(struct client *client, const char *column, const char *value)
{
	struct words words;

	if (tenant_settings_set(client->settings, column, value, &words) != OK)
		abort();
}

bool client_init(struct client *client, const struct page *page, int port)
{
	char text[16];

	*client = (struct client){ .page = page };
	buffer_init(&client->problem, TEXT_LIMIT);
	client->settings = tenant_settings_create("acme");
	snprintf(text, sizeof(text), "%d", port);
	set_default(client, "host", "127.0.0.1");
	set_default(client, "port", text);
	set_default(client, "tls", "none");
	set_default(client, "ehlo_name", "client.test.example");
	for (size_t i = 0; i < page->count; i++) {
		const struct page_line *line = &page->lines[i];

		if (line->part != PAGE_CLIENT)
			continue;
		if (strcmp(line->word, "set") == 0)
			take_setting(client, line);
		else if (strcmp(line->word, "password") == 0)
			secret_set(&client->password, line->rest, strlen(line->rest));
		else if (strcmp(line->word, "stop") == 0)
			take_stop(client, line);
		else if (strcmp(line->word, "hold-end") == 0)
			client->hold_end = line->rest[0] ? atoi(line->rest) : -1;
		else if (strcmp(line->word, "no-server") == 0)
			client->no_server = true;
		else if (strcmp(line->word, "together") == 0)
			client->together = true;
		else if (strcmp(line->word, "identity") == 0)
			client->wants_identity = true;
	}
	if (client->wants_identity) {
		set_default(client, "tls_cert_file", "acme.pem");
		set_default(client, "tls_key_file", "acme.key");
	}
	tenant_settings_seal(client->settings);
	return client->problem.length == 0;
}

void client_fini(struct client *client)
{
	for (int i = 0; i < client->count; i++) {
		struct result *result = &client->results[i];

		outcome_clear(&result->outcome);
		for (size_t k = 0; k < result->recipient_count; k++) {
			outcome_clear(&result->recipients[k].outcome);
			free(result->recipients[k].address);
		}
		free(result->tls);
		free(result->auth);
		free(result->fallback);
		free(result->parked);
		free(client->letters[i].sender);
		buffer_fini(&client->letters[i].text);
	}
	secret_wipe(&client->password);
	tenant_settings_release(&client->settings);
	buffer_fini(&client->problem);
}

/* --- the observer -------------------------------------------------------------------- */

static void observe_deadline(void *context, int64_t deadline_ms)
{
	struct client *client = context;

	if (deadline_ms < clock_monotonic_ms())
		buffer_append_text(&client->problem, "a deadline that has passed was told\n");
	client->deadline_ms = deadline_ms;
}

static void observe_stage(void *context, enum stage stage)
{
	struct client *client = context;
	int64_t most = client->settings->connect_timeout * INT64_C(1000);

	if ((stage == STAGE_RESOLVE || stage == STAGE_CONNECT) &&
	    (client->deadline_ms == 0 || client->deadline_ms > clock_monotonic_ms() + most))
		buffer_append_text(&client->problem, "resolving and connecting have no deadline\n");
	if (stage == client->stop_stage && client->stop_level != STOP_NONE)
		atomic_store(&client->stop, client->stop_level);
}

static int number_of(const struct client *client, const struct transaction *transaction)
{
	for (int i = 0; i < MESSAGES_MAX; i++)
		if (&client->letters[i].transaction == transaction)
			return i;
	abort();
}

static enum error observe_end(void *context, struct transaction *transaction)
{
	struct client *client = context;
	int number = number_of(client, transaction);

	client->results[number].ends++;
	for (size_t i = 0; i < transaction->recipient_count; i++)
		if (transaction->recipients[i].outcome.verdict == VERDICT_SENT)
			buffer_append_text(&client->problem, "sent before the end of the data\n");
	return client->hold_end == -1 || client->hold_end == number + 1 ? ERROR_UNAVAILABLE : OK;
}

static void observe_over(void *context, struct transaction *transaction)
{
	struct client *client = context;
	int number = number_of(client, transaction);

	if (client->letters[number].over)
		buffer_append_text(&client->problem, "a transaction was over twice\n");
	client->letters[number].over = true;
	client->results[number].outcome = transaction->outcome;
	client->results[number].usable = session_usable(client->session);
}

/* --- messages ---------------------------------------------------------------------------- */

static void add_recipients(struct result *result, const char *list)
{
	while (*list && result->recipient_count < RECIPIENTS_MAX) {
		size_t length = strcspn(list, ",");

		result->recipients[result->recipient_count++] = (struct recipient){
			.address = memory_strndup(list, length),
			.wanted = true,
		};
		list += length;
		list += *list == ',';
	}
}

/* "x@y*300" stands for 300 recipients r1.x@y … */
static void multiply_recipients(struct result *result, const char *list)
{
	const char *star = strchr(list, '*');
	long times = star ? strtol(star + 1, NULL, 10) : 0;

	for (long i = 1; i <= times && result->recipient_count < RECIPIENTS_MAX; i++) {
		struct buffer address;

		buffer_init(&address, TEXT_LIMIT);
		buffer_printf(&address, "r%ld.%.*s", i, (int)(star - list), list);
		result->recipients[result->recipient_count++] = (struct recipient){
			.address = buffer_take(&address),
			.wanted = true,
		};
	}
	if (!star)
		add_recipients(result, list);
}

/* "NOTIFY RETURN ID" as in the columns, - for what is not set. */
static const char *take_dsn(struct letter *letter, const char *rest)
{
	char notify[64] = "-", returns[16] = "-", id[128] = "";
	struct words words;

	rest = page_word(rest, notify, sizeof(notify));
	rest = rest ? page_word(rest, returns, sizeof(returns)) : NULL;
	rest = rest ? page_word(rest, id, sizeof(id)) : NULL;
	if (dsn_parse(strcmp(notify, "-") == 0 ? NULL : notify, strcmp(returns, "-") == 0 ? NULL : returns,
	              &letter->dsn, &words) != OK)
		return NULL;
	snprintf(letter->dsn.envelope_id, sizeof(letter->dsn.envelope_id), "%.100s", id);
	return rest;
}

static void take_letter(struct letter *letter, struct result *result, const char *rest)
{
	char word[4096];
	struct buffer plain;

	*letter = (struct letter){ 0 };
	buffer_init(&letter->text, TEXT_LIMIT);
	buffer_init(&plain, TEXT_LIMIT);
	rest = page_word(rest, word, sizeof(word));
	buffer_append_text(&plain, "");
	page_unescape(&plain, rest && strcmp(word, "<>") != 0 ? word : "");
	letter->sender = buffer_take(&plain);
	rest = rest ? page_word(rest, word, sizeof(word)) : NULL;
	buffer_append_text(&plain, "");
	page_unescape(&plain, rest ? word : "");
	multiply_recipients(result, plain.data);
	buffer_fini(&plain);
	while (rest && (rest = page_word(rest, word, sizeof(word)))) {
		if (strcmp(word, "eight-bit") == 0)
			letter->eight_bit = true;
		else if (strcmp(word, "smtputf8") == 0)
			letter->smtputf8 = true;
		else if (strcmp(word, "dsn") == 0)
			rest = take_dsn(letter, rest);
		else if (strcmp(word, "size") == 0 && page_word(rest, word, sizeof(word)))
			letter->size = strtol(word, NULL, 10);
	}
}

/* A line of the text; one that ends in a backslash has no CRLF. */
static void take_text(struct letter *letter, const struct page_line *line)
{
	size_t length = strlen(line->rest);
	bool open = length > 0 && line->rest[length - 1] == '\\' &&
	            (length < 2 || line->rest[length - 2] != '\\');
	char *text = memory_strndup(line->rest, open ? length - 1 : length);

	page_unescape(&letter->text, text);
	if (!open)
		buffer_append_text(&letter->text, "\r\n");
	free(text);
}

/* Lines of so many octets in all, CRLF and all, so that what follows stands at a place that is known. */
static void pad_text(struct letter *letter, long octets)
{
	while (octets > 0) {
		long line = octets > 140 ? 70 : octets;

		for (long i = 0; i < line - 2; i++)
			buffer_append_char(&letter->text, 'p');
		buffer_append_text(&letter->text, "\r\n");
		octets -= line;
	}
}

static void fill_text(struct letter *letter, long octets)
{
	static const char line[] = "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01\r\n";

	buffer_reserve(&letter->text, (size_t)octets + sizeof(line));
	for (; octets > 0; octets -= (long)sizeof(line) - 1)
		buffer_append_text(&letter->text, line);
}

/* A spool file whose end cannot be read. */
static enum error read_and_fail(struct source *source, void *bytes, size_t capacity, size_t *length)
{
	struct source_memory *broken = (struct source_memory *)source, good;
	enum error error;

	source_memory_init(&good, broken->bytes, broken->length);
	good.position = broken->position;
	error = good.source.read(&good.source, bytes, capacity, length);
	broken->position = good.position;
	return error == OK && *length == 0 ? ERROR_SYSTEM : error;
}

/* --- running ------------------------------------------------------------------------------ */

static bool open_session(struct client *client, struct result *result)
{
	struct session_observer observer = {
		.context = client,
		.deadline = observe_deadline,
		.stage = observe_stage,
		.before_end = observe_end,
		.over = observe_over,
	};
	struct session_settings settings = {
		.tenant = client->settings,
		.password = secret_is_set(&client->password) ? &client->password : NULL,
		.trust = client->trust,
		.identity = client->wants_identity ? client->identity : NULL,
		.resolver = client->resolver,
		.stop = &client->stop,
		.observer = &observer,
	};
	enum error error;

	if (client->session && !session_usable(client->session))
		session_close(&client->session);
	if (client->session)
		return true;
	error = session_open(&settings, &client->session, &result->outcome);
	if ((error == OK) != (client->session != NULL))
		buffer_append_text(&client->problem, "session_open() contradicts itself\n");
	return error == OK;
}

static void note_facts(struct client *client, struct result *result)
{
	struct session_facts facts;

	session_facts(client->session, &facts);
	result->tls = memory_strdup(facts.tls);
	result->auth = memory_strdup(facts.auth);
	result->fallback = memory_strdup(facts.fallback);
}

static void finish_all(struct client *client)
{
	while (client->session && session_finish(client->session))
		;
}

static void send_letter(struct client *client, struct letter *letter)
{
	struct result *result = &client->results[client->count];
	struct session_facts facts;

	letter->transaction = (struct transaction){
		.sender = letter->sender,
		.recipients = result->recipients,
		.recipient_count = result->recipient_count,
		.source = &letter->source.source,
		.eight_bit = letter->eight_bit,
		.smtputf8 = letter->smtputf8,
		.dsn = &letter->dsn,
	};
	source_memory_init(&letter->source, letter->text.data ? letter->text.data : "", letter->text.length);
	if (letter->unreadable)
		letter->source.source.read = read_and_fail;
	letter->transaction.size = letter->size > 0 ? letter->size : (int64_t)letter->text.length;
	if (client->session && !session_usable(client->session))
		finish_all(client);
	result->opened = open_session(client, result);
	client->count++;
	if (!result->opened)
		return;
	session_facts(client->session, &facts);
	result->reused = facts.messages > 0;
	session_give(client->session, &letter->transaction);
	if (session_under_way(client->session) > session_window(client->session))
		buffer_append_text(&client->problem, "more under way than the window has room for\n");
	if (!client->together)
		finish_all(client);
	note_facts(client, result);
}

/* Waits until the server says something or closes, as a worker does between messages. */
static void park(struct client *client)
{
	struct result *result = &client->results[client->count - 1];
	struct pollfd fd = { .events = POLLIN };
	struct words words = { "" };

	finish_all(client);
	if (!client->session)
		return;
	fd.fd = session_fd(client->session);
	/* it may have been read already, together with the answer before it */
	if (session_lost(client->session, &words))
		;
	else if (poll(&fd, 1, PARK_MS) <= 0)
		buffer_append_text(&client->problem, "parked: nothing came\n");
	else if (!session_lost(client->session, &words))
		buffer_append_text(&client->problem, "parked: not lost\n");
	result->parked = memory_strdup(words.text);
}

void client_run(struct client *client)
{
	const struct page *page = client->page;
	bool begun = false;

	for (size_t i = 0; i <= page->count; i++) {
		const struct page_line *line = i < page->count ? &page->lines[i] : NULL;
		bool action = !line || line->part != PAGE_CLIENT || strcmp(line->word, "message") == 0 ||
		              strcmp(line->word, "park") == 0;
		struct letter *letter = &client->letters[client->count];

		if (action && begun) {
			send_letter(client, letter);
			begun = false;
			letter++;
		}
		if (!line || line->part != PAGE_CLIENT)
			break;
		if (strcmp(line->word, "message") == 0 && client->count < MESSAGES_MAX) {
			take_letter(letter, &client->results[client->count], line->rest);
			begun = true;
		} else if (strcmp(line->word, "|") == 0 && begun) {
			take_text(letter, line);
		} else if (strcmp(line->word, "fill") == 0 && begun) {
			fill_text(letter, strtol(line->rest, NULL, 10));
		} else if (strcmp(line->word, "unreadable") == 0 && begun) {
			letter->unreadable = true;
		} else if (strcmp(line->word, "pad") == 0 && begun) {
			pad_text(letter, strtol(line->rest, NULL, 10));
		} else if (strcmp(line->word, "park") == 0) {
			park(client);
		}
	}
	finish_all(client);
	for (int i = 0; i < client->count; i++)
		if (client->results[i].opened && !client->letters[i].over)
			buffer_printf(&client->problem, "message %d never was over\n", i + 1);
	session_close(&client->session);
}
