/*
 * common_buffer.c - buffers grow up to their limit and no further; pools lend blocks; heaps are told before.
 */
#include "common/buffer.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/heap.h"
#include "common/pool.h"
#include "tests/unit/common_test.h"

START_TEST(growth_keeps_the_bytes_and_a_nul_behind_them)
{
	struct buffer buffer;

	buffer_init(&buffer, 100000);
	for (size_t i = 0; i < 100000; i++) {
		if (!buffer_append_char(&buffer, (char)('a' + i % 26)) || buffer.length != i + 1 ||
		    buffer.data[i + 1] != '\0')
			ck_abort_msg("at %zu", i);
	}
	for (size_t i = 0; i < 100000; i++)
		if (buffer.data[i] != 'a' + (int)(i % 26))
			ck_abort_msg("at %zu", i);
	ck_assert(!buffer_append_char(&buffer, 'x'));
	ck_assert_uint_le(buffer.capacity, 100001);
	buffer_fini(&buffer);
	ck_assert_ptr_null(buffer.data);
	ck_assert_uint_eq(buffer.limit, 0);
}
END_TEST

START_TEST(at_the_limit_nothing_changes)
{
	struct buffer buffer;

	buffer_init(&buffer, 5);
	ck_assert(buffer_append_text(&buffer, "abc"));
	ck_assert(!buffer_append_text(&buffer, "def"));
	ck_assert(!buffer_printf(&buffer, "%d", 100));
	ck_assert(!buffer_reserve(&buffer, 3));
	ck_assert(!buffer_reserve(&buffer, SIZE_MAX));
	ck_assert_str_eq(buffer.data, "abc");
	ck_assert(buffer_printf(&buffer, "%d", 10));
	ck_assert_str_eq(buffer.data, "abc10");
	ck_assert(buffer_append(&buffer, NULL, 0));
	buffer_fini(&buffer);
	ck_assert(!buffer_append_char(&buffer, 'x'));
	ck_assert(buffer_append(&buffer, "", 0));
	buffer_fini(&buffer);
}
END_TEST

START_TEST(a_size_that_no_memory_holds_is_refused)
{
	struct buffer buffer;

	buffer_init(&buffer, SIZE_MAX);
	ck_assert(buffer_append_text(&buffer, "abc"));
	ck_assert(!buffer_reserve(&buffer, SIZE_MAX - 3));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	ck_assert(!buffer_reserve(&buffer, SIZE_MAX / 4)); /* sanitizers end the process here */
#endif
	ck_assert_str_eq(buffer.data, "abc");
	buffer_fini(&buffer);
}
END_TEST

START_TEST(reserved_room_is_not_moved)
{
	struct buffer buffer;
	char *data;

	buffer_init(&buffer, 1000);
	ck_assert(buffer_reserve(&buffer, 1000));
	data = buffer.data;
	for (int i = 0; i < 1000; i++)
		buffer_append_char(&buffer, 'x');
	ck_assert_ptr_eq(buffer.data, data);
	buffer_fini(&buffer);
}
END_TEST

START_TEST(octets_are_consumed_from_the_front)
{
	struct buffer buffer;

	buffer_init(&buffer, 100);
	buffer_append(&buffer, "ab\0cd", 5);
	buffer_consume(&buffer, 0);
	ck_assert_uint_eq(buffer.length, 5);
	buffer_consume(&buffer, 2);
	ck_assert_mem_eq(buffer.data, "\0cd", 4);
	ck_assert_uint_eq(buffer.length, 3);
	buffer_consume(&buffer, 3);
	ck_assert_uint_eq(buffer.length, 0);
	ck_assert_str_eq(buffer.data, "");
	buffer_append_text(&buffer, "xy");
	buffer_consume(&buffer, SIZE_MAX);
	ck_assert_uint_eq(buffer.length, 0);
	buffer_fini(&buffer);
	buffer_consume(&buffer, 1);
	ck_assert_ptr_null(buffer.data);
}
END_TEST

START_TEST(taken_bytes_are_the_callers)
{
	struct buffer buffer;
	char *text;

	buffer_init(&buffer, 10);
	text = buffer_take(&buffer);
	ck_assert_str_eq(text, "");
	free(text);
	buffer_append_text(&buffer, "abc");
	text = buffer_take(&buffer);
	ck_assert_str_eq(text, "abc");
	free(text);
	ck_assert_uint_eq(buffer.length, 0);
	ck_assert(buffer_append_text(&buffer, "0123456789")); /* the limit stays */
	ck_assert(!buffer_append_char(&buffer, 'x'));
	buffer_clear(&buffer);
	ck_assert_str_eq(buffer.data, "");
	buffer_fini(&buffer);
}
END_TEST

START_TEST(small_allocations)
{
	char *zeroed = memory_alloc(100), *none = memory_alloc(0), *text;

	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(zeroed[i], 0);
	ck_assert_ptr_nonnull(none);
	none = memory_resize(none, 0);
	ck_assert_ptr_nonnull(none);
	free(none);
	free(zeroed);
	ck_assert_ptr_null(memory_strdup(NULL));
	ck_assert_ptr_null(memory_strndup(NULL, 3));
	text = memory_strdup("abc");
	ck_assert_str_eq(text, "abc");
	free(text);
	text = memory_strndup("abcdef", 3);
	ck_assert_str_eq(text, "abc");
	free(text);
	text = memory_strndup("ab", 30);
	ck_assert_str_eq(text, "ab");
	free(text);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(no_memory_for_a_small_thing_ends_with_a_status_not_a_signal)
{
	memory_alloc(SIZE_MAX / 4);
}
END_TEST
#endif

START_TEST(a_pool_lends_and_keeps_no_more_than_it_may)
{
	struct pool *pool = pool_create(4096, 2);
	void *blocks[5];

	ck_assert_uint_eq(pool_block_bytes(pool), 4096);
	pool_give(pool, NULL);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 5; i++) {
			blocks[i] = pool_take(pool);
			ck_assert_ptr_nonnull(blocks[i]);
			memset(blocks[i], i, 4096);
		}
		for (int i = 0; i < 5; i++) {
			ck_assert_int_eq(((char *)blocks[i])[0], i);
			ck_assert_int_eq(((char *)blocks[i])[4095], i);
			pool_give(pool, blocks[i]);
		}
	}
	pool_destroy(&pool);
	ck_assert_ptr_null(pool);
	pool_destroy(&pool);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(memory_that_is_short_is_an_answer_of_the_pool)
{
	struct pool *pool = pool_create(SIZE_MAX / 4, 2);

	ck_assert_ptr_null(pool_take(pool));
	pool_destroy(&pool); /* nothing counts as lent */
}
END_TEST
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(MADV_POPULATE_WRITE)
/* In a heap of its own, since each of the first threads has one; how many faults that was. */
static void *allocate(void *argument)
{
	struct rusage before, after;
	char *pieces[40];

	heap_expect(65536, 65536);
	getrusage(RUSAGE_THREAD, &before);
	for (size_t i = 0; i < 40; i++) {
		pieces[i] = malloc(1200);
		memset(pieces[i], 1, 1200);
	}
	getrusage(RUSAGE_THREAD, &after);
	for (size_t i = 0; i < 40; i++)
		free(pieces[i]);
	*(long *)argument = after.ru_minflt - before.ru_minflt;
	return NULL;
}

/* 48,000 octets are a dozen pages. */
START_TEST(what_is_expected_of_a_heap_comes_without_a_fault_for_each_page)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *try = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can = madvise(try, page, MADV_POPULATE_WRITE) == 0; /* Linux 5.14 */
	pthread_t thread;
	long faults = -1;

	munmap(try, page);
	ck_assert_int_eq(pthread_create(&thread, NULL, allocate, &faults), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	if (can)
		ck_assert_int_le(faults, 4);
	ck_assert_int_ge(faults, 0);
	heap_expect(0, 0);
	heap_expect(100, 4096 * 10 / 100);
}
END_TEST
#endif

START_TEST(a_pool_with_blocks_lent_is_not_destroyed)
{
	struct pool *pool = pool_create(16, 1);

	(void)!pool_take(pool);
	pool_destroy(&pool);
}
END_TEST

TCase *common_buffer_cases(void)
{
	TCase *cases = tcase_create("buffer");

	tcase_add_test(cases, growth_keeps_the_bytes_and_a_nul_behind_them);
	tcase_add_test(cases, at_the_limit_nothing_changes);
	tcase_add_test(cases, a_size_that_no_memory_holds_is_refused);
	tcase_add_test(cases, reserved_room_is_not_moved);
	tcase_add_test(cases, octets_are_consumed_from_the_front);
	tcase_add_test(cases, taken_bytes_are_the_callers);
	tcase_add_test(cases, small_allocations);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_exit_test(cases, no_memory_for_a_small_thing_ends_with_a_status_not_a_signal, 71);
	tcase_add_test(cases, memory_that_is_short_is_an_answer_of_the_pool);
#ifdef MADV_POPULATE_WRITE
	tcase_add_test(cases, what_is_expected_of_a_heap_comes_without_a_fault_for_each_page);
#endif
#endif
	tcase_add_test(cases, a_pool_lends_and_keeps_no_more_than_it_may);
	tcase_add_test_raise_signal(cases, a_pool_with_blocks_lent_is_not_destroyed, SIGABRT);
	return cases;
}
