/*
 * sqlite_find.c - messages that are looked for by name or by age, not by their turn.
 *
 * The supervisor's: what an earlier process had in hand, and what expires while
 * its tenant's server is down. Fails with ERROR_UNAVAILABLE and words.
 */
#include <assert.h>

#include "common/clock.h"
#include "storage/sqlite_look.h"

enum error storage_find(struct storage *storage, int64_t id, bool cancelled, struct message **message,
                        struct words *words)
{
	int rc;
	struct connection *look = storage_look_begin(storage, &rc);
	enum error error;

	*message = NULL;
	if (rc == SQLITE_OK) {
		struct statement row = statement_begin(look, LOOK_FIND);

		statement_int(&row, 1, id);
		statement_int(&row, 2, cancelled);
		statement_int(&row, 5, clock_wall_ms());
		if (statement_row(&row))
			*message = storage_message_of_row(&row);
		rc = statement_end(&row);
	}
	rc = connection_read_end(look, rc);
	error = connection_error(look, rc, "cannot find a message", words);
	if (error != OK)
		message_destroy(message);
	else if (!*message)
		error = ERROR_NOT_FOUND;
	return error;
}

enum error storage_expired(struct storage *storage, const struct storage_due_query *query, int max_age_s,
                           struct queue_link **first, struct words *words)
{
	struct queue_link **last = first;
	int found = 0;
	int rc;
	struct connection *look = storage_look_begin(storage, &rc);

	*first = NULL;
	if (rc == SQLITE_OK) {
		struct statement row = statement_begin(look, LOOK_EXPIRED);

		statement_text(&row, 1, query->tenant);
		statement_int(&row, 2, query->now);
		statement_int(&row, 3, (query->now - max_age_s) * 1000);
		statement_int(&row, 5, query->now * 1000);
		while (found < query->limit && statement_row(&row)) {
			struct message *message = storage_message_of_row(&row);
			const struct storage_try this_try = { .id = message->id,
				                              .due_at = message->due_at,
				                              .attempts = message->attempts,
				                              .requeue = message->requeue };

			if (query->in_hand(query->context, &this_try)) {
				message_destroy(&message);
				continue;
			}
			*last = &message->link;
			last = &message->link.next;
			found++;
		}
		rc = statement_end(&row);
	}
	rc = connection_read_end(look, rc);
	while (rc != SQLITE_OK && *first) {
		struct message *message = QUEUE_ITEM(*first, struct message, link);

		*first = message->link.next;
		message_destroy(&message);
	}
	return connection_error(look, rc, "cannot look for expired mail", words);
}
