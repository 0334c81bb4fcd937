/*
 * worker_thread.c - the threads of workers: their start, their end, and the one that is there before it is
 * wanted. See worker.h.
 *
 * Promises that an exit is never silent: once a worker is somebody's its end is a letter to the
 * supervisor, whatever ends it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/heap.h"
#include "common/wait.h"
#include "daemon/deliver.h"
#include "daemon/quota.h"
#include "daemon/thread.h"
#include "daemon/thread_stack.h"
#include "daemon/token.h"

#define NAME_BYTES 80

/* What a worker has on its heap with a session and a few messages of some KiB, and with the first one. */
#define WORKER_HEAP_BYTES 65536
#define FIRST_HEAP_BYTES  24576
/* On the supervisor's: the worker itself, and what is due for its tenant. */
#define TENANT_HEAP_BYTES 32768

static pthread_key_t exit_key;

static void begin(struct worker *worker)
{
	heap_expect(WORKER_HEAP_BYTES, FIRST_HEAP_BYTES);
	thread_take_turns();
	queue_bind(&worker->inbox);
}

/* The last breath of a worker thread, however it ends. */
static void send_exit_letter(void *argument)
{
	struct worker *worker = argument;

	/* Whatever it was in the middle of: no descriptor, connection or file outlives it. */
	if (!atomic_load(&worker->clean))
		atomic_store(&worker->stop, STOP_NOW);
	deliver_end(worker->place);
	session_close(&worker->place->session);
	materials_fini(&worker->place->materials);
	log_batch_fini(&worker->place->log);
	queue_unbind(&worker->inbox);
	queue_push(&worker->outbox->exits, &worker->exit_link);
}

void worker_setup(void)
{
	int code = pthread_key_create(&exit_key, send_exit_letter);

	assert(code == 0);
	(void)code;
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;

	begin(worker);
	pthread_setspecific(exit_key, worker);
	workplace_serve(worker->place);
	atomic_store(&worker->clean, true);
	return NULL;
}

static void name_of(const struct worker *worker, char name[NAME_BYTES])
{
	if (worker->number > 1)
		snprintf(name, NAME_BYTES, "w:%s#%d", worker->settings->name, worker->number);
	else
		snprintf(name, NAME_BYTES, "w:%s", worker->settings->name);
}

/* Until worker_start() it is nobody's: without settings, and its end is no letter. */
static void *spare_main(void *argument)
{
	struct worker *worker = argument;
	char name[NAME_BYTES];

	begin(worker);
	while (!(worker->kept = queue_take_all(&worker->inbox)) && !worker_is_leaving(worker))
		(void)wait_for(-1, 0, DEADLINE_NEVER, NULL);
	if (!worker->settings) {
		queue_unbind(&worker->inbox);
		return NULL;
	}
	pthread_setspecific(exit_key, worker);
	name_of(worker, name);
	thread_rename(name);
	workplace_serve(worker->place);
	atomic_store(&worker->clean, true);
	return NULL;
}

/* Without a thread, and nobody's; NULL if there is no room for one. */
static struct worker *worker_create(struct outbox *outbox)
{
	struct worker *worker = memory_alloc(sizeof(*worker));

	worker->outbox = outbox;
	worker->batch = 1;
	atomic_store(&worker->deadline_ms, DEADLINE_NEVER);
	if (queue_init(&worker->inbox, false) != OK) {
		free(worker);
		return NULL;
	}
	worker->place = workplace_create(worker);
	worker->stack = thread_stack_take();
	return worker;
}

static void worker_free(struct worker *worker)
{
	queue_fini(&worker->inbox);
	thread_stack_give(worker->stack);
	free(worker->place);
	quota_release(&worker->quota);
	token_release(&worker->token);
	tenant_settings_release(&worker->settings);
	free(worker);
}

struct worker *worker_start(struct outbox *outbox, struct tenant_settings *settings, int number,
                            bool one_at_a_time, struct words *words)
{
	struct worker *worker = outbox->spare;
	char name[NAME_BYTES];
	int code = 0;

	heap_expect(TENANT_HEAP_BYTES, TENANT_HEAP_BYTES);
	if (!worker && !(worker = worker_create(outbox))) {
		words_set(words, "no queue for a worker");
		return NULL;
	}
	worker->settings = tenant_settings_hold(settings);
	worker->basis.settings = worker->settings;
	worker->number = number;
	worker->one_at_a_time = one_at_a_time;
	outbox->wants_spare = true;
	if (worker == outbox->spare) {
		outbox->spare = NULL;
		return worker;
	}
	name_of(worker, name);
	code = thread_start_on(worker->stack, &worker->thread, name, worker_main, worker);
	if (code == 0)
		return worker;
	words_set_errno(words, code, "cannot start a worker");
	worker_free(worker);
	return NULL;
}

void worker_keep_spare(struct outbox *outbox)
{
	struct worker *worker;

	if (!outbox->wants_spare || outbox->spare)
		return;
	outbox->wants_spare = false;
	worker = worker_create(outbox);
	if (worker && thread_start_on(worker->stack, &worker->thread, "w:", spare_main, worker) != 0) {
		worker_free(worker);
		worker = NULL; /* the next one has its thread made as it is wanted */
	}
	outbox->spare = worker;
}

void worker_end_spare(struct outbox *outbox)
{
	struct worker *worker = outbox->spare;

	outbox->spare = NULL;
	outbox->wants_spare = false;
	if (!worker)
		return;
	worker_tell_leave(worker);
	worker_destroy(&worker);
}

void worker_destroy(struct worker **worker)
{
	struct worker *ended = *worker;

	pthread_join(ended->thread, NULL);
	assert(!ended->hand && !ended->kept);
	worker_free(ended);
	*worker = NULL;
}

void worker_tell_stop(struct worker *worker, int level)
{
	atomic_store(&worker->stop, level);
	queue_wake(&worker->inbox);
}

void worker_tell_leave(struct worker *worker)
{
	atomic_store(&worker->leave, true);
	queue_wake(&worker->inbox);
}
