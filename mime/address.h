/*
 * address.h - RFC 5322 3.4 address lists, strictly.
 *
 * Pure. UTF-8 in and out (RFC 6532 in display names; local parts and domains
 * beyond ASCII are kept and marked). Obsolete forms (RFC 5322 4.4), routes and
 * ';' as a separator are refused.
 */
#ifndef OUTBOXD_MIME_ADDRESS_H
#define OUTBOXD_MIME_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct address {
	char *display; /* decoded phrase, NULL = none */
	char *address; /* local@domain as for the envelope: quoted where needed, domain as A-labels */
	bool smtputf8; /* the local part is beyond ASCII */
	char *group;   /* name of the group it stands in, NULL = none; shared text within a list */
};

struct address_list {
	struct address *items;
	size_t count;
	char **groups; /* names of all groups, in order, also empty ones */
	size_t group_count;
};

#define ADDRESS_LIST_MAX 10000 /* addresses in one column */

/*
 * Parses text, the value of column. ERROR_INVALID with words such as
 * "to_addresses, character 21: ';' does not separate addresses, use ','"
 * (characters are code points, counted from 1); ERROR_LIMIT over ADDRESS_LIST_MAX.
 */
enum error address_list_parse(const char *column, const char *text, size_t length, struct address_list *list,
                              struct words *words);

/*
 * The same for a field of a complete message, which we do not write ourselves:
 * a '.' in a display name may stand without quotes (RFC 5322 4.1 obs-phrase,
 * which most software writes). place is what the words begin with.
 */
enum error address_list_parse_field(const char *place, const char *text, size_t length,
                                    struct address_list *list, struct words *words);

/* Exactly one mailbox, no group (From, envelope_from without '<>'). */
enum error address_parse_one(const char *column, const char *text, size_t length, struct address *address,
                             struct words *words);

/* Whether any of them needs RFC 6531. */
bool address_list_smtputf8(const struct address_list *list);

void address_list_fini(struct address_list *list);
void address_fini(struct address *address);

#endif
