/* One client of the echo device. */
#ifndef ECHO_CONNECTION_H
#define ECHO_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "schedule.h"
#include "stream.h"

struct echo_device {
    int poller;
    bool serial;               /* a connection works on one request at a time */
    struct schedule *schedule; /* NULL: answers at once */
    uint64_t requests;
    long connections, most_connections;
    struct echo_connection *first;
};

struct echo_connection {
    struct stream stream;
    struct echo_device *device;
    struct buffer held;  /* requests whose answer is not due yet, whole messages */
    size_t held_scanned; /* stays 0: what is held is whole */
    unsigned scheduled;  /* entries of the schedule that name this connection; it is freed only at 0 */
    bool closed;
    struct echo_connection *previous, *next;
};

/* Takes over a connected non-blocking descriptor. */
void echo_accepted(struct echo_device *device, SSL_CTX *context, int descriptor);

/* The socket is ready, or room was made: take what is there, answer, send. May free the connection. */
void echo_ready(struct echo_connection *connection, uint32_t events);

/* The delay of the oldest held request is over. May free the connection. */
void echo_due(struct echo_connection *connection);

void echo_close_all(struct echo_device *device);

#endif
