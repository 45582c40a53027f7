#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"

/* OpenSSL's own word for a file that is not there is "system lib". */
static const char *readable(const char *what, const char *path) {
    if (access(path, R_OK) != 0)
        fail(EXIT_FAILURE, "%s %s: %s", what, path, strerror(errno));
    return path;
}

static void load_files(SSL_CTX *context, const struct tls_settings *settings) {
    if (SSL_CTX_use_certificate_chain_file(context, readable("certificate", settings->certificate)) != 1)
        fail(EXIT_FAILURE, "certificate %s: %s", settings->certificate, tls_reason());
    if (SSL_CTX_use_PrivateKey_file(context, readable("key", settings->key), SSL_FILETYPE_PEM) != 1)
        fail(EXIT_FAILURE, "key %s: %s", settings->key, tls_reason());
    if (SSL_CTX_check_private_key(context) != 1)
        fail(EXIT_FAILURE, "key %s is not the key of certificate %s", settings->key, settings->certificate);
    if (SSL_CTX_load_verify_file(context, readable("ca", settings->ca)) != 1)
        fail(EXIT_FAILURE, "ca %s: %s", settings->ca, tls_reason());
}

SSL_CTX *tls_context(const struct tls_settings *settings, enum tls_side side) {
    if (settings->certificate == NULL || settings->key == NULL || settings->ca == NULL)
        fail(EXIT_USAGE, "--cert, --key and --ca are all needed: both sides show a certificate");
    int version = strcmp(settings->version, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (version == TLS1_2_VERSION && strcmp(settings->version, "1.2") != 0)
        fail(EXIT_USAGE, "--tls is \"%s\", would be right: 1.2 or 1.3", settings->version);
    SSL_CTX *context = SSL_CTX_new(side == TLS_SERVER_SIDE ? TLS_server_method() : TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1)
        fail(EXIT_FAILURE, "OpenSSL cannot do TLS %s: %s", settings->version, tls_reason());
    load_files(context, settings);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1); /* one read per record, not two; whoever reads asks SSL_has_pending */
    return context;
}
