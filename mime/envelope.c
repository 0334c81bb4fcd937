/*
 * envelope.c - who sends, who receives, and who may send as whom.
 *
 * Promises: each recipient once, in the order To, Cc, Bcc; time n log n, so
 * that 30,000 recipients cost milliseconds. Fails with ERROR_INVALID and
 * ERROR_LIMIT, with words.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/message.h"
#include "common/text.h"
#include "mime/assemble.h"
#include "mime/domain.h"

#define RECIPIENTS_MAX MESSAGE_RECIPIENTS_MAX
_Static_assert(RECIPIENTS_MAX == RECIPIENT_KINDS * ADDRESS_LIST_MAX, "each column as many as it may have");

/* An address as it is compared: domain in lower case (RFC 5321 2.4). */
struct key {
	char *text;
	size_t place;
};

enum error gathering_add(struct gathering *gathering, enum recipient_kind kind,
                         const struct address_list *list, struct words *words)
{
	size_t count = gathering->count[kind];
	size_t total = 0;

	for (size_t i = 0; i < RECIPIENT_KINDS; i++)
		total += gathering->count[i];
	if (total + list->count > RECIPIENTS_MAX) {
		words_set(words, "more than %d recipients", RECIPIENTS_MAX);
		return ERROR_LIMIT;
	}
	if (count + list->count > gathering->capacity[kind]) {
		gathering->capacity[kind] = 2 * (count + list->count);
		gathering->items[kind] = memory_resize(gathering->items[kind],
		                                       gathering->capacity[kind] * sizeof(char *));
	}
	for (size_t i = 0; i < list->count; i++)
		gathering->items[kind][count + i] = memory_strdup(list->items[i].address);
	gathering->count[kind] = count + list->count;
	return OK;
}

void gathering_fini(struct gathering *gathering)
{
	for (size_t kind = 0; kind < RECIPIENT_KINDS; kind++) {
		for (size_t i = 0; i < gathering->count[kind]; i++)
			free(gathering->items[kind][i]);
		free(gathering->items[kind]);
	}
	memset(gathering, 0, sizeof(*gathering));
}

static int compare_keys(const void *left, const void *right)
{
	const struct key *a = left;
	const struct key *b = right;
	int order = strcmp(a->text, b->text);

	if (order != 0)
		return order;
	return a->place < b->place ? -1 : a->place > b->place;
}

/* Frees and NULLs every address that an earlier one equals (recipient_same_address()). */
static void drop_repeated(char **items, size_t count)
{
	struct key *keys = memory_alloc(count * sizeof(keys[0]));

	for (size_t i = 0; i < count; i++) {
		keys[i] = (struct key){ .text = memory_strdup(items[i]), .place = i };
		text_lower_ascii(strrchr(keys[i].text, '@'));
	}
	qsort(keys, count, sizeof(keys[0]), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(keys[i].text, keys[i - 1].text) == 0) {
			free(items[keys[i].place]);
			items[keys[i].place] = NULL;
		}
	}
	for (size_t i = 0; i < count; i++)
		free(keys[i].text);
	free(keys);
}

enum error gathering_finish(struct gathering *gathering, struct envelope *envelope, struct words *words)
{
	size_t total = 0;
	char **all;

	for (size_t kind = 0; kind < RECIPIENT_KINDS; kind++)
		total += gathering->count[kind];
	if (total == 0) {
		gathering_fini(gathering);
		words_set(words, "there is no recipient");
		return ERROR_INVALID;
	}
	all = memory_alloc(total * sizeof(all[0]));
	total = 0;
	for (size_t kind = 0; kind < RECIPIENT_KINDS; kind++) {
		for (size_t i = 0; i < gathering->count[kind]; i++)
			all[total++] = gathering->items[kind][i];
		gathering->count[kind] = 0;
	}
	drop_repeated(all, total);
	for (size_t i = 0; i < total; i++) {
		if (all[i])
			all[envelope->recipient_count++] = all[i];
	}
	envelope->recipients = all;
	gathering_fini(gathering);
	return OK;
}

enum error envelope_set_sender(struct envelope *envelope, const struct mail *mail, const char *fallback,
                               struct words *words)
{
	const char *text = mail->envelope_from ? mail->envelope_from : mail->from_address;
	struct address address;
	enum error error;

	if (!text || (mail->envelope_from && strcmp(text, "<>") == 0)) {
		envelope->sender = memory_strdup(text ? "" : fallback);
		return OK;
	}
	error = address_parse_one(mail->envelope_from ? "envelope_from" : "from_address", text, strlen(text),
	                          &address, words);
	if (error)
		return error;
	envelope->sender = memory_strdup(address.address);
	address_fini(&address);
	return OK;
}

void envelope_add_author(struct envelope *envelope, const struct address *address)
{
	envelope->authors = memory_resize(envelope->authors, (envelope->author_count + 1) * sizeof(char *));
	envelope->authors[envelope->author_count++] = memory_strdup(address->address);
	envelope->smtputf8 = envelope->smtputf8 || address->smtputf8;
	if (!envelope->from)
		envelope->from = memory_strdup(address->address);
}

void envelope_add_sender_field(struct envelope *envelope, const struct address *address)
{
	char *from = envelope->from;

	/* it may stand before the From field, and is never taken for it */
	envelope->from = from ? from : address->address;
	envelope_add_author(envelope, address);
	envelope->from = from;
}

void envelope_fini(struct envelope *envelope)
{
	for (size_t i = 0; i < envelope->recipient_count; i++)
		free(envelope->recipients[i]);
	for (size_t i = 0; i < envelope->author_count; i++)
		free(envelope->authors[i]);
	free(envelope->recipients);
	free(envelope->authors);
	free(envelope->sender);
	free(envelope->from);
	free(envelope->unjudged);
	memset(envelope, 0, sizeof(*envelope));
}

/* The end of one entry of allowed_senders: a comma outside quotes, or the end. */
static size_t entry_length(const char *text)
{
	bool quoted = false;
	size_t at = 0;

	for (; text[at] && (quoted || text[at] != ','); at++) {
		if (quoted && text[at] == '\\' && text[at + 1])
			at++;
		else if (text[at] == '"')
			quoted = !quoted;
	}
	return at;
}

static bool entry_allows(const char *entry, size_t length, const char *address)
{
	const char *at = strrchr(address, '@');
	struct address parsed;
	struct words words;
	char *domain;
	bool same;

	if (length > 0 && entry[0] == '@') {
		if (!at || domain_to_ascii(entry + 1, length - 1, &domain, &words))
			return false;
		same = text_equal_nocase(domain, at + 1);
		free(domain);
		return same;
	}
	if (address_parse_one("allowed_senders", entry, length, &parsed, &words))
		return false;
	same = recipient_same_address(parsed.address, address);
	address_fini(&parsed);
	return same;
}

/* The entry at *at without the blanks around it, and *at behind its comma: NULL at the end of all. */
static const char *next_entry(const char **at, size_t *length)
{
	const char *start = *at, *end;

	if (!start)
		return NULL;
	end = start + entry_length(start);
	*at = *end ? end + 1 : NULL;
	while (start < end && (*start == ' ' || *start == '\t'))
		start++;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*length = (size_t)(end - start);
	return start;
}

bool mime_sender_allowed(const char *allowed, const char *address)
{
	const char *entry;
	size_t length;

	if (!allowed || address[0] == '\0')
		return true;
	while ((entry = next_entry(&allowed, &length)))
		if (entry_allows(entry, length, address))
			return true;
	return false;
}

static bool is_entry(const char *entry, size_t length, struct words *words)
{
	struct address parsed;
	char *domain;

	if (length > 0 && entry[0] == '@') {
		if (domain_to_ascii(entry + 1, length - 1, &domain, words))
			return false;
		free(domain);
		return true;
	}
	if (address_parse_one("allowed_senders", entry, length, &parsed, words))
		return false;
	address_fini(&parsed);
	return true;
}

bool mime_senders_check(const char *allowed, struct words *words)
{
	const char *entry;
	size_t length;

	while ((entry = next_entry(&allowed, &length))) {
		if (length == 0 || is_entry(entry, length, words))
			continue;
		words_set(words, "allowed_senders: \"%.*s\" is neither an address nor @ and a domain",
		          (int)(length < 100 ? length : 100), entry);
		return false;
	}
	return true;
}

bool mime_envelope_allowed(const char *allowed, const struct envelope *envelope, struct words *words)
{
	const char *refused = NULL;

	if (!mime_sender_allowed(allowed, envelope->sender))
		refused = envelope->sender;
	for (size_t i = 0; i < envelope->author_count && !refused; i++) {
		if (!mime_sender_allowed(allowed, envelope->authors[i]))
			refused = envelope->authors[i];
	}
	if (refused)
		words_set(words, "the tenant may not send as %s (allowed_senders)", refused);
	else if (allowed && envelope->unjudged)
		words_set(words, "%s; it must be among allowed_senders", envelope->unjudged);
	return !refused && !(allowed && envelope->unjudged);
}
