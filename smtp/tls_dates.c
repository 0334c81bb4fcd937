/*
 * tls_dates.c - until when the certificates of a file are good. See tls_dates.h.
 */
#include "smtp/tls_dates.h"

#include "smtp/tls_gnutls.h"

enum error tls_dates_read(const void *pem, size_t length, struct tls_dates *dates)
{
	const gnutls_datum_t text = { (unsigned char *)pem, (unsigned)length };
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	int rc = gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0);

	*dates = (struct tls_dates){ .count = 0 };
	if (rc < 0 || count == 0)
		return ERROR_INVALID;
	for (unsigned i = 0; i < count; i++) {
		struct certificate facts;

		tls_take_facts(list[i], &facts);
		if (dates->count++ == 0 || facts.ends_s < dates->first.ends_s)
			dates->first = facts;
		gnutls_x509_crt_deinit(list[i]);
	}
	gnutls_free(list);
	return OK;
}
