/*
 * Connections one after the other: handshake, perhaps one request, close. For what a new connection costs a proxy.
 *
 * Standard output: {"event": "measuring"} when the warm-up is over, and one line of JSON at the end.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "command_line.h"
#include "result.h"
#include "say.h"
#include "tls.h"
#include "traffic.h"

enum { PATIENCE_S = 10, RECORD = 16384 };

struct options {
    struct tls_settings tls;
    const char *connect;
    double seconds, warmup;
    bool request, resume;
};

struct counts {
    uint64_t connections; /* complete: handshake, answer where one was asked for, and the proxy's close */
    uint64_t resumed, failed;
};

static SSL_SESSION *kept; /* the newest session, for the next connection */

static const char USAGE[] =
    "usage: churn --connect HOST:PORT --cert FILE --key FILE --ca FILE [options]\n"
    "Opens TLS connections one after the other and closes each, waiting until the other side has closed too.\n"
    "  --request            one Excrypt request on each, whose answer must be the request\n"
    "  --resume             resume the session of the connection before (full handshakes)\n"
    "  --seconds S          how long (4)\n"
    "  --warmup S           seconds of the same before (0)\n"
    "  --tls VERSION        1.2 or 1.3 (1.3)\n"
    "Prints one line of JSON. Exit code 1 when a connection failed.\n";

static struct options read_options(int count, char **arguments) {
    static const struct option KNOWN[] = {
        {"connect", required_argument, NULL, 'o'}, {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},     {"ca", required_argument, NULL, 'a'},
        {"request", no_argument, NULL, 'q'},       {"resume", no_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'}, {"warmup", required_argument, NULL, 'w'},
        {"tls", required_argument, NULL, 't'},     {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct options options = {.tls = {.version = "1.3"}, .seconds = 4};
    for (int option; (option = getopt_long(count, arguments, "", KNOWN, NULL)) != -1;) {
        switch (option) {
        case 'o': options.connect = optarg; break;
        case 'c': options.tls.certificate = optarg; break;
        case 'k': options.tls.key = optarg; break;
        case 'a': options.tls.ca = optarg; break;
        case 't': options.tls.version = optarg; break;
        case 'q': options.request = true; break;
        case 'r': options.resume = true; break;
        case 's': options.seconds = decimal_number("seconds", optarg, 0.01, 86400); break;
        case 'w': options.warmup = decimal_number("warmup", optarg, 0, 3600); break;
        case 'h': fputs(USAGE, stdout); exit(EXIT_SUCCESS);
        default: fputs(USAGE, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < count)
        fail(EXIT_USAGE, "\"%s\" is not an option; see --help", arguments[optind]);
    if (options.connect == NULL)
        fail(EXIT_USAGE, "--connect HOST:PORT is missing: whom to connect to");
    return options;
}

static int keep_session(SSL *tls, SSL_SESSION *session) {
    (void)tls;
    SSL_SESSION_free(kept);
    kept = SSL_SESSION_dup(session);
    return 0;
}

static SSL_CTX *make_context(const struct options *options) {
    SSL_CTX *context = tls_context(&options->tls, TLS_CLIENT_SIDE);
    if (options->resume) {
        SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_session);
    }
    return context;
}

static bool ask(SSL *tls, struct traffic *traffic) {
    char request[LARGEST_REQUEST], context[CONTEXT_LENGTH], answer[LARGEST_REQUEST];
    size_t size = traffic_request(traffic, request, context), known = 0;
    if (SSL_write(tls, request, (int)size) != (int)size)
        return false;
    while (known < size) {
        int count = SSL_read(tls, answer + known, (int)(size - known));
        if (count <= 0)
            return false;
        known += (size_t)count;
    }
    return memcmp(answer, request, size) == 0;
}

/* Says goodbye and waits until the other side has, so that what it does for the connection is done. */
static bool part(SSL *tls, int descriptor) {
    char rest[RECORD];
    (void)SSL_shutdown(tls);
    (void)shutdown(descriptor, SHUT_WR);
    for (;;) {
        int count = SSL_read(tls, rest, sizeof rest);
        if (count <= 0)
            return SSL_get_error(tls, count) != SSL_ERROR_WANT_READ; /* that is: no close in PATIENCE_S */
    }
}

static void one_connection(const struct options *options, SSL_CTX *context, struct traffic *traffic,
                           struct counts *counts) {
    int descriptor = address_connect(options->connect, PATIENCE_S);
    SSL *tls = SSL_new(context);
    if (tls == NULL || SSL_set_fd(tls, descriptor) != 1)
        fail(EXIT_FAILURE, "cannot make a TLS connection: %s", tls_reason());
    if (kept != NULL) { /* a copy: a connection that the other side ends without a word spoils its session */
        SSL_SESSION *copy = SSL_SESSION_dup(kept);
        (void)SSL_set_session(tls, copy);
        SSL_SESSION_free(copy);
    }
    bool good = SSL_connect(tls) == 1 && (!options->request || ask(tls, traffic));
    counts->resumed += good && SSL_session_reused(tls) == 1;
    if (good && part(tls, descriptor))
        counts->connections++;
    else
        counts->failed++;
    SSL_free(tls);
    close(descriptor);
}

static struct counts go_on(const struct options *options, SSL_CTX *context, struct traffic *traffic, double seconds) {
    struct counts counts = {0};
    uint64_t end = clock_ns() + (uint64_t)(seconds * (double)SECOND_NS);
    while (clock_ns() < end)
        one_connection(options, context, traffic, &counts);
    return counts;
}

int main(int count, char **arguments) {
    struct options options = read_options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = make_context(&options);
    struct traffic traffic = {0};
    traffic_sizes(&traffic, "64:300");
    traffic_codes(&traffic, "ECHO");
    traffic_start(&traffic, 1);
    (void)go_on(&options, context, &traffic, options.warmup);
    printf("{\"event\": \"measuring\"}\n");
    fflush(stdout);
    struct usage from = usage_now();
    struct counts counts = go_on(&options, context, &traffic, options.seconds);
    struct usage to = usage_now();
    printf("{\"event\": \"result\", \"duration_s\": %.6f, \"cpu_s\": %.6f, \"connections\": %" PRIu64
           ", \"resumed\": %" PRIu64 ", \"failed\": %" PRIu64 "}\n",
           (double)(to.clock - from.clock) / 1e9, to.cpu_s - from.cpu_s, counts.connections, counts.resumed,
           counts.failed);
    SSL_SESSION_free(kept);
    SSL_CTX_free(context);
    return counts.failed > 0 ? 1 : EXIT_SUCCESS;
}
