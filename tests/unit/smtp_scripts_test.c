/*
 * smtp_scripts_test.c - plays the pages of tests/scripts/, several at once.
 *
 * smtp_scripts_test [-v] [PAGE.smtp]...
 *
 * Without arguments all pages in $OUTBOXD_SOURCE/tests/scripts. Each page has a
 * port, a server thread and a client of its own. -v shows the conversations.
 */
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "tests/unit/smtp_scripts.h"

#define PAGES_AT_ONCE 16

/* What all pages share. */
struct run {
	char **paths;
	size_t count;
	atomic_size_t next;
	atomic_int failed;
	bool verbose;
	struct test_certificate certificate;
	struct tls_trust *trust;
	struct resolver *resolver;
};

static void *serve(void *argument)
{
	struct scripted_server *server = argument;
	bool good = true;

	for (int i = 1; good && i <= server->page->connections; i++)
		good = server_play(server, i);
	server_stop_listening(server);
	return NULL;
}

static bool play_page(struct run *run, const struct page *page, struct client *client,
		      struct scripted_server *server)
{
	pthread_t thread;

	if (!client_init(client, page, server->port))
		return false;
	client->trust = run->trust;
	client->resolver = run->resolver;
	server->echo = run->verbose ? stdout : NULL;
	if (client->no_server)
		server_stop_listening(server);
	if (pthread_create(&thread, NULL, serve, server) != 0)
		abort();
	client_run(client);
	pthread_join(thread, NULL);
	client_check(client, server);
	return client->problem.length == 0 && server->problem.length == 0;
}

static bool play(struct run *run, const char *path)
{
	struct client *client = memory_alloc(sizeof(*client));
	struct scripted_server server;
	struct page page;
	bool good = false;
	int64_t began = clock_monotonic_ms();

	if (!page_read(path, &page))
		goto out;
	if (!server_listen(&server, &page, &run->certificate))
		abort();
	good = play_page(run, &page, client, &server);
	printf("%s %s (%lld ms)\n%s%s", good ? "ok  " : "FAIL", page.name,
	       (long long)(clock_monotonic_ms() - began), server.problem.length > 0 ? server.problem.data : "",
	       client->problem.length > 0 ? client->problem.data : "");
	fflush(stdout);
	client_fini(client);
	server_fini(&server);
out:
	page_fini(&page);
	free(client);
	return good;
}

static void *play_pages(void *argument)
{
	struct run *run = argument;
	size_t index;

	while ((index = atomic_fetch_add(&run->next, 1)) < run->count)
		if (!play(run, run->paths[index]))
			atomic_fetch_add(&run->failed, 1);
	return NULL;
}

/* The test's certificate as the authority that tenants trust. */
static void load_trust(struct run *run)
{
	char path[] = "/tmp/outboxd-test-XXXXXX";
	struct words words;
	int fd = mkstemp(path);
	size_t length = strlen(run->certificate.pem);

	if (fd < 0 || write(fd, run->certificate.pem, length) != (ssize_t)length)
		abort();
	close(fd);
	if (tls_trust_load(path, &run->trust, &words) != OK) {
		fprintf(stderr, "%s\n", words.text);
		abort();
	}
	unlink(path);
}

static void run_all(struct run *run)
{
	pthread_t threads[PAGES_AT_ONCE];
	struct words words;

	test_certificate_make(&run->certificate);
	load_trust(run);
	/* nobody answers there: names are not resolved in these tests */
	if (resolver_create("127.0.0.1:1", &run->resolver, &words) != OK)
		abort();
	for (int i = 0; i < PAGES_AT_ONCE; i++)
		if (pthread_create(&threads[i], NULL, play_pages, run) != 0)
			abort();
	for (int i = 0; i < PAGES_AT_ONCE; i++)
		pthread_join(threads[i], NULL);
	resolver_destroy(&run->resolver);
	tls_trust_release(&run->trust);
	test_certificate_free(&run->certificate);
}

int main(int argc, char **argv)
{
	const char *source = getenv("OUTBOXD_SOURCE");
	struct run run = { .verbose = argc > 1 && strcmp(argv[1], "-v") == 0 };
	struct buffer pattern;
	glob_t found = { 0 };

	wait_setup();
	signal(SIGPIPE, SIG_IGN);
	buffer_init(&pattern, 4096);
	buffer_printf(&pattern, "%s/tests/scripts/*.smtp", source ? source : ".");
	run.paths = argv + 1 + run.verbose;
	run.count = (size_t)(argc - 1 - run.verbose);
	if (run.count == 0 && glob(pattern.data, 0, NULL, &found) == 0) {
		run.paths = found.gl_pathv;
		run.count = found.gl_pathc;
	}
	run_all(&run);
	printf("%zu pages, %d failed\n", run.count, atomic_load(&run.failed));
	globfree(&found);
	buffer_fini(&pattern);
	return run.count > 0 && atomic_load(&run.failed) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
