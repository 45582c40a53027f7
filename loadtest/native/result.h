/* What closed_loop prints when it is done: one line of JSON. */
#ifndef RESULT_H
#define RESULT_H

#include "client.h"

struct usage {
    uint64_t clock;
    double cpu_s;    /* this process's CPU, user and system */
    double wanted_s; /* how long it ran or waited for a core; 0 where the kernel does not tell */
};

struct usage usage_now(void);

void result_print(const struct tally *tally, unsigned clients, unsigned depth, struct usage from, struct usage to);

#endif
