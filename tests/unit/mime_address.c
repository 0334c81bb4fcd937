/*
 * mime_address.c - tests of the address parser, its domains, and who may send.
 *
 * Sources: RFC 5322 3.4 and appendix A.1.2, A.1.3, A.5, A.6; RFC 2047 5 and 8.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "mime/address.h"
#include "mime/compose.h"
#include "mime/domain.h"
#include "tests/unit/mime_test.h"

/* Addresses as "display|address|group" one a line; groups without members as "*name". */
static char *describe(const struct address_list *list)
{
	struct buffer out;

	buffer_init(&out, 1 << 20);
	for (size_t i = 0; i < list->count; i++) {
		const struct address *item = &list->items[i];

		buffer_printf(&out, "%s|%s%s%s%s\n", item->display ? item->display : "", item->address,
		              item->smtputf8 ? "|utf8" : "", item->group ? "|" : "",
		              item->group ? item->group : "");
	}
	for (size_t i = 0; i < list->group_count; i++) {
		bool empty = true;

		for (size_t j = 0; j < list->count; j++)
			empty = empty && list->items[j].group != list->groups[i];
		if (empty)
			buffer_printf(&out, "*%s\n", list->groups[i]);
	}
	return buffer_take(&out);
}

static const struct good_case {
	const char *text, *result;
} good_cases[] = {
	/* RFC 5322 A.1.1, A.1.2 */
	{ "John Doe <jdoe@machine.example>", "John Doe|jdoe@machine.example\n" },
	{ "\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public|john.q.public@example.com\n" },
	{ "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
	  "Mary Smith|mary@x.test\n|jdoe@example.org\nWho?|one@y.test\n" },
	{ "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
	  "|boss@nil.test\nGiant; \"Big\" Box|sysservices@example.net\n" },
	/* A.1.3 */
	{ "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
	  "Ed Jones|c@a.test|A Group\n|joe@where.test|A Group\nJohn|jdoe@one.test|A Group\n" },
	{ "Undisclosed recipients:;", "*Undisclosed recipients\n" },
	/* A.5 (white space, comments), without its folding, which the reader undoes */
	{ "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|pete@silly.test\n" },
	{ "A Group(Some people)  :Chris Jones <c@(Chris's host.)public.example>, joe@example.org,"
	  "  John <jdoe@one.test> (my dear friend); (the end of the group)",
	  "Chris Jones|c@public.example|A Group\n|joe@example.org|A Group\nJohn|jdoe@one.test|A Group\n" },
	{ "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "*Hidden recipients\n" },
	/* several groups, empty ones between */
	{ "a@x.test, G:;, b@x.test, H:c@x.test;, I: ;", "|a@x.test\n|b@x.test\n|c@x.test|H\n*G\n*I\n" },
	/* white space around '@' is no obsolete form */
	{ "  bob @ example.net\t", "|bob@example.net\n" },
	{ "< bob@example.net >", "|bob@example.net\n" },
	/* local parts */
	{ "!#$%&'*+-/=?^_`{|}~@example.net", "|!#$%&'*+-/=?^_`{|}~@example.net\n" },
	{ "\"bob\"@example.net", "|bob@example.net\n" },
	{ "\"bob smith\"@example.net", "|\"bob smith\"@example.net\n" },
	{ "\"b\\ob@\\\"\\\\\"@example.net", "|\"bob@\\\"\\\\\"@example.net\n" },
	{ "\"\"@example.net", "|\"\"@example.net\n" },
	{ "\"a..b\"@example.net", "|\"a..b\"@example.net\n" },
	{ "j\303\266rg@example.net", "|j\303\266rg@example.net|utf8\n" },
	/* domains */
	{ "a@localhost, b@1and1.example, c@a-b.example, d@under_score.example",
	  "|a@localhost\n|b@1and1.example\n|c@a-b.example\n|d@under_score.example\n" },
	{ "bob@B\303\274cher.Example", "|bob@xn--bcher-kva.example\n" },
	{ "bob@\344\276\213\343\201\210.\343\203\206\343\202\271\343\203\210",
	  "|bob@xn--r8jz45g.xn--zckzah\n" },
	{ "a@[192.0.2.1], b@[IPv6:2001:db8::1]", "|a@[192.0.2.1]\n|b@[IPv6:2001:db8::1]\n" },
	/* names */
	{ "J\303\266rg M\303\274ller <j@x.test>", "J\303\266rg M\303\274ller|j@x.test\n" },
	{ "\"M\303\274ller, J\303\266rg\" <j@x.test>", "M\303\274ller, J\303\266rg|j@x.test\n" },
	{ "\"\" <j@x.test>", "|j@x.test\n" },
	{ "\"  two  spaces \" <j@x.test>", "  two  spaces |j@x.test\n" },
	{ "a   b\t c <j@x.test>", "a b c|j@x.test\n" },
	{ "\"A\" B \"C.\" <j@x.test>", "A B C.|j@x.test\n" },
	{ "\"A\"B<j@x.test>", "A B|j@x.test\n" },
	/* RFC 2047 8 */
	{ "=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.test>", "Keith Moore|moore@cs.utk.test\n" },
	{ "=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.test>",
	  "Keld J\303\270rn Simonsen|keld@dkuug.test\n" },
	{ "=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.test>", "Andr\303\251 Pirard|PIRARD@vm1.test\n" },
	{ "=?utf-8?B?SsO2cmc=?= =?UTF-8*de?q?_M=c3=bcller?= <j@x.test>",
	  "J\303\266rg M\303\274ller|j@x.test\n" },
	{ "=?utf-8?Q?a?= b =?utf-8?Q?c?= <j@x.test>", "a b c|j@x.test\n" },
	/* what is no encoded-word, or may not be decoded, is shown as it is */
	{ "\"=?utf-8?Q?a?=\" <j@x.test>", "=?utf-8?Q?a?=|j@x.test\n" },
	{ "=?koi8-r?Q?=C1?= <j@x.test>", "=?koi8-r?Q?=C1?=|j@x.test\n" },
	{ "=?utf-8?Q?a=0D=0ABcc?= <j@x.test>", "=?utf-8?Q?a=0D=0ABcc?=|j@x.test\n" },
	{ "=?utf-8?Q?=C3?= <j@x.test>", "=?utf-8?Q?=C3?=|j@x.test\n" },
	{ "=?utf-8?Q?=C?= <j@x.test>", "=?utf-8?Q?=C?=|j@x.test\n" },
	{ "=?utf-8?Q?\?= <j@x.test>", "=?utf-8?Q?\?=|j@x.test\n" },
	{ "=?utf-8?X?a?= <j@x.test>", "=?utf-8?X?a?=|j@x.test\n" },
	{ "=?iso-8859-1?Q?=85?= <j@x.test>", "=?iso-8859-1?Q?=85?=|j@x.test\n" },
};

static void check_list_is_understood(const struct good_case *one)
{
	struct address_list list;
	struct words words = { "" };
	char *got;

	ck_assert_msg(address_list_parse("to", one->text, strlen(one->text), &list, &words) == OK, "%s: %s",
	              one->text, words.text);
	got = describe(&list);
	ck_assert_msg(strcmp(got, one->result) == 0, "%s: %s", one->text, got);
	free(got);
	address_list_fini(&list);
}

START_TEST(list_is_understood)
{
	for (size_t i = 0; i < COUNT(good_cases); i++)
		check_list_is_understood(&good_cases[i]);
}
END_TEST

static const struct bad_case {
	const char *text, *words;
} bad_cases[] = {
	{ "", "to, character 1: an address is missing here" },
	{ "  (nobody)", "to, character 11: an address is missing here" },
	{ "alice@a.test, bob@x.test; carol@x.test",
	  "to, character 25: ';' does not separate addresses, use ','" },
	{ "a@x.test; b@x.test", "to, character 9: ';' does not separate addresses, use ','" },
	{ "\303\204\303\226\303\234 <a@x.test>; b@x.test",
	  "to, character 15: ';' does not separate addresses, use ','" },
	{ "a@x.test,", "to, character 10: an address is missing here" },
	{ "a@x.test,,b@x.test", "to, character 10: an address is missing here" },
	{ ",a@x.test", "to, character 1: an address is missing here" },
	{ "a@x.test b@x.test", "to, character 10: ',' is missing before this" },
	{ "<a@x.test> Bob", "to, character 12: ',' is missing before this" },
	{ "bob", "to, character 1: bob is no address: '@' is missing" },
	{ "a@x.test, Bob Smith", "to, character 11: behind the name that begins with Bob an address in "
	                         "'<>' is missing" },
	{ "J. Doe <a@x.test>", "to, character 2: a name with '.' needs quotes, as in \"J. Doe\" "
	                       "<doe@example.net>" },
	{ "Bob Smith@x.test", "to, character 1: more than one word before '@': a name stands before an "
	                      "address in '<>', a local part with spaces in quotes" },
	{ "bob@@x.test", "to, character 5: a domain is expected behind '@'" },
	{ "bob@x@y", "to, character 6: a second '@' in one address" },
	{ "bob@", "to, character 5: a domain is expected behind '@'" },
	{ "@x.test", "to, character 1: there is nothing before '@'" },
	{ "<@a.test,@b.test:c@d.test>", "to, character 2: routes ('<@a,@b:c@d>') are obsolete" },
	{ "<>", "to, character 1: there is no address between '<' and '>'" },
	{ "Bob <bob>", "to, character 9: '@' is expected here, between '<' and '>'" },
	{ "Bob <bob@x.test", "to, character 16: '>' is expected here, behind the address" },
	{ "Bob <bob@x.test, c@x.test>", "to, character 16: '>' is expected here, behind the address" },
	{ "bob@x.test>", "to, character 11: ',' is missing before this" },
	{ "bob>", "to, character 4: '>' without '<'" },
	{ "bob)", "to, character 4: ')' without '('" },
	{ "(a (b) bob@x.test", "to, character 1: the comment that begins here has no ')'" },
	{ "(a\\) bob@x.test", "to, character 1: the comment that begins here has no ')'" },
	{ "\"Bob <bob@x.test>", "to, character 1: the quoted text that begins here has no closing '\"'" },
	{ "\"Bob\\", "to, character 1: the quoted text that begins here has no closing '\"'" },
	{ "\"Bob\\\"", "to, character 1: the quoted text that begins here has no closing '\"'" },
	{ "[bob]@x.test", "to, character 1: '[' is not allowed here" },
	{ "bob\\@x.test", "to, character 4: '\\' is not allowed here" },
	{ ".bob@x.test", "to, character 1: before '@', no dot may stand first, last or beside another, "
	                 "unless in quotes" },
	{ "bob.@x.test", "to, character 1: before '@', no dot may stand first, last or beside another, "
	                 "unless in quotes" },
	{ "b..b@x.test", "to, character 1: before '@', no dot may stand first, last or beside another, "
	                 "unless in quotes" },
	{ "bob . smith@x.test", "to, character 1: more than one word before '@': a name stands before an "
	                        "address in '<>', a local part with spaces in quotes" },
	{ "\"a\tb\"@x.test", "to, character 1: a tab is not allowed in an address" },
	{ "bob@.x.test", "to, character 5: a domain has no empty part before, after or between dots" },
	{ "bob@x.test.", "to, character 5: a domain has no empty part before, after or between dots" },
	{ "bob@x..test", "to, character 5: a domain has no empty part before, after or between dots" },
	{ "bob@-x.test", "to, character 5: no part of a domain begins or ends with '-'" },
	{ "bob@x-.test", "to, character 5: no part of a domain begins or ends with '-'" },
	{ "bob@x!y.test", "to, character 5: '!' is not allowed in a domain" },
	{ "bob@\342\230\203.example",
	  "to, character 5: '\342\230\203.example' is no internationalised domain: "
	  "string contains a disallowed character" },
	{ "bob@a/\303\274.example", "to, character 5: 'a/\303\274.example' is no internationalised domain: "
	                            "A-label roundtrip failed" },
	{ "\"" A70 A70 A70 A70 "\"@x.test", "to, character 1: the address is longer than 254 octets" },
	{ "<\"a@x.test>", "to, character 2: the quoted text that begins here has no closing '\"'" },
	{ "<a(@x.test>", "to, character 3: the comment that begins here has no ')'" },
	{ "<a@(x.test>", "to, character 4: the comment that begins here has no ')'" },
	{ "<a@x.test(>", "to, character 10: the comment that begins here has no ')'" },
	{ "<(a@x.test>", "to, character 2: the comment that begins here has no ')'" },
	{ "a@x.test(", "to, character 9: the comment that begins here has no ')'" },
	{ "G:;(", "to, character 4: the comment that begins here has no ')'" },
	{ "bob@[192.0.2]", "to, character 5: between '[' and ']' stands an IPv4 address, or 'IPv6:' and "
	                   "an IPv6 address" },
	{ "bob@[tag:x]", "to, character 5: between '[' and ']' stands an IPv4 address, or 'IPv6:' and "
	                 "an IPv6 address" },
	{ "bob@[192.0.2.1", "to, character 5: the '[' has no ']'" },
	{ A70 A70 A70 A10 A10 A10 A10 "12345@x.test",
	  "to, character 1: the address is longer than 254 octets" },
	{ "bob\302\240@x.test", "to, character 4: the invisible character U+00A0 is not allowed in an "
	                        "address" },
	{ "\342\200\213bob@x.test", "to, character 1: the invisible character U+200B is not allowed in "
	                            "an address" },
	{ "G: a@x.test", "to, character 1: the group that begins here has no ';'" },
	{ "a@x.test, G: b@x.test,;", "to, character 23: an address is missing here" },
	{ "G: H: a@x.test;;", "to, character 4: a group within a group is not allowed" },
	{ ":a@x.test;", "to, character 1: ':' is not allowed here" },
	{ "G:;;", "to, character 4: ';' does not separate addresses, use ','" },
	{ "a@x.test\r\nBcc: b@x.test", "to, character 9: a line break is not allowed" },
	{ "\"a\r\nBcc: b@x.test\" <c@x.test>", "to, character 3: a line break is not allowed" },
	{ "a@x.test\n", "to, character 9: a line break is not allowed" },
	{ "a\001@x.test", "to, character 2: the control character U+0001 is not allowed" },
	{ "a@x.test\177", "to, character 9: the control character U+007F is not allowed" },
	{ "\303\244 <a@x.test>, \377 <b@x.test>", "to, character 15: this is not UTF-8" },
	{ "\355\240\200@x.test", "to, character 1: this is not UTF-8" },
	{ "a@\300\257.test", "to, character 3: this is not UTF-8" },
};

static void check_error_names_the_place(const struct bad_case *one)
{
	struct address_list list;
	struct words words = { "" };

	ck_assert_msg(address_list_parse("to", one->text, strlen(one->text), &list, &words) == ERROR_INVALID,
	              "accepted: %s", one->text);
	ck_assert_msg(strcmp(words.text, one->words) == 0, "%s: %s", one->text, words.text);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_ptr_null(list.items);
}

START_TEST(error_names_the_place)
{
	for (size_t i = 0; i < COUNT(bad_cases); i++)
		check_error_names_the_place(&bad_cases[i]);
}
END_TEST

START_TEST(nul_is_refused)
{
	static const char text[] = "a@x.test\0, b@x.test";
	struct address_list list;
	struct words words;

	ck_assert_int_eq(address_list_parse("to", text, sizeof(text) - 1, &list, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "to, character 9: the control character U+0000 is not allowed");
}
END_TEST

/* Every cut of every good text: no crash, and an error always has words for its column. */
static void check_every_cut_is_answered(const struct good_case *one)
{
	size_t length = strlen(one->text);

	for (size_t cut = 0; cut <= length; cut++) {
		/* an exact copy, so that a sanitizer sees a read beyond the end */
		char *copy = malloc(cut ? cut : 1);
		struct address_list list;
		struct words words = { "" };

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, one->text, cut);
		if (address_list_parse("to", copy, cut, &list, &words) != OK)
			ck_assert_int_eq(strncmp(words.text, "to, character ", 14), 0);
		address_list_fini(&list);
		free(copy);
	}
}

START_TEST(every_cut_is_answered)
{
	for (size_t i = 0; i < COUNT(good_cases); i++)
		check_every_cut_is_answered(&good_cases[i]);
}
END_TEST

START_TEST(a_field_of_a_message_may_have_dots_in_names)
{
	static const char text[] = "John Q. Public <a@x.test>";
	struct address_list list;
	struct words words;

	ck_assert_int_eq(address_list_parse_field("x", text, strlen(text), &list, &words), OK);
	ck_assert_str_eq(list.items[0].display, "John Q. Public");
	address_list_fini(&list);
	ck_assert_int_eq(address_list_parse_field("x", "a;b", 3, &list, &words), ERROR_INVALID);
}
END_TEST

static enum error parse_repeated(const char *unit, size_t times, const char *end, struct address_list *list,
                                 struct words *words)
{
	struct buffer text;
	enum error error;

	buffer_init(&text, 64 << 20);
	for (size_t i = 0; i < times; i++)
		buffer_append_text(&text, unit);
	buffer_append_text(&text, end);
	error = address_list_parse("to", text.data, text.length, list, words);
	buffer_fini(&text);
	return error;
}

START_TEST(limits_are_kept)
{
	struct address_list list;
	struct words words;

	ck_assert_int_eq(parse_repeated("a@x.test,", ADDRESS_LIST_MAX - 1, "a@x.test", &list, &words), OK);
	ck_assert_uint_eq(list.count, ADDRESS_LIST_MAX);
	address_list_fini(&list);
	ck_assert_int_eq(parse_repeated("a@x.test,", ADDRESS_LIST_MAX, "a@x.test", &list, &words),
	                 ERROR_LIMIT);
	ck_assert_str_eq(words.text, "to: more than 10000 addresses");
	ck_assert_int_eq(parse_repeated("G:;,", ADDRESS_LIST_MAX, "G:;", &list, &words), ERROR_LIMIT);
	ck_assert_str_eq(words.text, "to: more than 10000 groups");
	ck_assert_int_eq(parse_repeated("x", 998, " <a@x.test>", &list, &words), OK);
	address_list_fini(&list);
	ck_assert_int_eq(parse_repeated("x", 999, " <a@x.test>", &list, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "to, character 1: the name is longer than 998 octets");
	ck_assert_int_eq(parse_repeated("x", 247, "@x.test", &list, &words), OK);
	address_list_fini(&list);
	ck_assert_int_eq(parse_repeated("x", 248, "@x.test", &list, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "to, character 1: the address is longer than 254 octets");
}
END_TEST

/* Deep nesting and long runs cost no stack and no quadratic time. */
START_TEST(hostile_repetition_is_answered)
{
	struct address_list list;
	struct words words;

	ck_assert_int_eq(parse_repeated("(", 1000000, "", &list, &words), ERROR_INVALID);
	ck_assert_int_eq(parse_repeated("()", 500000, "a@x.test", &list, &words), OK);
	address_list_fini(&list);
	ck_assert_int_eq(parse_repeated("\\", 1000000, "", &list, &words), ERROR_INVALID);
	ck_assert_int_eq(parse_repeated("a ", 500000, "<a@x.test>", &list, &words), ERROR_INVALID);
	ck_assert_int_eq(parse_repeated(".", 1000000, "@x.test", &list, &words), ERROR_INVALID);
	ck_assert_int_eq(parse_repeated("a@", 500000, "", &list, &words), ERROR_INVALID);
	ck_assert_int_eq(parse_repeated("\"\"", 500000, "<a@x.test>", &list, &words), ERROR_INVALID);
}
END_TEST

static const struct one_case {
	const char *text, *result; /* "display|address", or words */
} one_cases[] = {
	{ "pbx@acme.example", "|pbx@acme.example" },
	{ "Acme PBX <pbx@acme.example>", "Acme PBX|pbx@acme.example" },
	{ " (x) <pbx@acme.example> (y)", "|pbx@acme.example" },
	{ "a@x.test, b@x.test", "from_address, character 9: only one address is allowed here" },
	{ "G: a@x.test;", "from_address, character 1: a group is not allowed here, one address is expected" },
	{ "a@x.test;", "from_address, character 9: nothing is allowed behind the address" },
	{ "<>", "from_address, character 1: there is no address between '<' and '>'" },
	{ "", "from_address, character 1: an address is missing here" },
	{ "a@x.test\nBcc: b@x.test", "from_address, character 9: a line break is not allowed" },
};

static void check_one_mailbox_is_one(const struct one_case *one)
{
	struct address address;
	struct words words;
	char got[600];

	if (address_parse_one("from_address", one->text, strlen(one->text), &address, &words) == OK)
		snprintf(got, sizeof(got), "%s|%s", address.display ? address.display : "", address.address);
	else
		snprintf(got, sizeof(got), "%s", words.text);
	ck_assert_str_eq(got, one->result);
	address_fini(&address);
}

START_TEST(one_mailbox_is_one)
{
	for (size_t i = 0; i < COUNT(one_cases); i++)
		check_one_mailbox_is_one(&one_cases[i]);
}
END_TEST

START_TEST(domain_lengths_are_kept)
{
	char name[300];
	char *ascii;
	struct words words;

	memset(name, 'a', sizeof(name));
	ck_assert_int_eq(domain_to_ascii(name, 63, &ascii, &words), OK);
	free(ascii);
	ck_assert_int_eq(domain_to_ascii(name, 64, &ascii, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "a part of the domain is longer than 63 octets");
	for (size_t i = 49; i < sizeof(name); i += 50)
		name[i] = '.';
	ck_assert_int_eq(domain_to_ascii(name, 255, &ascii, &words), OK);
	free(ascii);
	ck_assert_int_eq(domain_to_ascii(name, 256, &ascii, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the domain is longer than 255 octets");
}
END_TEST

static const struct allowed_case {
	const char *allowed, *address;
	bool result;
} allowed_cases[] = {
	{ NULL, "a@x.test", true },
	{ "a@x.test", "a@x.test", true },
	{ "a@x.test", "a@X.TEST", true },
	{ "a@x.test", "A@x.test", false },
	{ "a@x.test", "b@x.test", false },
	{ "b@x.test , a@x.test", "a@x.test", true },
	{ "@x.test", "a@x.test", true },
	{ "@X.test", "a@x.TEST", true },
	{ "@x.test", "a@sub.x.test", false },
	{ "@x.test", "a@evilx.test", false },
	{ "@b\303\274cher.example", "a@xn--bcher-kva.example", true },
	{ "@x.test", "\"b@x.test\"@evil.test", false },
	{ "\"a,b\"@x.test, c@x.test", "\"a,b\"@x.test", true },
	{ "\"a,b\"@x.test, c@x.test", "c@x.test", true },
	{ "\"a\\\",b\"@x.test, c@x.test", "c@x.test", true },
	{ "a", "a@x.test", false },
	{ "@", "a@x.test", false },
	{ ",", "a@x.test", false },
	{ "*", "a@x.test", false },
	{ "x.test", "a@x.test", false },
	{ "@x.test", "", true },
};

static void check_allowed_senders_are_kept(const struct allowed_case *one)
{
	ck_assert_msg(mime_sender_allowed(one->allowed, one->address) == one->result, "%s in %s",
	              one->address, one->allowed ? one->allowed : "NULL");
}

START_TEST(allowed_senders_are_kept)
{
	for (size_t i = 0; i < COUNT(allowed_cases); i++)
		check_allowed_senders_are_kept(&allowed_cases[i]);
}
END_TEST

START_TEST(what_cannot_be_a_sender_is_named)
{
	struct words words;

	ck_assert(mime_senders_check(NULL, &words));
	ck_assert(mime_senders_check("a@x.test, @b\303\274cher.example,\"a,b\"@x.test ,", &words));
	ck_assert(!mime_senders_check("a@x.test, x.test, y", &words));
	ck_assert_str_eq(words.text, "allowed_senders: \"x.test\" is neither an address nor @ and a domain");
	ck_assert(!mime_senders_check("@", &words));
	ck_assert(!mime_senders_check("@x.test @y.test", &words));
}
END_TEST

/* What no reader shows may not stand in a local part: it would be another address that looks the same. */
START_TEST(invisible_characters_are_refused)
{
	static const struct {
		uint32_t first, last;
	} invisible[] = {
		{ 0x80, 0xa0 },     { 0xad, 0xad },     { 0x1680, 0x1680 },
		{ 0x180e, 0x180e }, { 0x2000, 0x200f }, { 0x2028, 0x202f },
		{ 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0xfeff, 0xfeff },
	};

	for (uint32_t c = 0x80; c < 0x10000; c += c == 0xd7ff ? 0x801 : 1) {
		char text[] = "a___@x.test";
		size_t at = 1;
		struct address_list list;
		struct words words;
		bool refused = false;

		for (size_t i = 0; i < COUNT(invisible); i++)
			refused = refused || (c >= invisible[i].first && c <= invisible[i].last);
		if (c >= 0x800) {
			text[at++] = (char)(0xe0 | c >> 12);
			text[at++] = (char)(0x80 | (c >> 6 & 0x3f));
		} else {
			text[at++] = (char)(0xc0 | c >> 6);
		}
		text[at] = (char)(0x80 | (c & 0x3f));
		ck_assert_msg((address_list_parse("to", text, strlen(text), &list, &words) ==
		               ERROR_INVALID) == refused,
		              "U+%04X", c);
		address_list_fini(&list);
	}
}
END_TEST

TCase *mime_address_case(void)
{
	TCase *tcase = tcase_create("address");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, invisible_characters_are_refused);
	tcase_add_test(tcase, list_is_understood);
	tcase_add_test(tcase, error_names_the_place);
	tcase_add_test(tcase, nul_is_refused);
	tcase_add_test(tcase, every_cut_is_answered);
	tcase_add_test(tcase, a_field_of_a_message_may_have_dots_in_names);
	tcase_add_test(tcase, limits_are_kept);
	tcase_add_test(tcase, hostile_repetition_is_answered);
	tcase_add_test(tcase, one_mailbox_is_one);
	tcase_add_test(tcase, domain_lengths_are_kept);
	tcase_add_test(tcase, allowed_senders_are_kept);
	tcase_add_test(tcase, what_cannot_be_a_sender_is_named);
	return tcase;
}
