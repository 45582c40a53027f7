#include "command_line.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "say.h"

long whole_number(const char *option, const char *text, long least, long most) {
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < least || value > most)
        fail(EXIT_USAGE, "--%s is \"%s\", would be right: a whole number from %ld to %ld", option, text, least, most);
    return value;
}

double decimal_number(const char *option, const char *text, double least, double most) {
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= least && value <= most))
        fail(EXIT_USAGE, "--%s is \"%s\", would be right: a number from %g to %g", option, text, least, most);
    return value;
}
