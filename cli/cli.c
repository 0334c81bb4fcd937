/*
 * cli.c - what the verbs share: words, exit statuses, the database.
 *
 * Promises: one place decides which exit status an error has.
 */
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli/cli.h"

static void say(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static void say(const char *format, va_list arguments)
{
	(void)fflush(stdout);
	(void)fputs("outboxctl: ", stderr);
	(void)vfprintf(stderr, format, arguments);
	(void)fputc('\n', stderr);
}

void cli_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

int cli_usage(const struct invocation *invocation, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	if (invocation->verb)
		(void)fprintf(stderr, "Try 'outboxctl %s --help'.\n", invocation->verb->name);
	else
		(void)fprintf(stderr, "Try 'outboxctl --help'.\n");
	return EX_USAGE;
}

static int status_of(enum error error)
{
	switch (error) {
	case OK: return EX_OK;
	case ERROR_INVALID:
	case ERROR_LIMIT:
	case ERROR_NOT_FOUND: return EX_DATAERR;
	case ERROR_EXISTS: return EX_CANTCREAT;
	case ERROR_BUSY: return EX_TEMPFAIL;
	case ERROR_PERMISSION: return EX_NOPERM;
	case ERROR_REFUSED: return EX_CONFIG;
	case ERROR_SYSTEM: return EX_OSERR;
	case ERROR_TIMEOUT:
	case ERROR_INTERRUPTED:
	case ERROR_CLOSED:
	case ERROR_PROTOCOL:
	case ERROR_UNAVAILABLE:
	default: return EX_UNAVAILABLE;
	}
}

int cli_fail(enum error error, const struct words *words)
{
	cli_say("%s", words->text);
	return status_of(error);
}

int cli_fail_file(enum error error, const struct words *words)
{
	int status = cli_fail(error, words);

	return error == ERROR_NOT_FOUND ? EX_NOINPUT : status;
}

int cli_open(const struct invocation *invocation, struct admin **admin)
{
	struct words words;
	enum error error = admin_open(invocation->database, admin, &words);

	return error == OK ? EX_OK : cli_fail_file(error, &words);
}

int cli_close(struct admin **admin, enum error error, const struct words *words)
{
	admin_close(admin);
	return error == OK ? EX_OK : cli_fail(error, words);
}
