/*
 * post.c - see post.h.
 *
 * Nothing is given back to the library at the end: its resolver's thread may hang in the
 * system's resolver, which waits for it; the process ends instead.
 */
#include "token/post.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "config.h"

#define HEADER_BYTES 65536 /* of all header lines together */
#define WORDS_BYTES  200

struct reading {
	struct buffer *body;
	size_t header_bytes;
	bool too_large;
};

char *post_host(const char *url)
{
	CURLU *parts = curl_url();
	char *host = NULL, *copy = NULL;

	if (curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		copy = text_clean(host, strlen(host), 255);
	curl_free(host);
	curl_url_cleanup(parts);
	return copy;
}

/* What is not taken in full ends the transfer. */
static size_t take_body(char *octets, size_t one, size_t length, void *context)
{
	struct reading *reading = context;

	(void)one;
	if (buffer_append(reading->body, octets, length))
		return length;
	reading->too_large = true;
	return 0;
}

static size_t take_header(char *octets, size_t one, size_t length, void *context)
{
	struct reading *reading = context;

	(void)one;
	(void)octets;
	reading->header_bytes += length;
	reading->too_large = reading->header_bytes > HEADER_BYTES;
	return reading->too_large ? 0 : length;
}

static bool set_transfer(CURL *curl, const struct request *request, const struct buffer *form,
                         struct reading *reading)
{
	return curl_easy_setopt(curl, CURLOPT_URL, request->url) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)request->timeout_ms) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)form->length) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form->data) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, reading) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HEADERDATA, reading) == CURLE_OK;
}

static bool set_security(CURL *curl, const struct request *request)
{
	bool good = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	            curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;

	if (request->ca_file)
		/* these alone, not the system's folder beside them */
		good = good && curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK &&
		       curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca_file) == CURLE_OK;
	return good;
}

static enum error tell(CURLcode code, const struct request *request, const char *host, const char *details,
                       const struct reading *reading, struct words *words)
{
	if (reading->too_large) {
		words_set(words, "%s answers more than any token endpoint does", host);
		return ERROR_LIMIT;
	}
	if (code == CURLE_OPERATION_TIMEDOUT) {
		words_set(words, "%s gives no whole answer within %lld s", host,
		          (long long)(request->timeout_ms + 999) / 1000);
		return ERROR_TIMEOUT;
	}
	if (code == CURLE_SSL_CACERT_BADFILE) {
		words_set(words, "the authorities in %s cannot be read",
		          request->ca_file ? request->ca_file : "the system's file");
		return ERROR_REFUSED;
	}
	words_set(words, "%s cannot be asked for a token: %s", host,
	          details[0] ? details : curl_easy_strerror(code));
	return code == CURLE_PEER_FAILED_VERIFICATION ? ERROR_REFUSED : ERROR_UNAVAILABLE;
}

enum error post(const struct request *request, const char *host, const struct buffer *form, int *status,
                struct buffer *body, struct words *words)
{
	struct reading reading = { .body = body };
	char details[CURL_ERROR_SIZE] = "", *clean;
	struct curl_slist *header;
	CURLcode code = CURLE_FAILED_INIT;
	enum error error = OK;
	long answered = 0;
	CURL *curl;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(curl = curl_easy_init())) {
		words_set(words, "libcurl cannot be started");
		return ERROR_UNAVAILABLE;
	}
	header = curl_slist_append(NULL, "Accept: application/json");
	if (curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, details) == CURLE_OK &&
	    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, header) == CURLE_OK &&
	    set_transfer(curl, request, form, &reading) && set_security(curl, request))
		code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answered);
	clean = text_clean(details, strlen(details), WORDS_BYTES);
	if (code != CURLE_OK)
		error = tell(code, request, host, clean, &reading, words);
	free(clean);
	*status = (int)answered;
	return error;
}
