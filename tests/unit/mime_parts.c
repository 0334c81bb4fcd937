/*
 * mime_parts.c - tests of HTML, attachments and inline parts: how they nest, how each is encoded.
 *
 * Sources: RFC 2045 6, RFC 2046 5.1 and 5.2.1, RFC 2183, RFC 2387. What is written is read
 * back here by a plain reader of multiparts, which knows nothing of mime/parts.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "mime/parts.h"
#include "tests/unit/mime_test.h"

#define BODY(text) bed_body_of(text, sizeof(text) - 1)

static const struct compose_options with_eight_bit = { .instance = INSTANCE, .eight_bit_mime = true };

/* A part as it was read: its header and its octets. */
struct found {
	char *header;
	char *octets;
};

static struct found split(const char *text, size_t length)
{
	const char *empty = memmem(text, length, "\r\n\r\n", 4);
	size_t header;

	ck_assert_ptr_nonnull(empty);
	header = (size_t)(empty - text) + 2;
	return (struct found){ .header = strndup(text, header),
		               .octets = strndup(text + header + 2, length - header - 2) };
}

static void found_free(struct found *found)
{
	free(found->header);
	free(found->octets);
}

/* The value of a field, unfolded; "" if there is none. Allocated. */
static char *value_of(const char *header, const char *name)
{
	size_t length = strlen(name);
	struct buffer out;

	buffer_init(&out, 1 << 16);
	for (const char *line = header; *line; line = strstr(line, "\r\n") + 2) {
		if (strncasecmp(line, name, length) != 0 || line[length] != ':')
			continue;
		for (const char *at = line + length + 2; at[0] != '\r' || at[2] == ' '; at++) {
			if (*at != '\r' && *at != '\n')
				buffer_append_char(&out, *at);
		}
	}
	return buffer_take(&out);
}

/* Appends "TYPE", or "TYPE(parts)" for a multipart; keeps the n-th part that is none in leaves. */
static void outline(const char *text, size_t length, struct buffer *out, struct found leaves[8],
                    size_t *count)
{
	struct found found = split(text, length);
	char *type = value_of(found.header, "Content-Type");
	char *mark = strstr(type, "boundary=\"");
	char delimiter[128];
	const char *at;

	ck_assert_uint_ge(strlen(type), 3);
	buffer_append(out, type, strcspn(type, ";"));
	if (!mark) {
		ck_assert_uint_lt(*count, 8);
		leaves[(*count)++] = found;
		free(type);
		return;
	}
	snprintf(delimiter, sizeof(delimiter), "--%.*s", (int)strcspn(mark + 10, "\""), mark + 10);
	at = found.octets;
	ck_assert(strncmp(at, delimiter, strlen(delimiter)) == 0);
	buffer_append_char(out, '(');
	for (at += strlen(delimiter); strncmp(at, "--", 2) != 0; at += strlen(delimiter) + 2) {
		char line[132];
		const char *end;

		ck_assert(strncmp(at, "\r\n", 2) == 0);
		snprintf(line, sizeof(line), "\r\n%s", delimiter);
		end = strstr(at, line);
		ck_assert_ptr_nonnull(end);
		if (out->data[out->length - 1] != '(')
			buffer_append_char(out, ' ');
		outline(at + 2, (size_t)(end - at) - 2, out, leaves, count);
		at = end;
	}
	buffer_append_char(out, ')');
	ck_assert_msg(strcmp(at, "--\r\n") == 0 || strcmp(at, "--") == 0, "%s", at);
	found_free(&found);
	free(type);
}

static char *outline_of(const struct mail *mail, const struct compose_options *options,
                        struct found leaves[8], size_t *count)
{
	struct composed *composed;
	struct words words = { "" };
	struct buffer out;
	char *text;

	buffer_init(&out, 4096);
	*count = 0;
	ck_assert_msg(mime_compose(mail, options, &composed, &words) == OK, "%s", words.text);
	text = bed_read_source(composed, 100);
	outline(text, strlen(text), &out, leaves, count);
	free(text);
	composed_destroy(&composed);
	return buffer_take(&out);
}

static struct mail letter(void)
{
	struct mail mail = bed_mail_of(NULL);

	mail.to_addresses = TEXT("a@x.test");
	return mail;
}

static const struct nesting_case {
	bool text, html;
	const char *ids[3]; /* content_id of each attachment, "" = none, NULL = no more */
	const char *outline;
} nesting_cases[] = {
	{ true, false, { NULL }, "text/plain" },
	{ false, true, { NULL }, "text/html" },
	{ false, false, { NULL }, "text/plain" },
	{ true, true, { NULL }, "multipart/alternative(text/plain text/html)" },
	{ true, false, { "" }, "multipart/mixed(text/plain image/p0)" },
	{ false, true, { "" }, "multipart/mixed(text/html image/p0)" },
	{ true, true, { "" }, "multipart/mixed(multipart/alternative(text/plain text/html) image/p0)" },
	{ false, true, { "a" }, "multipart/related(text/html image/p0)" },
	{ true, true, { "a" }, "multipart/alternative(text/plain multipart/related(text/html image/p0))" },
	{ false, true, { "a", "" }, "multipart/mixed(multipart/related(text/html image/p0) image/p1)" },
	{ true,
	  true,
	  { "", "a", "" },
	  "multipart/mixed(multipart/alternative(text/plain multipart/related(text/html image/p1)) "
	  "image/p0 image/p2)" },
	{ true,
	  true,
	  { "a", "", "b" },
	  "multipart/mixed(multipart/alternative(text/plain multipart/related(text/html image/p0 "
	  "image/p2)) image/p1)" },
	{ false, false, { "" }, "multipart/mixed(image/p0)" },
	{ false, false, { "", "", "" }, "multipart/mixed(image/p0 image/p1 image/p2)" },
	/* without HTML nothing shows an inline part: it is attached like any other */
	{ false, false, { "a" }, "multipart/mixed(image/p0)" },
	{ true, false, { "a", "" }, "multipart/mixed(text/plain image/p0 image/p1)" },
};

START_TEST(parts_nest_as_they_should)
{
	static const char *const types[] = { "image/p0", "image/p1", "image/p2" };

	for (size_t i = 0; i < COUNT(nesting_cases); i++) {
		const struct nesting_case *one = &nesting_cases[i];
		struct attachment attachments[3] = { { .filename = NULL } };
		struct mail mail = letter();
		struct found leaves[8];
		size_t count;
		char *text;

		if (one->text)
			mail.body_text = BODY("text");
		if (one->html)
			mail.body_html = BODY("<p>");
		mail.attachments = attachments;
		while (mail.attachment_count < 3 && one->ids[mail.attachment_count]) {
			size_t n = mail.attachment_count++;

			attachments[n].content_type = TEXT(types[n]);
			attachments[n].content_id = one->ids[n][0] ? TEXT(one->ids[n]) : NULL;
			attachments[n].content = BODY("x");
		}
		text = outline_of(&mail, &bed_options, leaves, &count);
		ck_assert_str_eq(text, one->outline);
		free(text);
		for (size_t n = 0; n < count; n++) {
			char *disposition = value_of(leaves[n].header, "Content-Disposition");
			char *id = value_of(leaves[n].header, "Content-ID");
			bool attached = strstr(leaves[n].header, "image/") != NULL;
			bool inlined = id[0] && one->html;

			ck_assert_str_eq(disposition, !attached ? "" : inlined ? "inline" : "attachment");
			free(disposition);
			free(id);
			found_free(&leaves[n]);
		}
	}
}
END_TEST

START_TEST(a_whole_message_of_everything)
{
	struct attachment attachments[] = {
		{ .filename = TEXT("logo.png"),
		  .content_type = TEXT("image/png"),
		  .content_id = TEXT("logo@acme.example"),
		  .content = BODY("\211PNG\r\n\032\n") },
		{ .filename = TEXT("msg0001.wav"), .content = BODY("RIFF") },
	};
	struct mail mail = letter();
	struct composed *composed;
	char *text;

	mail.subject = TEXT("Hi");
	mail.headers = TEXT("X-Extra: yes\n");
	mail.body_text = BODY("You have mail.\n");
	mail.body_html = BODY("<p>You have <b>mail</b>.</p><img src=\"cid:logo@acme.example\">");
	mail.attachments = attachments;
	mail.attachment_count = 2;
	composed = bed_compose(&mail);
	text = bed_read_source(composed, 7);
	ck_assert_str_eq(text, "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
	                       "Message-ID: <" HASH_42 "@acme.example>\r\n"
	                       "From: pbx@acme.example\r\n"
	                       "To: a@x.test\r\n"
	                       "Subject: Hi\r\n"
	                       "X-Extra: yes\r\n"
	                       "MIME-Version: 1.0\r\n"
	                       "Content-Type: multipart/mixed; boundary=\"" STEM_42 "-1\"\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-1\r\n"
	                       "Content-Type: multipart/alternative; boundary=\"" STEM_42 "-2\"\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-2\r\n"
	                       "Content-Type: text/plain; charset=utf-8\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n"
	                       "You have mail.\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-2\r\n"
	                       "Content-Type: multipart/related; type=\"text/html\";\r\n"
	                       " boundary=\"" STEM_42 "-3\"\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-3\r\n"
	                       "Content-Type: text/html; charset=utf-8\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n"
	                       "<p>You have <b>mail</b>.</p><img src=\"cid:logo@acme.example\">\r\n"
	                       "--" STEM_42 "-3\r\n"
	                       "Content-Type: image/png\r\n"
	                       "Content-Transfer-Encoding: base64\r\n"
	                       "Content-Disposition: inline; filename=\"logo.png\"\r\n"
	                       "Content-ID: <logo@acme.example>\r\n"
	                       "\r\n"
	                       "iVBORw0KGgo=\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-3--\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-2--\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-1\r\n"
	                       "Content-Type: application/octet-stream\r\n"
	                       "Content-Transfer-Encoding: base64\r\n"
	                       "Content-Disposition: attachment; filename=\"msg0001.wav\"\r\n"
	                       "\r\n"
	                       "UklGRg==\r\n"
	                       "\r\n"
	                       "--" STEM_42 "-1--\r\n");
	free(text);
	ck_assert(!composed->envelope.eight_bit);
	composed_destroy(&composed);
}
END_TEST

static const struct encoding_case {
	const char *text;
	bool offered; /* 8BITMIME */
	const char *encoding;
	const char *octets;
} encoding_cases[] = {
	{ "", false, "7bit", "" },
	{ "a", false, "7bit", "a" },
	{ "a\n", false, "7bit", "a\r\n" },
	{ "a\r\n\r\n", false, "7bit", "a\r\n\r\n" },
	{ "M\303\244rz Juni Juli\n", false, "quoted-printable", "M=C3=A4rz Juni Juli\r\n" },
	{ "M\303\244rz Juni Juli", false, "quoted-printable", "M=C3=A4rz Juni Juli" },
	{ "M\303\244rz Juni Juli ", false, "quoted-printable", "M=C3=A4rz Juni Juli=20" },
	{ "\346\227\245\346\234\254", false, "base64", "5pel5pys\r\n" },
	{ "\346\227\245\346\234\254\n", false, "base64", "5pel5pysDQo=\r\n" },
	{ "\303\244\n", true, "8bit", "\303\244\r\n" },
	{ "\303\244", true, "8bit", "\303\244" },
	{ "a\n--" STEM_42 "-1\nb", true, "quoted-printable", "a\r\n--=3D_" HASH_B42 "-1\r\nb" },
	{ "--" STEM_42, false, "quoted-printable", "--=3D_" HASH_B42 },
	{ "-- a\n--" STEM_42, false, "quoted-printable", "-- a\r\n--=3D_" HASH_B42 },
	{ "\303\244--" STEM_42, true, "8bit", "\303\244--" STEM_42 },
	{ " --" STEM_42, true, "7bit", " --" STEM_42 },
	{ "--=_f", false, "7bit", "--=_f" },
};

/* In a multipart a text is just what the column holds, whether its last line has an end or not. */
START_TEST(texts_in_parts_are_exact)
{
	struct attachment attachment = { .content = BODY("x") };

	for (size_t i = 0; i < COUNT(encoding_cases); i++) {
		const struct encoding_case *one = &encoding_cases[i];
		struct compose_options options = { .instance = INSTANCE, .eight_bit_mime = one->offered };
		struct mail mail = letter();
		struct found leaves[8];
		size_t count;
		char *text;

		mail.body_text = bed_body_of(one->text, strlen(one->text));
		mail.attachments = &attachment;
		mail.attachment_count = 1;
		text = outline_of(&mail, &options, leaves, &count);
		ck_assert_str_eq(text, "multipart/mixed(text/plain application/octet-stream)");
		free(text);
		text = value_of(leaves[0].header, "Content-Transfer-Encoding");
		ck_assert_str_eq(text, one->encoding);
		free(text);
		ck_assert_str_eq(leaves[0].octets, one->octets);
		found_free(&leaves[0]);
		found_free(&leaves[1]);
	}
}
END_TEST

static const struct message_case {
	const char *type, *text;
	bool offered;
	const char *sent_as, *encoding, *octets;
} message_cases[] = {
	{ "message/rfc822", "A: b\n\nc\n", false, "message/rfc822", "7bit", "A: b\r\n\r\nc\r\n" },
	{ "Message/RFC822", "A: b\r\n\r\nc", false, "Message/RFC822", "7bit", "A: b\r\n\r\nc" },
	{ "message/rfc822", "A: b\n\n\344\n", true, "message/rfc822", "8bit", "A: b\r\n\r\n\344\r\n" },
	{ "message/rfc822", "A: b\n\n\344\n", false, "application/octet-stream", "base64", "QTogYgoK5Ao=" },
	{ "message/rfc822", "A: \344\n\nc\n", true, "application/octet-stream", "base64", "QTog5AoKYwo=" },
	{ "message/rfc822", "A: b\rc\n\n", true, "application/octet-stream", "base64", "QTogYg1jCgo=" },
	{ "message/rfc822", "--" STEM_42 "-1--\n", true, "application/octet-stream", "base64", "LS09X2Rh" },
	{ "message/global", "A: \303\244\n\nc\n", true, "message/global", "8bit",
	  "A: \303\244\r\n\r\nc\r\n" },
	{ "message/global", "A: \303\244\n\nc\n", false, "message/global", "base64", "QTogw6QKCmMK" },
	{ "message/delivery-status", "A: b\n", false, "message/delivery-status", "7bit", "A: b\r\n" },
};

/* RFC 2046 5.2.1: a message within a message is never encoded; where that cannot be it is a file. */
START_TEST(messages_as_attachments)
{
	for (size_t i = 0; i < COUNT(message_cases); i++) {
		const struct message_case *one = &message_cases[i];
		struct compose_options options = { .instance = INSTANCE, .eight_bit_mime = one->offered };
		struct attachment attachment = { .content_type = TEXT(one->type) };
		struct mail mail = letter();
		struct found leaves[8];
		size_t count;
		char *text;
		bool as_file = strcmp(one->sent_as, "application/octet-stream") == 0;

		attachment.content = bed_body_of(one->text, strlen(one->text));
		mail.attachments = &attachment;
		mail.attachment_count = 1;
		free(outline_of(&mail, &options, leaves, &count));
		ck_assert_uint_eq(count, 1);
		text = value_of(leaves[0].header, "Content-Type");
		ck_assert_str_eq(text, one->sent_as);
		free(text);
		text = value_of(leaves[0].header, "Content-Transfer-Encoding");
		ck_assert_str_eq(text, one->encoding);
		free(text);
		text = value_of(leaves[0].header, "Content-Disposition");
		ck_assert_str_eq(text, as_file ? "attachment; filename=\"message.eml\"" : "attachment");
		free(text);
		ck_assert(strncmp(leaves[0].octets, one->octets, strlen(one->octets)) == 0);
		found_free(&leaves[0]);
		attachment.filename = TEXT("a.eml");
		memset(leaves, 0, sizeof(leaves));
		free(outline_of(&mail, &options, leaves, &count));
		ck_assert_uint_eq(count, 1);
		text = value_of(leaves[0].header, "Content-Disposition");
		ck_assert_str_eq(text, "attachment; filename=\"a.eml\"");
		free(text);
		found_free(&leaves[0]);
	}
}
END_TEST

/* RFC 2045 6.4: a multipart says 8bit if a part within it is, and only then. */
START_TEST(what_holds_an_8_bit_part_says_so)
{
	static const struct {
		const char *text, *html, *inlined, *attached;
		const char *says[3]; /* mixed, alternative, related */
	} cases[] = {
		{ "a", "b", "c", "d", { "7bit", "7bit", "7bit" } },
		{ "\303\244", "b", "c", "d", { "8bit", "8bit", "7bit" } },
		{ "a", "\303\244", "c", "d", { "8bit", "8bit", "8bit" } },
		{ "a", "b", "\n\303\244", "d", { "8bit", "8bit", "8bit" } },
		{ "a", "b", "c", "\n\303\244", { "8bit", "7bit", "7bit" } },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct attachment attachments[] = {
			{ .content_type = TEXT("message/rfc822"), .content_id = TEXT("a") },
			{ .content_type = TEXT("message/rfc822") },
		};
		struct mail mail = letter();
		struct composed *composed;
		struct words words;
		const char *at;
		char *text;

		mail.body_text = bed_body_of(cases[i].text, strlen(cases[i].text));
		mail.body_html = bed_body_of(cases[i].html, strlen(cases[i].html));
		attachments[0].content = bed_body_of(cases[i].inlined, strlen(cases[i].inlined));
		attachments[1].content = bed_body_of(cases[i].attached, strlen(cases[i].attached));
		mail.attachments = attachments;
		mail.attachment_count = 2;
		ck_assert_int_eq(mime_compose(&mail, &with_eight_bit, &composed, &words), OK);
		text = bed_read_source(composed, 1000);
		at = text;
		for (size_t level = 0; level < 3; level++) {
			at = strstr(strstr(at, "boundary="), "\r\nContent-Transfer-Encoding: ") + 29;
			ck_assert_msg(strncmp(at, cases[i].says[level], 4) == 0, "%zu, %zu:\n%s", i, level,
			              text);
		}
		ck_assert_int_eq(composed->envelope.eight_bit, i > 0);
		free(text);
		composed_destroy(&composed);
	}
}
END_TEST

/* All octets, all lengths around those of a line; in memory and in a file. */
START_TEST(attachments_arrive_octet_for_octet)
{
	char octets[1024];
	char path[] = "/tmp/mime_parts.XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)(i * 7);
	ck_assert_int_eq(write(fd, "##", 2), 2);
	ck_assert_int_eq(write(fd, octets, sizeof(octets)), sizeof(octets));
	for (size_t length = 0; length < sizeof(octets); length += length < 180 ? 1 : 211) {
		struct attachment attachments[2] = { { .filename = TEXT("a") }, { .filename = TEXT("b") } };
		struct mail mail = letter();
		struct found leaves[8];
		struct buffer base64;
		size_t count;

		attachments[0].content = bed_body_of(octets, length);
		attachments[1].content = (struct body){
			.fd = fd, .offset = 2, .size = (int64_t)length, .present = true
		};
		mail.attachments = attachments;
		mail.attachment_count = 2;
		free(outline_of(&mail, &bed_options, leaves, &count));
		ck_assert_uint_eq(count, 2);
		ck_assert_str_eq(leaves[0].octets, leaves[1].octets);
		buffer_init(&base64, 1 << 16);
		for (const char *at = leaves[0].octets; *at; at++) {
			if (*at != '\r' && *at != '\n')
				buffer_append_char(&base64, *at);
		}
		bed_check_base64(base64.data ? base64.data : "", octets, length);
		buffer_fini(&base64);
		found_free(&leaves[0]);
		found_free(&leaves[1]);
	}
	close(fd);
}
END_TEST

START_TEST(a_wrong_attachment_is_named)
{
	struct attachment attachments[2] = { { .content = BODY("x") }, { .content = BODY("y") } };
	struct mail mail = letter();

	mail.attachments = attachments;
	mail.attachment_count = 2;
	attachments[1].content_type = TEXT("pdf");
	bed_check_refused(&mail, "attachment 2, content_type, character 4: '/' is expected here, as in "
	                         "application/pdf");
	attachments[1].content_type = NULL;
	attachments[1].filename = TEXT("a\nb");
	bed_check_refused(&mail, "attachment 2, filename, character 2: a line break is not allowed");
	attachments[1].filename = NULL;
	attachments[1].content_id = TEXT("a b");
	bed_check_refused(&mail, "attachment 2, content_id, character 2: ' ' is not allowed here");
	attachments[0].content_id = attachments[1].content_id = TEXT("logo");
	bed_check_refused(&mail, "attachment 2, content_id: attachment 1 has the same one");
	attachments[0].content_id = attachments[1].content_id = NULL;
	mail.attachment_count = 1001;
	bed_check_refused(&mail, "more than 1000 attachments");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told)
{
	struct attachment attachment = { .content_type = TEXT("message/rfc822") };
	struct mail mail = letter();
	struct composed *composed;
	struct words words;
	size_t got;
	char bytes[4096];
	enum error error = OK;

	attachment.content = (struct body){ .fd = -1, .size = 5, .present = true };
	mail.attachments = &attachment;
	mail.attachment_count = 1;
	ck_assert_int_eq(mime_compose(&mail, &bed_options, &composed, &words), ERROR_SYSTEM);
	ck_assert_str_eq(words.text, "attachment 1, content cannot be read from its spool file");
	/* octets are first read when they are sent */
	attachment.content_type = TEXT("image/png");
	composed = bed_compose(&mail);
	do
		error = composed->source->read(composed->source, bytes, sizeof(bytes), &got);
	while (!error && got > 0);
	ck_assert_int_eq(error, ERROR_SYSTEM);
	composed_destroy(&composed);
	attachment.content = (struct body){ .present = false };
	mail.body_html = (struct body){ .fd = -1, .size = 5, .present = true };
	ck_assert_int_eq(mime_compose(&mail, &bed_options, &composed, &words), ERROR_SYSTEM);
	ck_assert_str_eq(words.text, "body_html cannot be read from its spool file");
}
END_TEST

/* However little room there is for our own text, too little is told, and enough is enough. */
START_TEST(a_full_header_is_told)
{
	struct attachment attachments[] = {
		{ .filename = TEXT("a.png"), .content_id = TEXT("a"), .content = BODY("x") },
		{ .filename = TEXT("\303\244"), .content = BODY("y") },
	};
	struct mail mail = letter();
	struct parts parts;
	struct words words;
	enum error error = ERROR_LIMIT;

	mail.body_text = BODY("a");
	mail.body_html = BODY("b");
	mail.attachments = attachments;
	mail.attachment_count = 2;
	ck_assert_int_eq(parts_prepare(&parts, &mail, &bed_options, &words), OK);
	for (size_t limit = 0; error; limit++) {
		struct pieces *pieces = pieces_create();
		struct buffer header;
		int64_t size = 0;
		bool eight_bit = false;

		ck_assert_uint_lt(limit, 1000);
		buffer_init(&header, limit);
		error = parts_write(&parts, &header, pieces, &size, &eight_bit);
		ck_assert(error == ERROR_LIMIT || (error == OK && limit > 100));
		buffer_fini(&header);
		pieces_destroy(&pieces);
	}
	parts_fini(&parts);
}
END_TEST

TCase *mime_parts_case(void)
{
	TCase *tcase = tcase_create("parts");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, parts_nest_as_they_should);
	tcase_add_test(tcase, a_whole_message_of_everything);
	tcase_add_test(tcase, texts_in_parts_are_exact);
	tcase_add_test(tcase, messages_as_attachments);
	tcase_add_test(tcase, what_holds_an_8_bit_part_says_so);
	tcase_add_test(tcase, attachments_arrive_octet_for_octet);
	tcase_add_test(tcase, a_wrong_attachment_is_named);
	tcase_add_test(tcase, a_full_header_is_told);
	tcase_add_test(tcase, a_file_that_cannot_be_read_is_told);
	return tcase;
}
