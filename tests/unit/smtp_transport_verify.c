/*
 * smtp_transport_verify.c - which server we trust, and the words for those we do not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/smtp_transport_test.h"
#include "tests/unit/smtp_transport_tls.h"

#define HOST           "mail.acme.example"
#define DAY_2020_03_01 1583020800 /* 2020-03-01T00:00:00Z */
#define DAY_2019_01_01 1546300800
#define DAY_2049_06_30 2508624000

static struct identity authority, stranger;
static struct tls_trust *trust;
static struct tls_server server;
static struct words words;

static void setup(void)
{
	authority = identity_make(&(struct identity_settings){ .common_name = "Acme CA", .authority = true });
	stranger = identity_make(&(struct identity_settings){ .common_name = "Other CA", .authority = true });
	ck_assert_int_eq(tls_trust_load(identity_write(&authority, "ca.pem"), &trust, &words), OK);
	memset(&server, 0, sizeof(server));
}

static void teardown(void)
{
	tls_trust_release(&trust);
}

/* One connection; true if TLS was started. words say why not; *verified likewise. */
static bool meet(struct tenant_settings *tenant, bool *verified)
{
	struct stream *stream;
	enum error error;
	int ends[2];
	char hello[5];
	size_t length = 0;

	peer_pair(ends);
	tls_server_start(&server, ends[1]);
	stream = stream_create(ends[0], NULL);
	strcpy(words.text, "untouched");
	error = stream_start_tls(stream, &(struct tls_settings){ tenant, trust, NULL },
	                         deadline_after_ms(LONG_MS), &words);
	ck_assert_int_eq(stream_tls(stream) != NULL, error == OK);
	if (error == OK) {
		if (verified)
			*verified = tls_is_verified(stream_tls(stream));
		ck_assert_int_eq(stream_write(stream, "EHLO", 4, deadline_after_ms(LONG_MS)), OK);
		while (length < 4) {
			ck_assert_int_eq(stream_fill(stream, deadline_after_ms(LONG_MS)), OK);
			memcpy(hello, stream_input(stream, &length), 4);
		}
		ck_assert_mem_eq(hello, "EHLO", 4);
	} else {
		ck_assert_int_eq(error, ERROR_PROTOCOL);
		/* never a word more on that connection, in clear or otherwise */
		ck_assert_int_ne(stream_write(stream, "EHLO", 4, deadline_after_ms(LONG_MS)), OK);
	}
	stream_close(&stream);
	tls_server_join(&server);
	if (error != OK)
		ck_assert_int_eq(server.octets, 0);
	return error == OK;
}

static void show(struct identity leaf)
{
	server.chain[0] = leaf;
	server.chain_length = 1;
}

static struct identity leaf_for(const char *name, const struct identity *issuer)
{
	return identity_make(
		&(struct identity_settings){ .common_name = "server", .names = { name }, .issuer = issuer });
}

static void expect_refusal(struct tenant_settings *tenant, const char *text)
{
	ck_assert(!meet(tenant, NULL));
	ck_assert_str_eq(words.text, text);
}

START_TEST(a_good_certificate_is_verified)
{
	bool verified = false;

	show(leaf_for(HOST, &authority));
	ck_assert(meet(peer_tenant(NULL), &verified));
	ck_assert(verified);
	ck_assert_str_eq(server.sni, HOST);
	ck_assert_int_eq(server.octets, 4);
}
END_TEST

START_TEST(an_expired_one_is_told_with_its_day)
{
	show(identity_make(&(struct identity_settings){
		.names = { HOST }, .issuer = &authority, .begins = DAY_2019_01_01, .ends = DAY_2020_03_01 }));
	expect_refusal(peer_tenant(NULL), "the certificate of " HOST " expired on 2020-03-01");
}
END_TEST

START_TEST(one_of_the_future_is_told_with_its_day)
{
	show(identity_make(&(struct identity_settings){ .names = { HOST },
	                                                .issuer = &authority,
	                                                .begins = DAY_2049_06_30,
	                                                .ends = DAY_2049_06_30 + 86400 }));
	expect_refusal(peer_tenant(NULL), "the certificate of " HOST " is not valid before 2049-06-30");
}
END_TEST

START_TEST(another_name_is_told_with_both)
{
	show(leaf_for("other.example", &authority));
	expect_refusal(peer_tenant(NULL), "the certificate of " HOST " is for other.example, not for " HOST);
	show(identity_make(&(struct identity_settings){
		.names = { "a.example", "ip:192.0.2.9", "b.example", "c.example", "d.example" },
		.issuer = &authority }));
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST
	               " is for a.example, 192.0.2.9, b.example and 2 more, not for " HOST);
	show(identity_make(
		&(struct identity_settings){ .common_name = "old.example", .issuer = &authority }));
	expect_refusal(peer_tenant(NULL), "the certificate of " HOST " is for old.example, not for " HOST);
}
END_TEST

START_TEST(an_unknown_authority_is_named)
{
	show(leaf_for(HOST, &stranger));
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " is signed by an unknown authority (Other CA)");
	server.chain[1] = stranger;
	server.chain_length = 2;
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " is signed by an unknown authority (Other CA)");
}
END_TEST

START_TEST(a_self_signed_one_is_told)
{
	show(leaf_for(HOST, NULL));
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " is self-signed and not among the trusted authorities");
	tls_trust_release(&trust);
	ck_assert_int_eq(tls_trust_load(identity_write(&server.chain[0], "self.pem"), &trust, &words), OK);
	ck_assert(meet(peer_tenant(NULL), NULL)); /* unless it is what was chosen to be trusted */
}
END_TEST

START_TEST(all_faults_are_told_at_once)
{
	show(identity_make(&(struct identity_settings){ .names = { "other.example" },
	                                                .issuer = &stranger,
	                                                .begins = DAY_2019_01_01,
	                                                .ends = DAY_2020_03_01 }));
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " expired on 2020-03-01, and is signed by an unknown "
	               "authority (Other CA), and is for other.example, not for " HOST);
}
END_TEST

START_TEST(a_chain_is_followed_and_its_expired_link_named)
{
	struct identity middle = identity_make(&(struct identity_settings){
		.common_name = "Acme Mail CA", .authority = true, .issuer = &authority });

	show(leaf_for(HOST, &middle));
	server.chain[1] = middle;
	server.chain_length = 2;
	ck_assert_msg(meet(peer_tenant(NULL), NULL), "%s", words.text);
	server.chain_length = 1; /* the link left out */
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " is signed by an unknown authority (Acme Mail CA)");
	middle = identity_make(&(struct identity_settings){ .common_name = "Acme Mail CA",
	                                                    .authority = true,
	                                                    .issuer = &authority,
	                                                    .begins = DAY_2019_01_01,
	                                                    .ends = DAY_2020_03_01 });
	show(leaf_for(HOST, &middle));
	server.chain[1] = middle;
	server.chain_length = 2;
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " is signed by an authority (Acme Mail CA) "
	               "whose own certificate expired on 2020-03-01");
}
END_TEST

START_TEST(one_who_is_no_authority_signs_nothing)
{
	struct identity plain = identity_make(&(struct identity_settings){
		.common_name = "Plain Server", .names = { "plain.example" }, .issuer = &authority });

	show(leaf_for(HOST, &plain));
	server.chain[1] = plain;
	server.chain_length = 2;
	ck_assert(!meet(peer_tenant(NULL), NULL));
	ck_assert_msg(strstr(words.text, "is signed by") != NULL, "%s", words.text);
}
END_TEST

START_TEST(one_for_clients_is_none_for_a_server)
{
	show(identity_make(
		&(struct identity_settings){ .names = { HOST }, .issuer = &authority, .for_clients = true }));
	expect_refusal(peer_tenant(NULL), "the certificate of " HOST " is not meant for a server");
}
END_TEST

START_TEST(tls_name_stands_for_the_host)
{
	show(leaf_for("mx.provider.example", &authority));
	ck_assert(meet(peer_tenant("tls_name", "mx.provider.example", NULL), NULL));
	ck_assert_str_eq(server.sni, "mx.provider.example");
	expect_refusal(peer_tenant("tls_name", "no.example", NULL),
	               "the certificate of no.example is for mx.provider.example, not for no.example");
}
END_TEST

START_TEST(wildcards_and_the_roots_dot_fit)
{
	show(leaf_for("*.acme.example", &authority));
	ck_assert(meet(peer_tenant("host", HOST ".", NULL), NULL));
	ck_assert_str_eq(server.sni, HOST);
}
END_TEST

START_TEST(an_address_is_verified_without_sni)
{
	show(leaf_for("ip:192.0.2.1", &authority));
	ck_assert(meet(peer_tenant("host", "192.0.2.1", NULL), NULL));
	ck_assert_str_eq(server.sni, "");
	show(leaf_for("ip:2001:db8::1", &authority));
	ck_assert(meet(peer_tenant("host", "[2001:db8::1]", NULL), NULL));
	ck_assert_str_eq(server.sni, "");
	expect_refusal(peer_tenant("host", "192.0.2.2", NULL),
	               "the certificate of 192.0.2.2 is for 2001:db8::1, not for 192.0.2.2");
}
END_TEST

/* Upper case with a colon between any two octets, as other tools print it. */
static void with_colons(const char *pin, char out[128])
{
	const char *hex = strchr(pin, ':') + 1;
	size_t length = (size_t)(hex - pin);

	memcpy(out, pin, length);
	for (size_t i = 0; hex[i]; i++) {
		if (i > 0 && i % 2 == 0)
			out[length++] = ':';
		out[length++] = hex[i] >= 'a' ? (char)(hex[i] - 'a' + 'A') : hex[i];
	}
	out[length] = '\0';
}

START_TEST(a_pin_verifies_without_an_authority)
{
	char pin[80], colons[128], several[400];
	bool verified = false;
	struct tls_trust *none = NULL, *kept = trust;

	show(leaf_for("whatever.example", NULL));
	trust = none;
	for (int of_key = 0; of_key < 2; of_key++) {
		identity_pin(&server.chain[0], of_key, pin);
		ck_assert(meet(peer_tenant("tls_verify", "fingerprint", "tls_fingerprints", pin, NULL),
		               &verified));
		ck_assert(verified);
		with_colons(pin, colons);
		snprintf(several, sizeof(several), "sha256:%064d , %s", 0, colons);
		ck_assert(meet(peer_tenant("tls_verify", "fingerprint", "tls_fingerprints", several, NULL),
		               &verified));
		ck_assert(verified);
	}
	trust = kept;
}
END_TEST

START_TEST(a_wrong_pin_is_told_with_the_right_one)
{
	char wrong[80], whole[80], key[80], text[400];

	snprintf(wrong, sizeof(wrong), "spki:%064d", 7);
	show(leaf_for(HOST, &authority));
	identity_pin(&server.chain[0], false, whole);
	identity_pin(&server.chain[0], true, key);
	snprintf(text, sizeof(text),
	         "the certificate of " HOST " is not one of tls_fingerprints: it is %s, its key %s", whole,
	         key);
	expect_refusal(peer_tenant("tls_verify", "fingerprint", "tls_fingerprints", wrong, NULL), text);
	/* a key's pin is not taken for a certificate's */
	snprintf(wrong, sizeof(wrong), "sha256:%s", strchr(key, ':') + 1);
	expect_refusal(peer_tenant("tls_verify", "fingerprint", "tls_fingerprints", wrong, NULL), text);
	/* under full it counts besides chain, name and time */
	expect_refusal(peer_tenant("tls_fingerprints", wrong, NULL), text);
	ck_assert(meet(peer_tenant("tls_fingerprints", key, NULL), NULL));
	show(leaf_for(HOST, &stranger));
	identity_pin(&server.chain[0], true, key);
	expect_refusal(peer_tenant("tls_fingerprints", key, NULL),
	               "the certificate of " HOST " is signed by an unknown authority (Other CA)");
}
END_TEST

START_TEST(none_and_opportunistic_verify_nothing_and_say_so)
{
	bool verified = true;
	struct tls_trust *kept = trust;

	show(identity_make(&(struct identity_settings){
		.names = { "other.example" }, .begins = DAY_2019_01_01, .ends = DAY_2020_03_01 }));
	ck_assert(meet(peer_tenant("tls_verify", "none", NULL), &verified));
	ck_assert(!verified);
	verified = true;
	trust = NULL;
	ck_assert(meet(peer_tenant("tls", "opportunistic", NULL), &verified));
	ck_assert(!verified);
	trust = kept;
}
END_TEST

START_TEST(hostile_names_stay_on_one_clean_line)
{
	struct identity evil = identity_make(&(struct identity_settings){
		.common_name = "Evil\nCA\x1b[31m event=delivery.sent", .authority = true });

	show(leaf_for("a\r\nb\x01.example", &evil));
	ck_assert(!meet(peer_tenant(NULL), NULL));
	for (const char *at = words.text; *at; at++)
		ck_assert_int_ge((unsigned char)*at, ' ');
	ck_assert_ptr_nonnull(strstr(words.text, "unknown authority (Evil CA"));
}
END_TEST

static void expect_no_trust(const char *path, const char *text)
{
	struct tls_trust *none;
	char wanted[300];

	snprintf(wanted, sizeof(wanted), "tls_ca_file %s %s", path, text);
	ck_assert_int_eq(tls_trust_load(path, &none, &words), ERROR_INVALID);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(strncmp(words.text, wanted, strlen(wanted)), 0);
}

START_TEST(a_file_of_no_authorities_is_refused_with_words)
{
	static char large[1024 * 1024 + 1];
	char fifo[128];

	expect_no_trust("/nonexistent/ca.pem", "cannot be opened: ");
	expect_no_trust(peer_folder(), "is not a regular file");
	snprintf(fifo, sizeof(fifo), "%s/fifo", peer_folder());
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	expect_no_trust(fifo, "is not a regular file");
	expect_no_trust(peer_file("empty.pem", "", 0), "is empty");
	expect_no_trust(peer_file("garbage.pem", "no pem\n", 7), "holds no certificate in PEM");
	memset(large, '\n', sizeof(large));
	expect_no_trust(peer_file("large.pem", large, sizeof(large)), "is larger than 1 MiB");
}
END_TEST

START_TEST(the_systems_list_is_loaded_or_its_absence_told)
{
	struct tls_trust *system = NULL, *second;
	enum error error = tls_trust_load(NULL, &system, &words);

	if (error != OK) {
		ck_assert_int_eq(error, ERROR_INVALID);
		ck_assert_ptr_nonnull(strstr(words.text, "no list of trusted authorities"));
		return;
	}
	second = tls_trust_hold(system);
	ck_assert_ptr_eq(second, system);
	tls_trust_release(&system);
	ck_assert_ptr_null(system);
	show(leaf_for(HOST, &authority));
	tls_trust_release(&trust);
	trust = second;
	expect_refusal(peer_tenant(NULL),
	               "the certificate of " HOST " is signed by an unknown authority (Acme CA)");
}
END_TEST

TCase *smtp_transport_verify_cases(void)
{
	TCase *cases = tcase_create("verify");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_good_certificate_is_verified);
	tcase_add_test(cases, an_expired_one_is_told_with_its_day);
	tcase_add_test(cases, one_of_the_future_is_told_with_its_day);
	tcase_add_test(cases, another_name_is_told_with_both);
	tcase_add_test(cases, an_unknown_authority_is_named);
	tcase_add_test(cases, a_self_signed_one_is_told);
	tcase_add_test(cases, all_faults_are_told_at_once);
	tcase_add_test(cases, a_chain_is_followed_and_its_expired_link_named);
	tcase_add_test(cases, one_who_is_no_authority_signs_nothing);
	tcase_add_test(cases, one_for_clients_is_none_for_a_server);
	tcase_add_test(cases, tls_name_stands_for_the_host);
	tcase_add_test(cases, wildcards_and_the_roots_dot_fit);
	tcase_add_test(cases, an_address_is_verified_without_sni);
	tcase_add_test(cases, a_pin_verifies_without_an_authority);
	tcase_add_test(cases, a_wrong_pin_is_told_with_the_right_one);
	tcase_add_test(cases, none_and_opportunistic_verify_nothing_and_say_so);
	tcase_add_test(cases, hostile_names_stay_on_one_clean_line);
	tcase_add_test(cases, a_file_of_no_authorities_is_refused_with_words);
	tcase_add_test(cases, the_systems_list_is_loaded_or_its_absence_told);
	return cases;
}
