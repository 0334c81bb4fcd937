/*
 * smtp_scram.c - SCRAM's client: the RFCs' examples, and servers that do not keep to them.
 */
#include "smtp/scram.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/smtp_test.h"

static struct scram *scram;
static struct buffer out;
static struct words words;

/* What the caller wants of the rest; the name and host are these. */
static void begin(struct scram_settings settings)
{
	settings.name = settings.name ? settings.name : "SCRAM-SHA-256";
	settings.host = "mail";
	scram = scram_create(&settings);
	buffer_init(&out, 65536);
	scram_first(scram, &out);
}

static void end(void)
{
	ck_assert_ptr_null(strstr(words.text, "pencil"));
	scram_destroy(&scram);
	ck_assert_ptr_null(scram);
	buffer_fini(&out);
}

static enum error hear(const char *text)
{
	buffer_clear(&out);
	strcpy(words.text, "untouched");
	return scram_hear(scram, text, strlen(text), &out, &words);
}

START_TEST(as_in_rfc_5802)
{
	begin((struct scram_settings){ .digest = DIGEST_SHA1,
	                               .username = "user",
	                               .password = "pencil",
	                               .nonce = "fyko+d2lbbFgONRv9qkxdawL" });
	ck_assert_str_eq(out.data, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
	ck_assert_int_eq(hear("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"), OK);
	ck_assert_str_eq(out.data, "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
	                           "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
	ck_assert(!scram_is_proved(scram));
	ck_assert_int_eq(hear("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), OK);
	ck_assert_uint_eq(out.length, 0);
	ck_assert(scram_is_proved(scram));
	ck_assert_int_eq(hear("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, "mail asks for more after all of SCRAM-SHA-256 was said");
	end();
}
END_TEST

#define NONCE  "rOprNGfwEbeRWgbNEkqO"
#define SERVER NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST  "r=" SERVER ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL  "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
static const struct scram_settings of_rfc_7677 = {
	.digest = DIGEST_SHA256, .username = "user", .password = "pencil", .nonce = NONCE
};

START_TEST(as_in_rfc_7677)
{
	begin(of_rfc_7677);
	ck_assert_str_eq(out.data, "n,,n=user,r=" NONCE);
	ck_assert_int_eq(hear(FIRST), OK);
	ck_assert_str_eq(out.data, "c=biws,r=" SERVER ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	ck_assert_int_eq(hear(FINAL ",x=an extension"), OK);
	ck_assert(scram_is_proved(scram));
	end();
}
END_TEST

START_TEST(the_header_tells_what_is_bound)
{
	struct scram_settings settings = of_rfc_7677;

	settings.could_bind = true;
	settings.username = "a,b=c";
	begin(settings);
	ck_assert_str_eq(out.data, "y,,n=a=2Cb=3Dc,r=" NONCE);
	ck_assert_int_eq(hear(FIRST), OK);
	ck_assert_int_eq(strncmp(out.data, "c=eSws,r=", 9), 0);
	end();
	settings.binding_type = "tls-exporter";
	settings.binding = "\0\1\2";
	settings.binding_length = 3;
	begin(settings);
	ck_assert_str_eq(out.data, "p=tls-exporter,,n=a=2Cb=3Dc,r=" NONCE);
	ck_assert_int_eq(hear(FIRST), OK);
	ck_assert_int_eq(strncmp(out.data, "c=cD10bHMtZXhwb3J0ZXIsLAABAg==,r=", 33), 0);
	end();
}
END_TEST

START_TEST(a_server_that_cannot_bind_is_told_with_the_way_out)
{
	struct scram_settings settings = of_rfc_7677;

	settings.name = "SCRAM-SHA-256-PLUS";
	settings.binding_type = "tls-exporter";
	settings.binding = "\0\1\2";
	settings.binding_length = 3;
	begin(settings);
	ck_assert_int_eq(hear("e=unsupported-channel-binding-type"), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text,
	                 "mail refused SCRAM-SHA-256-PLUS: unsupported-channel-binding-type (auth = "
	                 "scram-sha-256 or scram-sha-1 logs in without channel binding)");
	ck_assert_int_eq(hear(FIRST), ERROR_PROTOCOL);
	end();
	begin(of_rfc_7677);
	ck_assert_int_eq(hear("e=unknown-user pencil\x1b[0m"), ERROR_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(words.text, "unknown-user ***"));
	ck_assert_ptr_null(strchr(words.text, '\x1b'));
	ck_assert_ptr_null(strstr(words.text, "auth ="));
	end();
}
END_TEST

static const struct {
	const char *text, *words;
} wrong_first[] = {
	{ "", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER, "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "m=must,r=" SERVER ",s=QQ==,i=1", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",i=4096,s=QQ==", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=QQ==,i=", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=QQ==,i=0", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=QQ==,i=-1", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=QQ==,i=4096 ", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=,i=4096", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=%%%,i=4096", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" NONCE "a b,s=QQ==,i=4096", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	{ "r=" NONCE "\x80,s=QQ==,i=4096", "mail sent a challenge that is not one of SCRAM-SHA-256" },
	/* RFC 5802 5.1: the server adds a part of its own */
	{ "r=" NONCE ",s=QQ==,i=4096", "mail answers SCRAM-SHA-256 with a nonce that is not ours" },
	{ "r=rOprNGfwEbeRWgbNEkqo123,s=QQ==,i=4096",
	  "mail answers SCRAM-SHA-256 with a nonce that is not ours" },
	{ "r=x" SERVER ",s=QQ==,i=4096", "mail answers SCRAM-SHA-256 with a nonce that is not ours" },
	{ "r=" SERVER ",s=QQ==,i=1000001", "mail asks for more than 1000000 rounds of SCRAM-SHA-256" },
	{ "r=" SERVER ",s=QQ==,i=99999999999999999999",
	  "mail asks for more than 1000000 rounds of SCRAM-SHA-256" },
};

START_TEST(a_first_message_that_is_none)
{
	begin(of_rfc_7677);
	ck_assert_int_eq(hear(wrong_first[_i].text), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, wrong_first[_i].words);
	ck_assert_uint_eq(out.length, 0);
	/* and nothing mends it */
	ck_assert_int_eq(hear(FIRST), ERROR_PROTOCOL);
	ck_assert(!scram_is_proved(scram));
	end();
}
END_TEST

static const char *const wrong_final[] = {
	"",
	"v=",
	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4AAAA=",
	"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	"v=%",
	"x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	"e=other-error",
	FIRST,
};

START_TEST(a_proof_that_is_none)
{
	begin(of_rfc_7677);
	ck_assert_int_eq(hear(FIRST), OK);
	ck_assert_int_eq(hear(wrong_final[_i]), ERROR_PROTOCOL);
	ck_assert_str_ne(words.text, "untouched");
	ck_assert(!scram_is_proved(scram));
	ck_assert_int_eq(hear(FINAL), ERROR_PROTOCOL);
	ck_assert(!scram_is_proved(scram));
	end();
}
END_TEST

START_TEST(a_message_cut_at_every_octet_is_none)
{
	for (size_t length = 0; length < strlen(FIRST) - 4; length++) {
		begin(of_rfc_7677);
		buffer_clear(&out);
		ck_assert_int_eq(scram_hear(scram, FIRST, length, &out, &words), ERROR_PROTOCOL);
		ck_assert_uint_eq(out.length, 0);
		end();
	}
}
END_TEST

TCase *smtp_scram_cases(void)
{
	TCase *cases = tcase_create("scram");

	tcase_add_test(cases, as_in_rfc_5802);
	tcase_add_test(cases, as_in_rfc_7677);
	tcase_add_test(cases, the_header_tells_what_is_bound);
	tcase_add_test(cases, a_server_that_cannot_bind_is_told_with_the_way_out);
	tcase_add_loop_test(cases, a_first_message_that_is_none, 0,
	                    sizeof(wrong_first) / sizeof(wrong_first[0]));
	tcase_add_loop_test(cases, a_proof_that_is_none, 0, sizeof(wrong_final) / sizeof(wrong_final[0]));
	tcase_add_test(cases, a_message_cut_at_every_octet_is_none);
	return cases;
}
