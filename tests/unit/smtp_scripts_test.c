/*
 * smtp_scripts_test.c - plays the pages of tests/scripts/, several at once.
 *
 * smtp_scripts_test [-v] [-t FILE] [PAGE.smtp]...
 *
 * Without arguments all pages in $OUTBOXD_SOURCE/tests/scripts. Each page has a
 * port, a server thread and a client of its own. -v shows the conversations; -t writes
 * what came of every message into FILE, for tests/scripts/replies.py.
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
#include "smtp/tls_identity.h"
#include "tests/unit/smtp_scripts.h"

#define PAGES_AT_ONCE 16

/* What all pages share. */
struct run {
	struct page *pages;
	size_t count;
	atomic_size_t next;
	bool alone; /* the second round: pages that move the clock, one by one */
	atomic_int failed;
	bool verbose;
	FILE *table; /* NULL = nobody asked for one */
	struct test_certificate certificate;
	struct tls_trust *trust;
	struct tls_identity *identity;
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
	pthread_t thread, self = pthread_self();

	if (!client_init(client, page, server->port))
		return false;
	client->trust = run->trust;
	client->identity = run->identity;
	client->resolver = run->resolver;
	server->client = &self;
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

static bool play(struct run *run, const struct page *page)
{
	struct client *client = memory_alloc(sizeof(*client));
	struct scripted_server server;
	bool good;
	int64_t began = clock_monotonic_ms();

	if (!server_listen(&server, page, &run->certificate))
		abort();
	good = play_page(run, page, client, &server);
	if (run->table)
		client_tell(client, run->table);
	printf("%s %s%s%s (%lld ms)\n%s%s", good ? "ok  " : "FAIL", page->name, page->variant[0] ? ": " : "",
	       page->variant, (long long)(clock_monotonic_ms() - began),
	       server.problem.length > 0 ? server.problem.data : "",
	       client->problem.length > 0 ? client->problem.data : "");
	fflush(stdout);
	client_fini(client);
	server_fini(&server);
	free(client);
	return good;
}

static void *play_pages(void *argument)
{
	struct run *run = argument;
	size_t index;

	while ((index = atomic_fetch_add(&run->next, 1)) < run->count) {
		const struct page *page = &run->pages[index];

		if (page_has(page, "clock") == run->alone && !play(run, page))
			atomic_fetch_add(&run->failed, 1);
	}
	return NULL;
}

/* And as what a tenant shows to a server that asks. */
static void load_identity(struct run *run)
{
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 };
	struct tenant_settings *tenant = tenant_settings_create("acme");
	struct words words;

	secret_set(&certificate, run->certificate.pem, strlen(run->certificate.pem));
	secret_set(&key, run->certificate.key_pem, strlen(run->certificate.key_pem));
	if (tenant_settings_set(tenant, "tls_cert_file", "acme.pem", &words) != OK ||
	    tenant_settings_set(tenant, "tls_key_file", "acme.key", &words) != OK ||
	    tls_identity_parse(tenant, &certificate, &key, &run->identity, &words) != OK) {
		fprintf(stderr, "%s\n", words.text);
		abort();
	}
	secret_wipe(&certificate);
	secret_wipe(&key);
	tenant_settings_release(&tenant);
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
	load_identity(run);
	/* nobody answers there: names are not resolved in these tests */
	if (resolver_create("127.0.0.1:1", &run->resolver, &words) != OK)
		abort();
	for (int i = 0; i < PAGES_AT_ONCE; i++)
		if (pthread_create(&threads[i], NULL, play_pages, run) != 0)
			abort();
	for (int i = 0; i < PAGES_AT_ONCE; i++)
		pthread_join(threads[i], NULL);
	run->alone = true;
	atomic_store(&run->next, 0);
	play_pages(run);
	resolver_destroy(&run->resolver);
	tls_trust_release(&run->trust);
	tls_identity_release(&run->identity);
	test_certificate_free(&run->certificate);
}

static void read_pages(struct run *run, char **paths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int variants = 1;

		for (int variant = 0; variant < variants; variant++) {
			struct page *page;

			run->pages = memory_resize(run->pages, (run->count + 1) * sizeof(*run->pages));
			page = &run->pages[run->count++];
			if (!page_read(paths[i], variant, page)) {
				page_fini(page);
				run->count--;
				run->failed++;
				break;
			}
			variants = page->variants;
		}
	}
}

int main(int argc, char **argv)
{
	const char *source = getenv("OUTBOXD_SOURCE");
	struct run run = { 0 };
	struct buffer pattern;
	glob_t found = { 0 };
	int option;

	while ((option = getopt(argc, argv, "vt:")) != -1) {
		if (option == 't' && !run.table)
			run.table = fopen(optarg, "w");
		run.verbose = run.verbose || option == 'v';
		if (option == '?' || (option == 't' && !run.table)) {
			fprintf(stderr, "smtp_scripts_test [-v] [-t FILE] [PAGE.smtp]...\n");
			return EXIT_FAILURE;
		}
	}

	wait_setup();
	signal(SIGPIPE, SIG_IGN);
	buffer_init(&pattern, 4096);
	buffer_printf(&pattern, "%s/tests/scripts/*.smtp", source ? source : ".");
	if (optind < argc)
		read_pages(&run, argv + optind, (size_t)(argc - optind));
	else if (glob(pattern.data, 0, NULL, &found) == 0)
		read_pages(&run, found.gl_pathv, found.gl_pathc);
	run_all(&run);
	if (run.table && fclose(run.table) != 0)
		run.failed++;
	printf("%zu pages, %d failed\n", run.count, atomic_load(&run.failed));
	for (size_t i = 0; i < run.count; i++)
		page_fini(&run.pages[i]);
	free(run.pages);
	globfree(&found);
	buffer_fini(&pattern);
	return run.count > 0 && atomic_load(&run.failed) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
