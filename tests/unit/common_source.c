/*
 * common_source.c - a column's bytes are the same in memory and in a spool file.
 */
#include "common/source.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/common_test.h"

static const char text[] = "The quick brown fox jumps over the lazy dog";

static void reads_like_text(const struct body *body)
{
	size_t size = strlen(text);

	for (size_t capacity = 1; capacity <= size + 1; capacity++) {
		size_t position = 0, length;
		char bytes[64];

		for (;;) {
			ck_assert_int_eq(body_read(body, (int64_t)position, bytes, capacity, &length), OK);
			if (length == 0)
				break;
			ck_assert_uint_le(length, capacity);
			ck_assert_mem_eq(bytes, text + position, length);
			position += length;
		}
		ck_assert_uint_eq(position, size);
	}
}

START_TEST(a_body_in_memory_and_one_in_a_file_read_alike)
{
	struct body body = {
		.memory = (char *)text, .fd = -1, .size = (int64_t)strlen(text), .present = true
	};
	FILE *file = tmpfile();
	size_t length = 1;
	char byte;

	ck_assert_ptr_nonnull(file);
	reads_like_text(&body);
	ck_assert_int_eq(body_read(&body, -1, &byte, 1, &length), ERROR_INVALID);
	ck_assert_uint_eq(length, 0);

	fprintf(file, "before%safter", text);
	fflush(file);
	body.memory = NULL;
	body.fd = fileno(file);
	body.offset = 6;
	reads_like_text(&body);
	ck_assert_int_eq(lseek(body.fd, 0, SEEK_CUR), (int)strlen("beforeafter") + (int)strlen(text));
	fclose(file);
}
END_TEST

START_TEST(a_spool_file_that_is_too_short_is_an_error)
{
	FILE *file = tmpfile();
	struct body body = { .fd = fileno(file), .size = 100, .present = true };
	char bytes[100];
	size_t length;

	fputs("short", file);
	fflush(file);
	ck_assert_int_eq(body_read(&body, 0, bytes, sizeof(bytes), &length), OK);
	ck_assert_uint_eq(length, 5);
	ck_assert_int_eq(body_read(&body, 5, bytes, sizeof(bytes), &length), ERROR_SYSTEM);
	ck_assert_uint_eq(length, 0);
	fclose(file);
	ck_assert_int_eq(body_read(&body, 0, bytes, sizeof(bytes), &length), ERROR_SYSTEM);
}
END_TEST

START_TEST(a_column_that_is_null_is_empty)
{
	struct body body = { .fd = -1 };
	char byte;
	size_t length = 1;

	ck_assert_int_eq(body_read(&body, 0, &byte, 1, &length), OK);
	ck_assert_uint_eq(length, 0);
	body.present = true; /* and so is an empty one */
	length = 1;
	ck_assert_int_eq(body_read(&body, 0, &byte, 1, &length), OK);
	ck_assert_uint_eq(length, 0);
}
END_TEST

START_TEST(a_second_reading_gives_the_same_bytes)
{
	struct source_memory memory;
	struct source *source = &memory.source;

	source_memory_init(&memory, text, strlen(text));
	for (int round = 0; round < 3; round++) {
		char bytes[64];
		size_t done = 0, length;

		for (;;) {
			ck_assert_int_eq(source->read(source, bytes + done, 7, &length), OK);
			if (length == 0)
				break;
			ck_assert_uint_le(length, 7);
			done += length;
		}
		ck_assert_uint_eq(done, strlen(text));
		ck_assert_mem_eq(bytes, text, done);
		source->rewind(source);
	}
	source_memory_init(&memory, NULL, 0);
	size_t length = 1;
	char byte;
	ck_assert_int_eq(source->read(source, &byte, 1, &length), OK);
	ck_assert_uint_eq(length, 0);
}
END_TEST

TCase *common_source_cases(void)
{
	TCase *cases = tcase_create("source");

	tcase_add_test(cases, a_body_in_memory_and_one_in_a_file_read_alike);
	tcase_add_test(cases, a_spool_file_that_is_too_short_is_an_error);
	tcase_add_test(cases, a_column_that_is_null_is_empty);
	tcase_add_test(cases, a_second_reading_gives_the_same_bytes);
	return cases;
}
