/*
 * disk.c - see disk.h. A commit may wait 10 s for the write lock, which is no disk's fault and
 * is told in words of its own: so a turn of 15 s is one that hangs.
 */
#include "daemon/disk.h"

#include "common/clock.h"
#include "daemon/fault.h"
#include "daemon/service_internal.h"

#define HANG_MS 15000

/* For how long it has been in one turn, and which of the two threads. */
static int64_t held_for_ms(const struct outbox *outbox, const char **doing)
{
	int64_t now = clock_monotonic_ms();
	int64_t storage = atomic_load(&outbox->storage_since_ms);
	int64_t supervisor = atomic_load(&outbox->supervisor_since_ms);

	if (storage && (!supervisor || storage <= supervisor)) {
		*doing = "while results were recorded";
		return now - storage;
	}
	*doing = "while the queue was read";
	return supervisor ? now - supervisor : 0;
}

static void tell(const struct outbox *outbox, struct log_batch *log, const char *doing, int64_t held_ms)
{
	struct words words;

	log_begin(log, doing ? LOG_ERROR : LOG_WARNING, doing ? "storage.failed" : "storage.recovered",
	          outbox->db, NULL);
	log_text(log, "database", outbox->path);
	if (doing) {
		words_set(&words, "its disk has not answered for %d s %s", (int)(held_ms / 1000), doing);
		log_text(log, "error", words.text);
	}
	log_end(log);
	log_push(log);
}

static void check(struct outbox *outbox, struct log_batch *log)
{
	struct budget *budget = &outbox->service->budget;
	const char *doing;
	int64_t held_ms = held_for_ms(outbox, &doing);
	bool hangs = !outbox->joined && held_ms >= fault_number("disk-hang-ms", HANG_MS);

	if (hangs == atomic_load(&outbox->hangs))
		return;
	atomic_store(&outbox->hangs, hangs);
	if (hangs) {
		outbox->aside = atomic_load(&outbox->places_used);
		budget_lend(budget, outbox->aside, clock_monotonic_ms());
	} else {
		budget_lend(budget, -outbox->aside, clock_monotonic_ms());
		outbox->aside = 0;
	}
	tell(outbox, log, hangs ? doing : NULL, held_ms);
}

void disk_check(struct outbox *outboxes, size_t count, struct log_batch *log)
{
	for (size_t i = 0; i < count; i++) {
		if (outboxes[i].started)
			check(&outboxes[i], log);
	}
}

size_t disk_hanging(const struct outbox *outboxes, size_t count)
{
	size_t hanging = 0;

	for (size_t i = 0; i < count; i++)
		hanging += !outboxes[i].joined && atomic_load(&outboxes[i].hangs);
	return hanging;
}
