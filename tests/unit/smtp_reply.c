/*
 * smtp_reply.c - the reply parser: whole, octet by octet, split at every offset.
 */
#include "smtp/reply.h"

#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "tests/unit/smtp_test.h"

static const struct good {
	const char *octets;
	int code;
	const char *enhanced, *text;
	int lines;
} good[] = {
	{ "220 mail.example ESMTP\r\n", 220, "", "mail.example ESMTP", 1 },
	{ "250\r\n", 250, "", "", 1 },
	{ "250 \r\n", 250, "", "", 1 },
	{ "250 ok\n", 250, "", "ok", 1 },
	{ "250-a\r\n250-b\r\n250 c\r\n", 250, "", "a\nb\nc", 3 },
	{ "250-a\r\n250\r\n", 250, "", "a\n", 2 },
	{ "250-\r\n250-\r\n250 \r\n", 250, "", "\n\n", 3 },
	{ "550 5.1.1 no such user\r\n", 550, "5.1.1", "no such user", 1 },
	{ "550-5.1.1 no such\r\n550 5.1.1 user\r\n", 550, "5.1.1", "no such\nuser", 2 },
	{ "550 5.1.1\r\n", 550, "5.1.1", "", 1 },
	{ "550 4.1.1 of another class\r\n", 550, "", "4.1.1 of another class", 1 },
	{ "550 5.1.1x\r\n", 550, "", "5.1.1x", 1 },
	{ "550 5.7.705 limit\r\n", 550, "5.7.705", "limit", 1 },
	{ "550 5.123.456 x\r\n", 550, "5.123.456", "x", 1 },
	{ "550 5.1234.1 x\r\n", 550, "", "5.1234.1 x", 1 },
	{ "550 5..1 x\r\n", 550, "", "5..1 x", 1 },
	{ "550 5.1 x\r\n", 550, "", "5.1 x", 1 },
	{ "334 PDE4OTY=\r\n", 334, "", "PDE4OTY=", 1 },
	{ "250-\x80\xff\x01 8-bit\r\n250 ok\r\n", 250, "", "\x80\xff\x01 8-bit\nok", 2 },
	{ "250 a\rb\r\n", 250, "", "a\rb", 1 },
};

/* Feeds in pieces that end at the cuts; what is behind the reply must be left. */
static enum reply_progress feed(const char *octets, size_t length, size_t first, size_t step,
                                struct reply *reply, size_t *used)
{
	struct reply_parser parser = { .line = NULL };
	enum reply_progress progress = REPLY_MORE;
	size_t at = 0;

	reply_begin(&parser, reply);
	while (progress == REPLY_MORE && at < length) {
		size_t piece = at < first ? first - at : step, consumed;

		if (piece == 0 || piece > length - at)
			piece = length - at;
		progress = reply_feed(&parser, octets + at, piece, &consumed);
		ck_assert(consumed <= piece);
		at += consumed;
	}
	*used = at;
	ck_assert_int_eq(progress == REPLY_MALFORMED, parser.why != NULL);
	reply_parser_fini(&parser);
	return progress;
}

static void same(const struct good *want, const struct reply *reply)
{
	ck_assert_int_eq(reply->code, want->code);
	ck_assert_str_eq(reply->enhanced, want->enhanced);
	ck_assert_str_eq(reply->text, want->text);
	ck_assert_uint_eq(reply->length, strlen(want->text));
	ck_assert_int_eq(reply->lines, want->lines);
}

START_TEST(replies)
{
	const struct good *want = &good[_i];
	size_t length = strlen(want->octets), used;
	char octets[256];
	struct reply reply = { .text = NULL };

	snprintf(octets, sizeof(octets), "%s999 next", want->octets);
	for (size_t cut = 0; cut <= length; cut++) {
		ck_assert_int_eq(feed(octets, strlen(octets), cut, 0, &reply, &used), REPLY_DONE);
		ck_assert_uint_eq(used, length);
		same(want, &reply);
	}
	ck_assert_int_eq(feed(octets, strlen(octets), 1, 1, &reply, &used), REPLY_DONE);
	ck_assert_uint_eq(used, length);
	same(want, &reply);
	for (size_t part = 0; part < length; part++)
		ck_assert_int_eq(feed(octets, part, 0, 0, &reply, &used), REPLY_MORE);
	reply_fini(&reply);
}
END_TEST

static const struct bad {
	const char *octets;
	size_t length;
	const char *why;
} bad[] = {
#define BAD(octets, why)                                                                                     \
	{                                                                                                    \
		octets, sizeof(octets) - 1, why                                                              \
	}
	BAD("hello\r\n", "without a reply code"),
	BAD("\r\n", "without a reply code"),
	BAD("25\r\n", "without a reply code"),
	BAD("25x ok\r\n", "without a reply code"),
	BAD("-25 ok\r\n", "without a reply code"),
	BAD("199 x\r\n", "does not have"),
	BAD("600 x\r\n", "does not have"),
	BAD("000 x\r\n", "does not have"),
	BAD("2500 x\r\n", "no space"),
	BAD("250:ok\r\n", "no space"),
	BAD("250-a\r\n251 b\r\n", "different codes"),
	BAD("250-a\r\nb\r\n", "without a reply code"),
	BAD("250 a\0b\r\n", "NUL"),
	BAD("\0", "NUL"),
};

START_TEST(malformed)
{
	const struct bad *want = &bad[_i];

	for (size_t cut = 0; cut <= want->length; cut++) {
		struct reply_parser parser = { .line = NULL };
		struct reply reply = { .text = NULL };
		size_t consumed = 0;
		enum reply_progress progress;

		reply_begin(&parser, &reply);
		progress = reply_feed(&parser, want->octets, cut, &consumed);
		if (progress == REPLY_MORE)
			progress = reply_feed(&parser, want->octets + cut, want->length - cut, &consumed);
		ck_assert_int_eq(progress, REPLY_MALFORMED);
		ck_assert_msg(strstr(parser.why, want->why) != NULL, "%s", parser.why);
		reply_parser_fini(&parser);
		reply_fini(&reply);
	}
}
END_TEST

static enum reply_progress feed_lines(const char *line, int times, const char *last,
                                      struct reply_parser *parser, struct reply *reply)
{
	enum reply_progress progress = REPLY_MORE;
	size_t consumed;

	reply_begin(parser, reply);
	for (int i = 0; i < times && progress == REPLY_MORE; i++)
		progress = reply_feed(parser, line, strlen(line), &consumed);
	if (progress == REPLY_MORE)
		progress = reply_feed(parser, last, strlen(last), &consumed);
	return progress;
}

START_TEST(bounds)
{
	struct reply_parser parser = { .line = NULL };
	struct reply reply = { .text = NULL };
	char line[REPLY_LINE_BYTES + 3];

	ck_assert_int_eq(feed_lines("250-x\r\n", REPLY_LINES - 1, "250 y\r\n", &parser, &reply), REPLY_DONE);
	ck_assert_int_eq(reply.lines, REPLY_LINES);
	ck_assert_int_eq(feed_lines("250-x\r\n", REPLY_LINES, "250 y\r\n", &parser, &reply), REPLY_MALFORMED);
	ck_assert_str_eq(parser.why, "a reply of too many lines");

	memset(line, 'x', sizeof(line));
	memcpy(line, "250-", 4);
	strcpy(line + REPLY_LINE_BYTES - 1, "\r\n"); /* the CR counts: exactly full */
	ck_assert_int_eq(feed_lines(line, 100, "250 y\r\n", &parser, &reply), REPLY_DONE);
	ck_assert_int_eq(reply.lines, 101);
	ck_assert_uint_eq(reply.length, REPLY_TEXT_BYTES - 1);
	ck_assert_uint_eq(strlen(reply.text), REPLY_TEXT_BYTES - 1);

	memcpy(line + REPLY_LINE_BYTES - 1, "xxx", 3);
	line[sizeof(line) - 1] = '\0';
	ck_assert_int_eq(feed_lines(line, 1, "\r\n", &parser, &reply), REPLY_MALFORMED);
	ck_assert_str_eq(parser.why, "an endless line");
	ck_assert_uint_eq(parser.line_room, REPLY_LINE_BYTES);
	ck_assert_uint_eq(reply.room, REPLY_TEXT_BYTES);
	reply_parser_fini(&parser);
	reply_fini(&reply);
}
END_TEST

/* What a session holds is by what its server says: few words, few octets, which stay where they are. */
START_TEST(few_words_take_little)
{
	struct reply_parser parser = { .line = NULL };
	struct reply reply = { .text = NULL };
	const char *text, *line;

	ck_assert_int_eq(feed_lines("", 0, "250 2.0.0 ok\r\n", &parser, &reply), REPLY_DONE);
	ck_assert_uint_le(parser.line_room + reply.room, 256);
	text = reply.text;
	line = parser.line;
	ck_assert_int_eq(feed_lines("250-fine\r\n", 3, "250 2.0.0 fine\r\n", &parser, &reply), REPLY_DONE);
	ck_assert_str_eq(reply.text, "fine\nfine\nfine\nfine");
	ck_assert_ptr_eq(reply.text, text);
	ck_assert_ptr_eq(parser.line, line);
	reply_parser_fini(&parser);
	reply_fini(&reply);
	ck_assert_ptr_null(reply.text);
}
END_TEST

START_TEST(enhanced_lengths)
{
	ck_assert_uint_eq(reply_enhanced_length("5.1.1", 5, '5'), 5);
	ck_assert_uint_eq(reply_enhanced_length("5.1.1 x", 7, '5'), 5);
	ck_assert_uint_eq(reply_enhanced_length("5.1.1", 5, '4'), 0);
	ck_assert_uint_eq(reply_enhanced_length("3.1.1", 5, '3'), 0);
	ck_assert_uint_eq(reply_enhanced_length("5.1.1", 4, '5'), 0);
	ck_assert_uint_eq(reply_enhanced_length("5.123.456", 9, '5'), 9);
	ck_assert_uint_eq(reply_enhanced_length("5.1.1.", 6, '5'), 0);
	ck_assert_uint_eq(reply_enhanced_length("", 0, '5'), 0);
}
END_TEST

static struct capabilities offers(const char *octets)
{
	struct capabilities capabilities;
	struct reply reply = { .text = NULL };
	size_t used;

	ck_assert_int_eq(feed(octets, strlen(octets), 0, 0, &reply, &used), REPLY_DONE);
	capabilities_parse(&reply, &capabilities);
	reply_fini(&reply);
	return capabilities;
}

START_TEST(capabilities)
{
	struct capabilities c = offers(
		"250-mail PIPELINING\r\n250-StartTLS\r\n250-8bitmime\r\n250-SIZE 1000\r\n"
		"250-auth plain  LOGIN\r\n250-AUTH=CRAM-MD5\r\n250-DSN\r\n250-CHUNKING\r\n"
		"250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n");

	ck_assert(c.esmtp && c.starttls && c.eight_bit_mime && c.dsn && c.chunking && c.smtputf8 &&
	          c.enhanced_codes && c.size);
	ck_assert(!c.pipelining); /* the first line is a name */
	ck_assert_int_eq(c.size_limit, 1000);
	ck_assert_str_eq(c.auth, "PLAIN LOGIN CRAM-MD5");

	c = offers("250-x\r\n250-SIZE\r\n250-STARTTLSX\r\n250-XPIPELINING\r\n250 AUTH\r\n");
	ck_assert(c.size && c.size_limit == 0 && !c.starttls && !c.pipelining && c.auth[0] == '\0');
	c = offers("250-x\r\n250 SIZE 99999999999999999999999\r\n");
	ck_assert_int_eq(c.size_limit, INT64_MAX);
	c = offers("250-x\r\n250 SIZE nonsense\r\n");
	ck_assert_int_eq(c.size_limit, 0);
	/* what is no number of octets would refuse everything if it were read half */
	c = offers("250-x\r\n250 SIZE 35M\r\n");
	ck_assert(c.size && c.size_limit == 0);
	c = offers("250-x\r\n250 SIZE 35000000 octets\r\n");
	ck_assert_int_eq(c.size_limit, 35000000);
	c = offers("250 PIPELINING\r\n");
	ck_assert(c.esmtp && !c.pipelining);
	c = offers("502-x\r\n502 PIPELINING\r\n");
	ck_assert(!c.esmtp && !c.pipelining);
}
END_TEST

START_TEST(many_mechanisms_are_cut_at_a_word)
{
	struct capabilities c;
	struct buffer octets;

	buffer_init(&octets, 65536);
	buffer_append_text(&octets, "250-x\r\n250 AUTH");
	for (int i = 0; i < 100; i++)
		buffer_append_text(&octets, " X-MECHANISM");
	buffer_append_text(&octets, "\r\n");
	c = offers(octets.data);
	ck_assert_uint_eq(strlen(c.auth) % strlen(" X-MECHANISM"), strlen("X-MECHANISM"));
	buffer_fini(&octets);
}
END_TEST

/* RFC 9422: what is not written as it says is ignored, the rest of the line counts. */
START_TEST(limits)
{
	static const struct {
		const char *line;
		int mail, rcpt, domain;
	} cases[] = {
		{ "LIMITS", 0, 0, 0 },
		{ "LIMITS MAILMAX=10", 10, 0, 0 },
		{ "limits rcptmax=1 MAILMAX=999999 RcptDomainMax=3", 999999, 1, 3 },
		{ "LIMITS  RCPTMAX=5   UNKNOWN FUTURE=a=b", 0, 5, 0 },
		{ "LIMITS MAILMAX=0 RCPTMAX=-1 RCPTDOMAINMAX=", 0, 0, 0 },
		{ "LIMITS MAILMAX=1000000 RCPTMAX=007 RCPTDOMAINMAX=+3", 0, 0, 0 },
		{ "LIMITS MAILMAX RCPTMAX=5x RCPTDOMAINMAX=4", 0, 0, 4 },
		{ "LIMITS RCPTMAX=50 RCPTMAX=20 RCPTMAX=30", 0, 20, 0 },
		{ "LIMITS XMAILMAX=3 MAILMAX=;4", 0, 0, 0 },
	};
	char text[200];

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct capabilities c;

		snprintf(text, sizeof(text), "250-x\r\n250 %s\r\n", cases[i].line);
		c = offers(text);
		ck_assert_msg(c.mail_max == cases[i].mail && c.rcpt_max == cases[i].rcpt &&
		                      c.rcpt_domain_max == cases[i].domain,
		              "%s: %d %d %d", cases[i].line, c.mail_max, c.rcpt_max, c.rcpt_domain_max);
	}
}
END_TEST

TCase *smtp_reply_cases(void)
{
	TCase *tcase = tcase_create("reply");

	tcase_add_loop_test(tcase, replies, 0, COUNT(good));
	tcase_add_loop_test(tcase, malformed, 0, COUNT(bad));
	tcase_add_test(tcase, bounds);
	tcase_add_test(tcase, few_words_take_little);
	tcase_add_test(tcase, enhanced_lengths);
	tcase_add_test(tcase, capabilities);
	tcase_add_test(tcase, limits);
	tcase_add_test(tcase, many_mechanisms_are_cut_at_a_word);
	return tcase;
}
