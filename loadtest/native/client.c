#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "frame.h"
#include "say.h"

enum { LONGEST_ANSWER = 1 << 19, PATIENCE_S = 10 };

void client_connect(struct client *client, SSL_CTX *context, const char *address, unsigned depth, int poller) {
    *client = (struct client){.depth = depth, .open = true};
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

static void send_or_lose(struct client *client, struct load *load, int poller) {
    if (stream_send(&client->stream) == TRANSFER_DONE)
        stream_watch(&client->stream, poller, true);
    else
        client_lose(client, load);
}

void client_ask(struct client *client, struct load *load, int poller, uint64_t now) {
    if (!client->open)
        return;
    while (client->outstanding < client->depth && load->asking && load->remaining > 0) {
        struct slot *slot = &client->slots[(client->oldest + client->outstanding) % client->depth];
        slot->asked = now;
        slot->length = traffic_request(&load->traffic, slot->request, slot->context);
        buffer_append(&client->stream.unsent, slot->request, slot->length);
        client->outstanding++;
        load->remaining--;
    }
    send_or_lose(client, load, poller);
}

/* The AG field of a message, or NULL. */
static const char *find_context(const char *message, size_t length) {
    const char *end = message + length;
    for (const char *field = message + 8; field != NULL && field + CONTEXT_LENGTH < end;) {
        if (field[0] == 'A' && field[1] == 'G')
            return field;
        field = memchr(field, ';', (size_t)(end - field));
        if (field != NULL)
            field++;
    }
    return NULL;
}

static bool answers(const struct slot *slot, const char *message, size_t length, bool echo) {
    if (echo)
        return length == slot->length && memcmp(message, slot->request, length) == 0;
    const char *context = find_context(message, length);
    return memcmp(message, slot->request, 3 + CODE_LENGTH) == 0 && context != NULL &&
           memcmp(context, slot->context, CONTEXT_LENGTH) == 0 && context[CONTEXT_LENGTH] == ';';
}

static void judge(struct client *client, struct load *load, const char *message, size_t length, uint64_t now) {
    struct tally *tally = &load->tally;
    if (client->outstanding == 0) { /* nobody asked */
        tally->wrong++;
        return;
    }
    struct slot *slot = &client->slots[client->oldest];
    client->oldest = (client->oldest + 1) % client->depth;
    client->outstanding--;
    if (answers(slot, message, length, load->echo)) {
        if (load->measuring) {
            tally->requests++;
            histogram_record(&tally->latency, now - slot->asked);
        }
    } else if (memcmp(message, "[AOERRO;", 8) == 0) {
        tally->error_answers++;
    } else {
        tally->wrong++;
    }
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
    load->tally.lost_requests += client->outstanding;
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
