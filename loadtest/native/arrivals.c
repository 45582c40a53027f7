#include "arrivals.h"

#include <math.h>

#include "clock.h"

void arrivals_seed(struct arrivals *arrivals, uint64_t seed) {
    arrivals->random = seed * 2 + 1; /* the generator must not start at 0 */
}

static uint64_t gap(struct arrivals *arrivals) {
    uint64_t value = arrivals->random; /* xorshift64* */
    value ^= value >> 12;
    value ^= value << 25;
    value ^= value >> 27;
    arrivals->random = value;
    double share = (double)((value * 2685821657736338717ULL) >> 11) / (double)(1ULL << 53); /* 0 to 1, never 1 */
    return (uint64_t)(-log(1.0 - share) / arrivals->rate * (double)SECOND_NS);
}

void arrivals_start(struct arrivals *arrivals, uint64_t now, uint64_t end) {
    arrivals->due = now + gap(arrivals);
    arrivals->end = end;
}

uint64_t arrivals_take(struct arrivals *arrivals) {
    uint64_t due = arrivals->due;
    arrivals->due += gap(arrivals);
    return due;
}
