/*
 * tls_dates.h - until when the certificates of a file are good.
 */
#ifndef OUTBOXD_SMTP_TLS_DATES_H
#define OUTBOXD_SMTP_TLS_DATES_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "smtp/certificate.h"

struct tls_dates {
	unsigned count;           /* certificates */
	struct certificate first; /* the one that ends first */
};

/*
 * All certificates in a text in PEM. ERROR_INVALID, without words: there is none, as tls_trust_load() and
 * tls_identity_parse() tell of the same text. Does not block. Any thread.
 */
enum error tls_dates_read(const void *pem, size_t length, struct tls_dates *dates);

#endif
