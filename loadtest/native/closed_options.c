#include "closed_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_line.h"
#include "say.h"

static const char USAGE[] =
    "usage: closed_loop --connect HOST:PORT[,HOST:PORT...] --cert FILE --key FILE --ca FILE [options]\n"
    "Asks Excrypt requests over TLS, each client the next one when an answer has come, and checks every answer.\n"
    "With --rate, requests come at that rate at random moments, whatever is answered, and wait for a free connection\n"
    "where there is none; their time counts from when they were due.\n"
    "  --clients N          connections, spread over the addresses in turn (1)\n"
    "  --depth N            requests outstanding on each (1)\n"
    "  --seconds S          how long to measure (4)\n"
    "  --requests R         measure until R requests were asked instead, and answered\n"
    "  --warmup S           seconds of the same load before; prints {\"event\": \"measuring\"} when it is over (0)\n"
    "  --timeout S          give a connection up whose oldest request waits that long (10)\n"
    "  --rate R             requests a second, an open loop (none: a closed loop)\n"
    "  --busy-every N       only every Nth client asks, the others are connected and silent (1)\n"
    "  --login              each client first logs in as a user of its own (RKLG)\n"
    "  --reconnect          a lost client connects again, at once and then every 20 ms\n"
    "  --slow MS            count answers that take longer as affected, like lost ones, and tell when the last was (off)\n"
    "  --size LEAST:MOST    bytes of a request (64:300)\n"
    "  --commands CODES     in turn (ECHO); more after commas\n"
    "  --echo               an answer must be its request byte for byte, not only have its code and AG\n"
    "  --seed N             of sizes and AG values (1)\n"
    "  --tls VERSION        1.2 or 1.3 (1.3)\n"
    "Prints one line of JSON. Exit code 1 when any answer was wrong, an error, or lost.\n";

static void split_targets(struct options *options, char *text) {
    options->target_count = 0;
    for (char *target = strtok(text, ","); target != NULL; target = strtok(NULL, ",")) {
        if (options->target_count == MOST_TARGETS)
            fail(EXIT_USAGE, "--connect names more than %d addresses", MOST_TARGETS);
        options->targets[options->target_count++] = target;
    }
}

void read_options(int count, char **arguments, struct options *options, struct load *load) {
    static const struct option KNOWN[] = {
        {"connect", required_argument, NULL, 'o'}, {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},     {"ca", required_argument, NULL, 'a'},
        {"clients", required_argument, NULL, 'n'}, {"depth", required_argument, NULL, 'd'},
        {"seconds", required_argument, NULL, 's'}, {"requests", required_argument, NULL, 'r'},
        {"warmup", required_argument, NULL, 'w'},  {"timeout", required_argument, NULL, 'i'},
        {"size", required_argument, NULL, 'z'},    {"commands", required_argument, NULL, 'm'},
        {"echo", no_argument, NULL, 'e'},          {"seed", required_argument, NULL, 'x'},
        {"tls", required_argument, NULL, 't'},     {"help", no_argument, NULL, 'h'},
        {"rate", required_argument, NULL, 'R'},    {"busy-every", required_argument, NULL, 'b'},
        {"login", no_argument, NULL, 'l'},         {"reconnect", no_argument, NULL, 'p'},
        {"slow", required_argument, NULL, 'S'},
        {NULL, 0, NULL, 0}};
    *options = (struct options){
        .tls = {.version = "1.3"}, .clients = 1, .depth = 1, .busy_every = 1, .seconds = 4, .timeout = 10};
    const char *sizes = "64:300", *codes = "ECHO";
    long seed = 1;
    for (int option; (option = getopt_long(count, arguments, "", KNOWN, NULL)) != -1;) {
        switch (option) {
        case 'o': split_targets(options, optarg); break;
        case 'c': options->tls.certificate = optarg; break;
        case 'k': options->tls.key = optarg; break;
        case 'a': options->tls.ca = optarg; break;
        case 't': options->tls.version = optarg; break;
        case 'n': options->clients = (unsigned)whole_number("clients", optarg, 1, 100000); break;
        case 'd': options->depth = (unsigned)whole_number("depth", optarg, 1, 1024); break;
        case 's': options->seconds = decimal_number("seconds", optarg, 0.01, 86400); break;
        case 'r': options->requests = (uint64_t)whole_number("requests", optarg, 1, 1000000000000); break;
        case 'w': options->warmup = decimal_number("warmup", optarg, 0, 3600); break;
        case 'i': options->timeout = decimal_number("timeout", optarg, 0.01, 3600); break;
        case 'x': seed = whole_number("seed", optarg, 0, UINT32_MAX); break;
        case 'z': sizes = optarg; break;
        case 'm': codes = optarg; break;
        case 'e': load->echo = true; break;
        case 'R': load->arrivals.rate = decimal_number("rate", optarg, 0.1, 10000000); break;
        case 'b': options->busy_every = (unsigned)whole_number("busy-every", optarg, 1, 100000); break;
        case 'S': load->slow = (uint64_t)(decimal_number("slow", optarg, 0.001, 60000) * 1e6); break;
        case 'l': options->login = true; break;
        case 'p': options->reconnect = true; break;
        case 'h': fputs(USAGE, stdout); exit(EXIT_SUCCESS);
        default: fputs(USAGE, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < count)
        fail(EXIT_USAGE, "\"%s\" is not an option; see --help", arguments[optind]);
    if (options->target_count == 0)
        fail(EXIT_USAGE, "--connect HOST:PORT is missing: whom to ask");
    if (options->login && options->reconnect)
        fail(EXIT_USAGE, "--login and --reconnect do not go together: a login is only made at the start");
    if (load->arrivals.rate > 0 && options->requests > 0)
        fail(EXIT_USAGE, "--rate and --requests do not go together: give --seconds");
    traffic_sizes(&load->traffic, sizes);
    traffic_codes(&load->traffic, codes);
    traffic_start(&load->traffic, (uint64_t)seed);
    arrivals_seed(&load->arrivals, (uint64_t)seed);
}
