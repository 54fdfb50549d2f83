/* A spool: results that are not held in memory, in one file of the local folder.
 *
 * The caller keeps a 16-byte reference an entry; that is the whole index of
 * small ones. Entries are written by several threads at once, their length
 * unknown until they end; an entry is a chain of extents. The file is private to
 * the process that opened it and goes with it: nothing is recovered from it.
 * Calls may block on the disk. Thread safe, but one entry is for one thread at a
 * time and a reference must not be read while it is freed. */
#ifndef HATO_SESSION_SPOOL_H
#define HATO_SESSION_SPOOL_H

#include "hato/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hato__spool hato__spool;
typedef struct hato__spool_entry hato__spool_entry; /* one that is being written */

/* Where an ended entry lies. All zero: an empty one. Only len is to be read. */
typedef struct hato__spool_ref {
  uint64_t at;
  uint64_t len;
} hato__spool_ref;

/* Makes dir/name.spool (0600), in the place of one that is there. limit: bytes
 * on disk, in steps of 16 KB, at least that. */
hato_status hato__spool_open(const char *dir, const char *name, uint64_t limit, hato__spool **out,
                             hato_error *err);
/* Takes the file away too. References and entries are void. NULL is fine. */
void hato__spool_close(hato__spool *sp);

hato_status hato__spool_begin(hato__spool *sp, hato__spool_entry **entry, hato_error *err);
/* Appends. NO_SPACE: the limit is reached or the disk is full; the words say
 * which. Then nothing of data was kept, and the entry may be ended as it is or
 * aborted. */
hato_status hato__spool_write(hato__spool_entry *e, const void *data, size_t n, hato_error *err);
uint64_t hato__spool_size(const hato__spool_entry *e);
/* Reads what was written so far, as hato__spool_read. */
hato_status hato__spool_peek(hato__spool_entry *e, uint64_t offset, void *out, size_t n, size_t *got,
                             hato_error *err);
/* Ends the entry, which is freed, also on failure (NO_SPACE: a small entry is
 * given its place only now; it is lost). */
hato_status hato__spool_end(hato__spool_entry *e, hato__spool_ref *ref, hato_error *err);
void hato__spool_abort(hato__spool_entry *e); /* NULL is fine */
/* begin, write, end in one, without an entry. */
hato_status hato__spool_put(hato__spool *sp, const void *data, size_t n, hato__spool_ref *ref,
                            hato_error *err);

/* At most n bytes from offset into out; *got less than n only at the end. */
hato_status hato__spool_read(hato__spool *sp, hato__spool_ref ref, uint64_t offset, void *out, size_t n,
                             size_t *got, hato_error *err);
/* Gives the space back, to the spool at once and to the disk when there is much
 * of it, and zeroes the reference. */
void hato__spool_free(hato__spool *sp, hato__spool_ref *ref);

uint64_t hato__spool_used(hato__spool *sp);  /* bytes on disk */
uint64_t hato__spool_limit(hato__spool *sp); /* bytes */
/* Whether n more bytes would fit within the limit. */
bool hato__spool_has_room(hato__spool *sp, uint64_t n);

#endif
