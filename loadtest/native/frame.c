#include "frame.h"

#include <string.h>

static int is_gap(char byte) { return byte == '\r' || byte == '\n' || byte == ' ' || byte == '\t'; }

enum frame frame_next(struct buffer *received, size_t *scanned, size_t limit, const char **message, size_t *length) {
    while (received->length > 0 && is_gap(*buffer_head(received)))
        buffer_taken(received, 1);
    if (received->length == 0)
        return FRAME_PARTIAL;
    const char *head = buffer_head(received);
    size_t known = received->length < 3 ? received->length : 3;
    if (memcmp(head, "[AO", known) != 0)
        return FRAME_BROKEN;
    const char *end = memchr(head + *scanned, ']', received->length - *scanned);
    if (end == NULL) {
        *scanned = received->length;
        return received->length > limit ? FRAME_BROKEN : FRAME_PARTIAL;
    }
    *scanned = 0;
    *message = head;
    *length = (size_t)(end - head) + 1;
    return *length < 9 || *length > limit ? FRAME_BROKEN : FRAME_WHOLE; /* 9: [AOECHO;] */
}

const char *frame_field(const char *message, size_t length, const char tag[2], size_t *size) {
    const char *end = message + length - 1; /* the closing bracket */
    const char *field = message + 8;
    while (field < end) {
        const char *stop = memchr(field, ';', (size_t)(end - field));
        if (stop == NULL)
            stop = end;
        if (stop - field >= 2 && memcmp(field, tag, 2) == 0) {
            *size = (size_t)(stop - field);
            return field;
        }
        field = stop + 1;
    }
    return NULL;
}
