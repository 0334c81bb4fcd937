/*
 * report.c - see report.h. The keys are the contract's, section Log.
 */
#include "daemon/report.h"

#include <inttypes.h>
#include <stdio.h>

static const char *event_of(enum delivery_state state)
{
	switch (state) {
	case DELIVERY_SENT: return "delivery.sent";
	case DELIVERY_FAILED: return "delivery.failed";
	case DELIVERY_UNCERTAIN: return "delivery.uncertain";
	case DELIVERY_CANCELLED: return "delivery.cancelled";
	case DELIVERY_NONE:
	case DELIVERY_DEFERRED: break;
	}
	return "delivery.deferred";
}

static enum log_level level_of(enum delivery_state state)
{
	return state == DELIVERY_FAILED || state == DELIVERY_UNCERTAIN ? LOG_WARNING : LOG_INFO;
}

/* waiting/connecting/transmitting in seconds. */
static void report_delays(struct log_batch *batch, const struct message *message, int64_t delay_ms)
{
	int64_t connecting = 0, transmitting = 0, waiting;
	char text[96];

	if (message->opened_ms > message->taken_ms && message->taken_ms > 0)
		connecting = message->opened_ms - message->taken_ms;
	if (message->opened_ms > 0 && message->ended_ms > message->opened_ms)
		transmitting = message->ended_ms - message->opened_ms;
	waiting = delay_ms - connecting - transmitting;
	if (waiting < 0)
		waiting = 0;
	snprintf(text, sizeof(text), "%" PRId64 ".%03d/%" PRId64 ".%03d/%" PRId64 ".%03d", waiting / 1000,
	         (int)(waiting % 1000), connecting / 1000, (int)(connecting % 1000), transmitting / 1000,
	         (int)(transmitting % 1000));
	log_text(batch, "delays", text);
}

static void report_recipient(struct log_batch *batch, const char *db, const struct message *message,
                             const struct recipient *recipient)
{
	const struct outcome *outcome = &recipient->outcome;
	/* An earlier doubt stays in the table; this time the server said "later". */
	bool deferred = recipient->state == DELIVERY_DEFERRED ||
	                (recipient->state == DELIVERY_UNCERTAIN && outcome->verdict == VERDICT_RETRY);
	enum delivery_state state = !deferred            ? recipient->state
	                            : message->cancelled ? DELIVERY_CANCELLED
	                                                 : DELIVERY_DEFERRED;
	int64_t delay_ms = message->decided_wall_ms - message->queued_at_ms;

	log_begin(batch, level_of(state), event_of(state), db, message->tenant_name);
	log_number(batch, "id", message->id);
	log_text(batch, "recipient", recipient->address);
	log_text(batch, "from", message->from && message->from[0] ? message->from : "<>");
	log_text(batch, "message_id", message->message_id);
	if (message->size > 0)
		log_number(batch, "size", message->size);
	log_text(batch, "session", message->session);
	log_text(batch, "server", message->server);
	if (outcome->code)
		log_number(batch, "code", outcome->code);
	log_text(batch, "enhanced", outcome->enhanced[0] ? outcome->enhanced : NULL);
	log_text(batch, "response", outcome->text);
	if (outcome->stage != STAGE_NONE)
		log_text(batch, "stage", stage_name(outcome->stage));
	log_number(batch, "attempt", message->attempts);
	if (delay_ms >= 0) {
		log_seconds(batch, "delay", delay_ms);
		report_delays(batch, message, delay_ms);
	}
	if (state == DELIVERY_DEFERRED || (state == DELIVERY_UNCERTAIN && message->state == MESSAGE_DEFERRED))
		log_seconds(batch, "retry_in", message->due_at * 1000 - message->decided_wall_ms);
	log_text(batch, "reference", message->reference);
	if (message->dsn != DSN_UNUSED)
		log_text(batch, "dsn", message->dsn == DSN_ASKED ? "asked" : "not_offered");
	/* An uncertain one may arrive twice; so may one that was uncertain before. */
	if (state == DELIVERY_UNCERTAIN || (message->duplicate_possible && outcome->verdict == VERDICT_SENT))
		log_text(batch, "duplicate", "possible");
	log_end(batch);
}

static bool is_told(const struct message *message, const struct recipient *recipient)
{
	return recipient->outcome.verdict != VERDICT_NONE &&
	       (recipient->outcome.verdict != VERDICT_UNTRIED || message->state == MESSAGE_FAILED);
}

void report_message(struct log_batch *batch, const char *db, const struct message *message)
{
	if (message->invalid) {
		log_begin(batch, LOG_WARNING, "message.invalid", db, message->tenant_name);
		log_number(batch, "id", message->id);
		log_text(batch, "error", message->outcome.text);
		log_text(batch, "reference", message->reference);
		log_end(batch);
		return;
	}
	for (size_t i = 0; i < message->recipient_count; i++) {
		if (is_told(message, &message->recipients[i]))
			report_recipient(batch, db, message, &message->recipients[i]);
	}
}
