/*
 * smtp_transport_tls.h - certificates made for a test, and TLS servers in threads.
 */
#ifndef OUTBOXD_TESTS_UNIT_SMTP_TRANSPORT_TLS_H
#define OUTBOXD_TESTS_UNIT_SMTP_TRANSPORT_TLS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "smtp/stream.h"
#include "smtp/tls.h"

/* One certificate with its key; issuer NULL = signed by itself. */
struct identity {
	gnutls_x509_crt_t certificate;
	gnutls_x509_privkey_t key;
};

struct identity_settings {
	const char *common_name;
	const char *names[6]; /* DNS names, or addresses behind "ip:" */
	const struct identity *issuer;
	bool authority;
	bool for_clients;    /* not meant for a server */
	time_t begins, ends; /* 0 = valid now */
};

/* Freed after the test, by identity_forget_all(). */
struct identity identity_make(const struct identity_settings *settings);
void identity_forget_all(void);
/* PEM files in the folder of the test; the path is valid as long as the process. */
const char *identity_write(const struct identity *identity, const char *name);
/* "sha256:…" of the certificate or "spki:…" of its key, computed here another way than by tls.c. */
void identity_pin(const struct identity *identity, bool of_key, char pin[80]);

enum tls_server_asks {
	TLS_SERVER_ASKS_NOT, /* for no client certificate */
	TLS_SERVER_REQUESTS,
	TLS_SERVER_REQUIRES, /* one of authority's */
	TLS_SERVER_REFUSES,  /* whichever is shown */
};

/* A server for one connection at a time. */
struct tls_server {
	struct identity chain[3]; /* its own first */
	int chain_length;
	const char *priority; /* NULL = NORMAL */
	/* Runs after the handshake; NULL = echo until the end. */
	void (*serve)(struct tls_server *server, gnutls_session_t session);
	enum tls_server_asks asks;
	const struct identity *authority; /* of clients */
	bool binding_unique;              /* which binding to note; else tls-exporter */
	/* what was seen, valid after tls_server_join() */
	int handshake; /* GnuTLS's answer */
	int ended;     /* of the last read: 0 = close_notify */
	char sni[256];
	bool resumed, ticket_wanted; /* a session to be used again, asked for or used */
	long octets;                 /* of the conversation */
	char client_pin[80];         /* of the client's certificate as identity_pin() says it, "" = none */
	unsigned char binding[64];
	size_t binding_length;
	/* its own */
	int fd;
	pthread_t thread;
	gnutls_datum_t ticket_key;
	int record_size;
};

/* Serves fd (which it closes) in a thread. */
void tls_server_start(struct tls_server *server, int fd);
void tls_server_join(struct tls_server *server);
/* serve: reads whatever comes. */
void tls_server_echo(struct tls_server *server, gnutls_session_t session);

#endif
