/*
 * tls_trust.h - the authorities whose certificates are taken (tls_start.c reads, tls.c counts).
 */
#ifndef OUTBOXD_SMTP_TLS_TRUST_H
#define OUTBOXD_SMTP_TLS_TRUST_H

#include "common/error.h"

/* Trusted authorities of one file (or the system's): constant, shared, counted. */
struct tls_trust;

/*
 * Reads a PEM file of authorities (a regular file of at most 1 MiB), NULL = the
 * system's. Blocks for the disk: the loader's thread only. ERROR_INVALID with
 * words naming the file.
 */
enum error tls_trust_load(const char *ca_file, struct tls_trust **trust, struct words *words);
struct tls_trust *tls_trust_hold(struct tls_trust *trust);
void tls_trust_release(struct tls_trust **trust);

#endif
