/*
 * certificate.h - what is wrong with a server's certificate, in words. Pure.
 *
 * tls.c takes the facts out of the certificates, here they become one sentence
 * that the tenant's administrator can act on. What a peer wrote is cleaned and cut.
 */
#ifndef OUTBOXD_SMTP_CERTIFICATE_H
#define OUTBOXD_SMTP_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CERTIFICATE_NAME_BYTES 96
#define CERTIFICATE_NAMES_TOLD 3

struct certificate {
	char subject[CERTIFICATE_NAME_BYTES];
	char issuer[CERTIFICATE_NAME_BYTES];
	bool own_issuer;          /* signed by itself */
	int64_t begins_s, ends_s; /* valid from, to; seconds since 1970 */
};

/* The names a certificate is for: the first few, and how many there are. */
struct certificate_names {
	char told[CERTIFICATE_NAMES_TOLD][CERTIFICATE_NAME_BYTES];
	int count;
};

/* Copies a peer's text, cleaned and cut. */
void certificate_set_name(char name[CERTIFICATE_NAME_BYTES], const char *raw, size_t length);
/* The same of a whole name ("CN=Acme CA,O=Acme Ltd", RFC 4514): its common name, else its organisation, else
 * all. */
void certificate_set_authority(char name[CERTIFICATE_NAME_BYTES], const char *whole, size_t length);
void certificate_add_name(struct certificate_names *names, const char *raw, size_t length);
/* 4 or 16 octets, in the network's order; any other number is no address and not added. */
void certificate_add_address(struct certificate_names *names, const void *octets, size_t size);

/*
 * Each call adds one fault; together they are one sentence ("the certificate of
 * mail.acme.example expired on 2026-11-01, and is for …"). words are empty before the first.
 */
void certificate_fault(struct words *words, const char *server, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Which certificate of the chain (the server's first) is out of date, and since when. */
void certificate_fault_time(struct words *words, const char *server, const struct certificate *chain,
                            unsigned count, int64_t now_s);
void certificate_fault_signer(struct words *words, const char *server, const struct certificate *chain,
                              unsigned count);
/* Both SHA-256 of a certificate whose pins do not fit, as tls_fingerprints would have them. */
void certificate_fault_pins(struct words *words, const char *server, const unsigned char whole[32],
                            const unsigned char key[32]);
void certificate_fault_owner(struct words *words, const char *server, const struct certificate_names *names);

#endif
