/*
 * supervisor_suspect.c - messages that were in hand when a thread crashed, stalled or
 * ended. See supervisor.h.
 *
 * Promises: such a message goes alone (supervisor_dispatch.c), so that the next failure
 * names one; at its second crash, its second stall or its fifth error within a minute it
 * fails, unread, and its tenant is quarantined (where even the record of that crashes us, it is
 * left alone until the quarantine is over); its counts are on the journal's page and
 * live until it is finished or queued anew, through any number of restarts.
 */
#include "daemon/supervisor_suspect.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_result.h"
#include "daemon/supervisor_tenant.h"

#define CHANCES 2 /* crashes, or stalls */

struct suspect {
	int64_t id;
	UT_hash_handle hh;
	int attempts, requeue; /* the try that the journal remembers */
	int slot;
	const char *condemned; /* why it is not tried again; NULL = it is */
	bool past_end;         /* it was past the end of its data at the last failure */
};

static struct suspect *find(struct supervisor *supervisor, int64_t id)
{
	struct suspect *suspect;

	HASH_FIND(hh, supervisor->suspects, &id, sizeof(id), suspect);
	return suspect;
}

static struct suspect *add(struct supervisor *supervisor, int64_t id, int slot)
{
	struct suspect *suspect = memory_alloc(sizeof(*suspect));

	suspect->id = id;
	suspect->slot = slot;
	HASH_ADD(hh, supervisor->suspects, id, sizeof(suspect->id), suspect);
	return suspect;
}

static void drop(struct supervisor *supervisor, struct suspect *suspect)
{
	journal_give(supervisor->outbox->journal, suspect->slot);
	HASH_DEL(supervisor->suspects, suspect);
	free(suspect);
}

/* It fails as it is: nothing of it is read again. */
static void condemn(struct supervisor *supervisor, struct tenant *tenant, struct message *message,
                    const char *why, bool past_end)
{
	struct words words;

	message->invalid = true;
	message->outcome.verdict = VERDICT_REFUSED;
	message->outcome.scope = SCOPE_MESSAGE;
	outcome_say(&message->outcome, "%s while it had this message in hand%s", why,
	            past_end ? "; it may have arrived" : "");
	words_set(&words, "%s while it had message %lld in hand", why, (long long)message->id);
	tenant_quarantine(supervisor, tenant, words.text);
}

static const char *verdict_on(const struct journal_entry *entry)
{
	if (entry->crashes >= CHANCES)
		return "outboxd crashed twice";
	if (entry->stalls >= CHANCES)
		return "a worker of outboxd did not move, twice,";
	return NULL;
}

/* A message that an earlier process had past the end of its data: nobody knows. */
static void recover_uncertain(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	message->offline = message->recovered = true;
	message->ready_ms = clock_monotonic_ms();
	in_hand_add(supervisor, tenant, message);
	ready_add(tenant, message);
	timers_set_earlier(&supervisor->timers, &tenant->timer, message->ready_ms);
}

static void recover(void *context, const struct journal_entry *entry)
{
	struct supervisor *supervisor = context;
	struct suspect *suspect;
	struct message *message;
	struct tenant *tenant;
	struct words words;
	enum error error = storage_find(supervisor->outbox->storage, entry->id,
	                                entry->stage == JOURNAL_PAST_END, &message, &words);

	if (error != OK && error != ERROR_NOT_FOUND)
		return; /* the slot stays taken: the next start asks again */
	if (error == ERROR_NOT_FOUND || message->attempts != entry->attempts ||
	    message->requeue != entry->requeue || in_hand_find(supervisor, entry->id) ||
	    find(supervisor, entry->id)) {
		journal_give(supervisor->outbox->journal, entry->slot);
		if (error == OK)
			message_destroy(&message);
		return;
	}
	tenant = tenant_make(supervisor, message->tenant_name);
	message->journal_slot = entry->slot;
	if (message->state == MESSAGE_CANCELLED) { /* meanwhile: it may be out all the same */
		recover_uncertain(supervisor, tenant, message);
		return;
	}
	if (entry->crashes > 0 || entry->stalls > 0 || entry->stage == JOURNAL_SUSPECT) {
		suspect = add(supervisor, entry->id, entry->slot);
		suspect->attempts = entry->attempts;
		suspect->requeue = entry->requeue;
		suspect->condemned = verdict_on(entry);
		suspect->past_end = entry->stage == JOURNAL_PAST_END;
		message->suspect = true;
		if (entry->crashes > CHANCES) {
			/* Its failure was to be recorded: nothing else is done for such a message. */
			if (!tenant_rare(tenant)->quarantine_until_ms)
				tenant_quarantine(supervisor, tenant,
				                  "outboxd crashed while it recorded a message's failure");
			message_destroy(&message);
			return;
		}
		if (suspect->condemned && tenant->settings) {
			in_hand_add(supervisor, tenant, message);
			condemn(supervisor, tenant, message, suspect->condemned, suspect->past_end);
			settle_as_it_is(supervisor, tenant, message);
			return;
		}
	}
	if (entry->stage == JOURNAL_PAST_END)
		recover_uncertain(supervisor, tenant, message);
	else
		message_destroy(&message); /* the look finds it */
}

void suspect_recover(struct supervisor *supervisor)
{
	journal_recover(supervisor->outbox->journal, recover, supervisor);
}

bool suspect_find_again(struct supervisor *supervisor, struct message *message)
{
	struct message *now;
	struct words words;
	bool changed;
	enum error error;

	if (!message->recovered)
		return false;
	error = storage_find(supervisor->outbox->storage, message->id, true, &now, &words);
	if (error != OK)
		return error != ERROR_NOT_FOUND;
	changed = now->attempts == message->attempts && now->requeue == message->requeue &&
	          (now->state != message->state || now->due_at != message->due_at);
	message->state = now->state;
	message->due_at = now->due_at;
	message_destroy(&now);
	return changed;
}

bool suspect_adopt(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	struct suspect *suspect = find(supervisor, message->id);

	if (!suspect)
		return true;
	if (suspect->attempts != message->attempts || suspect->requeue != message->requeue) {
		/* Queued anew by an application, who may have mended what was wrong. */
		drop(supervisor, suspect);
		return true;
	}
	message->suspect = true;
	message->journal_slot = suspect->slot;
	if (!suspect->condemned)
		return true;
	condemn(supervisor, tenant, message, suspect->condemned, suspect->past_end);
	settle_as_it_is(supervisor, tenant, message);
	return false;
}

void suspect_worker_ended(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	struct journal *journal = supervisor->outbox->journal;
	struct suspect *suspect = find(supervisor, message->id);
	struct words words;

	/* It may have ended before it took a slot; where there is none nothing can be counted. */
	message->journal_slot = journal_take(journal, message);
	if (message->journal_slot < 0)
		return;
	if (!suspect)
		suspect = add(supervisor, message->id, message->journal_slot);
	suspect->attempts = message->attempts;
	suspect->requeue = message->requeue;
	message->suspect = true;
	if (journal_failed(journal, message->journal_slot, clock_wall_ms()) < JOURNAL_ERRORS_MOST)
		return;
	words_set(&words, "%d workers ended within a minute, each", JOURNAL_ERRORS_MOST);
	condemn(supervisor, tenant, message, words.text, message->past_end);
}

void suspect_forget(struct supervisor *supervisor, struct message *message)
{
	struct suspect *suspect = find(supervisor, message->id);

	if (suspect)
		drop(supervisor, suspect);
	message->journal_slot = -1;
}

void suspect_settled(struct supervisor *supervisor, struct message *message)
{
	struct suspect *suspect = message->suspect ? find(supervisor, message->id) : NULL;

	/* Not committed: the page keeps what it has. */
	if (!suspect || message->settled == SETTLED_NOT_YET || message->settled == SETTLED_LOST)
		return;
	if (message->settled != SETTLED || message->state != MESSAGE_DEFERRED || message->cancelled) {
		suspect_forget(supervisor, message);
		return;
	}
	suspect->attempts = message->attempts;
	suspect->requeue = message->requeue;
	journal_keep(supervisor->outbox->journal, suspect->slot, message);
}

void suspect_check(struct supervisor *supervisor)
{
	struct suspect *suspect, *next;
	struct message *message;
	struct words words;

	HASH_ITER (hh, supervisor->suspects, suspect, next) {
		enum error error;

		if (in_hand_find(supervisor, suspect->id))
			continue;
		error = storage_find(supervisor->outbox->storage, suspect->id, false, &message, &words);
		if (error == OK)
			message_destroy(&message);
		else if (error == ERROR_NOT_FOUND)
			drop(supervisor, suspect);
	}
}

void suspect_free_all(struct supervisor *supervisor)
{
	struct suspect *suspect = supervisor->suspects, *next;

	HASH_CLEAR(hh, supervisor->suspects);
	for (; suspect; suspect = next) {
		next = suspect->hh.next;
		free(suspect);
	}
}
