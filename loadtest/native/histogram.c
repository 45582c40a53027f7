#include "histogram.h"

#include <math.h>
#include <string.h>

enum { FINE = 1 << HISTOGRAM_FINE_BITS };

/* Below FINE a bucket is one value; above, each power of two has FINE buckets. */
static int bucket_of(uint64_t value) {
    if (value >= 1ULL << HISTOGRAM_LARGEST_BITS)
        return HISTOGRAM_BUCKETS - 1;
    if (value < FINE)
        return (int)value;
    int shift = 63 - __builtin_clzll(value) - HISTOGRAM_FINE_BITS;
    return ((shift + 1) << HISTOGRAM_FINE_BITS) + (int)((value >> shift) - FINE);
}

uint64_t histogram_upper(int bucket) {
    if (bucket < FINE)
        return (uint64_t)bucket;
    int shift = (bucket >> HISTOGRAM_FINE_BITS) - 1;
    return (((uint64_t)(bucket & (FINE - 1)) + FINE + 1) << shift) - 1;
}

void histogram_reset(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
    histogram->least = UINT64_MAX;
}

void histogram_record(struct histogram *histogram, uint64_t nanoseconds) {
    histogram->counts[bucket_of(nanoseconds)]++;
    histogram->total++;
    histogram->sum += nanoseconds;
    if (nanoseconds < histogram->least)
        histogram->least = nanoseconds;
    if (nanoseconds > histogram->most)
        histogram->most = nanoseconds;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share) {
    uint64_t wanted = (uint64_t)ceil(share * (double)histogram->total), seen = 0;
    for (int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen >= wanted && seen > 0) {
            uint64_t upper = histogram_upper(bucket);
            return upper < histogram->most ? upper : histogram->most;
        }
    }
    return 0;
}
