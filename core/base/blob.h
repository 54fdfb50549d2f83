/* A payload of any size: in memory while small, past a threshold in an unlinked
 * file that is mapped, so that a payload of many gigabytes is not held in memory. */
#ifndef HATO_BASE_BLOB_H
#define HATO_BASE_BLOB_H

#include "hato/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct hato__blob hato__blob;

/* dir: where the file goes when one is needed (borrowed until destroy; NULL:
 * $TMPDIR or /tmp). threshold: bytes kept in memory; 0: 128 MiB. */
hato__blob *hato__blob_create(const char *dir, size_t threshold);
void hato__blob_destroy(hato__blob *b); /* NULL is fine */
/* Hint of the final size. May go to the file at once; NO_SPACE: the disk has not that much room now. */
hato_status hato__blob_expect(hato__blob *b, uint64_t size, hato_error *err);
hato_status hato__blob_append(hato__blob *b, const void *data, size_t n, hato_error *err);
/* Where the next n bytes may be written without a copy, until the next call: they count with blob_filled.
 * NULL: they must be appended. */
uint8_t *hato__blob_room(hato__blob *b, size_t n);
void hato__blob_filled(hato__blob *b, size_t n); /* at most what room was asked for */
/* Writes over n bytes that are there already, from `at` on. */
hato_status hato__blob_patch(hato__blob *b, uint64_t at, const void *data, size_t n, hato_error *err);
uint64_t hato__blob_size(const hato__blob *b);
/* All bytes, contiguous; valid until the next append or destroy. NULL with the
 * error filled when mapping failed; of an empty blob a non-NULL pointer. */
const uint8_t *hato__blob_data(hato__blob *b, hato_error *err);

#endif
