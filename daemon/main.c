/*
 * main.c - outboxd's command line: options, --daemon, the pid file, the monitor.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/seal.h"
#include "daemon/monitor.h"
#include "smtp/resolve.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

static const char usage[] =
	"Usage: outboxd [OPTION]…\n"
	"Sends the mail that applications insert into an SQLite outbox, each tenant by its own server.\n"
	"\n"
	"  --config FILE      read settings from FILE\n"
	"  --set NAME=VALUE   one setting, stronger than the file; may be repeated\n"
	"  --database FILE    serve this outbox; may be repeated; made if it is absent\n"
	"  --log-file FILE    log there, - = standard error (the default)\n"
	"  --check-config     read the settings, say what is wrong, and end\n"
	"  --daemon           detach; the call returns when the daemon is ready\n"
	"  --pid-file FILE    write the monitor's process id there\n"
	"  --version          print the version and end\n"
	"  --help             print this and end\n"
	"\n"
	"Exit status as in sysexits.h: 64 usage, 73 cannot create, 75 another outboxd serves this\n"
	"database, 77 permission, 78 configuration. See outboxd(8).\n";

struct command_line {
	struct config_options options;
	bool check, detach;
};

static void add(const char *const **list, size_t *count, const char *value)
{
	const char **grown = memory_resize((void *)*list, (*count + 1) * sizeof(*grown));

	grown[(*count)++] = value;
	*list = grown;
}

/* Fills the command line; a status to exit with, or -1 to go on. */
static int parse_options(int argc, char **argv, struct command_line *line)
{
	enum { CONFIG = 256, SET, DATABASE, LOG_FILE, CHECK, DAEMON, PID_FILE, SHOW_VERSION, HELP };
	static const struct option known[] = {
		{ "config", required_argument, NULL, CONFIG },
		{ "set", required_argument, NULL, SET },
		{ "database", required_argument, NULL, DATABASE },
		{ "log-file", required_argument, NULL, LOG_FILE },
		{ "check-config", no_argument, NULL, CHECK },
		{ "daemon", no_argument, NULL, DAEMON },
		{ "pid-file", required_argument, NULL, PID_FILE },
		{ "version", no_argument, NULL, SHOW_VERSION },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case CONFIG: line->options.file = optarg; break;
		case SET: add(&line->options.sets, &line->options.set_count, optarg); break;
		case DATABASE: add(&line->options.databases, &line->options.database_count, optarg); break;
		case LOG_FILE: line->options.log_file = optarg; break;
		case PID_FILE: line->options.pid_file = optarg; break;
		case CHECK: line->check = true; break;
		case DAEMON: line->detach = true; break;
		case SHOW_VERSION: puts("outboxd " PACKAGE_VERSION); return EX_OK;
		case HELP: fputs(usage, stdout); return EX_OK;
		default: fputs("outboxd: try outboxd --help\n", stderr); return EX_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "outboxd: %s is no option; try outboxd --help\n", argv[optind]);
	return EX_USAGE;
}

static void tell_config(const char *level, const char *error)
{
	char now[CLOCK_TEXT_BYTES];

	clock_format_utc(clock_wall_ms(), now);
	fprintf(stderr, "%s level=%s event=config.error error=\"", now, level);
	for (; *error; error++)
		fprintf(stderr, *error == '"' || *error == '\\' ? "\\%c" : "%c", *error);
	fputs("\"\n", stderr);
}

static void tell_config_error(const char *error)
{
	tell_config("error", error);
}

/* At its start outboxd goes on without them, with the tenants down that need them; here it is a failure. */
static int check_keys(const char *path)
{
	struct seal_keys *keys = NULL;
	struct words words, told;
	enum error error = path ? seal_keys_read(path, &keys, &words) : OK;

	seal_keys_release(&keys);
	if (error == OK)
		return EX_OK;
	if (error == ERROR_NOT_FOUND && !strchr(path, '/') && !getenv("CREDENTIALS_DIRECTORY")) {
		words_set(
			&told,
			"secrets_key_file: %s is the name of a credential, which only a service of systemd's "
			"has: its keys were not looked at",
			path);
		tell_config("warning", told.text);
		return EX_OK;
	}
	words_set(&told, "secrets_key_file: %s", words.text);
	tell_config_error(told.text);
	return EX_CONFIG;
}

/* What only its user can tell of a setting. No database is opened. */
static int check(const struct config *config)
{
	struct resolver *resolver;
	struct words words;

	if (resolver_create(config->dns_servers, &resolver, &words) != OK) {
		tell_config_error(words.text);
		return EX_CONFIG;
	}
	resolver_destroy(&resolver);
	return check_keys(config->secrets_key_file);
}

/*
 * Detaches. In the caller: waits for the daemon and returns its status. In the
 * daemon: returns -1, and *ready_fd is where it tells that it is ready.
 */
static int detach(int *ready_fd)
{
	int fds[2], null_fd;
	unsigned char octet;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		fprintf(stderr, "outboxd: cannot detach: %s\n", strerror(errno));
		return EX_OSERR;
	}
	if (pid > 0) {
		close(fds[1]);
		return read(fds[0], &octet, 1) == 1 ? octet : EX_SOFTWARE;
	}
	close(fds[0]);
	setsid();
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd >= 0) {
		dup2(null_fd, STDIN_FILENO);
		dup2(null_fd, STDOUT_FILENO);
	}
	*ready_fd = fds[1];
	return -1;
}

static int write_pid_file(const char *path)
{
	char text[32];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	bool good = fd >= 0 && write(fd, text, (size_t)length) == length;

	if (!good)
		fprintf(stderr, "outboxd: cannot write the pid file %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good ? EX_OK : EX_CANTCREAT;
}

static int serve(struct config *config, const struct config_options *options, int ready_fd)
{
	const struct monitor_settings settings = { config, options, service_run, ready_fd };
	int status = config->pid_file ? write_pid_file(config->pid_file) : EX_OK;
	unsigned char octet;

	if (status == EX_OK) {
		status = monitor_run(&settings);
		if (config->pid_file)
			unlink(config->pid_file);
	}
	/* The caller of --daemon reads one octet: if it was not "ready", this is it. */
	octet = (unsigned char)status;
	if (ready_fd >= 0)
		(void)!write(ready_fd, &octet, 1);
	return status;
}

int main(int argc, char **argv)
{
	struct command_line line = { .check = false };
	struct config *config = NULL;
	struct words words;
	int ready_fd = -1;
	int status = parse_options(argc, argv, &line);

	if (status < 0 && config_read(&line.options, &config, &words) != OK) {
		tell_config_error(words.text);
		status = EX_CONFIG;
	}
	if (status < 0 && line.check)
		status = check(config);
	if (status < 0 && line.detach)
		status = detach(&ready_fd);
	if (status < 0)
		status = serve(config, &line.options, ready_fd);
	config_release(&config);
	free((void *)line.options.sets);
	free((void *)line.options.databases);
	return status;
}
