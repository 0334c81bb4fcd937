/*
 * sink.c - bench-sink [OPTION...]: takes mail as fast as it comes, counts it, and keeps none.
 *
 *     --identity NAME    the header field that tells messages apart (X-Bench-Id)
 *     --threads N        workers (1); 0 = one a processor
 *     --port N           of 127.0.0.1; one that the system picks (0)
 *     --delay MS         each reply leaves so long after its command was read (0)
 *     --no-pipelining    not offered; nor is CHUNKING then
 *     --no-chunking      not offered
 *     --tls CERT KEY     offers STARTTLS; PEM files
 *
 * The first line of its output is "port N". Then it obeys lines of its input, each answered by
 * a line, and ends with its input:
 *
 *     count              "count N": messages so far
 *     wait N MS          the same, as soon as it is N, or so many milliseconds are over
 *     take               "taken N", then N lines "MAIL_NS END_NS IDENTITY" (of CLOCK_MONOTONIC;
 *                        "-" = it had none), which are forgotten
 *     take FILE          the same into a file; "taken N FILE"
 *     stats              "stats NAME=N..." of connections, TLS handshakes, reads, writes, commands
 */
#include "tests/bench/sink.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void sink_die(const char *what)
{
	fprintf(stderr, "bench-sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void tell_numbers(void)
{
	static const struct {
		const char *name;
		const uint64_t *number;
	} all[] = {
		{ "connections", &sink_numbers.connections }, { "open", &sink_numbers.open },
		{ "most_open", &sink_numbers.most_open },     { "handshakes", &sink_numbers.handshakes },
		{ "resumed", &sink_numbers.resumed },         { "reads", &sink_numbers.reads },
		{ "writes", &sink_numbers.writes },           { "commands", &sink_numbers.commands },
	};

	printf("stats");
	for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++)
		printf(" %s=%llu", all[n].name,
		       (unsigned long long)__atomic_load_n(all[n].number, __ATOMIC_RELAXED));
	printf("\n");
}

static void take_into(const char *path)
{
	FILE *file = fopen(path, "w");
	uint64_t count;

	if (file == NULL) {
		printf("error %s: %s\n", path, strerror(errno));
		return;
	}
	count = sink_record_take(file);
	if (fclose(file) != 0)
		sink_die(path);
	printf("taken %llu %s\n", (unsigned long long)count, path);
}

static void obey(char *line)
{
	unsigned long long count, milliseconds;

	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "count") == 0)
		printf("count %llu\n", (unsigned long long)sink_record_count());
	else if (sscanf(line, "wait %llu %llu", &count, &milliseconds) == 2)
		printf("count %llu\n", (unsigned long long)sink_record_wait(count, milliseconds));
	else if (strcmp(line, "take") == 0)
		sink_record_take(stdout);
	else if (strncmp(line, "take ", 5) == 0)
		take_into(line + 5);
	else if (strcmp(line, "stats") == 0)
		tell_numbers();
	else
		printf("error what is \"%s\"?\n", line);
	fflush(stdout);
}

static void parse(int argc, char **argv, struct sink_options *options)
{
	static const struct option names[] = {
		{ "identity", required_argument, NULL, 'i' }, { "threads", required_argument, NULL, 't' },
		{ "port", required_argument, NULL, 'p' },     { "delay", required_argument, NULL, 'd' },
		{ "no-pipelining", no_argument, NULL, 'P' },  { "no-chunking", no_argument, NULL, 'C' },
		{ "tls", required_argument, NULL, 'T' },      { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'i': options->identity = optarg; break;
		case 't': options->threads = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'p': options->port = (uint16_t)strtoul(optarg, NULL, 10); break;
		case 'd': options->delay_ns = (uint64_t)(strtod(optarg, NULL) * 1e6); break;
		case 'P': options->pipelining = options->chunking = false; break;
		case 'C': options->chunking = false; break;
		case 'T':
			options->certificate = optarg;
			options->key = optind < argc ? argv[optind++] : "";
			break;
		default: exit(64);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "bench-sink: what is \"%s\"?\n", argv[optind]);
		exit(64);
	}
	if (options->threads == 0)
		options->threads = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

int main(int argc, char **argv)
{
	struct sink_options options = {
		.identity = "X-Bench-Id", .threads = 1, .pipelining = true, .chunking = true
	};
	struct rlimit files;
	char *line = NULL;
	size_t room = 0;

	parse(argc, argv, &options);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (options.certificate)
		sink_tls_setup(options.certificate, options.key);
	printf("port %u\n", sink_start(&options));
	fflush(stdout);
	while (getline(&line, &room, stdin) > 0)
		obey(line);
	free(line);
	_exit(0); /* the workers have nothing to keep */
}
