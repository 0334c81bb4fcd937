/*
 * assemble.h - the parts of mime_compose(): envelope, text from columns, complete messages.
 *
 * Internal to mime/. One thread at a time.
 */
#ifndef OUTBOXD_MIME_ASSEMBLE_H
#define OUTBOXD_MIME_ASSEMBLE_H

#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/mail.h"
#include "mime/address.h"
#include "mime/compose.h"

#define SUBJECT_MAX         8000      /* octets of UTF-8: the schema takes 2000 characters */
#define AUTHORS_MAX         100       /* addresses in one From field: each is looked up in allowed_senders */
#define COMPOSED_HEADER_MAX (8 << 20) /* octets of a header of ours */

enum recipient_kind { RECIPIENT_TO, RECIPIENT_CC, RECIPIENT_BCC, RECIPIENT_KINDS };

/* Recipients while they are collected; kinds one after another in the envelope. */
struct gathering {
	char **items[RECIPIENT_KINDS];
	size_t count[RECIPIENT_KINDS];
	size_t capacity[RECIPIENT_KINDS];
};

/*
 * Copies the addresses of list. ERROR_LIMIT with words if there are more than
 * three full columns could hold (a message's header may repeat its fields).
 */
enum error gathering_add(struct gathering *gathering, enum recipient_kind kind,
                         const struct address_list *list, struct words *words);

/*
 * Moves all into envelope, each address once. ERROR_INVALID with words if there
 * is none. gathering is empty after it, whatever it answers.
 */
enum error gathering_finish(struct gathering *gathering, struct envelope *envelope, struct words *words);
void gathering_fini(struct gathering *gathering);

/* Sets envelope->sender from envelope_from, else from_address, else fallback. */
enum error envelope_set_sender(struct envelope *envelope, const struct mail *mail, const char *fallback,
                               struct words *words);

/* Adds an address of the From field; the first is envelope->from. */
void envelope_add_author(struct envelope *envelope, const struct address *address);

/* Adds an address of a Sender field, which may come before the From field. */
void envelope_add_sender_field(struct envelope *envelope, const struct address *address);
void envelope_fini(struct envelope *envelope);

/* "id.HASH@domain of from", allocated: the same at every try. */
char *compose_message_id(const char *instance, int64_t id, const char *from);

/* Writes a Date field made of the row. ERROR_INVALID with words for a time that has none. */
enum error compose_date(struct buffer *out, const struct mail *mail, struct words *words);
void compose_message_id_field(struct buffer *out, const char *message_id);

/*
 * The two kinds of messages; both fill composed, which is zeroed. Errors are
 * those of mime_compose(), and ERROR_LIMIT.
 */
enum error compose_columns(const struct mail *mail, const struct compose_options *options,
                           struct composed *composed, struct words *words);
enum error compose_complete(const struct mail *mail, const char *instance, struct composed *composed,
                            struct words *words);

#endif
