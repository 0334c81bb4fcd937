/*
 * message.c - the vocabulary of all layers: message, recipient, outcome.
 *
 * Promises one owner a message: nothing in it is shared, all copies are deep.
 * Cannot fail (small allocations end the process with words).
 */
#include "common/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/room.h"
#include "common/text.h"

static const char *const stage_names[STAGE_COUNT] = {
	[STAGE_NONE] = "none",         [STAGE_RESOLVE] = "resolve", [STAGE_CONNECT] = "connect",
	[STAGE_GREETING] = "greeting", [STAGE_EHLO] = "ehlo",       [STAGE_STARTTLS] = "starttls",
	[STAGE_TLS] = "tls",           [STAGE_AUTH] = "auth",       [STAGE_MAIL] = "mail",
	[STAGE_RCPT] = "rcpt",         [STAGE_DATA] = "data",       [STAGE_TEXT] = "text",
	[STAGE_END] = "end",
};

static const char *const stage_places[STAGE_COUNT] = {
	[STAGE_NONE] = "at the start",
	[STAGE_RESOLVE] = "while its name was resolved",
	[STAGE_CONNECT] = "while connecting",
	[STAGE_GREETING] = "at the greeting",
	[STAGE_EHLO] = "at EHLO",
	[STAGE_STARTTLS] = "at STARTTLS",
	[STAGE_TLS] = "in the TLS handshake",
	[STAGE_AUTH] = "at AUTH",
	[STAGE_MAIL] = "at MAIL",
	[STAGE_RCPT] = "at RCPT",
	[STAGE_DATA] = "at DATA",
	[STAGE_TEXT] = "in the middle of the message",
	[STAGE_END] = "after the end of the message",
};

static const char *const delivery_names[] = {
	[DELIVERY_NONE] = NULL,       [DELIVERY_DEFERRED] = "deferred",   [DELIVERY_SENT] = "sent",
	[DELIVERY_FAILED] = "failed", [DELIVERY_UNCERTAIN] = "uncertain", [DELIVERY_CANCELLED] = "cancelled",
};

static const char *const message_names[] = {
	[MESSAGE_DRAFT] = "draft",         [MESSAGE_QUEUED] = "queued",     [MESSAGE_SENT] = "sent",
	[MESSAGE_FAILED] = "failed",       [MESSAGE_DEFERRED] = "deferred", [MESSAGE_UNCERTAIN] = "uncertain",
	[MESSAGE_CANCELLED] = "cancelled",
};

/* Room for them doubles. */
#define RECIPIENT_OCTETS (2 * (int64_t)sizeof(struct recipient))

#define COUNT(names)     (sizeof(names) / sizeof((names)[0]))

static const char *name_of(const char *const *names, size_t count, size_t value)
{
	return value < count ? names[value] : NULL;
}

/* The value of a name, or count if it is none. */
static size_t value_of(const char *const *names, size_t count, const char *name)
{
	size_t value = 0;

	while (value < count && (!names[value] || strcmp(names[value], name) != 0))
		value++;
	return value;
}

const char *stage_name(enum stage stage)
{
	const char *name = name_of(stage_names, STAGE_COUNT, stage);

	return name ? name : stage_names[STAGE_NONE];
}

const char *stage_place(enum stage stage)
{
	const char *place = name_of(stage_places, STAGE_COUNT, stage);

	return place ? place : stage_places[STAGE_NONE];
}

const char *delivery_state_name(enum delivery_state state)
{
	return name_of(delivery_names, COUNT(delivery_names), state);
}

bool delivery_state_parse(const char *name, enum delivery_state *state)
{
	size_t value = value_of(delivery_names, COUNT(delivery_names), name);

	if (value == COUNT(delivery_names))
		return false;
	*state = (enum delivery_state)value;
	return true;
}

const char *message_state_name(enum message_state state)
{
	return name_of(message_names, COUNT(message_names), state);
}

bool message_state_parse(const char *name, enum message_state *state)
{
	size_t value = value_of(message_names, COUNT(message_names), name);

	if (value == COUNT(message_names))
		return false;
	*state = (enum message_state)value;
	return true;
}

void outcome_clear(struct outcome *outcome)
{
	free(outcome->text);
	*outcome = (struct outcome){ 0 };
}

void outcome_copy(struct outcome *to, const struct outcome *from)
{
	char *old = to->text;

	if (to == from)
		return;
	*to = *from;
	to->text = memory_strdup(from->text);
	free(old);
}

void outcome_say(struct outcome *outcome, const char *format, ...)
{
	char *old = outcome->text, *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = memory_strdup(format); /* better than silence */
	va_end(arguments);
	outcome->text = text;
	free(old); /* last: the new text may have been made of it */
}

struct message *message_create(int64_t id, const char *tenant_name)
{
	struct message *message = memory_alloc(sizeof(*message));

	message->id = id;
	message->tenant_name = memory_strdup(tenant_name);
	message->journal_slot = -1;
	return message;
}

static void clear_text(char **text)
{
	free(*text);
	*text = NULL;
}

/* With what the allocator adds. */
static int64_t octets_of(const char *text)
{
	return text ? (int64_t)strlen(text) + 24 : 0;
}

void message_charge(struct message *message, struct room *room)
{
	int64_t octets = 0;

	if (message->recipient_count == 0)
		return;
	for (size_t i = 0; i < message->recipient_count; i++)
		octets += RECIPIENT_OCTETS + octets_of(message->recipients[i].address) +
		          octets_of(message->recipients[i].outcome.text);
	room_charge(room, octets);
	message->room = room;
	message->charged += octets;
}

void message_reset_attempt(struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		free(message->recipients[i].address);
		outcome_clear(&message->recipients[i].outcome);
	}
	free(message->recipients);
	message->recipients = NULL;
	message->recipient_count = 0;
	if (message->charged > 0)
		room_give(message->room, message->charged);
	message->charged = 0;
	outcome_clear(&message->outcome);
	clear_text(&message->from);
	clear_text(&message->message_id);
	clear_text(&message->reference);
	clear_text(&message->server);
	clear_text(&message->tls);
	clear_text(&message->session);
	clear_text(&message->result);
	message->size = 0;
	message->dsn = DSN_UNUSED;
	message->taken_ms = message->opened_ms = message->ended_ms = 0;
	message->settled = SETTLED_NOT_YET;
	message->duplicate_possible = message->invalid = message->past_end = false;
	message->lost_in_company = message->outdated = false;
	message->basis = NULL;
	message->cancelled = false;
	message->named_octets = 0;
}

void message_destroy(struct message **message)
{
	if (!*message)
		return;
	message_reset_attempt(*message);
	free((*message)->tenant_name);
	free(*message);
	*message = NULL;
}

struct recipient *message_add_recipient(struct message *message, const char *address)
{
	size_t count = message->recipient_count;
	struct recipient *recipient;

	/* Room doubles whenever the count is a power of two. */
	if ((count & (count - 1)) == 0)
		message->recipients = memory_resize(message->recipients,
		                                    (count ? 2 * count : 1) * sizeof(*message->recipients));
	recipient = &message->recipients[message->recipient_count++];
	*recipient = (struct recipient){ .address = memory_strdup(address), .wanted = true };
	return recipient;
}

int recipient_address_order(const char *a, const char *b)
{
	const char *domain_a = strrchr(a, '@'), *domain_b = strrchr(b, '@');
	int order;

	if (!domain_a || !domain_b)
		return domain_a ? 1 : domain_b ? -1 : strcmp(a, b);
	if (domain_a - a != domain_b - b)
		return domain_a - a < domain_b - b ? -1 : 1;
	order = memcmp(a, b, (size_t)(domain_a - a));
	return order != 0 ? order : text_order_nocase(domain_a, domain_b);
}

bool recipient_same_address(const char *a, const char *b)
{
	return recipient_address_order(a, b) == 0;
}
