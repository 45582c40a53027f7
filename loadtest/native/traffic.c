#include "traffic.h"

#include <stdio.h>
#include <string.h>

#include "say.h"

static const char DIGITS[] = "0123456789ABCDEF";

void traffic_codes(struct traffic *traffic, const char *text) {
    traffic->code_count = 0;
    for (const char *code = text;; code += CODE_LENGTH + 1) {
        size_t known = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        if (known != CODE_LENGTH || (code[known] != ',' && code[known] != '\0') || traffic->code_count == MOST_CODES)
            fail(EXIT_USAGE, "--commands is \"%s\", would be right: up to %d codes such as ECHO,RAND", text, MOST_CODES);
        memcpy(traffic->codes[traffic->code_count++], code, CODE_LENGTH);
        if (code[known] == '\0')
            return;
    }
}

void traffic_sizes(struct traffic *traffic, const char *text) {
    char rest;
    if (sscanf(text, "%zu:%zu%c", &traffic->smallest, &traffic->largest, &rest) != 2 ||
        traffic->smallest < SMALLEST_REQUEST || traffic->largest > LARGEST_REQUEST ||
        traffic->smallest > traffic->largest)
        fail(EXIT_USAGE, "--size is \"%s\", would be right: LEAST:MOST, from %d to %d bytes", text, SMALLEST_REQUEST,
             LARGEST_REQUEST);
}

void traffic_start(struct traffic *traffic, uint64_t seed) {
    traffic->seed = seed;
    traffic->random = seed * 2 + 1; /* the generator must not start at 0 */
    traffic->made = 0;
}

/* xorshift64*: the same sizes for the same seed, on any machine. */
static uint64_t next_random(struct traffic *traffic) {
    uint64_t value = traffic->random;
    value ^= value >> 12;
    value ^= value << 25;
    value ^= value >> 27;
    traffic->random = value;
    return value * 2685821657736338717ULL;
}

static void write_hex(char *out, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        out[i] = DIGITS[value & 15];
}

size_t traffic_request(struct traffic *traffic, char out[LARGEST_REQUEST], char context[CONTEXT_LENGTH]) {
    uint64_t number = traffic->made++;
    size_t size = traffic->smallest + next_random(traffic) % (traffic->largest - traffic->smallest + 1);
    context[0] = 'A';
    context[1] = 'G';
    write_hex(context + 2, traffic->seed, 8);
    write_hex(context + 10, number, 12);

    char *end = out;
    memcpy(end, "[AO", 3);
    memcpy(end + 3, traffic->codes[number % traffic->code_count], CODE_LENGTH);
    end[7] = ';';
    memcpy(end + 8, context, CONTEXT_LENGTH);
    end += 8 + CONTEXT_LENGTH;
    memcpy(end, ";BO", 3);
    end += 3;
    size_t filling = size - (size_t)(end - out) - 2;
    for (size_t i = 0; i < filling; i++)
        end[i] = DIGITS[(number + i) & 15];
    memcpy(end + filling, ";]", 2);
    return size;
}
