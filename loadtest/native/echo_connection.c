#include "echo_connection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "clock.h"
#include "frame.h"
#include "say.h"

enum { LONGEST_MESSAGE = 1 << 19, MOST_OWED = 1 << 20 }; /* bytes; who is owed more is not read */

void echo_accepted(struct echo_device *device, SSL_CTX *context, int descriptor) {
    struct echo_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        fail(EXIT_FAILURE, "out of memory for a connection");
    connection->device = device;
    connection->next = device->first;
    if (device->first != NULL)
        device->first->previous = connection;
    device->first = connection;
    device->connections++;
    stream_open(&connection->stream, context, descriptor, connection);
    SSL_set_accept_state(connection->stream.tls);
    stream_watch(&connection->stream, device->poller, true);
}

static void free_unless_scheduled(struct echo_connection *connection) {
    if (connection->closed && connection->scheduled == 0)
        free(connection);
}

static void close_connection(struct echo_connection *connection) {
    struct echo_device *device = connection->device;
    stream_close(&connection->stream);
    buffer_free(&connection->held);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        device->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    device->connections--;
    connection->closed = true;
}

static bool reads_on(const struct echo_connection *connection) {
    return connection->stream.unsent.length + connection->held.length < MOST_OWED;
}

/* The answer to a message is the message, but for a login: that is yes, with the AG of the request. */
static void append_answer(struct buffer *answers, const char *message, size_t length) {
    if (memcmp(message + 3, "RKLG", 4) != 0) {
        buffer_append(answers, message, length);
        return;
    }
    buffer_append(answers, "[AORKLG;ANY;", 12);
    size_t size = 0;
    const char *context = frame_field(message, length, "AG", &size);
    if (context != NULL) {
        buffer_append(answers, context, size);
        buffer_append(answers, ";", 1);
    }
    buffer_append(answers, "]", 1);
}

/* Moves received messages to where they are answered from. False: what came is not a message. */
static bool take_messages(struct echo_connection *connection) {
    struct echo_device *device = connection->device;
    struct buffer *received = &connection->stream.received;
    uint64_t now = device->schedule != NULL ? clock_ns() : 0;
    const char *message;
    size_t length;
    enum frame frame;
    while ((frame = frame_next(received, &connection->stream.scanned, LONGEST_MESSAGE, &message, &length)) ==
           FRAME_WHOLE) {
        device->requests++;
        append_answer(device->schedule == NULL ? &connection->stream.unsent : &connection->held, message, length);
        buffer_taken(received, length);
        if (device->schedule != NULL && (connection->scheduled == 0 || !device->serial)) {
            schedule_add(device->schedule, now, connection);
            connection->scheduled++;
        }
    }
    if (frame == FRAME_BROKEN)
        say("closing a connection that sent something else than [AO<CODE>;...] of at most %d bytes", LONGEST_MESSAGE);
    return frame != FRAME_BROKEN;
}

/* One pass; false when the connection has ended. */
static bool go_on(struct echo_connection *connection, uint32_t events) {
    struct stream *stream = &connection->stream;
    if (stream_send(stream) != TRANSFER_DONE)
        return false;
    if (!reads_on(connection))
        return (events & (EPOLLERR | EPOLLHUP)) == 0;
    bool in_handshake = !SSL_is_init_finished(stream->tls);
    enum transfer transfer = stream_receive(stream);
    if (transfer == TRANSFER_FAILED && in_handshake)
        say("a client's handshake failed: %s", tls_reason());
    return take_messages(connection) && stream_send(stream) == TRANSFER_DONE && transfer == TRANSFER_DONE;
}

void echo_ready(struct echo_connection *connection, uint32_t events) {
    if (connection->closed)
        return;
    if (go_on(connection, events)) {
        stream_watch(&connection->stream, connection->device->poller, reads_on(connection));
    } else {
        close_connection(connection);
        free_unless_scheduled(connection);
    }
}

void echo_due(struct echo_connection *connection) {
    connection->scheduled--;
    if (connection->closed) {
        free_unless_scheduled(connection);
        return;
    }
    struct echo_device *device = connection->device;
    const char *message;
    size_t length;
    if (frame_next(&connection->held, &connection->held_scanned, LONGEST_MESSAGE, &message, &length) == FRAME_WHOLE) {
        buffer_append(&connection->stream.unsent, message, length);
        buffer_taken(&connection->held, length);
    }
    if (device->serial && connection->held.length > 0) {
        schedule_add(device->schedule, clock_ns(), connection);
        connection->scheduled++;
    }
    echo_ready(connection, 0);
}

void echo_close_all(struct echo_device *device) {
    while (device->first != NULL) {
        struct echo_connection *connection = device->first;
        close_connection(connection);
        connection->scheduled = 0; /* the schedule ends with the device and is not asked again */
        free_unless_scheduled(connection);
    }
}
