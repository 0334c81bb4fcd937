/*
 * batch.c - see batch.h. Takes something as long as there is something; keeps the order.
 */
#include "daemon/batch.h"

#include "common/message.h"

void batch_hold(struct storage_batch *batch, int64_t commit_us, bool shared)
{
	int64_t hold_us = shared ? BATCH_HOLD_SHARED_US : BATCH_HOLD_US;
	int64_t left_us = BATCH_HELD_SHARED_US - commit_us;

	if (shared && left_us >= BATCH_HOLD_SHORTEST_US)
		batch->hold_us = left_us < hold_us ? left_us : hold_us;
	else
		batch->hold_us = commit_us > hold_us ? commit_us : hold_us;
	batch->hold_least = BATCH_HOLD_LEAST;
}

int64_t batch_gather(size_t waiting, size_t committed, int64_t committed_ms, int64_t now_ms)
{
	int64_t until_ms = committed_ms + BATCH_GATHER_MS, look_ms = now_ms + BATCH_GATHER_LOOK_MS;

	if (waiting == 0 || waiting >= BATCH_GATHER_MESSAGES || waiting + committed < BATCH_GATHER_LEAST ||
	    now_ms >= until_ms)
		return 0;
	return look_ms < until_ms ? look_ms : until_ms;
}

static bool is_suspect(struct queue_link *link)
{
	return link && QUEUE_ITEM(link, struct message, link)->suspect;
}

static struct queue_link *cut_chain(struct queue_link **rest)
{
	struct queue_link *first = *rest, *last = first;
	int most = is_suspect(first) ? 1 : BATCH_MESSAGES;

	if (!first)
		return NULL;
	for (int i = 1; last->next && i < most && !is_suspect(last->next); i++)
		last = last->next;
	*rest = last->next;
	last->next = NULL;
	return first;
}

size_t batch_count(const struct queue_link *messages)
{
	size_t count = 0;

	for (const struct queue_link *link = messages; link; link = link->next)
		count++;
	return count;
}

void batch_put_back(struct queue_link **chain, struct queue_link **rest)
{
	struct queue_link **left = chain, *last;

	while (*left && QUEUE_ITEM(*left, struct message, link)->settled != SETTLED_NOT_YET)
		left = &(*left)->next;
	if (!*left)
		return;
	for (last = *left; last->next;)
		last = last->next;
	last->next = *rest;
	*rest = *left;
	*left = NULL;
}

void batch_cut_statuses(struct storage_batch *batch, struct queue_link **statuses)
{
	struct queue_link **end = statuses;

	for (int i = 0; *end && i < BATCH_STATUSES; i++)
		end = &(*end)->next;
	batch->statuses = end == statuses ? NULL : *statuses;
	if (!batch->statuses)
		return;
	*statuses = *end;
	*end = NULL;
}

void batch_cut(struct storage_batch *batch, struct queue_link **settle, struct queue_link **hold)
{
	if (is_suspect(*settle) || !is_suspect(*hold))
		batch->messages = cut_chain(settle);
	if (!is_suspect(batch->messages))
		batch->uncertain = cut_chain(hold);
}
