/*
 * smtp_body.c - dots and line ends, whole, octet by octet, cut at every offset.
 */
#include "smtp/body.h"

#include <string.h>

#include "tests/unit/smtp_test.h"

#define OUT_BYTES 4096

static const struct {
	const char *in, *out;
} good[] = {
	{ "", ".\r\n" },
	{ "a", "a\r\n.\r\n" },
	{ "a\r\n", "a\r\n.\r\n" },
	{ "a\n", "a\r\n.\r\n" },
	{ "\r\n", "\r\n.\r\n" },
	{ "\n\n", "\r\n\r\n.\r\n" },
	{ ".", "..\r\n.\r\n" },
	{ ".\r\n", "..\r\n.\r\n" },
	{ "..\r\n", "...\r\n.\r\n" },
	{ "a.\r\n.b\r\n", "a.\r\n..b\r\n.\r\n" },
	{ "a\n.\nb", "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\r\n.\nb", "a\r\n..\r\nb\r\n.\r\n" },
	{ "a\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n" },
	{ "caf\xc3\xa9 \x80\xff\r\n", "caf\xc3\xa9 \x80\xff\r\n.\r\n" },
};

/* The same for BDAT: dots stay, no lone dot. */
static const struct {
	const char *in, *out;
} chunks[] = {
	{ "", "" },
	{ "a", "a\r\n" },
	{ "a\n", "a\r\n" },
	{ ".", ".\r\n" },
	{ ".\r\n..\r\n", ".\r\n..\r\n" },
	{ "a\r\n.\r\nb", "a\r\n.\r\nb\r\n" },
	{ "a\n.\nb\n", "a\r\n.\r\nb\r\n" },
	{ "BDAT 5 LAST\r\ncaf\xc3\xa9 \x80\xff\r\n", "BDAT 5 LAST\r\ncaf\xc3\xa9 \x80\xff\r\n" },
};

static bool for_chunks; /* each test has a process of its own */

static enum error transform(const char *in, size_t length, size_t first, size_t step, char *out,
                            size_t *out_length)
{
	struct body_transform state;
	enum error error;
	size_t done;

	*out_length = 0;
	body_transform_begin(&state, for_chunks);
	for (size_t at = 0; at < length;) {
		size_t piece = at < first ? first - at : step;

		if (piece == 0 || piece > length - at)
			piece = length - at;
		error = body_transform_feed(&state, in + at, piece, out + *out_length, &done);
		if (error != OK)
			return error;
		ck_assert_uint_le(done, 2 * piece + 1);
		*out_length += done;
		at += piece;
	}
	error = body_transform_end(&state, out + *out_length, &done);
	ck_assert_uint_le(done, 6);
	*out_length += done;
	return error;
}

static void check_cuts(const char *in, const char *want)
{
	char out[OUT_BYTES];
	size_t length;

	for (size_t cut = 0; cut <= strlen(in); cut++) {
		ck_assert_int_eq(transform(in, strlen(in), cut, 0, out, &length), OK);
		ck_assert_uint_eq(length, strlen(want));
		ck_assert_mem_eq(out, want, length);
	}
	ck_assert_int_eq(transform(in, strlen(in), 1, 1, out, &length), OK);
	ck_assert_uint_eq(length, strlen(want));
	ck_assert_mem_eq(out, want, length);
}

START_TEST(transforms)
{
	check_cuts(good[_i].in, good[_i].out);
}
END_TEST

START_TEST(chunks_keep_their_dots)
{
	for_chunks = true;
	check_cuts(chunks[_i].in, chunks[_i].out);
}
END_TEST

static const struct {
	const char *in;
	size_t length;
} bad[] = {
#define BAD(in)                                                                                              \
	{                                                                                                    \
		in, sizeof(in) - 1                                                                           \
	}
	BAD("a\rb"),    BAD("\r"),   BAD("a\r"), BAD("a\r\r\n"), BAD("\r.\r\n"),
	BAD("a\r\n\r"), BAD("a\0b"), BAD("\0"),  BAD("\r\0"),
};

START_TEST(refused)
{
	char out[OUT_BYTES];
	size_t length;

	for (size_t cut = 0; cut <= bad[_i].length; cut++)
		ck_assert_int_eq(transform(bad[_i].in, bad[_i].length, cut, 0, out, &length), ERROR_INVALID);
	ck_assert_int_eq(transform(bad[_i].in, bad[_i].length, 1, 1, out, &length), ERROR_INVALID);
}
END_TEST

/* No bare CR or LF, and what ends the data is at the end alone. */
static bool is_safe(const char *out, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (out[i] == '\n' && (i == 0 || out[i - 1] != '\r'))
			return false;
		if (out[i] == '\r' && (i + 1 == length || out[i + 1] != '\n'))
			return false;
	}
	if (length == 3)
		return memcmp(out, ".\r\n", 3) == 0;
	return memcmp(out, ".\r\n", 3) != 0 && memmem(out, length, "\r\n.\r\n", 5) == out + length - 5;
}

/* Every text of up to seven octets out of these four. */
START_TEST(all_short_texts)
{
	static const char letters[] = { '\r', '\n', '.', 'a' };
	size_t size = (size_t)_i;
	unsigned taken = 0;

	for (unsigned number = 0; number < 1u << (2 * size); number++) {
		struct body_transform state;
		char in[8], out[64];
		size_t length, end;

		for (size_t i = 0; i < size; i++)
			in[i] = letters[number >> (2 * i) & 3];
		body_transform_begin(&state, for_chunks);
		if (body_transform_feed(&state, in, size, out, &length) != OK ||
		    body_transform_end(&state, out + length, &end) != OK)
			continue;
		taken++;
		if (!is_safe(out, length + end))
			ck_abort_msg("\"%.*s\" became \"%.*s\"", (int)size, in, (int)(length + end), out);
	}
	ck_assert_uint_gt(taken, 0);
}
END_TEST

/* --- where buffers end ----------------------------------------------------------------------- */

/* What the wire must have, written a second time: line by line, not octet by octet. */
static size_t expected_wire(const char *in, size_t length, char *out)
{
	size_t at = 0;

	for (size_t start = 0; start < length;) {
		const char *newline = memchr(in + start, '\n', length - start);
		size_t end = newline ? (size_t)(newline - in) : length;
		size_t stop = end > start && in[end - 1] == '\r' ? end - 1 : end;

		if (in[start] == '.')
			out[at++] = '.';
		memcpy(out + at, in + start, stop - start);
		at += stop - start;
		out[at++] = '\r';
		out[at++] = '\n';
		start = newline ? end + 1 : length;
	}
	memcpy(out + at, ".\r\n", 3);
	return at + 3;
}

static const char *const knots[] = {
	".",          "..",   "\r\n.",    "\n.\n",     "\r\n.\r\n",
	".\r\n.\r\n", "\n\n", "\r\n\r\n", "a\n.\r\nb", "\r\n..\r\n.",
};

/* Each knot at each offset around where the session's pieces (4096) and the stream's buffer (16384) end. */
START_TEST(knots_where_buffers_end)
{
	static const size_t sizes[] = { 4096, 8192, 16384 };
	static char in[20000], out[40100], want[40100];
	const char *knot = knots[_i];

	for (size_t i = 0; i < COUNT(sizes); i++) {
		for (int offset = -8; offset <= 4; offset++) {
			size_t before = sizes[i] + (size_t)offset, length, wanted;

			memset(in, 'x', before);
			memcpy(in + before, knot, strlen(knot));
			wanted = expected_wire(in, before + strlen(knot), want);
			ck_assert_int_eq(transform(in, before + strlen(knot), 4096, 4096, out, &length), OK);
			ck_assert_uint_eq(length, wanted);
			ck_assert_mem_eq(out, want, length);
		}
	}
}
END_TEST

/* The sequences that were published as SMTP smuggling, and their kin with NUL: refused, or harmless. */
static const struct {
	const char *in;
	size_t length;
	enum error answer;
} smuggled[] = {
#define BEFORE "Subject: x\r\n\r\na"
#define BEHIND "MAIL FROM:<evil@x.example>\r\n"
#define SMUGGLED(in, answer)                                                                                 \
	{                                                                                                    \
		BEFORE in BEHIND, sizeof(BEFORE in BEHIND) - 1, answer                                       \
	}
	SMUGGLED("\n.\n", OK),
	SMUGGLED("\n.\r\n", OK),
	SMUGGLED("\r\n.\n", OK),
	SMUGGLED("\r\n.\r\n", OK),
	SMUGGLED("\n\n.\n\n", OK),
	SMUGGLED("\r\n\v.\r\n", OK),
	SMUGGLED("\r.\r", ERROR_INVALID),
	SMUGGLED("\r.\n", ERROR_INVALID),
	SMUGGLED("\r.\r\n", ERROR_INVALID),
	SMUGGLED("\r\n.\r", ERROR_INVALID),
	SMUGGLED("\n.\r", ERROR_INVALID),
	SMUGGLED("\r\r\n.\r\r\n", ERROR_INVALID),
	SMUGGLED("\r\n.\r\r\n", ERROR_INVALID),
	SMUGGLED("\r\n\r.\r\n", ERROR_INVALID),
	SMUGGLED("\r\n\0.\r\n", ERROR_INVALID),
	SMUGGLED("\r\n.\0\r\n", ERROR_INVALID),
	SMUGGLED("\r\n.\r\0\n", ERROR_INVALID),
	SMUGGLED("\r\0\n.\r\n", ERROR_INVALID),
	SMUGGLED("\0\r\n.\r\n", ERROR_INVALID),
};

START_TEST(smuggling)
{
	const char *in = smuggled[_i].in;
	size_t all = smuggled[_i].length, length, wanted;
	char out[OUT_BYTES], want[OUT_BYTES];

	for (size_t cut = 0; cut <= all; cut++) {
		ck_assert_int_eq(transform(in, all, cut, 0, out, &length), smuggled[_i].answer);
		if (smuggled[_i].answer != OK)
			continue;
		wanted = expected_wire(in, all, want);
		ck_assert_uint_eq(length, wanted);
		ck_assert_mem_eq(out, want, length);
		ck_assert(is_safe(out, length));
	}
}
END_TEST

/* A complete message's long lines are its own affair: no limit, no fold. */
START_TEST(long_lines_stay)
{
	static const size_t lengths[] = { 998, 999, 1000, 4095, 4096, 4097, 19000 };
	static char in[20000], out[40100];
	size_t length, line = lengths[_i];

	memset(in, 'x', line);
	ck_assert_int_eq(transform(in, line, 4096, 4096, out, &length), OK);
	ck_assert_uint_eq(length, line + 5);
	ck_assert_mem_eq(out, in, line);
	ck_assert_mem_eq(out + line, "\r\n.\r\n", 5);
}
END_TEST

TCase *smtp_body_cases(void)
{
	TCase *tcase = tcase_create("body");

	tcase_add_loop_test(tcase, transforms, 0, COUNT(good));
	tcase_add_loop_test(tcase, chunks_keep_their_dots, 0, COUNT(chunks));
	tcase_add_loop_test(tcase, refused, 0, COUNT(bad));
	tcase_add_loop_test(tcase, all_short_texts, 1, 8);
	tcase_add_loop_test(tcase, knots_where_buffers_end, 0, COUNT(knots));
	tcase_add_loop_test(tcase, smuggling, 0, COUNT(smuggled));
	tcase_add_loop_test(tcase, long_lines_stay, 0, 7);
	return tcase;
}
