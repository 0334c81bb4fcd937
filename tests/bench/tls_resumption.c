/*
 * tls_resumption.c - what a resumed TLS session would save: processor time of a handshake at each end.
 *
 *     tests/bench/tls_resumption [HANDSHAKES]
 *
 * Server and client are threads of one process, so the network costs nothing; the round trips
 * that it would cost are told beside. The client verifies chain and name, as outboxd does.
 */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HOST "mail.example"

struct side {
	gnutls_certificate_credentials_t credentials;
	gnutls_datum_t ticket_key;
	int fd;
	double cpu_s;
};

static struct side server, client;
static gnutls_priority_t priority;
static gnutls_datum_t kept; /* the session to resume */
static bool resumed;

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, gnutls_strerror(rc));
	exit(1);
}

static double thread_cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static gnutls_x509_crt_t make(gnutls_x509_privkey_t key, gnutls_x509_crt_t issuer,
                              gnutls_x509_privkey_t issuer_key)
{
	static unsigned char serial = 1;
	gnutls_x509_crt_t made;

	must(gnutls_x509_crt_init(&made), "certificate");
	must(gnutls_x509_crt_set_version(made, 3), "version");
	must(gnutls_x509_crt_set_serial(made, &serial, 1), "serial");
	serial++;
	must(gnutls_x509_crt_set_activation_time(made, time(NULL) - 3600), "time");
	must(gnutls_x509_crt_set_expiration_time(made, time(NULL) + 86400), "time");
	must(gnutls_x509_crt_set_basic_constraints(made, issuer == NULL, -1), "constraints");
	must(gnutls_x509_crt_set_dn_by_oid(made, GNUTLS_OID_X520_COMMON_NAME, 0, issuer ? HOST : "CA",
	                                   issuer ? sizeof(HOST) - 1 : 2),
	     "name");
	must(gnutls_x509_crt_set_subject_alt_name(made, GNUTLS_SAN_DNSNAME, HOST, sizeof(HOST) - 1,
	                                          GNUTLS_FSAN_SET),
	     "name");
	must(gnutls_x509_crt_set_key(made, key), "key");
	must(gnutls_x509_crt_sign2(made, issuer ? issuer : made, issuer_key, GNUTLS_DIG_SHA256, 0),
	     "signature");
	return made;
}

/* An authority, a server's certificate by it, and the two ends that use them. */
static void make_credentials(gnutls_pk_algorithm_t algorithm, unsigned bits)
{
	gnutls_x509_privkey_t keys[2];
	gnutls_x509_crt_t authority, own;

	for (int i = 0; i < 2; i++) {
		must(gnutls_x509_privkey_init(&keys[i]), "key");
		must(gnutls_x509_privkey_generate(keys[i], algorithm, bits, 0), "key");
	}
	authority = make(keys[0], NULL, keys[0]);
	own = make(keys[1], authority, keys[0]);
	must(gnutls_certificate_allocate_credentials(&server.credentials), "credentials");
	must(gnutls_certificate_allocate_credentials(&client.credentials), "credentials");
	must(gnutls_certificate_set_x509_key(server.credentials, &own, 1, keys[1]), "credentials");
	must(gnutls_certificate_set_x509_trust(client.credentials, &authority, 1), "trust");
	must(gnutls_session_ticket_key_generate(&server.ticket_key), "ticket");
	gnutls_x509_crt_deinit(authority);
	gnutls_x509_crt_deinit(own);
	gnutls_x509_privkey_deinit(keys[0]);
	gnutls_x509_privkey_deinit(keys[1]);
}

static void shake_hands(gnutls_session_t session, const struct side *side)
{
	int rc;

	must(gnutls_priority_set(session, priority), "priority");
	must(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, side->credentials), "credentials");
	gnutls_transport_set_int(session, side->fd);
	do
		rc = gnutls_handshake(session);
	while (rc < 0 && !gnutls_error_is_fatal(rc));
	must(rc, "handshake");
}

static void receive(gnutls_session_t session)
{
	char octet;
	ssize_t rc;

	do
		rc = gnutls_record_recv(session, &octet, 1);
	while (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED); /* a ticket came */
	must((int)rc, "receive");
}

/* The greeting, an answer, the end: a ticket of TLS 1.3 comes with the greeting. */
static void *serve(void *unused)
{
	double begin = thread_cpu_s();
	gnutls_session_t session;

	must(gnutls_init(&session, GNUTLS_SERVER), "server");
	must(gnutls_session_ticket_enable_server(session, &server.ticket_key), "ticket");
	shake_hands(session, &server);
	must((int)gnutls_record_send(session, "2", 1), "send");
	receive(session);
	gnutls_deinit(session);
	server.cpu_s += thread_cpu_s() - begin;
	return unused;
}

static void meet(bool resume)
{
	double begin;
	gnutls_session_t session;
	pthread_t thread;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		exit(1);
	server.fd = ends[0];
	client.fd = ends[1];
	if (pthread_create(&thread, NULL, serve, NULL) != 0)
		exit(1);
	begin = thread_cpu_s();
	must(gnutls_init(&session, GNUTLS_CLIENT | (resume || !kept.data ? 0 : GNUTLS_NO_TICKETS)), "client");
	must(gnutls_server_name_set(session, GNUTLS_NAME_DNS, HOST, sizeof(HOST) - 1), "SNI");
	gnutls_session_set_verify_cert(session, HOST, 0);
	if (resume)
		must(gnutls_session_set_data(session, kept.data, kept.size), "resume");
	shake_hands(session, &client);
	receive(session);
	resumed = gnutls_session_is_resumed(session);
	if (!kept.data)
		must(gnutls_session_get_data2(session, &kept), "session");
	must((int)gnutls_record_send(session, "Q", 1), "send");
	client.cpu_s += thread_cpu_s() - begin;
	pthread_join(thread, NULL);
	gnutls_deinit(session);
	close(ends[0]);
	close(ends[1]);
}

static void measure(const char *key, const char *version, const char *trips, int handshakes)
{
	double cost[2][2];

	for (int resume = 0; resume < 2; resume++) {
		meet(resume);
		client.cpu_s = server.cpu_s = 0;
		for (int i = 0; i < handshakes; i++) {
			meet(resume);
			if (resumed != (resume == 1)) {
				fprintf(stderr, "%s, %s: not resumed as wanted\n", key, version);
				exit(1);
			}
		}
		cost[resume][0] = client.cpu_s * 1e3 / handshakes;
		cost[resume][1] = server.cpu_s * 1e3 / handshakes;
	}
	printf("%-12s %-7s client %.2f -> %.2f ms (saves %.2f)   server %.2f -> %.2f ms   round trips %s\n",
	       key, version, cost[0][0], cost[1][0], cost[0][0] - cost[1][0], cost[0][1], cost[1][1], trips);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *key;
		gnutls_pk_algorithm_t algorithm;
		unsigned bits;
	} keys[] = {
		{ "ECDSA P-256", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1) },
		{ "RSA 2048", GNUTLS_PK_RSA, 2048 },
	};
	static const struct {
		const char *version, *priority, *trips;
	} versions[] = {
		{ "TLS 1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "1 -> 1" },
		{ "TLS 1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "2 -> 1" },
	};
	int handshakes = argc > 1 ? atoi(argv[1]) : 300;

	for (size_t k = 0; k < 2; k++) {
		make_credentials(keys[k].algorithm, keys[k].bits);
		for (size_t v = 0; v < 2; v++) {
			must(gnutls_priority_init(&priority, versions[v].priority, NULL), "priority");
			kept = (gnutls_datum_t){ NULL, 0 };
			meet(false); /* it leaves what is resumed */
			measure(keys[k].key, versions[v].version, versions[v].trips, handshakes);
			gnutls_free(kept.data);
			gnutls_priority_deinit(priority);
		}
		gnutls_certificate_free_credentials(server.credentials);
		gnutls_certificate_free_credentials(client.credentials);
		gnutls_free(server.ticket_key.data);
	}
	return 0;
}
