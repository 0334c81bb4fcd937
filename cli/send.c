/*
 * send.c - outboxctl send: one row into the outbox.
 *
 * Promises: prints the id of a message that is committed, nothing else; an
 * address list that outboxd would not understand is refused here already. A
 * complete message and attachments pass in pieces, in constant memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/send_parts.h"
#include "mime/address.h"

enum send_form { FORM_PLAIN, FORM_LIST, FORM_MAILBOX, FORM_SENDER };

/* Options that are columns. */
static const struct {
	const char *option, *column;
	enum send_form form;
} send_columns[] = {
	{ "tenant", "tenant", FORM_PLAIN },
	{ "from", "from_address", FORM_MAILBOX },
	{ "envelope-from", "envelope_from", FORM_SENDER },
	{ "to", "to_addresses", FORM_LIST },
	{ "cc", "cc_addresses", FORM_LIST },
	{ "bcc", "bcc_addresses", FORM_LIST },
	{ "reply-to", "reply_to", FORM_LIST },
	{ "subject", "subject", FORM_PLAIN },
	{ "priority", "priority", FORM_PLAIN },
	{ "not-before", "not_before", FORM_PLAIN },
	{ "expires-at", "expires_at", FORM_PLAIN },
	{ "idempotency-key", "idempotency_key", FORM_PLAIN },
	{ "reference", "reference", FORM_PLAIN },
	{ "dsn-notify", "dsn_notify", FORM_PLAIN },
	{ "dsn-return", "dsn_return", FORM_PLAIN },
};

#define SEND_COLUMNS (sizeof send_columns / sizeof send_columns[0])

struct sending {
	struct admin_setting columns[SEND_COLUMNS + 3]; /* draft, body_text, body_html */
	size_t count;
	char *owned[SEND_COLUMNS + 3]; /* same order: the values, to be freed */
	struct input message;
	struct send_parts parts;
};

static enum error check_form(enum send_form form, const char *column, const char *value, struct words *words)
{
	struct address_list list = { .items = NULL };
	struct address address = { .address = NULL };
	enum error error;

	if (!*value || form == FORM_PLAIN || (form == FORM_SENDER && strcmp(value, "<>") == 0))
		return OK;
	if (form == FORM_LIST) {
		error = address_list_parse(column, value, strlen(value), &list, words);
		if (error == OK)
			address_list_fini(&list);
		return error;
	}
	error = address_parse_one(column, value, strlen(value), &address, words);
	if (error == OK)
		address_fini(&address);
	return error;
}

static void add_column(struct sending *sending, const char *column, char *value)
{
	sending->columns[sending->count] = (struct admin_setting){ .column = column, .value = value };
	sending->owned[sending->count++] = value;
}

static int gather_columns(const struct invocation *invocation, struct sending *sending)
{
	struct words words;

	for (size_t i = 0; i < SEND_COLUMNS; i++) {
		char *value = options_joined(&invocation->options, send_columns[i].option);
		enum error error;

		if (!value)
			continue;
		add_column(sending, send_columns[i].column, value);
		error = check_form(send_columns[i].form, send_columns[i].column, value, &words);
		if (error != OK)
			return cli_fail(error, &words);
	}
	if (options_have(&invocation->options, "draft")) {
		char *one = strdup("1");

		add_column(sending, "draft", one);
	}
	return EX_OK;
}

static int gather_text(const char *name, const char *column, struct sending *sending)
{
	struct input input;
	struct words words;
	char *text;
	enum error error = input_open(name, &input, &words);

	if (error != OK)
		return cli_fail_file(error, &words);
	error = input_text(&input, strcmp(name, "-") == 0 ? "standard input" : name, &text, &words);
	input_close(&input);
	if (error != OK)
		return cli_fail(error, &words);
	add_column(sending, column, text);
	return EX_OK;
}

static int gather_message(const char *name, struct sending *sending)
{
	struct words words;
	enum error error = input_open(name, &sending->message, &words);

	if (error != OK)
		return cli_fail_file(error, &words);
	if (sending->message.size > 0)
		return EX_OK;
	words_set(&words, "the message is empty");
	return cli_fail(ERROR_INVALID, &words);
}

static int check_usage(const struct invocation *invocation)
{
	static const char *const parts[] = { "text", "html", "attach", "inline" };
	const struct options *options = &invocation->options;

	if (!options_have(options, "tenant"))
		return cli_usage(invocation, "whose message? Give --tenant");
	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && options_have(options, "message"); i++)
		if (options_have(options, parts[i]))
			return cli_usage(
				invocation,
				"--%s and --message exclude one another: a message is complete in itself",
				parts[i]);
	if (options_have(options, "inline") && !options_have(options, "html"))
		return cli_usage(invocation,
		                 "--inline is for what the HTML shows: give --html too, or --attach");
	if (!send_parts_well_named(options))
		return cli_usage(invocation, "--inline needs CID=FILE, as in --inline logo=logo.png");
	if (send_parts_from_standard_input(options) > 1)
		return cli_usage(invocation, "standard input can be only one of the files");
	if (!options_have(options, "to") && !options_have(options, "cc") && !options_have(options, "bcc") &&
	    !options_have(options, "message") && !options_have(options, "draft"))
		return cli_usage(invocation, "to whom? Give --to, --cc or --bcc");
	return EX_OK;
}

/* Inputs are opened before the database and closed after it: see input.h. */
static int insert(const struct invocation *invocation, const struct sending *sending)
{
	struct admin_mail mail = { .columns = sending->columns,
		                   .count = sending->count,
		                   .message = { .name = "the message",
		                                .fd = sending->message.fd,
		                                .size = sending->message.size,
		                                .modified = sending->message.modified },
		                   .attachments = sending->parts.items,
		                   .attachment_count = sending->parts.count };
	struct admin *admin;
	struct words words;
	enum error error;
	int64_t id;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	error = admin_send(admin, &mail, &id, &words);
	status = cli_close(&admin, error, &words);
	if (status == EX_OK)
		(void)printf("%" PRId64 "\n", id);
	return status;
}

static int run_send(const struct invocation *invocation)
{
	const struct options *options = &invocation->options;
	struct sending sending = { .message = { .fd = -1 } };
	int status = check_usage(invocation);

	if (status == EX_OK)
		status = gather_columns(invocation, &sending);
	if (status == EX_OK && options_have(options, "text"))
		status = gather_text(options_value(options, "text"), "body_text", &sending);
	if (status == EX_OK && options_have(options, "html"))
		status = gather_text(options_value(options, "html"), "body_html", &sending);
	if (status == EX_OK)
		status = send_parts_gather(options, &sending.parts);
	if (status == EX_OK && options_have(options, "message"))
		status = gather_message(options_value(options, "message"), &sending);
	if (status == EX_OK)
		status = insert(invocation, &sending);
	input_close(&sending.message);
	send_parts_fini(&sending.parts);
	for (size_t i = 0; i < sending.count; i++)
		free(sending.owned[i]);
	return status;
}

static const struct option_rule send_rules[] = {
	{ .name = "tenant", .argument = "T", .help = "whose message it is" },
	{ .name = "from", .argument = "A", .help = "From address (else the tenant's)" },
	{ .name = "envelope-from", .argument = "A", .help = "envelope sender, <> = the null sender" },
	{ .name = "to",
	  .argument = "A",
	  .help = "recipients; may be repeated, as --cc and --bcc",
	  .many = true },
	{ .name = "cc", .argument = "A", .help = "recipients of copies", .many = true },
	{ .name = "bcc", .argument = "A", .help = "recipients that no header field shows", .many = true },
	{ .name = "reply-to", .argument = "A", .help = "Reply-To address", .many = true },
	{ .name = "subject", .argument = "S", .help = "the subject" },
	{ .name = "text", .argument = "FILE", .help = "the text, - = standard input" },
	{ .name = "html", .argument = "FILE", .help = "the same as HTML, - = standard input" },
	{ .name = "attach", .argument = "FILE", .help = "an attachment; may be repeated", .many = true },
	{ .name = "inline",
	  .argument = "CID=FILE",
	  .help = "a picture that the HTML shows as cid:CID; may be repeated",
	  .many = true },
	{ .name = "message", .argument = "FILE", .help = "a complete RFC 5322 message, - = standard input" },
	{ .name = "priority", .argument = "N", .help = "-9 to 9, higher first" },
	{ .name = "not-before", .argument = "SECONDS", .help = "send no sooner than (since 1970)" },
	{ .name = "expires-at", .argument = "SECONDS", .help = "give up at (since 1970)" },
	{ .name = "idempotency-key",
	  .argument = "KEY",
	  .help = "refused if the tenant has a message with it" },
	{ .name = "reference", .argument = "R", .help = "your own mark, repeated in the log" },
	{ .name = "dsn-notify",
	  .argument = "WORDS",
	  .help = "when the server shall notify the sender: never, or success,failure,delay" },
	{ .name = "dsn-return",
	  .argument = "PART",
	  .help = "what of the message a notification shall hold: full or headers" },
	{ .name = "draft", .help = "do not send until 'retry' queues it" },
	{ .name = NULL },
};

const struct verb cli_send_verbs[] = {
	{ .name = "send",
	  .operands = "",
	  .summary = "Inserts a message and prints its id",
	  .rules = send_rules,
	  .run = run_send },
	{ .name = NULL },
};
