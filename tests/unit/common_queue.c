/*
 * common_queue.c - order is kept, nothing is lost, the taker is woken.
 */
#include "common/queue.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "tests/unit/common_test.h"

#define GIVERS 4
#define EACH   5000
#define ROUNDS 2000

struct item {
	int giver;
	int number;
	struct queue_link link; /* not the first: QUEUE_ITEM finds it */
};

static bool has_event(const struct queue *queue)
{
	struct pollfd fd = { .fd = queue->event_fd, .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

START_TEST(first_in_is_first_out)
{
	struct item items[4] = { { .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 } };
	struct queue queue;
	struct queue_link *link;

	ck_assert_int_eq(queue_init(&queue, false), OK);
	ck_assert_int_eq(queue.event_fd, -1);
	ck_assert_ptr_null(queue_take(&queue));
	ck_assert_ptr_null(queue_take_all(&queue));
	queue_push(&queue, &items[0].link);
	items[1].link.next = &items[2].link;
	items[2].link.next = NULL;
	queue_push_chain(&queue, &items[1].link);
	queue_push_chain(&queue, NULL);
	queue_push(&queue, &items[3].link);
	ck_assert_uint_eq(queue_length(&queue), 4);
	link = queue_take(&queue);
	ck_assert_ptr_eq(QUEUE_ITEM(link, struct item, link), &items[0]);
	ck_assert_ptr_null(link->next);
	ck_assert_uint_eq(queue_length(&queue), 3);
	link = queue_take_all(&queue);
	for (int i = 1; i < 4; i++, link = link->next)
		ck_assert_int_eq(QUEUE_ITEM(link, struct item, link)->number, i);
	ck_assert_ptr_null(link);
	queue_push(&queue, &items[0].link);
	ck_assert_ptr_eq(queue_take(&queue), &items[0].link);
	queue_push(&queue, &items[1].link); /* the end is where it was */
	ck_assert_ptr_eq(queue_take(&queue), &items[1].link);
	ck_assert_uint_eq(queue_length(&queue), 0);
	queue_fini(&queue);
}
END_TEST

START_TEST(the_eventfd_is_written_once_and_cleared_with_the_last)
{
	struct item items[3] = { { 0 } };
	struct queue queue;
	uint64_t count = 0;

	ck_assert_int_eq(queue_init(&queue, true), OK);
	ck_assert(!has_event(&queue));
	for (int i = 0; i < 3; i++)
		queue_push(&queue, &items[i].link);
	ck_assert(has_event(&queue));
	ck_assert_int_eq(read(queue.event_fd, &count, sizeof(count)), sizeof(count));
	ck_assert_uint_eq(count, 1);
	queue_take_all(&queue); /* though it has been read already */
	queue_push(&queue, &items[0].link);
	queue_push(&queue, &items[1].link);
	ck_assert(has_event(&queue));
	queue_take(&queue);
	ck_assert(has_event(&queue)); /* one is left */
	queue_take(&queue);
	ck_assert(!has_event(&queue));
	queue_push(&queue, &items[2].link);
	queue_take_all(&queue);
	ck_assert(!has_event(&queue));
	queue_fini(&queue);
}
END_TEST

struct giving {
	struct queue *queue;
	int giver;
	struct item items[EACH];
};

static void *give(void *argument)
{
	struct giving *giving = argument;

	for (int i = 0; i < EACH; i++) {
		giving->items[i].giver = giving->giver;
		giving->items[i].number = i;
		if (i % 10 == 0 && i + 1 < EACH) { /* some in chains of two */
			giving->items[i + 1].giver = giving->giver;
			giving->items[i + 1].number = i + 1;
			giving->items[i].link.next = &giving->items[i + 1].link;
			giving->items[i + 1].link.next = NULL;
			queue_push_chain(giving->queue, &giving->items[i].link);
			i++;
		} else {
			queue_push(giving->queue, &giving->items[i].link);
		}
	}
	return NULL;
}

/* Takes what all givers give; one queue may be woken either way. */
static void take_from_many(struct queue *queue, bool one_by_one)
{
	static struct giving givings[GIVERS];
	pthread_t threads[GIVERS];
	int next[GIVERS] = { 0 }, total = 0;

	for (int i = 0; i < GIVERS; i++) {
		givings[i] = (struct giving){ .queue = queue, .giver = i };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, give, &givings[i]), 0);
	}
	while (total < GIVERS * EACH) {
		struct queue_link *link = one_by_one ? queue_take(queue) : queue_take_all(queue);

		if (!link) {
			enum error error = wait_for(queue->event_fd, POLLIN, deadline_after_ms(50000), NULL);

			ck_assert_int_eq(error, queue->event_fd < 0 ? ERROR_UNAVAILABLE : OK);
		}
		while (link) {
			struct item *item = QUEUE_ITEM(link, struct item, link);

			link = link->next;
			ck_assert_int_eq(item->number, next[item->giver]);
			next[item->giver]++;
			total++;
		}
	}
	for (int i = 0; i < GIVERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(queue_length(queue), 0);
}

START_TEST(many_givers_with_an_eventfd)
{
	struct queue queue;

	ck_assert_int_eq(queue_init(&queue, true), OK);
	take_from_many(&queue, _i);
	queue_fini(&queue);
}
END_TEST

START_TEST(many_givers_with_a_signal)
{
	struct queue queue;

	ck_assert_int_eq(queue_init(&queue, false), OK);
	queue_bind(&queue);
	take_from_many(&queue, _i);
	queue_unbind(&queue);
	queue_fini(&queue);
}
END_TEST

struct echo {
	struct queue there, back;
};

static struct queue_link *take_waiting(struct queue *queue)
{
	struct queue_link *link;

	while (!(link = queue_take(queue)))
		ck_assert_int_ne(wait_for(queue->event_fd, POLLIN, deadline_after_ms(50000), NULL),
		                 ERROR_TIMEOUT);
	return link;
}

/* A worker: bound to its inbox, gives back what it gets. */
static void *echo(void *argument)
{
	struct echo *echo = argument;

	queue_bind(&echo->there);
	for (int i = 0; i < ROUNDS; i++)
		queue_push(&echo->back, take_waiting(&echo->there));
	queue_unbind(&echo->there);
	return NULL;
}

START_TEST(no_wake_up_is_lost_between_looking_and_waiting)
{
	struct echo pair;
	struct item item = { 0 };
	pthread_t thread;

	ck_assert_int_eq(queue_init(&pair.there, false), OK);
	ck_assert_int_eq(queue_init(&pair.back, true), OK);
	ck_assert_int_eq(pthread_create(&thread, NULL, echo, &pair), 0);
	for (int i = 0; i < ROUNDS; i++) {
		queue_push(&pair.there, &item.link);
		ck_assert_ptr_eq(take_waiting(&pair.back), &item.link);
	}
	pthread_join(thread, NULL);
	/* the worker has ended: no signal goes to it */
	queue_push(&pair.there, &item.link);
	ck_assert_ptr_eq(queue_take(&pair.there), &item.link);
	queue_fini(&pair.there);
	queue_fini(&pair.back);
}
END_TEST

START_TEST(a_taker_is_woken_without_an_item_too)
{
	struct queue queue;

	ck_assert_int_eq(queue_init(&queue, true), OK);
	queue_wake(&queue);
	ck_assert(has_event(&queue));
	ck_assert_ptr_null(queue_take_all(&queue));
	ck_assert(!has_event(&queue));
	queue_fini(&queue);

	ck_assert_int_eq(queue_init(&queue, false), OK);
	queue_wake(&queue); /* nobody is there */
	queue_bind(&queue);
	queue_wake(&queue);
	ck_assert_int_eq(wait_for(-1, 0, deadline_after_ms(50000), NULL), ERROR_UNAVAILABLE);
	queue_unbind(&queue);
	queue_fini(&queue);
}
END_TEST

static bool signal_is_pending(void)
{
	sigset_t pending;

	ck_assert_int_eq(sigpending(&pending), 0);
	return sigismember(&pending, WAKE_SIGNAL) == 1;
}

START_TEST(a_taker_that_does_something_else_is_not_disturbed)
{
	struct item items[3] = { { 0 } };
	struct queue queue;

	ck_assert_int_eq(queue_init(&queue, false), OK);
	queue_bind(&queue);
	ck_assert_ptr_null(queue_take_ready(&queue)); /* it goes on with something else */
	queue_push(&queue, &items[0].link);
	ck_assert(!signal_is_pending());
	ck_assert_ptr_eq(queue_take_all(&queue), &items[0].link);
	queue_push(&queue, &items[1].link); /* it has something to do */
	ck_assert(!signal_is_pending());
	ck_assert_ptr_eq(queue_take(&queue), &items[1].link);
	ck_assert_ptr_null(queue_take(&queue)); /* now it waits */
	queue_push(&queue, &items[2].link);
	ck_assert(signal_is_pending());
	ck_assert_int_eq(wait_for(-1, 0, deadline_after_ms(50000), NULL), ERROR_UNAVAILABLE);
	ck_assert_ptr_eq(queue_take_ready(&queue), &items[2].link);
	ck_assert_ptr_null(queue_take_all(&queue));
	queue_push(&queue, &items[0].link);
	ck_assert(signal_is_pending());
	ck_assert_int_eq(wait_for(-1, 0, deadline_after_ms(50000), NULL), ERROR_UNAVAILABLE);
	ck_assert_ptr_eq(queue_take_all(&queue), &items[0].link);
	queue_unbind(&queue);
	queue_fini(&queue);
}
END_TEST

START_TEST(a_queue_that_holds_something_is_not_ended)
{
	struct item item = { 0 };
	struct queue queue;

	ck_assert_int_eq(queue_init(&queue, false), OK);
	queue_push(&queue, &item.link);
	queue_fini(&queue);
}
END_TEST

TCase *common_queue_cases(void)
{
	TCase *cases = tcase_create("queue");

	tcase_add_checked_fixture(cases, wait_setup, NULL);
	tcase_add_test(cases, first_in_is_first_out);
	tcase_add_test(cases, the_eventfd_is_written_once_and_cleared_with_the_last);
	tcase_add_loop_test(cases, many_givers_with_an_eventfd, 0, 2);
	tcase_add_loop_test(cases, many_givers_with_a_signal, 0, 2);
	tcase_add_test(cases, no_wake_up_is_lost_between_looking_and_waiting);
	tcase_add_test(cases, a_taker_is_woken_without_an_item_too);
	tcase_add_test(cases, a_taker_that_does_something_else_is_not_disturbed);
	tcase_add_test_raise_signal(cases, a_queue_that_holds_something_is_not_ended, SIGABRT);
	return cases;
}
