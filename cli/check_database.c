/*
 * check_database.c - outboxctl check: one database, its files, its schema.
 */
#include <stdlib.h>

#include "cli/check.h"
#include "storage/admin_check.h"
#include "storage/admin_space.h"

static void tell_mode(void *context, const struct words *words)
{
	check_found(context, CHECK_WARNING, "files.mode", NULL,
	            "it holds passwords and mail: set owner and mode right (outboxd(8), FILES)", "%s",
	            words->text);
}

static void tell_damage(void *context, const struct words *words)
{
	check_found(context, CHECK_ERROR, "integrity.damaged", NULL,
	            "stop all its users and restore it, or let sqlite3's .recover save what it can", "%s",
	            words->text);
}

static void tell_open(struct check *check, enum error error, const struct words *words)
{
	const char *code = error == ERROR_NOT_FOUND    ? "database.missing"
	                   : error == ERROR_PERMISSION ? "database.permission"
	                   : error == ERROR_REFUSED    ? "database.refused"
	                                               : "database.unavailable";

	check_found(check, CHECK_ERROR, code, NULL,
	            error == ERROR_PERMISSION ? "run this as root or as outboxd's user" : NULL, "%s",
	            words->text);
}

/* Also of a file that could not be opened: what is wrong here may be why. */
static void check_files(struct check *check, const char *path, bool had_wal)
{
	int mark = check_mark(check);

	if (!had_wal)
		check_found(
			check, CHECK_WARNING, "files.wal", NULL,
			"in a folder that applications may not write to they could not have inserted; it was "
			"made again",
			"%s-wal was not there: the last program to close the database took it away", path);
	admin_check_files(path, tell_mode, check);
	check_good(check, mark, "files", "the database and its companions are closed to others");
}

static void check_space(struct check *check, const char *path)
{
	struct words words;

	switch (admin_check_space(path, &words)) {
	case ADMIN_SPACE_GOOD:
		check_good(check, check_mark(check), "disk", "there is room for the database to grow");
		return;
	case ADMIN_SPACE_LOW:
		check_found(check, CHECK_WARNING, "disk.low", NULL, NULL, "%s", words.text);
		return;
	case ADMIN_SPACE_NONE:
	default: check_found(check, CHECK_ERROR, "disk.full", NULL, NULL, "%s", words.text); return;
	}
}

static void check_inside(struct check *check, struct admin *admin)
{
	int mark = check_mark(check);
	struct words words;

	if (admin_check_integrity(admin, tell_damage, check, &words) != OK)
		tell_damage(check, &words);
	check_good(check, mark, "integrity", "all pages were read, and none is damaged");
	mark = check_mark(check);
	if (admin_rules_differ(admin, &words))
		check_found(check, CHECK_ERROR, "rules.differ", NULL, NULL, "%s", words.text);
	check_good(check, mark, "rules", "the triggers, views and indexes are this version's");
}

void check_database(struct check *check, const char *path)
{
	struct admin *admin = NULL;
	bool had_wal = admin_check_wal(path);
	struct words words;
	enum error error;

	check->database = path;
	check->system_trust_known = check->token_program_known = false;
	error = admin_check_open(path, &admin, &words);
	if (error != OK)
		tell_open(check, error, &words);
	else
		check_good(check, check_mark(check), "database", "%s is an outbox of this version", path);
	if (error != ERROR_NOT_FOUND) {
		check_files(check, path, had_wal || error != OK);
		check_space(check, path);
	}
	if (admin) {
		check_inside(check, admin);
		check_status(check, admin, path);
		check_tenants(check, admin);
		admin_close(&admin);
	}
	check->database = NULL;
}
