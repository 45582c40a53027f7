/*
 * An Excrypt echo device: answers each [AO<CODE>;...] with the same message, so that code and AG are right, and the
 * login RKLG with yes.
 *
 * One thread. Prints its address as one line on standard output when it accepts connections, and on SIGTERM or SIGINT
 * one line of JSON with what it did.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "command_line.h"
#include "echo_connection.h"
#include "say.h"
#include "tls.h"

enum { BATCH = 128, DESCRIPTORS_KEPT = 16 };

struct options {
    const char *listen;
    struct tls_settings tls;
    long delay_us, connections, at_once;
    bool serial;
};

static const char USAGE[] =
    "usage: echo_device --cert FILE --key FILE --ca FILE [options]\n"
    "Answers each Excrypt message with itself, and the login RKLG with yes, over TLS with certificates on both sides.\n"
    "  --listen HOST:PORT   where (127.0.0.1:0; port 0: the kernel chooses; the address is printed)\n"
    "  --delay US           microseconds between a request and its answer (0)\n"
    "  --mode MODE          parallel: the requests of a connection are worked on at once (default);\n"
    "                       serial: one after the other. Connections never wait for each other\n"
    "  --at-once N          requests under way at once, over all connections; the others wait their turn (all)\n"
    "  --connections N      the most at once; more are closed (4096)\n"
    "  --tls VERSION        1.2 or 1.3 (1.3)\n";

static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static struct options read_options(int count, char **arguments) {
    static const struct option KNOWN[] = {
        {"listen", required_argument, NULL, 'l'}, {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},    {"ca", required_argument, NULL, 'a'},
        {"delay", required_argument, NULL, 'd'},  {"mode", required_argument, NULL, 'm'},
        {"connections", required_argument, NULL, 'n'}, {"tls", required_argument, NULL, 't'},
        {"at-once", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct options options = {.listen = "127.0.0.1:0", .tls = {.version = "1.3"}, .connections = 4096};
    for (int option; (option = getopt_long(count, arguments, "", KNOWN, NULL)) != -1;) {
        switch (option) {
        case 'l': options.listen = optarg; break;
        case 'c': options.tls.certificate = optarg; break;
        case 'k': options.tls.key = optarg; break;
        case 'a': options.tls.ca = optarg; break;
        case 't': options.tls.version = optarg; break;
        case 'd': options.delay_us = whole_number("delay", optarg, 0, 60000000); break;
        case 'o': options.at_once = whole_number("at-once", optarg, 1, MOST_LANES); break;
        case 'n': options.connections = whole_number("connections", optarg, 1, 1000000); break;
        case 'm':
            options.serial = strcmp(optarg, "serial") == 0;
            if (!options.serial && strcmp(optarg, "parallel") != 0)
                fail(EXIT_USAGE, "--mode is \"%s\", would be right: serial or parallel", optarg);
            break;
        case 'h': fputs(USAGE, stdout); exit(EXIT_SUCCESS);
        default: fputs(USAGE, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < count)
        fail(EXIT_USAGE, "\"%s\" is not an option; see --help", arguments[optind]);
    return options;
}

static void accept_all(struct echo_device *device, SSL_CTX *context, int listener) {
    for (int accepted = 0; accepted < BATCH; accepted++) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                fail(EXIT_FAILURE, "cannot accept a connection: %s", strerror(errno));
            return;
        }
        if (device->connections >= device->most_connections) {
            say("closing a connection: %ld are open, the most allowed", device->connections);
            close(descriptor);
            continue;
        }
        socket_without_delay(descriptor);
        echo_accepted(device, context, descriptor);
    }
}

static void watch(int poller, int descriptor, void *marker) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = marker};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0)
        fail(EXIT_FAILURE, "cannot watch a descriptor: %s", strerror(errno));
}

static void serve(struct echo_device *device, SSL_CTX *context, int listener, const sigset_t *while_waiting) {
    struct epoll_event events[BATCH];
    watch(device->poller, listener, &listener);
    if (device->schedule != NULL)
        watch(device->poller, device->schedule->timer, device->schedule);
    while (!stopping) {
        int count = epoll_pwait(device->poller, events, BATCH, -1, while_waiting);
        if (count < 0 && errno != EINTR)
            fail(EXIT_FAILURE, "cannot wait for events: %s", strerror(errno));
        bool due = false, arrived = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &listener)
                arrived = true;
            else if (events[i].data.ptr == device->schedule)
                due = true;
            else
                echo_ready(events[i].data.ptr, events[i].events);
        }
        /* Only after the loop: what is due may free a connection that a later event of the batch names. */
        if (due) {
            uint64_t now = clock_ns();
            for (void *connection; (connection = schedule_next(device->schedule, now)) != NULL;)
                echo_due(connection);
            schedule_arm(device->schedule);
        }
        if (arrived)
            accept_all(device, context, listener);
    }
}

int main(int count, char **arguments) {
    struct options options = read_options(count, arguments);
    SSL_CTX *context = tls_context(&options.tls, TLS_SERVER_SIDE);
    size_t descriptors = raise_descriptor_limit();
    if (descriptors < DESCRIPTORS_KEPT + (size_t)options.connections)
        options.connections = descriptors > DESCRIPTORS_KEPT ? (long)descriptors - DESCRIPTORS_KEPT : 1;

    sigset_t ending, while_waiting;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, &while_waiting);
    sigdelset(&while_waiting, SIGTERM);
    sigdelset(&while_waiting, SIGINT);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    struct schedule schedule = {.timer = -1};
    if (options.delay_us > 0)
        schedule_open(&schedule, (uint64_t)options.delay_us * 1000, (unsigned)options.at_once);
    struct echo_device device = {
        .poller = epoll_create1(EPOLL_CLOEXEC),
        .serial = options.serial,
        .schedule = options.delay_us > 0 ? &schedule : NULL,
        .most_connections = options.connections,
    };
    if (device.poller < 0)
        fail(EXIT_FAILURE, "cannot make an epoll descriptor: %s", strerror(errno));
    char address[160];
    int listener = address_listen(options.listen, address, sizeof address);
    printf("%s\n", address);
    fflush(stdout);
    serve(&device, context, listener, &while_waiting);
    echo_close_all(&device);
    if (device.schedule != NULL)
        schedule_close(&schedule);
    close(listener);
    close(device.poller);
    SSL_CTX_free(context);
    printf("{\"requests\": %llu}\n", (unsigned long long)device.requests);
    return EXIT_SUCCESS;
}
