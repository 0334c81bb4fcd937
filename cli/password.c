/*
 * password.c - a password from a terminal or a descriptor.
 *
 * Promises: the terminal echoes again whatever happens (a signal included);
 * every copy made here is wiped. This file does not include the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/password.h"
#include "common/buffer.h"

#define LINE_BYTES 4096

static volatile sig_atomic_t caught;

static void catch (int number)
{
	caught = number;
}

/* Signals that would end us while the terminal is silent only end the read. */
static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define ENDING (sizeof ending / sizeof ending[0])

static void watch_signals(struct sigaction old[ENDING])
{
	struct sigaction action = { .sa_handler = catch };

	caught = 0;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ENDING; i++)
		(void)sigaction(ending[i], &action, &old[i]);
}

static void unwatch_signals(const struct sigaction old[ENDING])
{
	for (size_t i = 0; i < ENDING; i++)
		(void)sigaction(ending[i], &old[i], NULL);
}

/* One line; its length without the line end, -1 if it was called off. */
static ssize_t read_line(int tty, const char *prompt, char *line)
{
	ssize_t got = 0, length = 0;

	if (write(tty, prompt, strlen(prompt)) < 0)
		return -1;
	while (!caught && length < LINE_BYTES) {
		got = read(tty, line + length, 1);
		if (got != 1 || line[length] == '\n')
			break;
		length++;
	}
	(void)!write(tty, "\n", 1);
	return got == 1 && !caught ? length : -1;
}

static enum error ask_twice(int tty, const char *tenant, struct secret *password, struct words *words)
{
	char prompt[128], first[LINE_BYTES], second[LINE_BYTES];
	enum error error = ERROR_INTERRUPTED;
	ssize_t length, again;

	(void)snprintf(prompt, sizeof prompt, "Password of %.63s: ", tenant);
	words_set(words, "no password was given");
	length = read_line(tty, prompt, first);
	if (length < 0)
		goto out;
	error = ERROR_INVALID;
	if (length == 0)
		goto out;
	again = read_line(tty, "Once more: ", second);
	if (again != length || memcmp(first, second, (size_t)length) != 0) {
		words_set(words, "the two passwords differ");
		error = again < 0 ? ERROR_INTERRUPTED : ERROR_INVALID;
		goto out;
	}
	error = secret_set(password, first, (size_t)length) ? OK : ERROR_INVALID;
out:
	explicit_bzero(first, sizeof first);
	explicit_bzero(second, sizeof second);
	return error;
}

enum error password_prompt(const char *tenant, struct secret *password, struct words *words)
{
	struct sigaction old[ENDING];
	struct termios before, silent;
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	enum error error;

	if (tty < 0 || tcgetattr(tty, &before) != 0) {
		words_set(words, "there is no terminal to ask for the password: use --password-stdin");
		if (tty >= 0)
			close(tty);
		return ERROR_NOT_FOUND;
	}
	watch_signals(old);
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ICANON;
	if (tcsetattr(tty, TCSAFLUSH, &silent) == 0) {
		error = ask_twice(tty, tenant, password, words);
		(void)tcsetattr(tty, TCSAFLUSH, &before);
	} else {
		words_set_errno(words, errno, "the terminal cannot be silenced");
		error = ERROR_SYSTEM;
	}
	unwatch_signals(old);
	close(tty);
	if (caught)
		(void)raise(caught);
	return error;
}

enum error password_read(int fd, const char *name, struct secret *password, struct words *words)
{
	struct secret content = { NULL, 0 };
	enum error error = secret_read(fd, SECRET_MAX_BYTES + 2, &content); /* with the line's end */
	size_t length = content.length;
	bool good = false;

	if (error == ERROR_SYSTEM) {
		words_set_errno(words, errno, "%s", name);
		return error;
	}
	if (length > 0 && content.bytes[length - 1] == '\n')
		length--;
	if (length > 0 && content.bytes[length - 1] == '\r')
		length--;
	if (error != OK || length > SECRET_MAX_BYTES)
		words_set(words, "%s: the password is longer than %d octets", name, SECRET_MAX_BYTES);
	else if (length == 0)
		words_set(words, "%s: the password is empty", name);
	else if (memchr(content.bytes, '\0', length))
		words_set(words, "%s: the password has a NUL", name);
	else
		good = secret_set(password, content.bytes, length);
	secret_wipe(&content);
	return good ? OK : ERROR_INVALID;
}
