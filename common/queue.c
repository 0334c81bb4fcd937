/*
 * queue.c - the one crossing: where threads meet.
 *
 * Promises first-in first-out order, one wake-up for each time the queue turns
 * from empty to not empty while its taker waits for that, and none lost: that it is to be given is decided
 * under the lock that guards the chain.  Fails only at the start (no eventfd).
 */
#include "common/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/wait.h"

static void lock(struct queue *queue)
{
	int rc = pthread_mutex_lock(&queue->lock);

	assert(rc == 0);
	(void)rc;
}

static void unlock(struct queue *queue)
{
	int rc = pthread_mutex_unlock(&queue->lock);

	assert(rc == 0);
	(void)rc;
}

enum error queue_init(struct queue *queue, bool with_event)
{
	*queue = (struct queue){ .event_fd = -1 };
	queue->last = &queue->first;
	if (with_event) {
		queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->event_fd < 0)
			return ERROR_SYSTEM;
	}
	if (pthread_mutex_init(&queue->lock, NULL) != 0) {
		if (queue->event_fd >= 0)
			close(queue->event_fd);
		return ERROR_SYSTEM;
	}
	return OK;
}

void queue_fini(struct queue *queue)
{
	int rc;

	lock(queue); /* whoever pushed last is behind its wake-up then */
	assert(!queue->first);
	assert(!queue->bound);
	unlock(queue);
	if (queue->event_fd >= 0)
		close(queue->event_fd);
	queue->event_fd = -1;
	rc = pthread_mutex_destroy(&queue->lock);
	assert(rc == 0);
	(void)rc;
}

void queue_bind(struct queue *queue)
{
	lock(queue);
	assert(!queue->bound);
	queue->process = getpid();
	queue->thread = gettid();
	queue->bound = true;
	unlock(queue);
}

void queue_unbind(struct queue *queue)
{
	lock(queue);
	assert(queue->bound && queue->thread == gettid());
	queue->bound = false;
	unlock(queue);
}

/* Under the lock: the taker cannot take and wait in between. */
static void write_event(struct queue *queue)
{
	const uint64_t one = 1;
	ssize_t written;

	if (queue->event_fd < 0 || queue->signalled)
		return;
	queue->signalled = true;
	do
		written = write(queue->event_fd, &one, sizeof(one));
	while (written < 0 && errno == EINTR);
	assert(written == sizeof(one));
}

/*
 * Ends the lock, then wakes the taker if it is to be: one that runs at once does not find the lock held.
 * The queue may be gone by then, and the taker too.
 */
static void unlock_and_wake(struct queue *queue, bool wake)
{
	pid_t process = queue->process, thread = queue->thread;
	bool by_signal = wake && queue->bound;

	if (wake) {
		queue->hungry = false;
		write_event(queue);
	}
	unlock(queue);
	if (by_signal)
		wait_wake_number(process, thread);
}

/* Under the lock: the queue is empty, so nothing calls for the taker. */
static void clear_event(struct queue *queue)
{
	uint64_t count;
	ssize_t got;

	if (!queue->signalled)
		return;
	queue->signalled = false;
	do
		got = read(queue->event_fd, &count, sizeof(count));
	while (got < 0 && errno == EINTR);
	assert(got == sizeof(count) || errno == EAGAIN);
}

void queue_push_chain(struct queue *queue, struct queue_link *first)
{
	struct queue_link *last = first;
	size_t count = 1;
	bool was_empty;

	if (!first)
		return;
	for (; last->next; last = last->next)
		count++;

	lock(queue);
	was_empty = !queue->first;
	*queue->last = first;
	queue->last = &last->next;
	queue->length += count;
	unlock_and_wake(queue, was_empty && (queue->event_fd >= 0 || queue->hungry));
}

void queue_push(struct queue *queue, struct queue_link *link)
{
	link->next = NULL;
	queue_push_chain(queue, link);
}

static struct queue_link *take_all(struct queue *queue, bool waits)
{
	struct queue_link *first;

	lock(queue);
	first = queue->first;
	queue->first = NULL;
	queue->last = &queue->first;
	queue->length = 0;
	queue->hungry = !first && waits;
	clear_event(queue);
	unlock(queue);
	return first;
}

struct queue_link *queue_take_all(struct queue *queue)
{
	return take_all(queue, true);
}

struct queue_link *queue_take_ready(struct queue *queue)
{
	return take_all(queue, false);
}

struct queue_link *queue_take(struct queue *queue)
{
	struct queue_link *link;

	lock(queue);
	link = queue->first;
	if (link) {
		queue->first = link->next;
		queue->length--;
		link->next = NULL;
	}
	queue->hungry = !link;
	if (!queue->first) {
		queue->last = &queue->first;
		clear_event(queue);
	}
	unlock(queue);
	return link;
}

size_t queue_length(struct queue *queue)
{
	size_t length;

	lock(queue);
	length = queue->length;
	unlock(queue);
	return length;
}

void queue_wake(struct queue *queue)
{
	lock(queue);
	unlock_and_wake(queue, true);
}
