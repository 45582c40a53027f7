/* Finds Excrypt messages, [AO<CODE>;...], in received bytes. */
#ifndef FRAME_H
#define FRAME_H

#include "buffer.h"

enum frame { FRAME_WHOLE, FRAME_PARTIAL, FRAME_BROKEN };

/*
 * Looks at the head of `received`. FRAME_WHOLE: *message and *length name it, brackets included; take *length bytes
 * when done with it. CR, LF, space and tab before a message are taken away. `scanned` keeps, between calls, how much
 * of a partial message was searched. FRAME_BROKEN: not a message, or longer than `limit`.
 */
enum frame frame_next(struct buffer *received, size_t *scanned, size_t limit, const char **message, size_t *length);

/* A field of a whole message, from its tag to before the `;` or `]` that ends it, or NULL. The AO field is not looked at. */
const char *frame_field(const char *message, size_t length, const char tag[2], size_t *size);

#endif
