#include "result.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "clock.h"

static double seconds_of(struct timeval value) { return (double)value.tv_sec + (double)value.tv_usec / 1e6; }

static double seconds_wanted(void) {
    unsigned long long running = 0, waiting = 0;
    FILE *file = fopen("/proc/self/schedstat", "re");
    if (file == NULL)
        return 0;
    int found = fscanf(file, "%llu %llu", &running, &waiting);
    fclose(file);
    return found == 2 ? (double)(running + waiting) / 1e9 : 0;
}

struct usage usage_now(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (struct usage){
        .clock = clock_ns(),
        .cpu_s = seconds_of(used.ru_utime) + seconds_of(used.ru_stime),
        .wanted_s = seconds_wanted(),
    };
}

static void print_latency(const struct histogram *latency) {
    double mean = latency->total > 0 ? (double)latency->sum / (double)latency->total : 0;
    printf("\"latency_us\": {\"min\": %.1f, \"mean\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}",
           latency->total > 0 ? (double)latency->least / 1e3 : 0, mean / 1e3,
           (double)histogram_quantile(latency, 0.5) / 1e3, (double)histogram_quantile(latency, 0.99) / 1e3,
           (double)histogram_quantile(latency, 0.999) / 1e3, (double)latency->most / 1e3);
    printf(", \"histogram_us\": [");
    const char *separator = "";
    for (int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (latency->counts[bucket] == 0)
            continue;
        printf("%s[%.3f, %" PRIu64 "]", separator, (double)histogram_upper(bucket) / 1e3, latency->counts[bucket]);
        separator = ", ";
    }
    printf("]");
}

void result_print(const struct tally *tally, unsigned clients, unsigned depth, struct usage from, struct usage to) {
    printf("{\"event\": \"result\", \"clients\": %u, \"depth\": %u, \"duration_s\": %.6f, \"cpu_s\": %.6f", clients,
           depth, (double)(to.clock - from.clock) / 1e9, to.cpu_s - from.cpu_s);
    printf(", \"wanted_s\": %.6f", to.wanted_s - from.wanted_s);
    printf(", \"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"error_answers\": %" PRIu64, tally->requests,
           tally->error_answers + tally->lost_requests, tally->error_answers);
    printf(", \"late\": %" PRIu64 ", \"affected\": %" PRIu64 ", \"last_affected_s\": %.6f", tally->late, tally->affected,
           (double)tally->last_affected / 1e9);
    printf(", \"lost_requests\": %" PRIu64 ", \"lost_connections\": %" PRIu64 ", \"wrong\": %" PRIu64 ", ",
           tally->lost_requests, tally->lost_connections, tally->wrong);
    print_latency(&tally->latency);
    printf("}\n");
    fflush(stdout);
}
