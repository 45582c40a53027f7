/* One client connection in a closed loop: a request leaves when an answer has come. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"
#include "stream.h"
#include "traffic.h"

struct tally {
    uint64_t requests;         /* right answers, while measuring */
    uint64_t error_answers;    /* [AOERRO;...] */
    uint64_t wrong;            /* answers to something else: code, AG or, with `echo`, any byte differs */
    uint64_t lost_requests;    /* asked on a connection that then ended or on which nothing came in time */
    uint64_t lost_connections;
    struct histogram latency;  /* of those, nanoseconds */
};

struct load {
    struct traffic traffic;
    struct tally tally;
    bool echo;          /* an answer must be its request, byte for byte */
    uint64_t remaining; /* requests that may still be asked */
    bool measuring;     /* false: right answers are not counted; all others always are */
    bool asking;        /* false: only wait for what is outstanding */
};

struct client {
    struct stream stream;
    bool open;
    unsigned depth, oldest, outstanding; /* a ring of `depth` slots */
    struct slot {
        uint64_t asked;
        size_t length;
        char context[CONTEXT_LENGTH];
        char *request;
    } *slots;
};

/* Connects and does the handshake, blocking; ends the program when that fails. */
void client_connect(struct client *client, SSL_CTX *context, const char *address, unsigned depth, int poller);

/* Asks until `depth` requests are outstanding, or no more are wanted. Loses the client when the connection broke. */
void client_ask(struct client *client, struct load *load, int poller, uint64_t now);

/* Takes the answers that came, checks them and asks again. */
void client_ready(struct client *client, struct load *load, int poller, uint64_t now);

/* Gives the client up: what is outstanding counts as lost. */
void client_lose(struct client *client, struct load *load);

void client_close(struct client *client);

#endif
