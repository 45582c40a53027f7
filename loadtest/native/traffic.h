/* The requests that are sent: [AO<CODE>;AG<unique>;BO<hex>;], sizes evenly spread, the codes in turn. */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

enum { CODE_LENGTH = 4, CONTEXT_LENGTH = 22, SMALLEST_REQUEST = 64, LARGEST_REQUEST = 4096, MOST_CODES = 16 };

struct traffic {
    char codes[MOST_CODES][CODE_LENGTH];
    unsigned code_count;
    size_t smallest, largest; /* bytes of a request */
    uint64_t seed, random, made;
};

/* Reads "ECHO,RAND"; ends the program when it is something else. */
void traffic_codes(struct traffic *traffic, const char *text);

/* Reads "64:300"; ends the program when it is something else. */
void traffic_sizes(struct traffic *traffic, const char *text);

void traffic_start(struct traffic *traffic, uint64_t seed);

/* Writes the next request to `out` and returns its length. `context` becomes its AG field: "AG", then 20 digits. */
size_t traffic_request(struct traffic *traffic, char out[LARGEST_REQUEST], char context[CONTEXT_LENGTH]);

#endif
