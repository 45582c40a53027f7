#include "client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "clock.h"
#include "frame.h"
#include "say.h"

enum { LONGEST_ANSWER = 1 << 19, PATIENCE_S = 10 };

void client_connect(struct client *client, SSL_CTX *context, const char *address, unsigned depth, int poller) {
    *client = (struct client){.depth = depth, .open = true, .context = context, .address = address};
    client->slots = calloc(depth, sizeof *client->slots);
    if (client->slots == NULL)
        fail(EXIT_FAILURE, "out of memory for a client");
    for (unsigned i = 0; i < depth; i++)
        if ((client->slots[i].request = malloc(LARGEST_REQUEST)) == NULL)
            fail(EXIT_FAILURE, "out of memory for a client");
    int descriptor = address_connect(address, PATIENCE_S);
    stream_open(&client->stream, context, descriptor, client);
    SSL_set_connect_state(client->stream.tls);
    if (SSL_do_handshake(client->stream.tls) != 1)
        fail(EXIT_FAILURE, "the TLS handshake with %s failed: %s", address, tls_reason());
    socket_nonblocking(descriptor);
    stream_watch(&client->stream, poller, true);
}

void client_login(struct client *client, unsigned number) {
    struct stream *stream = &client->stream;
    char request[96];
    int size = snprintf(request, sizeof request, "[AORKLG;DAload%05u;CHcomparison;AGlogin%u;]", number, number);
    buffer_append(&stream->unsent, request, (size_t)size);
    if (stream_send(stream) != TRANSFER_DONE || stream->unsent.length > 0)
        fail(EXIT_FAILURE, "cannot send a login: the connection was closed");
    const char *message;
    size_t length, found;
    for (uint64_t deadline = clock_ns() + PATIENCE_S * SECOND_NS;;) {
        struct pollfd readable = {.fd = stream->descriptor, .events = POLLIN};
        if (clock_ns() > deadline || poll(&readable, 1, PATIENCE_S * 1000) < 0)
            fail(EXIT_FAILURE, "a login was not answered in %d s", PATIENCE_S);
        if (stream_receive(stream) != TRANSFER_DONE)
            fail(EXIT_FAILURE, "the connection was closed at a login");
        if (frame_next(&stream->received, &stream->scanned, LONGEST_ANSWER, &message, &length) == FRAME_WHOLE)
            break;
    }
    const char *success = frame_field(message, length, "AN", &found);
    if (memcmp(message, request, 8) != 0 || success == NULL || found != 3 || success[2] != 'Y')
        fail(EXIT_FAILURE, "a login was refused: %.*s", (int)length, message);
    buffer_taken(&stream->received, length);
}

void client_reopen(struct client *client, struct load *load, int poller, uint64_t now) {
    client->lost_at = now;
    int descriptor = address_begin(client->address);
    if (descriptor < 0)
        return;
    stream_open(&client->stream, client->context, descriptor, client);
    SSL_set_connect_state(client->stream.tls); /* the handshake is done by the first send and receive */
    client->open = true;
    load->closed--;
    stream_watch(&client->stream, poller, true);
    client_ask(client, load, poller, now);
}

static void affected(struct load *load, uint64_t now) {
    if (!load->measuring)
        return;
    load->tally.affected++;
    load->tally.last_affected = now;
}

static void send_or_lose(struct client *client, struct load *load, int poller) {
    if (stream_send(&client->stream) == TRANSFER_DONE)
        stream_watch(&client->stream, poller, true);
    else
        client_lose(client, load);
}

void client_ask(struct client *client, struct load *load, int poller, uint64_t now) {
    if (!client->open || client->idle)
        return;
    bool closed_loop = load->arrivals.rate == 0;
    while (client->outstanding < client->depth && load->asking && load->remaining > 0 &&
           (closed_loop || arrivals_waiting(&load->arrivals, now))) {
        struct slot *slot = &client->slots[(client->oldest + client->outstanding) % client->depth];
        slot->asked = closed_loop ? now : arrivals_take(&load->arrivals);
        slot->length = traffic_request(&load->traffic, slot->request, slot->context);
        buffer_append(&client->stream.unsent, slot->request, slot->length);
        client->outstanding++;
        load->remaining--;
    }
    send_or_lose(client, load, poller);
}

static bool answers(const struct slot *slot, const char *message, size_t length, bool echo) {
    if (echo)
        return length == slot->length && memcmp(message, slot->request, length) == 0;
    size_t size = 0;
    const char *context = frame_field(message, length, "AG", &size);
    return memcmp(message, slot->request, 3 + CODE_LENGTH) == 0 && context != NULL && size == CONTEXT_LENGTH &&
           memcmp(context, slot->context, CONTEXT_LENGTH) == 0;
}

static void judge(struct client *client, struct load *load, const char *message, size_t length, uint64_t now) {
    struct tally *tally = &load->tally;
    if (client->outstanding == 0) { /* nobody asked */
        tally->wrong++;
        affected(load, now);
        return;
    }
    struct slot *slot = &client->slots[client->oldest];
    client->oldest = (client->oldest + 1) % client->depth;
    client->outstanding--;
    if (answers(slot, message, length, load->echo)) {
        if (load->measuring) {
            tally->requests++;
            histogram_record(&tally->latency, now - slot->asked);
            if (load->slow > 0 && now - slot->asked > load->slow)
                affected(load, now);
        }
        return;
    }
    if (memcmp(message, "[AOERRO;", 8) == 0)
        tally->error_answers++;
    else
        tally->wrong++;
    affected(load, now);
}

void client_ready(struct client *client, struct load *load, int poller, uint64_t now) {
    if (!client->open)
        return;
    enum transfer transfer = stream_receive(&client->stream);
    struct buffer *received = &client->stream.received;
    const char *message;
    size_t length;
    enum frame frame;
    while ((frame = frame_next(received, &client->stream.scanned, LONGEST_ANSWER, &message, &length)) == FRAME_WHOLE) {
        judge(client, load, message, length, now);
        buffer_taken(received, length);
    }
    if (frame == FRAME_BROKEN)
        load->tally.wrong++;
    if (transfer != TRANSFER_DONE || frame == FRAME_BROKEN)
        client_lose(client, load);
    else
        client_ask(client, load, poller, now);
}

void client_lose(struct client *client, struct load *load) {
    load->tally.lost_connections++;
    if (SSL_is_init_finished(client->stream.tls)) /* else nothing was sent: no request is lost, only a connection */
        load->tally.lost_requests += client->outstanding;
    client->lost_at = clock_ns();
    if (client->outstanding > 0)
        affected(load, client->lost_at);
    client->oldest = 0;
    load->closed++;
    client->outstanding = 0;
    client->open = false;
    stream_close(&client->stream);
}

void client_close(struct client *client) {
    if (client->open)
        stream_close(&client->stream);
    for (unsigned i = 0; i < client->depth; i++)
        free(client->slots[i].request);
    free(client->slots);
}
