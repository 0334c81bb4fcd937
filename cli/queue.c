/*
 * queue.c - outboxctl queue, show, retry, cancel.
 *
 * Promises: no read of the database is open while the output waits for its
 * reader. Of several ids each is tried, and the first failure gives the status.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli/cli.h"
#include "cli/table.h"
#include "common/message.h"
#include "common/text.h"

#define PAGE_ROWS 1000

static const struct table_column queue_columns[] = {
	{ .name = "id", .heading = "ID", .kind = TABLE_NUMBER },
	{ .name = "tenant", .heading = "TENANT" },
	{ .name = "state", .heading = "STATE" },
	{ .name = "attempts", .heading = "TRIES", .kind = TABLE_NUMBER },
	{ .name = "due_at", .heading = "DUE", .kind = TABLE_WHEN },
	{ .name = "from_address", .heading = "FROM", .widest = 32 },
	{ .name = "to_addresses", .heading = "TO", .widest = 40 },
	{ .name = "result", .heading = "RESULT", .widest = 72 },
	{ .name = NULL },
};

static int run_queue(const struct invocation *invocation)
{
	const struct options *options = &invocation->options;
	struct admin_query query = { .tenant = options_value(options, "tenant"),
		                     .state = options_value(options, "state"),
		                     .limit = PAGE_ROWS };
	size_t given = PAGE_ROWS;
	enum message_state state;
	struct table *table;
	struct admin *admin;
	struct words words;
	enum error error = OK;
	int status;

	if (query.state && strcmp(query.state, "all") != 0 && !message_state_parse(query.state, &state))
		return cli_usage(invocation, "there is no such state: draft, queued, deferred, sent, failed, "
		                             "uncertain, cancelled, or all");
	status = cli_open(invocation, &admin);
	if (status != EX_OK)
		return status;
	table = table_create(stdout, queue_columns, options_have(options, "json"));
	while (error == OK && given == PAGE_ROWS) {
		error = admin_queue(admin, &query, &given, table_row, table, &words);
		table_flush(table);
	}
	status = cli_close(&admin, error, &words);
	table_end(&table);
	return status;
}

/* ---- show ------------------------------------------------------------------- */

static const struct table_column delivery_columns[] = {
	{ .name = "recipient", .heading = "RECIPIENT" },
	{ .name = "state", .heading = "STATE" },
	{ .name = "attempts", .heading = "TRIES", .kind = TABLE_NUMBER },
	{ .name = "code", .heading = "CODE", .kind = TABLE_NUMBER },
	{ .name = "enhanced_code", .heading = "ENHANCED" },
	{ .name = "server", .heading = "SERVER" },
	{ .name = "tls", .heading = "TLS" },
	{ .name = "response", .heading = "RESPONSE" },
	{ .name = NULL },
};

static const struct table_column attachment_columns[] = {
	{ .name = "position", .heading = "ATTACHMENT", .kind = TABLE_NUMBER },
	{ .name = "filename", .heading = "FILE" },
	{ .name = "content_type", .heading = "TYPE" },
	{ .name = "content_id", .heading = "CONTENT ID" },
	{ .name = "size", .heading = "SIZE", .kind = TABLE_NUMBER },
	{ .name = NULL },
};

struct shown {
	struct buffer fields;
	struct table *recipients, *attachments;
	size_t recipient_count, attachment_count;
	json_t *message, *deliveries, *attached;
};

static void show_message(void *context, const struct admin_value *values, size_t count)
{
	struct shown *shown = context;

	table_fields(&shown->fields, values, count);
	shown->message = table_json(values, count);
}

static void show_delivery(void *context, const struct admin_value *values, size_t count)
{
	struct shown *shown = context;

	table_row(shown->recipients, values, count);
	shown->recipient_count++;
	(void)json_array_append_new(shown->deliveries, table_json(values, count));
}

static void show_attachment(void *context, const struct admin_value *values, size_t count)
{
	struct shown *shown = context;

	table_row(shown->attachments, values, count);
	shown->attachment_count++;
	(void)json_array_append_new(shown->attached, table_json(values, count));
}

static void print_rows(struct table *table, size_t count)
{
	if (count == 0)
		return;
	(void)fputc('\n', stdout);
	table_flush(table);
}

static void print_shown(struct shown *shown, bool json)
{
	json_t *document;

	if (!json) {
		(void)fwrite(shown->fields.data, 1, shown->fields.length, stdout);
		print_rows(shown->attachments, shown->attachment_count);
		print_rows(shown->recipients, shown->recipient_count);
		return;
	}
	document = json_array();
	/* the column of that name is how many were announced */
	(void)json_object_set(shown->message, "attached", shown->attached);
	(void)json_object_set(shown->message, "recipients", shown->deliveries);
	(void)json_array_append(document, shown->message);
	(void)json_dumpf(document, stdout, JSON_INDENT(1));
	(void)fputc('\n', stdout);
	json_decref(document);
}

static bool parse_id(const char *text, int64_t *id)
{
	return text_to_int(text, 1, INT64_MAX, id);
}

static int run_show(const struct invocation *invocation)
{
	struct shown shown = { .message = NULL };
	const struct admin_message_to to = { .message = show_message,
		                             .attachment = show_attachment,
		                             .delivery = show_delivery,
		                             .context = &shown };
	struct admin *admin;
	struct words words;
	enum error error;
	int64_t id;
	int status;

	if (!parse_id(invocation->options.operands[0], &id))
		return cli_usage(invocation, "an id is a whole number from 1 on");
	status = cli_open(invocation, &admin);
	if (status != EX_OK)
		return status;
	buffer_init(&shown.fields, 16 << 20);
	shown.recipients = table_create(stdout, delivery_columns, false);
	shown.attachments = table_create(stdout, attachment_columns, false);
	shown.attached = json_array();
	shown.deliveries = json_array();
	error = admin_message(admin, id, &to, &words);
	status = cli_close(&admin, error, &words);
	if (status == EX_OK)
		print_shown(&shown, options_have(&invocation->options, "json"));
	table_drop(&shown.recipients);
	table_drop(&shown.attachments);
	buffer_fini(&shown.fields);
	json_decref(shown.message);
	json_decref(shown.deliveries);
	json_decref(shown.attached);
	return status;
}

/* ---- retry and cancel ------------------------------------------------------- */

static int change_all(const struct invocation *invocation, enum admin_change change)
{
	const struct options *options = &invocation->options;
	struct admin *admin;
	struct words words;
	int status, first = EX_OK;

	for (size_t i = 0; i < options->operand_count; i++) {
		int64_t id;

		if (!parse_id(options->operands[i], &id))
			return cli_usage(invocation, "%.40s is no id: a whole number from 1 on",
			                 options->operands[i]);
	}
	status = cli_open(invocation, &admin);
	if (status != EX_OK)
		return status;
	for (size_t i = 0; i < options->operand_count; i++) {
		int64_t id = 0;
		enum error error;

		(void)parse_id(options->operands[i], &id);
		error = admin_change(admin, id, change, &words);
		if (error == OK) {
			(void)printf("%lld %s\n", (long long)id,
			             change == ADMIN_RETRY ? "queued" : "cancelled");
			continue;
		}
		if (error == ERROR_INVALID) { /* a rule's sentence does not say of which message */
			struct words sentence = words;

			words_set(&words, "%lld: %s", (long long)id, sentence.text);
		}
		status = cli_fail(error, &words);
		first = first == EX_OK ? status : first;
		if (error == ERROR_UNAVAILABLE)
			break;
	}
	admin_close(&admin);
	return first;
}

static int retry_tenant(const struct invocation *invocation, const char *tenant)
{
	struct admin *admin;
	struct words words;
	int64_t queued = 0;
	enum error error;
	int status = cli_open(invocation, &admin);

	if (status != EX_OK)
		return status;
	error = admin_tenant_retry(admin, tenant, &queued, &words);
	status = cli_close(&admin, error, &words);
	if (status == EX_OK)
		(void)printf("%s: %lld deferred message%s queued, its backoff is to end\n", tenant,
		             (long long)queued, queued == 1 ? "" : "s");
	return status;
}

static int run_retry(const struct invocation *invocation)
{
	const char *tenant = options_value(&invocation->options, "tenant");

	if (!tenant == !invocation->options.operand_count)
		return cli_usage(invocation, "retry needs ids or --tenant, not both");
	return tenant ? retry_tenant(invocation, tenant) : change_all(invocation, ADMIN_RETRY);
}

static int run_cancel(const struct invocation *invocation)
{
	return change_all(invocation, ADMIN_CANCEL);
}

static const struct option_rule queue_rules[] = {
	{ .name = "tenant", .argument = "T", .help = "only this tenant's" },
	{ .name = "state",
	  .argument = "S",
	  .help = "only those in this state, or all (else: those unfinished)" },
	CLI_JSON_RULE,
	{ .name = NULL },
};

static const struct option_rule show_rules[] = { CLI_JSON_RULE, { .name = NULL } };

static const struct option_rule retry_rules[] = {
	{ .name = "tenant", .argument = "T", .help = "all its deferred messages; its backoff is forgotten" },
	{ .name = NULL },
};

const struct verb cli_queue_verbs[] = {
	{ "queue", "", "Lists messages", 0, 0, queue_rules, false, run_queue, NULL },
	{ "show", "ID", "Shows a message, its attachments and its recipients, without its bodies", 1, 1,
	  show_rules, false, run_show, NULL },
	{ "retry", "ID...", "Queues messages now, also failed and cancelled ones", 0, SIZE_MAX, retry_rules,
	  false, run_retry, "Recipients that were accepted already get nothing again." },
	{ "cancel", "ID...", "Cancels messages", 1, SIZE_MAX, NULL, false, run_cancel,
	  "A message that is just being sent may be sent all the same." },
	{ .name = NULL },
};
