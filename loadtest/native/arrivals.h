/* When requests of an open loop are due: at random moments (exponential gaps) at a mean rate, whatever is answered. */
#ifndef ARRIVALS_H
#define ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

struct arrivals {
    double rate; /* a second; 0: a closed loop, nothing is due by itself */
    uint64_t random;
    uint64_t due; /* of the oldest that was not sent */
    uint64_t end; /* nothing is due from then on */
};

/* The same moments for the same seed. */
void arrivals_seed(struct arrivals *arrivals, uint64_t seed);

void arrivals_start(struct arrivals *arrivals, uint64_t now, uint64_t end);

/* Takes the oldest: its due time. */
uint64_t arrivals_take(struct arrivals *arrivals);

static inline bool arrivals_waiting(const struct arrivals *arrivals, uint64_t now) {
    return arrivals->due <= now && arrivals->due < arrivals->end;
}

#endif
