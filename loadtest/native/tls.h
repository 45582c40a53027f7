/* TLS with certificates on both sides. */
#ifndef TLS_H
#define TLS_H

#include <openssl/ssl.h>

struct tls_settings {
    const char *certificate, *key, *ca; /* PEM files */
    const char *version;                /* "1.2" or "1.3": this and no other */
};

enum tls_side { TLS_SERVER_SIDE, TLS_CLIENT_SIDE };

/*
 * A context that shows our certificate and takes only peers with a certificate of the CA. No tickets and no session
 * cache: every connection is a full handshake. Ends the program, saying which file is wrong, when it cannot be made.
 */
SSL_CTX *tls_context(const struct tls_settings *settings, enum tls_side side);

#endif
