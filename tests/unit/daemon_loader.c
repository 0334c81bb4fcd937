/*
 * daemon_loader.c - secrets from columns, files and programs, and a disk that hangs.
 */
#include <fcntl.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/seal.h"
#include "common/seal_file.h"
#include "daemon/keyring.h"
#include "daemon/loader.h"
#include "daemon/loader_line.h"
#include "tests/unit/daemon_test.h"

static char folder[64];
static struct loader *loader;
static struct tenant_settings *settings;

static void path_of(const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", folder, name);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	int fd;

	path_of(name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void set_up(void)
{
	struct words words;

	snprintf(folder, sizeof(folder), "/tmp/outboxd-loader.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	loader = loader_create(folder, folder);
	settings = tenant_settings_create("acme");
	ck_assert_int_eq(tenant_settings_set(settings, "tls", "none", &words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, "password", "from the column", &words), OK);
}

static void tear_down(void)
{
	char command[128];

	tenant_settings_release(&settings);
	loader_destroy(&loader);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

static void set(const char *column, const char *value)
{
	struct words words;

	ck_assert_int_eq(tenant_settings_set(settings, column, value, &words), OK);
}

static enum error get(struct materials *materials, struct words *words, int64_t within_ms)
{
	return loader_get(loader, settings, deadline_after_ms(within_ms), NULL, materials, words);
}

static void expect_password(const char *password)
{
	struct materials materials;
	struct words words = { "" };
	enum error error = get(&materials, &words, 20000);

	ck_assert_msg(error == OK, "%s", words.text);
	ck_assert_uint_eq(materials.password.length, strlen(password));
	ck_assert_int_eq(memcmp(materials.password.bytes, password, strlen(password)), 0);
	materials_fini(&materials);
}

static void expect_words(const char *text)
{
	struct materials materials;
	struct words words = { "" };

	ck_assert_int_ne(get(&materials, &words, 20000), OK);
	ck_assert_msg(strstr(words.text, text) != NULL, "%s", words.text);
	ck_assert(!secret_is_set(&materials.password));
}

START_TEST(column_file_program_in_their_order)
{
	expect_password("from the column");
	write_file("acme.pw", "from the file\r\n", 0600);
	set("password_file", "acme.pw");
	expect_password("from the file");
	write_file("ask", "#!/bin/sh\necho \"for $1 alone\"\necho second line\n", 0700);
	set("password_command", "ask");
	expect_password("for acme alone");
}
END_TEST

START_TEST(a_file_is_read_anew_each_time)
{
	write_file("acme.pw", "one\n", 0600);
	set("password_file", "acme.pw");
	expect_password("one");
	write_file("acme.pw", "two\n", 0600);
	expect_password("two");
}
END_TEST

START_TEST(file_trouble_in_words)
{
	char path[128], target[128];

	set("password_file", "missing");
	expect_words("password_file = missing cannot be read");
	write_file("empty", "\n", 0600);
	set("password_file", "empty");
	expect_words("password_file = empty is empty");
	path_of("pipe", path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	set("password_file", "pipe");
	expect_words("not a regular file");
	path_of("link", path);
	path_of("empty", target);
	ck_assert_int_eq(symlink(target, path), 0);
	set("password_file", "link");
	expect_words("password_file = link cannot be read");
	set("password_file", "..");
	expect_words("is not the name of a file");
}
END_TEST

START_TEST(program_trouble_in_words)
{
	set("password_command", "missing");
	expect_words("password_command = missing cannot be run");
	write_file("fails", "#!/bin/sh\necho secret\nexit 3\n", 0700);
	set("password_command", "fails");
	expect_words("ended with exit status 3");
	write_file("quiet", "#!/bin/sh\n", 0700);
	set("password_command", "quiet");
	expect_words("prints no password");
	write_file("floods", "#!/bin/sh\nexec yes\n", 0700);
	set("password_command", "floods");
	expect_words("more than 64 KiB");
}
END_TEST

START_TEST(without_folders_both_are_refused)
{
	loader_destroy(&loader);
	loader = loader_create(NULL, NULL);
	set("password_file", "acme.pw");
	expect_words("no secrets_dir");
	set("password_command", "ask");
	expect_words("no command_dir");
}
END_TEST

#define KEY_ONE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
#define KEY_TWO "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=\n"

static enum error read_keys(const char *name, struct words *words)
{
	char path[128];

	path_of(name, path);
	return keyring_read(loader_keyring(loader), path, NULL, words);
}

/* The tenant's password, sealed for the server that it has now. */
static void set_sealed(const char *password)
{
	const struct seal_place place = { .settings = settings, .column = "password" };
	struct secret value = { 0 }, sealed = { 0 };
	struct seal_keys *keys;
	struct words words;

	ck_assert_int_eq(seal_keys_parse("key", KEY_ONE, strlen(KEY_ONE), &keys, &words), OK);
	tenant_settings_seal(settings);
	ck_assert(secret_set(&value, password, strlen(password)));
	ck_assert_int_eq(seal_close(keys, &place, &value, &sealed, &words), OK);
	set("password", (const char *)sealed.bytes);
	secret_wipe(&value);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
}

START_TEST(a_sealed_password_is_opened_for_its_server_alone)
{
	struct words words;

	set("host", "mail.acme.example");
	set_sealed("from the seal");
	expect_words("password of tenant acme is sealed, and no secrets_key_file is set");
	ck_assert_int_eq(read_keys("keys", &words), ERROR_NOT_FOUND);
	expect_words("and the keys are not there: ");
	write_file("keys", KEY_TWO, 0600);
	ck_assert_int_eq(read_keys("keys", &words), OK);
	expect_words("which is not in secrets_key_file");
	ck_assert(!keyring_unlocked(loader_keyring(loader), settings));
	write_file("keys", KEY_TWO KEY_ONE, 0600);
	ck_assert_int_eq(read_keys("keys", &words), OK);
	expect_password("from the seal");
	ck_assert(keyring_unlocked(loader_keyring(loader), settings));
	/* those of before open it too: nothing is new */
	ck_assert_int_eq(read_keys("keys", &words), OK);
	ck_assert(!keyring_unlocked(loader_keyring(loader), settings));
	set("host", "mail.evil.example");
	expect_words("sealed for another host");
	set("host", "mail.acme.example");
	/* keys that can no longer be read stay in use */
	write_file("keys", "nonsense", 0600);
	ck_assert_int_eq(read_keys("keys", &words), ERROR_INVALID);
	expect_password("from the seal");
	ck_assert_int_eq(keyring_read(loader_keyring(loader), NULL, NULL, &words), OK);
	expect_words("no secrets_key_file is set");
	/* an open one never needed them */
	set("password", "from the column");
	expect_password("from the column");
}
END_TEST

START_TEST(a_sealed_file_is_opened_for_its_server_alone)
{
	const struct seal_place place = { settings, "password_file", "acme.pw" };
	struct secret value = { 0 };
	struct seal_keys *keys;
	struct words words;

	set("host", "mail.acme.example");
	set("password_file", "acme.pw");
	ck_assert_int_eq(seal_keys_parse("key", KEY_ONE, strlen(KEY_ONE), &keys, &words), OK);
	ck_assert(secret_set(&value, "from the file", 13));
	ck_assert_int_eq(
		seal_file_replace(&(struct seal_files){ folder, keys }, &place, &value, true, &words), OK);
	expect_words("acme.pw (tenant acme) is sealed, and no secrets_key_file is set");
	write_file("keys", KEY_TWO, 0600);
	ck_assert_int_eq(read_keys("keys", &words), OK);
	expect_words("which is not in secrets_key_file");
	ck_assert_int_eq(read_keys("keys", &words), OK);
	ck_assert(!keyring_unlocked(loader_keyring(loader), settings)); /* no other key than before */
	write_file("keys", KEY_TWO KEY_ONE, 0600);
	ck_assert_int_eq(read_keys("keys", &words), OK);
	ck_assert(keyring_unlocked(loader_keyring(loader), settings));
	expect_password("from the file");
	set("host", "mail.evil.example");
	expect_words("was sealed for another name, server");
	set("host", "mail.acme.example");
	/* nor under another column */
	set("password_file", NULL);
	set("tls", "implicit");
	set("tls_cert_file", "acme.pw");
	set("tls_key_file", "acme.pw");
	expect_words("was sealed for another name, server");
	secret_wipe(&value);
	seal_keys_release(&keys);
}
END_TEST

/* The worker goes on at its deadline, whatever the program does. */
START_TEST(a_hanging_program_does_not_hold_the_worker)
{
	struct materials materials;
	struct words words = { "" };

	write_file("hangs", "#!/bin/sh\nexec sleep 30\n", 0700);
	set("password_command", "hangs");
	ck_assert_int_eq(get(&materials, &words, 50), ERROR_TIMEOUT);
	ck_assert_ptr_nonnull(strstr(words.text, "in time"));
	materials_fini(&materials);
}
END_TEST

START_TEST(a_missing_authority_file_is_named)
{
	set("tls", "starttls");
	set("tls_ca_file", "/nonexistent/ca.pem");
	expect_words("/nonexistent/ca.pem");
}
END_TEST

static gnutls_x509_privkey_t make_key(void)
{
	gnutls_x509_privkey_t key;

	ck_assert_int_eq(gnutls_x509_privkey_init(&key), 0);
	ck_assert_int_eq(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
	                                              GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
	                 0);
	return key;
}

static void write_pem(const char *name, gnutls_datum_t *pem)
{
	char *text = strndup((const char *)pem->data, pem->size);

	write_file(name, text, 0600);
	free(text);
	gnutls_free(pem->data);
}

static void write_key(const char *name, gnutls_x509_privkey_t key)
{
	gnutls_datum_t pem;

	ck_assert_int_eq(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem(name, &pem);
}

/* A client certificate in acme.pem, its key in acme.key, and a key of nobody's in other.key. */
static void write_identity(void)
{
	gnutls_x509_privkey_t key = make_key(), other = make_key();
	gnutls_x509_crt_t certificate;
	gnutls_datum_t pem;

	ck_assert_int_eq(gnutls_x509_crt_init(&certificate), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_version(certificate, 3), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_serial(certificate, "\1", 1), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_activation_time(certificate, time(NULL)), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_expiration_time(certificate, time(NULL) + 3600), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_key(certificate, key), 0);
	ck_assert_int_eq(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
	ck_assert_int_eq(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
	write_pem("acme.pem", &pem);
	write_key("acme.key", key);
	write_key("other.key", other);
	gnutls_x509_crt_deinit(certificate);
	gnutls_x509_privkey_deinit(key);
	gnutls_x509_privkey_deinit(other);
}

START_TEST(a_client_certificate_is_read_anew_each_time)
{
	struct materials materials;
	struct words words = { "" };

	set("tls", "starttls");
	set("tls_verify", "none");
	set("tls_cert_file", "acme.pem");
	set("tls_key_file", "acme.key");
	expect_words("the file of tls_cert_file = acme.pem cannot be read");
	write_identity();
	ck_assert_msg(get(&materials, &words, 20000) == OK, "%s", words.text);
	ck_assert_ptr_nonnull(materials.identity);
	materials_fini(&materials);
	ck_assert_ptr_null(materials.identity);
	set("tls_key_file", "other.key");
	expect_words("the key of tls_key_file = other.key is not that of the certificate");
	set("tls_key_file", "missing.key");
	expect_words("the file of tls_key_file = missing.key cannot be read");
	set("tls_key_file", "acme.pem");
	expect_words("the file of tls_key_file = acme.pem holds no private key");
	/* without TLS nobody is shown it, and nothing is read */
	set("tls", "none");
	expect_password("from the column");
	set("tls", "starttls");
	loader_destroy(&loader);
	loader = loader_create(NULL, NULL);
	expect_words("tls_cert_file is set, but outboxd has no secrets_dir");
}
END_TEST

static int64_t stamp_of_file(void)
{
	struct loader_stamp *stamp = loader_stamp_ask(loader, settings, false);
	int64_t until = deadline_after_ms(20000), value = -1;

	ck_assert_ptr_nonnull(stamp);
	while (!loader_stamp_known(stamp, &value) && deadline_left_ms(until) > 0)
		poll(NULL, 0, 1);
	loader_stamp_release(&stamp);
	return value;
}

START_TEST(a_changed_file_has_another_stamp)
{
	char path[128];
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	int64_t first;

	ck_assert_ptr_null(loader_stamp_ask(loader, settings, false));
	set("password_file", "acme.pw");
	ck_assert_int_eq(stamp_of_file(), 0);
	write_file("acme.pw", "one", 0600);
	first = stamp_of_file();
	ck_assert_int_gt(first, 0);
	ck_assert_int_eq(stamp_of_file(), first);
	path_of("acme.pw", path);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	ck_assert_int_eq(stamp_of_file(), INT64_C(1000000000000));
}
END_TEST

START_TEST(a_changed_certificate_has_another_stamp)
{
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	char path[128];
	int64_t first, second;

	ck_assert(!loader_has_files(settings, true));
	set("tls_cert_file", "acme.pem");
	set("tls_key_file", "acme.key");
	ck_assert(loader_has_files(settings, false));
	write_file("acme.pem", "one", 0600);
	first = stamp_of_file();
	ck_assert_int_gt(first, 0);
	write_file("acme.key", "one", 0600);
	second = stamp_of_file();
	ck_assert_int_ne(second, first);
	path_of("acme.key", path);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	ck_assert_int_ne(stamp_of_file(), second);
}
END_TEST

enum { CROWD = 3 * LOADER_THREADS };

static atomic_int asking;

static void *ask_in_a_crowd(void *error)
{
	struct materials materials;
	struct words words;

	atomic_fetch_add(&asking, 1);
	*(enum error *)error = get(&materials, &words, 20000);
	materials_fini(&materials);
	return NULL;
}

/* More requests than threads stand in line: nobody is told that the program does not answer. */
START_TEST(a_crowd_stands_in_line)
{
	pthread_t threads[CROWD];
	enum error errors[CROWD];
	char path[128];

	path_of("gate", path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	write_file("ask", "#!/bin/sh\nread word < \"${0%/*}/gate\"\necho word\n", 0700);
	set("password_command", "ask");
	atomic_store(&asking, 0);
	for (int i = 0; i < CROWD; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_in_a_crowd, &errors[i]), 0);
	while (atomic_load(&asking) < CROWD)
		poll(NULL, 0, 1);
	/* whoever holds the gate open for writing lets the programs through; a reading end keeps it from
	 * breaking */
	{
		int gate = open(path, O_RDWR);

		ck_assert_int_ge(gate, 0);
		for (int i = 0; i < CROWD; i++)
			ck_assert_int_eq(write(gate, "go\n", 3), 3);
		for (int i = 0; i < CROWD; i++) {
			pthread_join(threads[i], NULL);
			ck_assert_int_eq(errors[i], OK);
		}
		close(gate);
	}
}
END_TEST

TCase *loader_tests(void)
{
	TCase *tests = tcase_create("loader");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_sealed_file_is_opened_for_its_server_alone);
	tcase_add_test(tests, column_file_program_in_their_order);
	tcase_add_test(tests, a_file_is_read_anew_each_time);
	tcase_add_test(tests, file_trouble_in_words);
	tcase_add_test(tests, program_trouble_in_words);
	tcase_add_test(tests, without_folders_both_are_refused);
	tcase_add_test(tests, a_sealed_password_is_opened_for_its_server_alone);
	tcase_add_test(tests, a_hanging_program_does_not_hold_the_worker);
	tcase_add_test(tests, a_missing_authority_file_is_named);
	tcase_add_test(tests, a_client_certificate_is_read_anew_each_time);
	tcase_add_test(tests, a_changed_file_has_another_stamp);
	tcase_add_test(tests, a_changed_certificate_has_another_stamp);
	tcase_add_test(tests, a_crowd_stands_in_line);
	return tests;
}
