/*
 * take.c - bench-take DATABASE TENANT ROWS ROUNDS: looks for the first ROWS due messages of a tenant
 * and reads each as a worker does before MAIL, ROUNDS times; prints microseconds of processor time
 * a row. Nothing is written: a queue of any length is the same afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "storage/storage.h"

static double cpu_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void must(enum error error, const struct words *words)
{
	if (error == OK)
		return;
	fprintf(stderr, "bench-take: %s\n", words->text);
	exit(1);
}

static bool in_hand(void *context, const struct storage_try *row)
{
	(void)context;
	(void)row;
	return false;
}

/* One look and all its reads; answers how many rows. */
static int take_all(struct storage *storage, const struct storage_due_query *query, struct words *words)
{
	struct queue_link *first = NULL;
	int64_t next_due;
	int count = 0;

	must(storage_due(storage, query, &first, &next_due, words), words);
	while (first) {
		struct message *message = (struct message *)(void *)first;
		struct mail *mail = NULL;

		first = first->next;
		must(storage_take(storage, message, clock_monotonic_ms() + 60000, &mail, words), words);
		storage_give_back(storage, &mail);
		message_destroy(&message);
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	struct storage_due_query query = { .in_hand = in_hand };
	struct storage *storage;
	struct words words = { 0 };
	double begin_us;
	int rounds;

	if (argc != 5) {
		fprintf(stderr, "usage: bench-take DATABASE TENANT ROWS ROUNDS\n");
		return 64;
	}
	must(storage_open(&(struct storage_settings){ .path = argv[1] }, &storage, &words), &words);
	query.tenant = argv[2];
	query.limit = atoi(argv[3]);
	query.now = clock_wall_ms() / 1000;
	rounds = atoi(argv[4]);
	(void)take_all(storage, &query, &words); /* what is read once is in memory */
	begin_us = cpu_us();
	for (int n = 0; n < rounds; n++) {
		if (take_all(storage, &query, &words) != query.limit) {
			fprintf(stderr, "bench-take: fewer rows than asked for\n");
			return 1;
		}
	}
	printf("%.3f\n", (cpu_us() - begin_us) / rounds / query.limit);
	storage_close(&storage);
	return 0;
}
