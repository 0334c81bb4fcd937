/*
 * timers.c - a binary heap, see timers.h.
 */
#include "daemon/timers.h"

#include <stdlib.h>

#include "common/buffer.h"

void timers_init(struct timers *timers)
{
	*timers = (struct timers){ 0 };
}

void timers_fini(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){ 0 };
}

static void put(struct timers *timers, size_t place, struct timer *timer)
{
	timers->heap[place] = timer;
	timer->place = place;
}

static void sift_up(struct timers *timers, struct timer *timer, size_t place)
{
	while (place > 1 && timers->heap[place / 2]->at_ms > timer->at_ms) {
		put(timers, place, timers->heap[place / 2]);
		place /= 2;
	}
	put(timers, place, timer);
}

static void sift_down(struct timers *timers, struct timer *timer, size_t place)
{
	for (;;) {
		size_t child = place * 2;

		if (child > timers->count)
			break;
		if (child < timers->count && timers->heap[child + 1]->at_ms < timers->heap[child]->at_ms)
			child++;
		if (timers->heap[child]->at_ms >= timer->at_ms)
			break;
		put(timers, place, timers->heap[child]);
		place = child;
	}
	put(timers, place, timer);
}

void timers_set(struct timers *timers, struct timer *timer, int64_t at_ms)
{
	if (timer->place != 0)
		timers_clear(timers, timer);
	if (timers->count + 2 > timers->room) {
		timers->room = timers->room ? timers->room * 2 : 64;
		timers->heap = memory_resize(timers->heap, timers->room * sizeof(*timers->heap));
	}
	timer->at_ms = at_ms;
	sift_up(timers, timer, ++timers->count);
}

void timers_set_earlier(struct timers *timers, struct timer *timer, int64_t at_ms)
{
	if (timer->place == 0 || at_ms < timer->at_ms)
		timers_set(timers, timer, at_ms);
}

void timers_clear(struct timers *timers, struct timer *timer)
{
	size_t place = timer->place;
	struct timer *last;

	if (place == 0)
		return;
	last = timers->heap[timers->count--];
	timer->place = 0;
	if (last == timer)
		return;
	if (place > 1 && timers->heap[place / 2]->at_ms > last->at_ms)
		sift_up(timers, last, place);
	else
		sift_down(timers, last, place);
}

int64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[1]->at_ms : INT64_MAX;
}

struct timer *timers_take(struct timers *timers, int64_t now_ms)
{
	struct timer *first = timers->count ? timers->heap[1] : NULL;

	if (!first || first->at_ms > now_ms)
		return NULL;
	timers_clear(timers, first);
	return first;
}
