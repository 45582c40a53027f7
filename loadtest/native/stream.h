/* One TLS connection on a non-blocking socket, with what was received and what is still to be sent. */
#ifndef STREAM_H
#define STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

struct stream {
    SSL *tls;
    int descriptor;
    int poller;      /* the epoll descriptor this stream is registered with, -1 before */
    uint32_t events; /* what is registered */
    void *owner;     /* what epoll reports */
    bool blocked;    /* the socket took no more at the last send */
    size_t scanned;  /* see frame_next */
    struct buffer received, unsent;
};

enum transfer { TRANSFER_DONE, TRANSFER_CLOSED, TRANSFER_FAILED };

/* Takes over the descriptor. Ends the program when there is no memory. */
void stream_open(struct stream *stream, SSL_CTX *context, int descriptor, void *owner);

/*
 * Reads until OpenSSL holds nothing more. Call it again after not having read for a while: what OpenSSL holds back
 * then is reported by nobody. Fails when more than 1 MiB is waiting to be taken out of `received`.
 */
enum transfer stream_receive(struct stream *stream);

/* Sends what it can of `unsent`; the rest goes when the socket is writable again. */
enum transfer stream_send(struct stream *stream);

/* Registers with the poller what is wanted now: to read, and to write while something is unsent. */
void stream_watch(struct stream *stream, int poller, bool reading);

void stream_close(struct stream *stream);

#endif
