/*
 * scripted_smtpd.c - the scripted server as a program, for the daemon's tests.
 *
 * scripted-smtpd [--port-file F] [--certificate-file F] [--repeat] PAGE.smtp...
 *
 * Listens on a free port of 127.0.0.1, writes the number to F once it listens, and
 * plays the connections of page after page for successive clients; with --repeat
 * the last page goes on for ever. What it hears and says goes to its standard output, a
 * line each. Ends with 0 if all clients kept to the pages. The pages' first and last
 * parts (what the client does, what must come of it) are passed over.
 */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/scripted_server.h"

/* Appears whole or not at all. */
static bool write_file(const char *path, const char *text)
{
	struct buffer temporary;
	FILE *file;
	bool good;

	buffer_init(&temporary, 4096);
	buffer_printf(&temporary, "%s.new", path);
	file = fopen(temporary.data, "w");
	good = file && fputs(text, file) >= 0;
	if (file && fclose(file) != 0)
		good = false;
	good = good && rename(temporary.data, path) == 0;
	if (!good)
		perror(path);
	buffer_fini(&temporary);
	return good;
}

static bool play_page(struct scripted_server *server, const char *path, bool repeat)
{
	struct page page;
	bool good = true;

	if (!page_read(path, 0, &page))
		return false;
	server->page = &page;
	do {
		for (int i = 1; i <= page.connections; i++) {
			bool kept = server_play(server, i);

			if (!kept && server->problem.length > 0)
				printf("%s: %s", page.name, server->problem.data);
			fflush(stdout);
			buffer_clear(&server->problem);
			good = good && kept;
		}
	} while (repeat && page.connections > 0);
	page_fini(&page);
	return good;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "port-file", required_argument, NULL, 'p' },
		{ "certificate-file", required_argument, NULL, 'c' },
		{ "repeat", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	const char *port_file = NULL, *certificate_file = NULL;
	struct test_certificate certificate;
	struct scripted_server server;
	bool repeat = false, good = true;
	char port[16];
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'p')
			port_file = optarg;
		else if (option == 'c')
			certificate_file = optarg;
		else if (option == 'r')
			repeat = true;
		else
			return 64;
	}
	if (optind == argc) {
		fprintf(stderr,
		        "usage: scripted-smtpd [--port-file F] [--certificate-file F] [--repeat] PAGE.smtp...\n");
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	test_certificate_make(&certificate);
	if (!server_listen(&server, NULL, &certificate))
		return 75;
	server.echo = stdout;
	snprintf(port, sizeof(port), "%d\n", server.port);
	if ((certificate_file && !write_file(certificate_file, certificate.pem)) ||
	    (port_file && !write_file(port_file, port)))
		return 73;
	for (int i = optind; i < argc; i++)
		good = play_page(&server, argv[i], repeat && i == argc - 1) && good;
	server_fini(&server);
	test_certificate_free(&certificate);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
