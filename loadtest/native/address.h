/* TCP addresses written HOST:PORT or [V6]:PORT. Each function says what is wrong and ends the program itself. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stddef.h>

/* A listening socket, non-blocking; port 0 lets the kernel choose. `text` becomes the real address. */
int address_listen(const char *address, char *text, size_t size);

/* Begins to connect without waiting; -1 when that fails at once. */
int address_begin(const char *address);

/* A connected socket, blocking, TCP_NODELAY, that gives up after `seconds` on connecting, reading or writing. */
int address_connect(const char *address, int seconds);

void socket_without_delay(int descriptor);
void socket_nonblocking(int descriptor);

/* Allows as many descriptors as the system lets this process have; returns how many. */
size_t raise_descriptor_limit(void);

#endif
