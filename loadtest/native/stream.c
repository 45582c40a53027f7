#include "stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "say.h"

enum { RECORD = 16384, MOST_AT_ONCE = 1 << 20 };

void stream_open(struct stream *stream, SSL_CTX *context, int descriptor, void *owner) {
    *stream = (struct stream){.descriptor = descriptor, .poller = -1, .owner = owner};
    stream->tls = SSL_new(context);
    if (stream->tls == NULL || SSL_set_fd(stream->tls, descriptor) != 1)
        fail(EXIT_FAILURE, "cannot make a TLS connection: %s", tls_reason());
}

/* What a result of SSL_read or SSL_write that is not a success means. */
static enum transfer outcome(struct stream *stream, int result) {
    switch (SSL_get_error(stream->tls, result)) {
    case SSL_ERROR_WANT_WRITE:
        stream->blocked = true;
        return TRANSFER_DONE;
    case SSL_ERROR_WANT_READ:
        return TRANSFER_DONE;
    case SSL_ERROR_ZERO_RETURN:
        return TRANSFER_CLOSED;
    case SSL_ERROR_SYSCALL:
        return ERR_peek_error() == 0 ? TRANSFER_CLOSED : TRANSFER_FAILED;
    default:
        return TRANSFER_FAILED;
    }
}

enum transfer stream_receive(struct stream *stream) {
    do {
        if (stream->received.length > MOST_AT_ONCE)
            return TRANSFER_FAILED;
        char *room = buffer_room(&stream->received, RECORD);
        ERR_clear_error();
        int count = SSL_read(stream->tls, room, RECORD);
        if (count <= 0)
            return outcome(stream, count);
        buffer_added(&stream->received, (size_t)count);
    } while (SSL_has_pending(stream->tls)); /* what OpenSSL holds is invisible to epoll; the socket's rest is not */
    return TRANSFER_DONE;
}

enum transfer stream_send(struct stream *stream) {
    stream->blocked = false;
    while (stream->unsent.length > 0) {
        size_t size = stream->unsent.length > RECORD ? RECORD : stream->unsent.length;
        ERR_clear_error();
        int count = SSL_write(stream->tls, buffer_head(&stream->unsent), (int)size);
        if (count <= 0)
            return outcome(stream, count);
        buffer_taken(&stream->unsent, (size_t)count);
    }
    return TRANSFER_DONE;
}

void stream_watch(struct stream *stream, int poller, bool reading) {
    uint32_t events = (reading ? (uint32_t)EPOLLIN : 0U) | (stream->blocked ? (uint32_t)EPOLLOUT : 0U);
    if (stream->poller == poller && stream->events == events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = stream->owner};
    int operation = stream->poller < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(poller, operation, stream->descriptor, &event) != 0)
        fail(EXIT_FAILURE, "cannot watch a socket: %s", strerror(errno));
    stream->poller = poller;
    stream->events = events;
}

void stream_close(struct stream *stream) {
    if (stream->tls == NULL)
        return;
    ERR_clear_error();
    if (SSL_is_init_finished(stream->tls))
        (void)SSL_shutdown(stream->tls);
    SSL_free(stream->tls);
    close(stream->descriptor);
    buffer_free(&stream->received);
    buffer_free(&stream->unsent);
    stream->tls = NULL;
}
