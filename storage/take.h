/*
 * take.h - a worker's verbs: the message itself.
 *
 * Part of storage/storage.h, which includes it. Any thread; a connection is borrowed for each.
 */
#ifndef OUTBOXD_STORAGE_TAKE_H
#define OUTBOXD_STORAGE_TAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/mail.h"
#include "common/message.h"

struct storage;

/*
 * worker: the last read before MAIL. In one short read transaction demands that state, tenant, attempts,
 * requeue and due time of message still hold, that its tenant is enabled, that message->basis (NULL = none)
 * is its row, and that it has not expired (none of these where message->offline), and copies columns, bodies
 * (up to 256 KiB each in memory, larger ones and those without room in an unlinked file), attachments by
 * position (256 KiB of all in memory; none where offline) and known recipients. ERROR_NOT_FOUND: no longer to
 * be sent (cancelled, suspended, gone, message->basis->outdated); ERROR_INVALID: it never can be (too many
 * attachments, too long), with words, *mail without what is wrong; ERROR_BUSY: not in_company; _UNAVAILABLE.
 * With STORAGE_AT_ONCE for the deadline it waits for nothing, writes no file and takes no body with which the
 * row has more than 16 KiB: that is ERROR_UNAVAILABLE.
 */
#define STORAGE_AT_ONCE 0
enum error storage_take(struct storage *storage, const struct message *message, int64_t deadline_ms,
                        struct mail **mail, struct words *words);
void storage_give_back(struct storage *storage, struct mail **mail);

/*
 * worker: true if storage_take() would give the very same mail now: nobody has committed anything since, to
 * whatever table, but storage_settle(), which has no result of this one yet, and it has not expired since. A
 * look at shared memory, which costs next to nothing; false where that memory cannot be had. So mail may be
 * read ahead of the last moment, and is still what it is then.
 */
bool storage_still_is(struct storage *storage, const struct mail *mail);

#endif
