/*
 * budget.h - places for workers and for probes, shared by all outboxes; who waits for one, since when.
 *
 * Promise: whoever has waited longest, of whatever outbox, gets the next place of its kind;
 * an outbox that does not come for it (its disk hangs) holds up nobody for longer than
 * BUDGET_CLAIM_MS. Each outbox keeps its own line of tenants and tells here the ticket of the
 * first. Any thread; takes a lock for a moment, never waits for anything else.
 */
#ifndef OUTBOXD_DAEMON_BUDGET_H
#define OUTBOXD_DAEMON_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/queue.h"

#define BUDGET_CLAIM_MS 1000 /* a line that was not looked at for so long is passed over */

/* What an outbox wants: index 0 a worker's place, 1 a probe's. */
struct budget_line {
	struct budget_line *next;
	struct queue *wake; /* of its supervisor */
	int64_t first[2];   /* the ticket of the first that waits, 0 = nobody */
	int64_t seen_ms;    /* when it was told last */
};

struct budget {
	atomic_int workers, probes; /* in use */
	atomic_int max_workers, max_probes;
	atomic_int waiting; /* tenants that have no worker and wait for a place */
	atomic_int leaving; /* workers that were told to make room */
	atomic_int lent;    /* places of workers that are held up: others may have as many more */

	pthread_mutex_t lock; /* of what is below */
	struct budget_line *lines;
	int64_t tickets;
};

void budget_init(struct budget *budget);

/* Before the outbox's supervisor starts; the line lives as long as the budget. */
void budget_join(struct budget *budget, struct budget_line *line, struct queue *wake);

/* The next number, from 1: earlier is before later, in all outboxes. */
int64_t budget_ticket(struct budget *budget);

/*
 * A place for one more worker (probe: in the places of their own) for who has waited since its
 * ticket; 0 = it has not waited and comes behind all who do. False: none is free, or others are
 * before it.
 */
bool budget_take(struct budget *budget, struct budget_line *line, bool probe, int64_t ticket, int64_t now_ms);

/* Places that are free for workers; below 0 until as many have ended as were lent. */
int budget_free(const struct budget *budget);

/* So many places more (or fewer, count < 0) while those who have them are held up; who waits is woken. */
void budget_lend(struct budget *budget, int count, int64_t now_ms);

/* A place is free again: who has waited longest is woken. */
void budget_give(struct budget *budget, bool probe, int64_t now_ms);

/*
 * The first tickets of the line as they are now (0 = nobody waits). Again at least every
 * BUDGET_CLAIM_MS / 2 while somebody does. Where somebody new waits and no place is free the others are
 * woken, to make room; where one is free, who has waited longest.
 */
void budget_wait(struct budget *budget, struct budget_line *line, const int64_t first[2], int64_t now_ms);

#endif
