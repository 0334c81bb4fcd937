/*
 * budget.c - see budget.h.
 */
#include "daemon/budget.h"

#include <assert.h>
#include <stddef.h>

static void lock(struct budget *budget)
{
	int code = pthread_mutex_lock(&budget->lock);

	assert(code == 0);
	(void)code;
}

static void unlock(struct budget *budget)
{
	pthread_mutex_unlock(&budget->lock);
}

void budget_init(struct budget *budget)
{
	pthread_mutex_init(&budget->lock, NULL);
}

void budget_join(struct budget *budget, struct budget_line *line, struct queue *wake)
{
	line->wake = wake;
	lock(budget);
	line->next = budget->lines;
	budget->lines = line;
	unlock(budget);
}

int64_t budget_ticket(struct budget *budget)
{
	int64_t ticket;

	lock(budget);
	ticket = ++budget->tickets;
	unlock(budget);
	return ticket;
}

int budget_free(const struct budget *budget)
{
	return atomic_load(&budget->max_workers) + atomic_load(&budget->lent) - atomic_load(&budget->workers);
}

static bool has_room(struct budget *budget, int kind)
{
	return kind ? atomic_load(&budget->probes) < atomic_load(&budget->max_probes)
	            : budget_free(budget) > 0;
}

/* Who has waited longest for that kind and still looks after its line; NULL = nobody. */
static struct budget_line *first_of(const struct budget *budget, int kind, int64_t now_ms)
{
	struct budget_line *found = NULL;

	for (struct budget_line *line = budget->lines; line; line = line->next) {
		if (line->first[kind] == 0 || now_ms - line->seen_ms > BUDGET_CLAIM_MS)
			continue;
		if (!found || line->first[kind] < found->first[kind])
			found = line;
	}
	return found;
}

/* Somebody else waits, and since earlier. In its own line its owner serves in order. */
static bool is_behind(const struct budget *budget, const struct budget_line *line, int kind, int64_t ticket,
                      int64_t now_ms)
{
	if (ticket == 0 && line->first[kind] != 0)
		return true;
	for (const struct budget_line *other = budget->lines; other; other = other->next) {
		bool waits = other->first[kind] != 0 && now_ms - other->seen_ms <= BUDGET_CLAIM_MS;

		if (other != line && waits && (ticket == 0 || other->first[kind] < ticket))
			return true;
	}
	return false;
}

bool budget_take(struct budget *budget, struct budget_line *line, bool probe, int64_t ticket, int64_t now_ms)
{
	bool taken;

	lock(budget);
	taken = has_room(budget, probe) && !is_behind(budget, line, probe, ticket, now_ms);
	if (taken)
		atomic_fetch_add(probe ? &budget->probes : &budget->workers, 1);
	unlock(budget);
	return taken;
}

void budget_give(struct budget *budget, bool probe, int64_t now_ms)
{
	const struct budget_line *first;

	lock(budget);
	atomic_fetch_sub(probe ? &budget->probes : &budget->workers, 1);
	first = first_of(budget, probe, now_ms);
	if (first)
		queue_wake(first->wake);
	unlock(budget);
}

void budget_lend(struct budget *budget, int count, int64_t now_ms)
{
	const struct budget_line *first;

	lock(budget);
	atomic_fetch_add(&budget->lent, count);
	first = count > 0 ? first_of(budget, 0, now_ms) : NULL;
	if (first)
		queue_wake(first->wake);
	unlock(budget);
}

void budget_wait(struct budget *budget, struct budget_line *line, const int64_t first[2], int64_t now_ms)
{
	lock(budget);
	line->seen_ms = now_ms;
	for (int kind = 0; kind < 2; kind++) {
		bool news = line->first[kind] == 0 && first[kind] != 0;
		const struct budget_line *next;

		line->first[kind] = first[kind];
		next = first_of(budget, kind, now_ms);
		for (const struct budget_line *other = budget->lines; other; other = other->next) {
			if (other != line && (has_room(budget, kind) ? other == next : news && kind == 0))
				queue_wake(other->wake);
		}
	}
	unlock(budget);
}
