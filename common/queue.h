/*
 * queue.h - the one crossing: where threads meet.
 *
 * An intrusive first-in first-out queue with any number of givers and one
 * taker.  Pushing gives what is pushed away: after queue_push() only the taker
 * may touch it.  The taker is woken by an eventfd (the few fixed threads) or by
 * a directed signal (workers, which cost no descriptor but their socket).
 */
#ifndef OUTBOXD_COMMON_QUEUE_H
#define OUTBOXD_COMMON_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

/* First member, or found again with QUEUE_ITEM. */
struct queue_link {
	struct queue_link *next;
};

#define QUEUE_ITEM(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

struct queue {
	pthread_mutex_t lock;
	struct queue_link *first;
	struct queue_link **last;
	size_t length;
	int event_fd;          /* -1: woken by signal */
	bool signalled;        /* the eventfd was written since it was read */
	pid_t process, thread; /* of the taker */
	bool bound;            /* it is there */
	bool hungry;           /* it found nothing, and is to be woken by the next push */
};

/* with_event: the queue has an eventfd. ERROR_SYSTEM if none can be had. */
enum error queue_init(struct queue *queue, bool with_event);

/* The queue must be empty. */
void queue_fini(struct queue *queue);

/* The taker of a queue without eventfd says that it is there, and before it ends that it is not. */
void queue_bind(struct queue *queue);
void queue_unbind(struct queue *queue);

/*
 * Gives link to the taker and wakes it if the queue was empty: one that is woken by signal only if it
 * found nothing, so that it is not disturbed where it waits for something else. Never fails, does not block.
 */
void queue_push(struct queue *queue, struct queue_link *link);

/* Gives a chain first → … → NULL at once, in its order, with one wake-up. */
void queue_push_chain(struct queue *queue, struct queue_link *first);

/* Takes all that is there as a chain in order, NULL if nothing; clears the eventfd. */
struct queue_link *queue_take_all(struct queue *queue);

/* As queue_take_all(), by a taker woken by signal that goes on with something else if there is nothing. */
struct queue_link *queue_take_ready(struct queue *queue);

/*
 * Takes the first, NULL if nothing; clears the eventfd with the last one.  Who
 * is woken by signal takes until NULL before it waits: the wake-up is one for all.
 */
struct queue_link *queue_take(struct queue *queue);

/* Wakes the taker although nothing was pushed: it is to look at something else. Does not block. */
void queue_wake(struct queue *queue);

/* How many are waiting; a snapshot. */
size_t queue_length(struct queue *queue);

#endif
