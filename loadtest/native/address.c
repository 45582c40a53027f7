#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "say.h"

static struct addrinfo *resolve(const char *address, int flags) {
    char host[256];
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0' || (size_t)(colon - address) >= sizeof host)
        fail(EXIT_USAGE, "\"%s\" is not an address: write HOST:PORT, such as 127.0.0.1:9100", address);
    const char *from = address;
    size_t length = (size_t)(colon - address);
    if (length > 2 && from[0] == '[' && from[length - 1] == ']') {
        from += 1;
        length -= 2;
    }
    memcpy(host, from, length);
    host[length] = '\0';
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, colon + 1, &wanted, &found);
    if (result != 0)
        fail(EXIT_USAGE, "\"%s\" is not an address that can be used: %s", address, gai_strerror(result));
    return found;
}

int address_listen(const char *address, char *text, size_t size) {
    struct addrinfo *where = resolve(address, AI_PASSIVE);
    int descriptor = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    bool listening = descriptor >= 0 &&
                     setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                     bind(descriptor, where->ai_addr, where->ai_addrlen) == 0 && listen(descriptor, 4096) == 0;
    int reason = errno;
    freeaddrinfo(where);
    if (!listening)
        fail(EXIT_FAILURE, "cannot listen on %s: %s", address, strerror(reason));
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    char host[128], port[16];
    if (getsockname(descriptor, (struct sockaddr *)&bound, &length) != 0 ||
        getnameinfo((struct sockaddr *)&bound, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        fail(EXIT_FAILURE, "cannot tell which port was bound for %s", address);
    snprintf(text, size, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return descriptor;
}

int address_connect(const char *address, int seconds) {
    struct addrinfo *where = resolve(address, 0);
    int descriptor = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = seconds};
    bool connected = descriptor >= 0 &&
                     setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
                     setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
                     connect(descriptor, where->ai_addr, where->ai_addrlen) == 0;
    int reason = errno == EINPROGRESS ? ETIMEDOUT : errno;
    freeaddrinfo(where);
    if (!connected)
        fail(EXIT_FAILURE, "cannot connect to %s: %s", address, strerror(reason));
    socket_without_delay(descriptor);
    return descriptor;
}

int address_begin(const char *address) {
    struct addrinfo *where = resolve(address, 0);
    int descriptor = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool begun = descriptor >= 0 &&
                 (connect(descriptor, where->ai_addr, where->ai_addrlen) == 0 || errno == EINPROGRESS);
    freeaddrinfo(where);
    if (begun) {
        socket_without_delay(descriptor);
        return descriptor;
    }
    if (descriptor >= 0)
        close(descriptor);
    return -1;
}

void socket_without_delay(int descriptor) {
    int on = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails only on a dead connection */
}

void socket_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
        fail(EXIT_FAILURE, "cannot make a socket non-blocking: %s", strerror(errno));
}

size_t raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* refused: the old limit still holds and is what is returned */
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return (size_t)limit.rlim_cur;
}
