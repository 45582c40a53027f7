/* One client connection: a request leaves when an answer has come, or, in an open loop, when it is due. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "arrivals.h"
#include "histogram.h"
#include "stream.h"
#include "traffic.h"

struct tally {
    uint64_t requests;         /* right answers, while measuring */
    uint64_t error_answers;    /* [AOERRO;...] */
    uint64_t wrong;            /* answers to something else: code, AG or, with `echo`, any byte differs */
    uint64_t lost_requests;    /* asked on a connection that then ended or on which nothing came in time */
    uint64_t lost_connections;
    uint64_t late;             /* sent 1 ms after they were due though a connection was free: the fault is ours */
    uint64_t affected;         /* while measuring: lost, wrong, an error, or slower than `slow` */
    uint64_t last_affected;    /* when the last of them was known, by the clock; 0: none was */
    struct histogram latency;  /* of those, nanoseconds */
};

struct load {
    struct traffic traffic;
    struct tally tally;
    struct arrivals arrivals;
    bool echo;          /* an answer must be its request, byte for byte */
    uint64_t remaining; /* requests that may still be asked */
    bool measuring;     /* false: right answers are not counted; all others always are */
    bool asking;        /* false: only wait for what is outstanding */
    uint64_t slow;      /* ns; an answer that takes longer counts as affected; 0: none does */
    unsigned closed;    /* clients that were lost and are not connected again */
};

struct client {
    struct stream stream;
    bool open, idle;                     /* idle: connected, and never asks */
    SSL_CTX *context;
    const char *address;
    uint64_t lost_at;
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

/* Logs in as a user of that number with RKLG, blocking, before the first request; ends the program when it is refused. */
void client_login(struct client *client, unsigned number);

/* Begins to connect a lost client again, without waiting; it asks when that is done. */
void client_reopen(struct client *client, struct load *load, int poller, uint64_t now);

/* Asks until `depth` requests are outstanding, or no more are wanted. Loses the client when the connection broke. */
void client_ask(struct client *client, struct load *load, int poller, uint64_t now);

/* Takes the answers that came, checks them and asks again. */
void client_ready(struct client *client, struct load *load, int poller, uint64_t now);

/* Gives the client up: what is outstanding counts as lost. */
void client_lose(struct client *client, struct load *load);

void client_close(struct client *client);

#endif
