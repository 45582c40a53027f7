/* Bytes that arrive at the end and leave at the start. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

struct buffer {
    char *bytes;
    size_t start, length, capacity;
};

/* Where `room` more bytes may be written; follow with buffer_added. Ends the program when there is no memory. */
char *buffer_room(struct buffer *buffer, size_t room);
void buffer_added(struct buffer *buffer, size_t count);
void buffer_append(struct buffer *buffer, const char *bytes, size_t count);
void buffer_taken(struct buffer *buffer, size_t count);
void buffer_free(struct buffer *buffer);

static inline char *buffer_head(const struct buffer *buffer) {
    return buffer->bytes == NULL ? NULL : buffer->bytes + buffer->start;
}

#endif
