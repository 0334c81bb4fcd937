/*
 * sqlite_secrets_test.c - a password that was overwritten or removed is in the file no more, whatever SQLite
 * was built to do of itself (Debian's writes zeros, others do not).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "storage/admin_internal.h"
#include "storage/admin_secrets.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define KEY      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
#define PASSWORD "in-the-clear"

/* The octets of the file, once the log is empty. */
static bool is_in_file(struct admin *admin)
{
	struct buffer octets;
	char part[4096];
	size_t count;
	FILE *file;
	bool found;

	ck_ok(admin_secrets_forget(admin, false, &bed.words));
	file = fopen(bed.outbox->path, "r");
	ck_assert_ptr_nonnull(file);
	buffer_init(&octets, SIZE_MAX);
	while ((count = fread(part, 1, sizeof(part), file)) > 0)
		ck_assert(buffer_append(&octets, part, count));
	(void)fclose(file);
	found = memmem(octets.data, octets.length, PASSWORD, strlen(PASSWORD)) != NULL;
	buffer_fini(&octets);
	return found;
}

static void no_trouble(void *context, const struct words *words)
{
	(void)context;
	ck_abort_msg("%s", words->text);
}

static void seal_all(struct admin *admin)
{
	struct admin_secrets_done done;
	struct seal_keys *keys;

	ck_ok(seal_keys_parse("key", KEY, strlen(KEY), &keys, &bed.words));
	admin_use_keys(admin, keys);
	ck_ok(admin_secrets(admin, ADMIN_SECRETS_SEAL, &done, no_trouble, NULL, &bed.words));
	ck_assert_int_eq(done.changed, 1);
	seal_keys_release(&keys);
}

/* Another one, which is longer and does not come to lie over it. */
static void set_another(struct admin *admin)
{
	struct secret another = { NULL, 0 };

	ck_assert(secret_set(&another, "another that is longer than the first", 37));
	ck_ok(admin_tenant_set(admin, "acme", NULL, 0, &another, &bed.words));
	secret_wipe(&another);
}

static void remove_tenant(struct admin *admin)
{
	int64_t purged;

	ck_ok(admin_tenant_remove(admin, "acme", false, &purged, &bed.words));
}

START_TEST(what_is_overwritten_or_removed_is_in_the_file_no_more)
{
	static void (*const ways[])(struct admin *) = { seal_all, set_another, remove_tenant };
	struct admin *admin;

	APP->set_tenant(bed.outbox, "acme", "password", PASSWORD);
	APP->add_tenant(bed.outbox, "beta"); /* on the one side of it in its page, or on the other */
	APP->add_tenant(bed.outbox, "able");
	ck_ok(admin_open(bed.outbox->path, &admin, &bed.words));
	ck_assert_int_eq(connection_run(&admin->connection, "PRAGMA secure_delete = OFF"), SQLITE_OK);
	ck_assert(is_in_file(admin));
	ways[_i](admin);
	ck_assert(!is_in_file(admin));
	admin_close(&admin);
}
END_TEST

void sqlite_secrets_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's secrets");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_add_loop_test(tests, what_is_overwritten_or_removed_is_in_the_file_no_more, 0, 3);
	suite_add_tcase(suite, tests);
}
