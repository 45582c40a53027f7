#include "say.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void print(const char *format, va_list arguments) {
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
}

void fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    exit(code);
}

const char *tls_reason(void) {
    static char text[256];
    unsigned long code = ERR_peek_last_error();
    if (code == 0)
        return "the connection was closed";
    const char *reason = ERR_reason_error_string(code);
    if (reason != NULL)
        snprintf(text, sizeof text, "%s", reason);
    else
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return text;
}
