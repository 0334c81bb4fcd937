/*
 * tls_identity.c - a client certificate with its key.
 *
 * Promises that what cannot work is told when the files are read, with the name of the
 * column, and that a server's refusal says which certificate it was shown. GnuTLS wipes the
 * key with the object. Fails with ERROR_INVALID.
 */
#include "smtp/tls_identity.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/digest.h"
#include "smtp/tls_gnutls.h"

#define CHAIN_MAX 16

struct tls_identity {
	atomic_int references;
	gnutls_pcert_st chain[CHAIN_MAX]; /* its own first */
	unsigned count;
	gnutls_privkey_t key;
	char *name;     /* tls_cert_file */
	int64_t ends_s; /* seconds since 1970 */
};

/* The first is what counts; the rest leads to an authority. */
static enum error read_chain(struct tls_identity *identity, const struct secret *pem, struct words *words)
{
	const gnutls_datum_t text = { pem->bytes, (unsigned)pem->length };
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	int rc = gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0);

	if (rc < 0 || count == 0) {
		words_set(words, "the file of tls_cert_file = %s holds no certificate in PEM",
		          identity->name);
		return ERROR_INVALID;
	}
	identity->ends_s = gnutls_x509_crt_get_expiration_time(list[0]);
	for (unsigned i = 0; i < count && i < CHAIN_MAX && rc >= 0; i++) {
		rc = gnutls_pcert_import_x509(&identity->chain[i], list[i], 0);
		identity->count += rc >= 0;
	}
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
	if (rc >= 0 && count <= CHAIN_MAX)
		return OK;
	if (rc < 0)
		words_set(words, "the file of tls_cert_file = %s: %s", identity->name, gnutls_strerror(rc));
	else
		words_set(words, "the file of tls_cert_file = %s holds more than %d certificates",
		          identity->name, CHAIN_MAX);
	return ERROR_INVALID;
}

/* PKCS #8 (RFC 7468 11) and the older way of OpenSSL. */
static bool is_encrypted(const struct secret *pem)
{
	return memmem(pem->bytes, pem->length, "ENCRYPTED", 9) != NULL;
}

static enum error read_key(struct tls_identity *identity, const char *name, const struct secret *pem,
                           struct words *words)
{
	const gnutls_datum_t text = { pem->bytes, (unsigned)pem->length };
	int rc = gnutls_privkey_init(&identity->key);

	if (rc >= 0)
		rc = gnutls_privkey_import_x509_raw(identity->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (rc >= 0)
		return OK;
	if (is_encrypted(pem))
		words_set(
			words,
			"the key in the file of tls_key_file = %s is encrypted, and outboxd has no password "
			"for it (openssl pkey takes the encryption off)",
			name);
	else
		words_set(words, "the file of tls_key_file = %s holds no private key in PEM: %s", name,
		          gnutls_strerror(rc));
	return ERROR_INVALID;
}

static bool is_key_of(gnutls_pubkey_t certificate, gnutls_pubkey_t key)
{
	unsigned char a[DIGEST_SHA256_BYTES], b[DIGEST_SHA256_BYTES];
	size_t a_size = sizeof(a), b_size = sizeof(b);

	return gnutls_pubkey_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, a, &a_size) >= 0 &&
	       gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, b, &b_size) >= 0 && a_size == b_size &&
	       memcmp(a, b, a_size) == 0;
}

static enum error check_pair(const struct tls_identity *identity, const char *key_name, struct words *words)
{
	gnutls_pubkey_t public;
	unsigned fits = 0;
	int rc = gnutls_pubkey_init(&public);

	if (rc >= 0)
		rc = gnutls_pubkey_import_privkey(public, identity->key, 0, 0);
	while (rc >= 0 && fits < identity->count && !is_key_of(identity->chain[fits].pubkey, public))
		fits++;
	gnutls_pubkey_deinit(public);
	if (rc >= 0 && fits == 0)
		return OK;
	if (rc < 0)
		words_set(words, "the key of tls_key_file = %s: %s", key_name, gnutls_strerror(rc));
	else if (fits < identity->count)
		words_set(
			words,
			"the certificate of the key must be the first one in the file of tls_cert_file = %s",
			identity->name);
	else
		words_set(words,
		          "the key of tls_key_file = %s is not that of the certificate of tls_cert_file = %s",
		          key_name, identity->name);
	return ERROR_INVALID;
}

enum error tls_identity_parse(const struct tenant_settings *tenant, const struct secret *certificate,
                              const struct secret *key, struct tls_identity **identity, struct words *words)
{
	struct tls_identity *made = memory_alloc(sizeof(*made));
	enum error error;

	atomic_init(&made->references, 1);
	made->name = memory_strdup(tenant->tls_cert_file);
	error = read_chain(made, certificate, words);
	if (error == OK)
		error = read_key(made, tenant->tls_key_file, key, words);
	if (error == OK)
		error = check_pair(made, tenant->tls_key_file, words);
	if (error != OK)
		tls_identity_release(&made);
	*identity = made;
	return error;
}

struct tls_identity *tls_identity_hold(struct tls_identity *identity)
{
	atomic_fetch_add(&identity->references, 1);
	return identity;
}

void tls_identity_release(struct tls_identity **identity)
{
	struct tls_identity *released = *identity;

	*identity = NULL;
	if (!released || atomic_fetch_sub(&released->references, 1) > 1)
		return;
	for (unsigned i = 0; i < released->count; i++)
		gnutls_pcert_deinit(&released->chain[i]);
	if (released->key)
		gnutls_privkey_deinit(released->key);
	free(released->name);
	free(released);
}

int tls_identity_show(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                      gnutls_pcert_st **chain, unsigned *count, gnutls_ocsp_data_st **ocsp,
                      unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
	struct tls *tls = gnutls_session_get_ptr(session);
	struct tls_identity *identity = tls->identity;

	(void)info; /* authorities that the server names: what the operator configured is shown all the same
	             */
	tls->asked = true;
	*chain = identity ? identity->chain : NULL;
	*count = identity ? identity->count : 0;
	*key = identity ? identity->key : NULL;
	*ocsp = NULL;
	*ocsp_count = 0;
	*flags = 0; /* ours, constant: GnuTLS frees nothing of it */
	return 0;
}

void tls_identity_explain(const struct tls *tls, struct words *words)
{
	const struct tls_identity *identity = tls->identity;
	struct words so_far = *words;
	time_t ends;
	struct tm parts;
	char day[16];

	if (!tls->asked)
		return;
	if (!identity) {
		words_set(words, "%s (it asks for a client certificate, and tls_cert_file is not set)",
		          so_far.text);
		return;
	}
	ends = (time_t)identity->ends_s;
	if (identity->ends_s < clock_wall_s() && gmtime_r(&ends, &parts) &&
	    strftime(day, sizeof(day), "%Y-%m-%d", &parts) > 0)
		words_set(words, "%s (the client certificate of tls_cert_file = %s expired on %s)",
		          so_far.text, identity->name, day);
	else
		words_set(words, "%s (it was shown the client certificate of tls_cert_file = %s)",
		          so_far.text, identity->name);
}
