/* Errors for people, on standard error, prefixed with the program's name. */
#ifndef SAY_H
#define SAY_H

enum { EXIT_USAGE = 2 };

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says it and ends the program with that code. */
void fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* The newest reason in OpenSSL's queue, as text; empties the queue. Valid until the next call. */
const char *tls_reason(void);

#endif
