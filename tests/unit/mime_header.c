/*
 * mime_header.c - tests of the reader of a complete message's header.
 *
 * Each case is read with chunks of every length: whole, octet by octet, and
 * split everywhere; and once from a spool file.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buffer.h"
#include "mime/header.h"
#include "tests/unit/mime_test.h"

/* Each field as "line:name=value@start-end;", then "end@position:line"; or the words. */
static char *describe(const struct body *body, size_t chunk)
{
	struct header_reader reader;
	struct header_field field;
	struct words words;
	struct buffer out;
	bool more = true;

	buffer_init(&out, 4 << 20);
	header_begin(&reader, body, chunk);
	while (more) {
		if (header_next(&reader, &field, &more, &words) != OK) {
			buffer_clear(&out);
			buffer_append_text(&out, words.text);
			break;
		}
		if (more)
			buffer_printf(&out, "%d:%s=%s%s%s@%d-%d;", (int)field.line, field.name, field.value,
			              field.eight_bit ? "!" : "", field.cut ? "…" : "", (int)field.start,
			              (int)field.end);
		else
			buffer_printf(&out, "end@%d:%d", (int)reader.position, (int)reader.line);
	}
	header_fini(&reader);
	return buffer_take(&out);
}

static const struct header_case {
	const char *text, *result;
} header_cases[] = {
	{ "", "end@0:1" },
	{ "\n", "end@0:1" },
	{ "\r\nbody", "end@0:1" },
	{ "A: b\r\n\r\nbody", "1:A= b@0-6;end@6:2" },
	{ "A: b\n\nbody", "1:A= b@0-5;end@5:2" },
	{ "A: b\n", "1:A= b@0-5;end@5:2" },
	{ "A: b", "1:A= b@0-4;end@4:1" },
	{ "A:\n\n", "1:A=@0-3;end@3:2" },
	{ "A:b:c\nD-e_f!:\tg\n\n", "1:A=b:c@0-6;2:D-e_f!=\tg@6-16;end@16:3" },
	/* RFC 5322 2.2.3: unfolding takes out the line end and nothing else */
	{ "A: b\r\n c\r\n\td\r\nE: f\r\n\r\n", "1:A= b c\td@0-14;4:E= f@14-20;end@20:5" },
	{ "A:\n b\nC: d\n\n", "1:A= b@0-6;3:C= d@6-11;end@11:4" },
	{ "A: \303\244\nB: c\n\n", "1:A= \303\244!@0-6;2:B= c@6-11;end@11:3" },
	{ "A: \001\177\n\n", "1:A= \001\177@0-6;end@6:2" },
	{ " A: b\n", "message, line 1: white space at the start, where a header field is expected" },
	{ "\tA: b\n", "message, line 1: white space at the start, where a header field is expected" },
	{ "From bob Mon\nA: b\n", "message, line 1: 'From ' begins a mailbox file, not a message" },
	{ "A: b\nFrom bob\n\n", "message, line 2: 'From ' begins a mailbox file, not a message" },
	{ "A: b\nBcc : c\n\n", "message, line 2: white space between a header field's name and ':'" },
	{ "A\t: b\n", "message, line 1: white space between a header field's name and ':'" },
	{ "A: b\nhello\n\n", "message, line 2: this is no header field: no name with ':'" },
	{ "A: b\nhello", "message, line 2: this is no header field: no name with ':'" },
	{ "A: b\n: c\n\n", "message, line 2: a header field without a name" },
	{ "A: b\n\303\244: c\n", "message, line 2: a header field without a name" },
	{ "A\303\244: c\n", "message, line 1: this is no header field: no name with ':'" },
	{ "A\177: c\n", "message, line 1: this is no header field: no name with ':'" },
	{ "A: b\n \nBcc: c\n\n", "message, line 2: a line of nothing but white space in the header" },
	{ "A: b\r\n\t \r\n\r\n", "message, line 2: a line of nothing but white space in the header" },
	{ "A: b\n ", "message, line 2: a line of nothing but white space in the header" },
	{ "A: b\rc\n\n", "message, line 1: a carriage return without a line feed" },
	{ "A: b\n c\r\r\n\n", "message, line 2: a carriage return without a line feed" },
	{ "A: b\r", "message, line 1: a carriage return without a line feed" },
	{ "A: b\nC: \344\n\n", "message, line 2: this is not UTF-8" },
	{ "A: \344b\n\n", "message, line 1: this is not UTF-8; encode it (RFC 2047)" },
	{ "A: \303\n \244\n\n", "message, line 1: this is not UTF-8" },
	{ "A: b\nC: \303", "message, line 2: this is not UTF-8" },
};

static void check_header(const char *text, size_t length, const char *result)
{
	/* an exact copy, so that a sanitizer sees a read beyond the end */
	char *copy = malloc(length ? length : 1);
	struct body body = { .memory = copy, .fd = -1, .size = (int64_t)length, .present = true };

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, length);
	for (size_t chunk = 1; chunk <= length + 1; chunk++) {
		char *got = describe(&body, chunk);

		ck_assert_msg(strcmp(got, result) == 0, "%s, chunks of %zu: %s", text, chunk, got);
		free(got);
	}
	free(copy);
}

START_TEST(header_is_read_however_it_is_split)
{
	for (size_t i = 0; i < COUNT(header_cases); i++)
		check_header(header_cases[i].text, strlen(header_cases[i].text), header_cases[i].result);
	check_header("A: b\nC: d\0e\n\n", 13, "message, line 2: the character NUL is not allowed");
	check_header("A\0: b\n\n", 7, "message, line 1: this is no header field: no name with ':'");
}
END_TEST

START_TEST(header_is_read_from_a_spool_file)
{
	static const char text[] = "xxA: b\r\n c\r\n\r\nbody";
	struct body body = { .fd = memfd_create("header", MFD_CLOEXEC),
		             .offset = 2,
		             .size = (int64_t)sizeof(text) - 3,
		             .present = true };
	struct header_reader reader;
	struct header_field field;
	struct words words;
	bool more;
	char *got;

	ck_assert_int_ge(body.fd, 0);
	ck_assert_int_eq(write(body.fd, text, sizeof(text) - 1), sizeof(text) - 1);
	got = describe(&body, 3);
	ck_assert_str_eq(got, "1:A= b c@0-10;end@10:3");
	free(got);
	/* a file that fails is not a header that ends */
	ck_assert_int_eq(ftruncate(body.fd, 4), 0);
	header_begin(&reader, &body, 1);
	ck_assert_int_eq(header_next(&reader, &field, &more, &words), ERROR_SYSTEM);
	ck_assert_str_eq(words.text, "message cannot be read from its spool file");
	header_fini(&reader);
	close(body.fd);
}
END_TEST

static enum error read_all(const struct buffer *text, size_t *fields, bool *cut, struct words *words)
{
	struct body body = { .memory = text->data, .fd = -1, .size = (int64_t)text->length, .present = true };
	struct header_reader reader;
	struct header_field field;
	enum error error;
	bool more;

	*fields = 0;
	*cut = false;
	header_begin(&reader, &body, HEADER_CHUNK_MAX);
	while ((error = header_next(&reader, &field, &more, words)) == OK && more) {
		*cut = *cut || field.cut;
		ck_assert_uint_le(field.length, HEADER_VALUE_MAX);
		(*fields)++;
	}
	header_fini(&reader);
	return error;
}

START_TEST(limits_are_kept)
{
	struct buffer text;
	struct words words;
	size_t fields;
	bool cut;

	buffer_init(&text, 8 << 20);
	for (size_t i = 0; i < HEADER_FIELDS_MAX; i++)
		buffer_append_text(&text, "A:\n");
	ck_assert_int_eq(read_all(&text, &fields, &cut, &words), OK);
	ck_assert_uint_eq(fields, HEADER_FIELDS_MAX);
	buffer_append_text(&text, "A:\n");
	ck_assert_int_eq(read_all(&text, &fields, &cut, &words), ERROR_LIMIT);
	ck_assert_str_eq(words.text, "message, line 10001: more than 10000 header fields");
	buffer_clear(&text);
	buffer_append_text(&text, "A:");
	for (size_t i = 0; i < HEADER_VALUE_MAX / 8; i++)
		buffer_append_text(&text, "12345678");
	ck_assert_int_eq(read_all(&text, &fields, &cut, &words), OK);
	ck_assert(!cut);
	buffer_append_text(&text, "9");
	ck_assert_int_eq(read_all(&text, &fields, &cut, &words), OK);
	ck_assert(cut);
	ck_assert_uint_eq(fields, 1);
	buffer_fini(&text);
}
END_TEST

START_TEST(a_long_name_is_cut_and_equals_no_other)
{
	char text[200];
	struct body body = { .memory = text, .fd = -1, .present = true };
	struct header_reader reader;
	struct header_field field;
	struct words words;
	bool more;

	memset(text, 'a', sizeof(text));
	memcpy(text + 150, ": x\n\n", 5);
	body.size = 155;
	header_begin(&reader, &body, 7);
	ck_assert_int_eq(header_next(&reader, &field, &more, &words), OK);
	ck_assert(more);
	ck_assert_uint_eq(strlen(field.name), HEADER_NAME_MAX);
	ck_assert_str_eq(field.value, " x");
	header_fini(&reader);
}
END_TEST

TCase *mime_header_case(void)
{
	TCase *tcase = tcase_create("header");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, header_is_read_however_it_is_split);
	tcase_add_test(tcase, header_is_read_from_a_spool_file);
	tcase_add_test(tcase, limits_are_kept);
	tcase_add_test(tcase, a_long_name_is_cut_and_equals_no_other);
	return tcase;
}
