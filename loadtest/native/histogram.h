/* Counts of durations in nanoseconds; each bucket is at most 1/32 of its value wide. Covers up to 68 seconds. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_FINE_BITS = 5, HISTOGRAM_LARGEST_BITS = 36 };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_LARGEST_BITS - HISTOGRAM_FINE_BITS + 1) << HISTOGRAM_FINE_BITS };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total, sum, least, most;
};

void histogram_reset(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t nanoseconds);

/* The largest duration of a bucket. */
uint64_t histogram_upper(int bucket);

/* The duration that the share (0 to 1) of all did not exceed, rounded up to its bucket's end; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
