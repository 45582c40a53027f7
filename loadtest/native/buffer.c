#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#include "say.h"

char *buffer_room(struct buffer *buffer, size_t room) {
    if (buffer->capacity - buffer->start - buffer->length >= room && buffer->bytes != NULL)
        return buffer->bytes + buffer->start + buffer->length;
    if (buffer->start > 0 && buffer->length > 0)
        memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->length);
    buffer->start = 0;
    if (buffer->bytes == NULL || buffer->capacity - buffer->length < room) {
        size_t capacity = buffer->capacity ? buffer->capacity : 4096;
        while (capacity - buffer->length < room)
            capacity *= 2;
        char *bytes = realloc(buffer->bytes, capacity);
        if (bytes == NULL)
            fail(EXIT_FAILURE, "out of memory for a buffer of %zu bytes", capacity);
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->length;
}

void buffer_added(struct buffer *buffer, size_t count) { buffer->length += count; }

void buffer_append(struct buffer *buffer, const char *bytes, size_t count) {
    if (count == 0)
        return;
    memcpy(buffer_room(buffer, count), bytes, count);
    buffer->length += count;
}

void buffer_taken(struct buffer *buffer, size_t count) {
    buffer->length -= count;
    buffer->start = buffer->length == 0 ? 0 : buffer->start + count;
}

void buffer_free(struct buffer *buffer) {
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}
