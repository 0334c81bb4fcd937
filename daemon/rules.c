/*
 * rules.c - see rules.h.
 *
 * Promises: who drops a trigger of ours is told which, once, as is whoever waits for mail that was
 * committed without it; what cannot be mended is told once and tried again, and nothing else waits for it.
 */
#include "daemon/rules.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/service_internal.h"

#define LOCK_MS  10000 /* as long as a commit waits: who has the lock for less is no trouble */
#define AGAIN_MS 1000

void rules_init(struct rules *rules, struct outbox *outbox, struct log_batch *log)
{
	rules->outbox = outbox;
	rules->log = log;
	atomic_init(&rules->asked, true);
}

void rules_ask(struct rules *rules)
{
	atomic_store(&rules->asked, true);
}

int64_t rules_next_ms(const struct rules *rules)
{
	return atomic_load(&rules->asked) ? rules->again_ms : DEADLINE_NEVER;
}

static void tell(const struct rules *rules, enum log_level level, const char *event,
                 const struct words *words)
{
	log_begin(rules->log, level, event, rules->outbox->db, NULL);
	log_text(rules->log, "database", rules->outbox->path);
	log_text(rules->log, "error", words ? words->text : NULL);
	log_end(rules->log);
	log_push(rules->log);
}

static void tell_restored(const struct rules *rules, const struct storage_rules *before)
{
	struct words words;

	if (rules->found.restored == before->restored)
		return;
	words_set(&words, "%s: made again, for without the schema's rules mail is lost sight of",
	          rules->found.which.text);
	tell(rules, LOG_WARNING, "storage.warning", &words);
}

/* When all have been looked at. */
static void tell_adopted(const struct rules *rules)
{
	const struct storage_rules *found = &rules->found;
	struct words words;
	size_t length;

	if (found->adopted == 0)
		return;
	words_set(&words,
	          "messages that were committed without the schema's triggers and are taken up now: %lld",
	          (long long)found->adopted);
	length = strlen(words.text);
	if (found->refused > 0)
		(void)snprintf(words.text + length, sizeof words.text - length,
		               "; failed by its rules: %lld, as %.300s", (long long)found->refused,
		               found->why.text);
	tell(rules, LOG_WARNING, "storage.warning", &words);
}

static void fail(struct rules *rules, enum error error, const struct words *words)
{
	if (!rules->failing)
		tell(rules, error == ERROR_REFUSED ? LOG_WARNING : LOG_ERROR,
		     error == ERROR_REFUSED ? "storage.warning" : "storage.failed", words);
	rules->failing = true;
	rules->again_ms = clock_monotonic_ms() + AGAIN_MS;
	atomic_store(&rules->asked, true);
}

bool rules_step(struct rules *rules)
{
	struct storage_rules before = rules->found;
	struct words words = { "" };
	enum error error;

	if (clock_monotonic_ms() < rules_next_ms(rules))
		return false;
	atomic_store(&rules->asked, false);
	error = storage_rules_mend(rules->outbox->storage, &rules->found, deadline_after_ms(LOCK_MS), &words);
	if (error != OK) {
		fail(rules, error, &words);
		return false;
	}
	if (rules->failing)
		tell(rules, LOG_WARNING, "storage.recovered", NULL);
	rules->failing = false;
	rules->again_ms = 0;
	tell_restored(rules, &before);
	if (rules->found.more) {
		atomic_store(&rules->asked, true);
		return true;
	}
	tell_adopted(rules);
	before = rules->found;
	rules->found = (struct storage_rules){ 0 };
	return before.begun;
}
