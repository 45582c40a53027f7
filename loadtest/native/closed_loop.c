/*
 * A closed or an open loop of TLS clients that checks every answer, in one thread.
 *
 * Standard output: {"event": "measuring"} when the warm-up is over, and at the end one line of JSON with requests,
 * errors, wrong answers, latencies and this process's own CPU time, so that the caller can tell whether this program
 * was the bottleneck.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "closed_options.h"
#include "result.h"
#include "say.h"

enum { BATCH = 256, DESCRIPTORS_KEPT = 16, TICK_MS = 20, LATE_NS = 1000000 };

struct loop {
    struct options options;
    struct load load;
    struct client *clients;
    int poller;
    int timer;       /* readable when the next request of an open loop is due */
    uint64_t timed;   /* what it is set to */
    unsigned turn;    /* the client to look at first for a request that is due */
    uint64_t checked; /* when the last look for clients that wait too long was */
};

static uint64_t nanoseconds(double seconds) { return (uint64_t)(seconds * (double)SECOND_NS); }

static void lose_who_waits(struct loop *loop, uint64_t now) {
    if (now - loop->checked < SECOND_NS / 10)
        return;
    loop->checked = now;
    for (unsigned i = 0; i < loop->options.clients; i++) {
        struct client *client = &loop->clients[i];
        if (client->open && client->outstanding > 0 &&
            now > client->slots[client->oldest].asked + nanoseconds(loop->options.timeout))
            client_lose(client, &loop->load);
    }
}

static void reopen_lost(struct loop *loop, uint64_t now) {
    for (unsigned i = 0; i < loop->options.clients && loop->load.closed > 0; i++) {
        struct client *client = &loop->clients[i];
        if (!client->open && now - client->lost_at > TICK_MS * SECOND_NS / 1000)
            client_reopen(client, &loop->load, loop->poller, now);
    }
}

/* A client that may ask now, each in its turn, or NULL. */
static struct client *next_free(struct loop *loop) {
    for (unsigned i = 0; i < loop->options.clients; i++) {
        struct client *client = &loop->clients[loop->turn++ % loop->options.clients];
        if (client->open && !client->idle && client->outstanding < client->depth)
            return client;
    }
    return NULL;
}

/* Sends what is due on free connections; whoever has none is sent by the client that gets free next. */
static void send_due(struct loop *loop) {
    struct load *load = &loop->load;
    uint64_t now = clock_ns();
    while (load->asking && arrivals_waiting(&load->arrivals, now)) {
        struct client *client = next_free(loop);
        if (client == NULL)
            return;
        if (load->measuring && now - load->arrivals.due > LATE_NS)
            load->tally.late++;
        client_ask(client, load, loop->poller, now);
        now = clock_ns();
    }
    if (!load->asking || load->arrivals.due == loop->timed || load->arrivals.due >= load->arrivals.end)
        return;
    uint64_t due = loop->timed = load->arrivals.due;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due / SECOND_NS), .tv_nsec = (long)(due % SECOND_NS)}};
    if (timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        fail(EXIT_FAILURE, "cannot set a timer: %s", strerror(errno));
}

/* One batch of events; waits for it 20 ms at most. Returns the time. */
static uint64_t go_on(struct loop *loop) {
    struct epoll_event events[BATCH];
    int count = epoll_wait(loop->poller, events, BATCH, TICK_MS);
    if (count < 0 && errno != EINTR)
        fail(EXIT_FAILURE, "cannot wait for events: %s", strerror(errno));
    for (int i = 0; i < count; i++) { /* a clock for each: the later ones wait for the earlier ones, as users would */
        uint64_t expired;
        if (events[i].data.ptr == loop)
            (void)!read(loop->timer, &expired, sizeof expired); /* only so that it is not readable any more */
        else
            client_ready(events[i].data.ptr, &loop->load, loop->poller, clock_ns());
    }
    if (loop->load.arrivals.rate > 0)
        send_due(loop);
    uint64_t now = clock_ns();
    lose_who_waits(loop, now);
    if (loop->options.reconnect && loop->load.asking && loop->load.closed > 0)
        reopen_lost(loop, now);
    return now;
}

static unsigned count_open(const struct loop *loop) {
    unsigned open = 0;
    for (unsigned i = 0; i < loop->options.clients; i++)
        open += loop->clients[i].open ? 1 : 0;
    return open;
}

static uint64_t count_outstanding(const struct loop *loop) {
    uint64_t outstanding = 0;
    for (unsigned i = 0; i < loop->options.clients; i++)
        outstanding += loop->clients[i].outstanding;
    return outstanding;
}

static void connect_all(struct loop *loop, SSL_CTX *context) {
    for (unsigned i = 0; i < loop->options.clients; i++)
        client_connect(&loop->clients[i], context, loop->options.targets[i % loop->options.target_count],
                       loop->options.depth, loop->poller);
    for (unsigned i = 0; i < loop->options.clients; i++) {
        if (loop->options.login)
            client_login(&loop->clients[i], i);
        loop->clients[i].idle = i % loop->options.busy_every != 0;
    }
}

/* Whether anybody is there who asks, or will be. */
static bool goes_on(const struct loop *loop) { return loop->options.reconnect || count_open(loop) > 0; }

/* Starts the load; it keeps itself going until `drain`, an open loop until `end`. */
static void ask_all(struct loop *loop, uint64_t end) {
    loop->load.asking = true;
    if (loop->load.arrivals.rate > 0) {
        arrivals_start(&loop->load.arrivals, clock_ns(), end);
        send_due(loop);
        return;
    }
    for (unsigned i = 0; i < loop->options.clients; i++)
        client_ask(&loop->clients[i], &loop->load, loop->poller, clock_ns());
}

/* Sends what was due and found no free connection, for as long as the time-out. What then is left counts as lost. */
static void catch_up(struct loop *loop) {
    struct arrivals *arrivals = &loop->load.arrivals;
    uint64_t deadline = arrivals->end + nanoseconds(loop->options.timeout);
    while (arrivals->due < arrivals->end && goes_on(loop) && go_on(loop) < deadline)
        ;
    for (; arrivals->due < arrivals->end; arrivals_take(arrivals))
        loop->load.tally.lost_requests++;
}

/* Stops asking and waits for what is outstanding; the time-out bounds it. */
static void drain(struct loop *loop) {
    if (loop->load.arrivals.rate > 0)
        catch_up(loop);
    loop->load.asking = false;
    while (count_outstanding(loop) > 0)
        go_on(loop);
}

static void warm_up(struct loop *loop) {
    uint64_t end = clock_ns() + nanoseconds(loop->options.warmup);
    loop->load.remaining = UINT64_MAX;
    ask_all(loop, end);
    while (go_on(loop) < end && goes_on(loop))
        ;
    drain(loop);
}

static void measure(struct loop *loop) {
    struct load *load = &loop->load;
    bool counted = loop->options.requests > 0;
    load->remaining = counted ? loop->options.requests : UINT64_MAX;
    load->measuring = true;
    printf("{\"event\": \"measuring\"}\n");
    fflush(stdout);
    struct usage from = usage_now();
    uint64_t end = from.clock + nanoseconds(loop->options.seconds);
    ask_all(loop, end);
    while ((go_on(loop) < end || counted) && goes_on(loop) &&
           (load->remaining > 0 || count_outstanding(loop) > 0))
        ;
    struct usage to = usage_now();
    load->measuring = load->arrivals.rate > 0; /* what was due counts, whenever it is answered: else the slowest are left out */
    drain(loop);
    result_print(&load->tally, loop->options.clients, loop->options.depth, from, to);
}

int main(int count, char **arguments) {
    static struct loop loop;
    signal(SIGPIPE, SIG_IGN);
    read_options(count, arguments, &loop.options, &loop.load);
    size_t descriptors = raise_descriptor_limit();
    if (loop.options.clients + DESCRIPTORS_KEPT > descriptors)
        fail(EXIT_USAGE, "--clients %u needs more descriptors than the %zu this process may have", loop.options.clients,
             descriptors);
    SSL_CTX *context = tls_context(&loop.options.tls, TLS_CLIENT_SIDE);
    loop.poller = epoll_create1(EPOLL_CLOEXEC);
    loop.clients = calloc(loop.options.clients, sizeof *loop.clients);
    loop.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event timed = {.events = EPOLLIN, .data.ptr = &loop};
    if (loop.poller < 0 || loop.clients == NULL || loop.timer < 0 ||
        epoll_ctl(loop.poller, EPOLL_CTL_ADD, loop.timer, &timed) != 0)
        fail(EXIT_FAILURE, "cannot start: %s", strerror(errno));
    connect_all(&loop, context);
    histogram_reset(&loop.load.tally.latency);
    if (loop.options.warmup > 0)
        warm_up(&loop);
    measure(&loop);
    for (unsigned i = 0; i < loop.options.clients; i++)
        client_close(&loop.clients[i]);
    free(loop.clients);
    close(loop.timer);
    close(loop.poller);
    SSL_CTX_free(context);
    const struct tally *tally = &loop.load.tally;
    return tally->wrong + tally->error_answers + tally->lost_requests + tally->lost_connections > 0 ? 1 : EXIT_SUCCESS;
}
