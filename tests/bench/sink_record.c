/*
 * sink_record.c - each message's identity and moments, in memory until they are asked for.
 */
#include "tests/bench/sink.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct arrival {
	uint64_t mail_ns, end_ns;
	unsigned length;
	char identity[]; /* padded, so that the next one is aligned */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t enough = PTHREAD_COND_INITIALIZER;
static char *arrivals;
static size_t used, room;
static uint64_t count, awaited = UINT64_MAX;

static size_t size_of(unsigned length)
{
	return (sizeof(struct arrival) + length + 7) & ~(size_t)7;
}

void sink_record_add(uint64_t mail_ns, uint64_t end_ns, const char *identity, unsigned length)
{
	size_t size = size_of(length);
	struct arrival *arrival;

	pthread_mutex_lock(&lock);
	if (used + size > room) {
		room = room ? 2 * room : 1 << 20;
		arrivals = realloc(arrivals, room);
		if (arrivals == NULL)
			sink_die("arrivals");
	}
	arrival = (struct arrival *)(void *)(arrivals + used);
	*arrival = (struct arrival){ .mail_ns = mail_ns, .end_ns = end_ns, .length = length };
	memcpy(arrival->identity, identity, length);
	used += size;
	if (++count >= awaited)
		pthread_cond_signal(&enough);
	pthread_mutex_unlock(&lock);
}

uint64_t sink_record_count(void)
{
	uint64_t seen;

	pthread_mutex_lock(&lock);
	seen = count;
	pthread_mutex_unlock(&lock);
	return seen;
}

uint64_t sink_record_wait(uint64_t wanted, uint64_t milliseconds)
{
	struct timespec until;
	uint64_t seen;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(milliseconds / 1000);
	until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&lock);
	awaited = wanted;
	while (count < wanted && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&enough, &lock, &until);
	awaited = UINT64_MAX;
	seen = count;
	pthread_mutex_unlock(&lock);
	return seen;
}

uint64_t sink_record_take(FILE *out)
{
	char *taken;
	size_t length;
	uint64_t number;

	pthread_mutex_lock(&lock);
	taken = arrivals;
	length = used;
	number = count;
	arrivals = NULL;
	used = room = 0;
	count = 0;
	pthread_mutex_unlock(&lock);
	if (out == stdout)
		printf("taken %llu\n", (unsigned long long)number);
	for (size_t at = 0; at < length;) {
		const struct arrival *arrival = (const struct arrival *)(const void *)(taken + at);

		fprintf(out, "%llu %llu %.*s\n", (unsigned long long)arrival->mail_ns,
		        (unsigned long long)arrival->end_ns, (int)arrival->length, arrival->identity);
		at += size_of(arrival->length);
	}
	free(taken);
	return number;
}
