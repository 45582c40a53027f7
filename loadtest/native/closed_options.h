/* What closed_loop is asked to do. */
#ifndef CLOSED_OPTIONS_H
#define CLOSED_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "tls.h"

enum { MOST_TARGETS = 64 };

struct options {
    struct tls_settings tls;
    char *targets[MOST_TARGETS]; /* clients connect to them in turn */
    unsigned target_count, clients, depth, busy_every;
    double seconds, warmup, timeout;
    uint64_t requests; /* 0: for `seconds` */
    bool login, reconnect;
};

/* Fills in options and the load's traffic from the command line; a wrong one ends the program. */
void read_options(int count, char **arguments, struct options *options, struct load *load);

#endif
