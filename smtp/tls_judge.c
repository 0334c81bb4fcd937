/*
 * tls_judge.c - whether the server is whom the tenant means, by chain, name and time or by pins.
 *
 * Promises that what is wrong is told in words that name the host, the date or the name
 * that did not fit (smtp/certificate.h). Runs inside the handshake; does not wait.
 */
#include <string.h>

#include "common/clock.h"
#include "smtp/certificate.h"
#include "smtp/fingerprint.h"
#include "smtp/tls_gnutls.h"

#define CHAIN_MAX 16 /* certificates of a peer that are looked at for the words */
#define NAMES_MAX 1000

static void take_authority(gnutls_x509_crt_t from, bool issuer, char name[CERTIFICATE_NAME_BYTES])
{
	gnutls_datum_t whole = { NULL, 0 };

	if (issuer)
		gnutls_x509_crt_get_issuer_dn3(from, &whole, 0);
	else
		gnutls_x509_crt_get_dn3(from, &whole, 0);
	certificate_set_authority(name, (const char *)whole.data, whole.size);
	gnutls_free(whole.data);
}

void tls_take_facts(gnutls_x509_crt_t from, struct certificate *facts)
{
	take_authority(from, false, facts->subject);
	take_authority(from, true, facts->issuer);
	facts->own_issuer = gnutls_x509_crt_check_issuer(from, from) != 0;
	facts->begins_s = gnutls_x509_crt_get_activation_time(from);
	facts->ends_s = gnutls_x509_crt_get_expiration_time(from);
}

static void take_names(gnutls_x509_crt_t from, struct certificate_names *names)
{
	char raw[512];

	for (unsigned i = 0; i < NAMES_MAX; i++) {
		size_t size = sizeof(raw);
		int type = gnutls_x509_crt_get_subject_alt_name(from, i, raw, &size, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (type == GNUTLS_SAN_DNSNAME)
			certificate_add_name(names, raw, strnlen(raw, size));
		else if (type == GNUTLS_SAN_IPADDRESS)
			certificate_add_address(names, raw, size);
	}
}

static void tell_faults(struct tls *tls, unsigned status, gnutls_x509_crt_t *chain, unsigned count)
{
	static const struct {
		unsigned bit;
		const char *text;
	} plain[] = {
		{ GNUTLS_CERT_REVOKED, "was revoked" },
		{ GNUTLS_CERT_SIGNER_NOT_CA, "is signed by a certificate that is no authority" },
		{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "is for a name that its authority may not sign" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, "is signed with an algorithm that is no longer secure" },
		{ GNUTLS_CERT_SIGNATURE_FAILURE, "has a signature that is not its authority's" },
		{ GNUTLS_CERT_PURPOSE_MISMATCH, "is not meant for a server" },
		{ GNUTLS_CERT_MISSING_OCSP_STATUS,
		  "demands a proof from its authority that the server does not send" },
		{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "has a critical extension that is not understood" },
	};
	struct certificate facts[CHAIN_MAX];
	struct certificate_names names = { .count = 0 };

	for (unsigned i = 0; i < count; i++)
		tls_take_facts(chain[i], &facts[i]);
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		certificate_fault_time(tls->words, tls->name, facts, count, clock_wall_s());
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		certificate_fault_signer(tls->words, tls->name, facts, count);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (status & plain[i].bit)
			certificate_fault(tls->words, tls->name, "%s", plain[i].text);
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
		take_names(chain[0], &names);
		if (names.count == 0) /* RFC 6125 6.4.4: only then the common name counts */
			certificate_add_name(&names, facts[0].subject, strlen(facts[0].subject));
		certificate_fault_owner(tls->words, tls->name, &names);
	}
	if (!tls->words->text[0])
		certificate_fault(tls->words, tls->name, "is not good (GnuTLS status 0x%x)", status);
}

static unsigned import_chain(gnutls_session_t session, gnutls_x509_crt_t chain[CHAIN_MAX])
{
	unsigned size = 0, count = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &size);

	while (raw && count < size && count < CHAIN_MAX) {
		if (gnutls_x509_crt_init(&chain[count]) < 0)
			break;
		if (gnutls_x509_crt_import(chain[count], &raw[count], GNUTLS_X509_FMT_DER) < 0) {
			gnutls_x509_crt_deinit(chain[count]);
			break;
		}
		count++;
	}
	return count;
}

static bool judge_chain(struct tls *tls, gnutls_x509_crt_t *chain, unsigned count)
{
	gnutls_typed_vdata_st wanted[] = {
		{ .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)tls->name },
		{ .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER },
	};
	unsigned status = 0;
	int rc = gnutls_certificate_verify_peers(tls->session, wanted, 2, &status);

	if (rc < 0) {
		certificate_fault(tls->words, tls->name, "cannot be verified (%s)", gnutls_strerror(rc));
		return false;
	}
	if (status != 0)
		tell_faults(tls, status, chain, count);
	return status == 0;
}

static bool judge_pins(struct tls *tls, gnutls_x509_crt_t certificate)
{
	unsigned char whole[FINGERPRINT_BYTES], key[FINGERPRINT_BYTES];
	size_t whole_size = sizeof(whole), key_size = sizeof(key);

	if (gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, whole, &whole_size) < 0 ||
	    gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, key, &key_size) < 0) {
		certificate_fault(tls->words, tls->name, "has no fingerprint that could be computed");
		return false;
	}
	if (fingerprint_match(tls->tenant->tls_fingerprints, whole, key))
		return true;
	certificate_fault_pins(tls->words, tls->name, whole, key);
	return false;
}

int tls_judge_peer(gnutls_session_t session)
{
	struct tls *tls = gnutls_session_get_ptr(session);
	bool by_chain = tls_verifies_chain(tls->tenant), by_pins = tls_verifies_pins(tls->tenant);
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned count = 0;
	bool good = true;

	tls->words->text[0] = '\0';
	if (by_chain || by_pins) {
		count = import_chain(session, chain);
		if (count == 0)
			certificate_fault(tls->words, tls->name, "cannot be read");
		good = count > 0;
	}
	if (good && by_chain)
		good = judge_chain(tls, chain, count);
	if (good && by_pins)
		good = judge_pins(tls, chain[0]);
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	tls->judged = good;
	tls->verified = good && (by_chain || by_pins);
	return good ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}
