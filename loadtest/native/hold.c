/*
 * Opens TLS connections, asks one request on each, and holds them open and silent until SIGTERM or SIGINT.
 *
 * Standard output, when all are open and answered: one line of JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "command_line.h"
#include "frame.h"
#include "say.h"
#include "stream.h"
#include "tls.h"

enum { BATCH = 256, DESCRIPTORS_KEPT = 16, RETRY_MS = 20, LONGEST_ANSWER = 1 << 19 };

static const char REQUEST[] = "[AOECHO;AGhold;]";

static const char USAGE[] =
    "usage: hold --connect HOST:PORT --cert FILE --key FILE --ca FILE [options]\n"
    "Opens TLS connections, asks one request on each, prints a line of JSON when all are answered, and holds them.\n"
    "A connection that fails is opened again; the line says how many did.\n"
    "  --clients N          connections (1000)\n"
    "  --at-once N          that are being opened at a time (1)\n"
    "  --timeout S          give up when they are not all open by then (60)\n"
    "  --tls VERSION        1.2 or 1.3 (1.3)\n";

struct connection {
    struct stream stream;
    enum { CLOSED, OPENING, HELD } state;
    uint64_t retry; /* when, after a failure */
};

struct holder {
    struct tls_settings tls;
    const char *connect;
    unsigned clients, at_once, opening, held;
    uint64_t failed;
    double timeout;
    bool all_held; /* and told */
    int poller;
    SSL_CTX *context;
    struct connection *connections;
};

static struct holder read_options(int count, char **arguments) {
    static const struct option KNOWN[] = {
        {"connect", required_argument, NULL, 'o'}, {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},     {"ca", required_argument, NULL, 'a'},
        {"clients", required_argument, NULL, 'n'}, {"at-once", required_argument, NULL, 'm'},
        {"timeout", required_argument, NULL, 'i'}, {"tls", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct holder holder = {.tls = {.version = "1.3"}, .clients = 1000, .at_once = 1, .timeout = 60};
    for (int option; (option = getopt_long(count, arguments, "", KNOWN, NULL)) != -1;) {
        switch (option) {
        case 'o': holder.connect = optarg; break;
        case 'c': holder.tls.certificate = optarg; break;
        case 'k': holder.tls.key = optarg; break;
        case 'a': holder.tls.ca = optarg; break;
        case 't': holder.tls.version = optarg; break;
        case 'n': holder.clients = (unsigned)whole_number("clients", optarg, 1, 100000); break;
        case 'm': holder.at_once = (unsigned)whole_number("at-once", optarg, 1, 100000); break;
        case 'i': holder.timeout = decimal_number("timeout", optarg, 0.01, 3600); break;
        case 'h': fputs(USAGE, stdout); exit(EXIT_SUCCESS);
        default: fputs(USAGE, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < count)
        fail(EXIT_USAGE, "\"%s\" is not an option; see --help", arguments[optind]);
    if (holder.connect == NULL)
        fail(EXIT_USAGE, "--connect HOST:PORT is missing: whom to connect to");
    return holder;
}

static void lose(struct holder *holder, struct connection *connection) {
    if (holder->all_held)
        fail(EXIT_FAILURE, "a connection that was held open was closed");
    bool was_held = connection->state == HELD;
    stream_close(&connection->stream);
    connection->state = CLOSED;
    connection->retry = clock_ns() + RETRY_MS * SECOND_NS / 1000;
    *(was_held ? &holder->held : &holder->opening) -= 1;
    holder->failed++;
}

static void open_one(struct holder *holder, struct connection *connection) {
    int descriptor = address_begin(holder->connect);
    if (descriptor < 0) {
        connection->retry = clock_ns() + RETRY_MS * SECOND_NS / 1000;
        holder->failed++;
        return;
    }
    stream_open(&connection->stream, holder->context, descriptor, connection);
    SSL_set_connect_state(connection->stream.tls); /* the handshake is done by the first send and receive */
    buffer_append(&connection->stream.unsent, REQUEST, strlen(REQUEST));
    connection->state = OPENING;
    holder->opening++;
    if (stream_send(&connection->stream) != TRANSFER_DONE)
        lose(holder, connection);
    else
        stream_watch(&connection->stream, holder->poller, true);
}

static void ready(struct holder *holder, struct connection *connection) {
    struct stream *stream = &connection->stream;
    if (connection->state == CLOSED)
        return;
    const char *message;
    size_t length;
    if (stream_receive(stream) != TRANSFER_DONE || stream_send(stream) != TRANSFER_DONE) {
        lose(holder, connection);
        return;
    }
    stream_watch(stream, holder->poller, true);
    if (connection->state == OPENING &&
        frame_next(&stream->received, &stream->scanned, LONGEST_ANSWER, &message, &length) == FRAME_WHOLE) {
        if (length != strlen(REQUEST) || memcmp(message, REQUEST, length) != 0)
            fail(EXIT_FAILURE, "an answer is not its request: %.*s", (int)length, message);
        buffer_taken(&stream->received, length);
        connection->state = HELD;
        holder->opening--;
        holder->held++;
    }
}

static void take_events(struct holder *holder, int patience_ms) {
    struct epoll_event events[BATCH];
    int count = epoll_wait(holder->poller, events, BATCH, patience_ms);
    if (count < 0 && errno != EINTR)
        fail(EXIT_FAILURE, "cannot wait for events: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        ready(holder, events[i].data.ptr);
}

static void open_all(struct holder *holder) {
    uint64_t deadline = clock_ns() + (uint64_t)(holder->timeout * (double)SECOND_NS);
    while (holder->held < holder->clients) {
        uint64_t now = clock_ns();
        if (now > deadline)
            fail(EXIT_FAILURE, "only %u of %u connections were open after %g s; %" PRIu64 " failed", holder->held,
                 holder->clients, holder->timeout, holder->failed);
        for (unsigned i = 0; i < holder->clients && holder->opening < holder->at_once; i++)
            if (holder->connections[i].state == CLOSED && holder->connections[i].retry <= now)
                open_one(holder, &holder->connections[i]);
        take_events(holder, RETRY_MS);
    }
}

static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

int main(int count, char **arguments) {
    struct holder holder = read_options(count, arguments);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    size_t descriptors = raise_descriptor_limit();
    if (holder.clients + DESCRIPTORS_KEPT > descriptors)
        fail(EXIT_USAGE, "--clients %u needs more descriptors than the %zu this process may have", holder.clients,
             descriptors);
    holder.context = tls_context(&holder.tls, TLS_CLIENT_SIDE);
    holder.poller = epoll_create1(EPOLL_CLOEXEC);
    holder.connections = calloc(holder.clients, sizeof *holder.connections);
    if (holder.poller < 0 || holder.connections == NULL)
        fail(EXIT_FAILURE, "cannot start: %s", strerror(errno));
    open_all(&holder);
    holder.all_held = true;
    printf("{\"event\": \"held\", \"connections\": %u, \"failed\": %" PRIu64 "}\n", holder.held, holder.failed);
    fflush(stdout);
    while (!stopping)
        take_events(&holder, 200);
    for (unsigned i = 0; i < holder.clients; i++)
        stream_close(&holder.connections[i].stream);
    free(holder.connections);
    close(holder.poller);
    SSL_CTX_free(holder.context);
    return EXIT_SUCCESS;
}
