/* Results as they are kept: the records that came, copied into slabs one after the other, so
 * that a task costs eight bytes and its record. */
#include "client/internal.h"

#include <string.h>

#define SLAB (64u * 1024u) /* and aligned to it, by which a record finds its slab */
#define IN_SLAB_MAX (8u * 1024u)
#define BIAS (1u << 30) /* references that the receiver holds of its current slab */

struct slab {
  atomic_uint refs;
  uint32_t used, given;
  uint8_t bytes[];
};

enum { IS_RECORD, IS_OWN, IS_ERROR };

static void slab_unref(slab *s, unsigned n) {
  if (atomic_fetch_sub_explicit(&s->refs, n, memory_order_acq_rel) == n) free(s);
}

void client_slab_close(hato_pool *p) {
  if (p->slab) slab_unref(p->slab, BIAS - p->slab->given);
  p->slab = NULL;
}

static uint8_t *slab_room(hato_pool *p, uint32_t n) {
  n = (n + 7u) & ~7u;
  slab *s = p->slab;
  if (!s || SLAB - sizeof *s - s->used < n) {
    client_slab_close(p);
    s = aligned_alloc(SLAB, SLAB);
    if (!s) return NULL;
    atomic_init(&s->refs, BIAS);
    s->used = s->given = 0;
    p->slab = s;
  }
  uint8_t *at = s->bytes + s->used;
  s->used += n;
  s->given++;
  return at;
}

cell client_result_keep(hato_pool *p, const proto_result *r) {
  if (r->raw_len > IN_SLAB_MAX) {
    own *o = client_own_record(r);
    return o ? result_own(o) : 0;
  }
  uint8_t *at = slab_room(p, r->raw_len + 1);
  if (!at) return 0;
  memcpy(at, r->raw, r->raw_len);
  at[r->raw_len] = 0; /* words stand last in a record */
  return (cell)at;
}

cell client_result_error(int error, int words, uint32_t attempt) {
  return (cell)attempt << 32 | (cell)(uint16_t)error << 16 | (cell)(unsigned)words << 2 | IS_ERROR;
}

own *client_own_error(int error, const char *words, size_t len, unsigned refs) {
  own *o = calloc(1, sizeof *o);
  if (!o) return NULL;
  atomic_init(&o->refs, refs);
  o->error = error;
  o->words = hato__strndup(words ? words : "", words ? len : 0);
  if (o->words) return o;
  free(o);
  return NULL;
}

own *client_own_record(const proto_result *r) {
  own *o = calloc(1, sizeof *o);
  if (!o) return NULL;
  atomic_init(&o->refs, 1);
  o->record = malloc(r->raw_len + 1);
  if (!o->record) {
    free(o);
    return NULL;
  }
  memcpy(o->record, r->raw, r->raw_len);
  o->record[r->raw_len] = 0;
  o->len = r->raw_len;
  return o;
}

void client_own_unref(own *o) {
  if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1) return;
  hato__blob_destroy(o->blob[0]);
  hato__blob_destroy(o->blob[1]);
  free(o->words);
  free(o->record);
  free(o);
}

void client_result_free(cell c) {
  if (c == 0) return;
  switch (c & 3u) {
    case IS_RECORD: slab_unref((slab *)(c & ~(cell)(SLAB - 1)), 1); break;
    case IS_OWN: client_own_unref((own *)(c & ~(cell)3)); break;
    default: break;
  }
}

/* ---- looking at them ---- */

static const char *const known_words[WORDS_LIST] = {
    [WORDS_NONE] = "",
    [WORDS_GONE] = "the dispatcher is gone",
    [WORDS_CLOSED] = "the pool was closed",
    [WORDS_MEMORY] = "no memory for the result",
    [WORDS_REPEAT] = "it was to be tried again, but its standard input has been read and cannot be repeated",
};

static void view_record(const uint8_t *record, uint32_t len, hato_result *r) {
  proto_result m;
  if (proto_result_decode(&m, record, len, NULL) != HATO_OK) { /* it was checked when it came */
    r->error = HATO_INTERNAL;
    return;
  }
  r->error = m.error;
  r->words = m.words_len ? m.words : "";
  r->wait_status = (int)m.wait_status;
  r->out = m.out;
  r->out_size = m.out_len;
  r->err = m.err;
  r->err_size = m.err_len;
  r->wall_s = (double)m.wall_ns / 1e9;
  r->user_s = (double)m.user_us / 1e6;
  r->system_s = (double)m.system_us / 1e6;
  r->peak_kib = m.peak_kib;
  r->task = m.task;
  r->attempt = m.attempt;
}

static void view_blob(own *o, int i, const void **at, size_t *size) {
  hato_error err;
  if (!o->blob[i]) return;
  const uint8_t *bytes = hato__blob_data(o->blob[i], &err);
  if (!bytes) return;
  *at = bytes + o->skip[i];
  *size = (size_t)hato__blob_size(o->blob[i]) - o->skip[i];
}

static void view_own(own *o, hato_result *r) {
  if (o->record) {
    view_record(o->record, o->len, r);
    view_blob(o, 0, &r->out, &r->out_size);
    view_blob(o, 1, &r->err, &r->err_size);
  }
  if (o->error) {
    r->error = o->error;
    if (o->words && *o->words) r->words = o->words;
  }
}

void client_result_view(cell c, hato_result *r) {
  *r = (hato_result){.words = "", .out = "", .err = ""};
  switch (c & 3u) {
    case IS_RECORD: {
      const uint8_t *record = (const uint8_t *)c;
      hato__reader size = hato__reader_of(record, 4);
      view_record(record, hato__read_u32(&size) + 4, r);
      break;
    }
    case IS_OWN: view_own((own *)(c & ~(cell)3), r); break;
    default:
      r->error = (int)(c >> 16 & 0xffff);
      r->words = known_words[c >> 2 & 0xff];
      r->attempt = (uint32_t)(c >> 32);
  }
}
