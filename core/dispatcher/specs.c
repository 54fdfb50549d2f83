/* Specifications and the shared objects some of them name. A specification lives
 * while its client holds it or a task needs it; daemons are sent it when they first need it
 * and told when it is dropped. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- small sets ---- */

static bool set_add(pointers *s, void *p) {
  if (s->n == s->cap) {
    uint32_t more = s->cap ? s->cap * 2 : 2;
    void **at = realloc(s->at, more * sizeof *at);
    if (!at) return false;
    s->at = at;
    s->cap = more;
  }
  s->at[s->n++] = p;
  return true;
}

static void set_remove(pointers *s, const void *p) {
  for (uint32_t i = 0; i < s->n; i++) {
    if (s->at[i] != p) continue;
    s->at[i] = s->at[--s->n];
    return;
  }
}

static bool set_has(const pointers *s, const void *p) {
  for (uint32_t i = s->n; i > 0; i--)
    if (s->at[i - 1] == p) return true;
  return false;
}

static void set_free(pointers *s) {
  free(s->at);
  *s = (pointers){0};
}

/* ---- objects ---- */

#define OBJECT_BEGIN 65536u /* bytes */

static object *object_find(dispatcher *d, const uint8_t hash[32]) {
  object *o = NULL;
  HASH_FIND(hh, d->objects, hash, 32, o);
  return o;
}

void dispatcher_object_unref(dispatcher *d, object *o) {
  if (!o || --o->refs > 0) return;
  HASH_DEL(d->objects, o);
  free(o->bytes);
  free(o);
}

static hato_status object_new(client *c, const proto_object *part, object **out, hato_error *err) {
  if (part->offset != 0) return hato__fail(err, HATO_PROTOCOL, "OBJECT: its first part is missing");
  if (part->total > PROTO_OBJECT_MAX)
    return hato__fail(err, HATO_PROTOCOL, "OBJECT: %llu bytes, at most %llu are taken",
                      (unsigned long long)part->total, (unsigned long long)PROTO_OBJECT_MAX);
  object *o = calloc(1, sizeof *o);
  if (!o) return hato__fail(err, HATO_NO_MEMORY, "no memory for a shared object");
  memcpy(o->hash, part->hash, 32);
  o->total = part->total;
  HASH_ADD(hh, c->peer.d->objects, hash, 32, o);
  *out = o;
  return HATO_OK;
}

/* As it comes: what a peer only says that it will send costs nothing. */
static bool object_room(object *o, uint64_t end) {
  uint64_t cap = o->cap > 0 ? o->cap : OBJECT_BEGIN;
  if (end <= o->cap) return true;
  while (cap < end) cap *= 2;
  if (cap > o->total) cap = o->total;
  uint8_t *bytes = realloc(o->bytes, cap);
  if (!bytes) return false;
  o->bytes = bytes;
  o->cap = cap;
  return true;
}

hato_status dispatcher_objects_part(client *c, const proto_object *part, hato_error *err) {
  object *o = object_find(c->peer.d, part->hash);
  hato_status st = o ? HATO_OK : object_new(c, part, &o, err);
  if (st) return st;
  if (!set_has(&c->objects, o)) {
    if (!set_add(&c->objects, o)) return hato__fail(err, HATO_NO_MEMORY, "no memory for a shared object");
    o->refs++;
  }
  if (o->got == o->total) return HATO_OK; /* another client sent it */
  if (part->total != o->total) return hato__fail(err, HATO_PROTOCOL, "OBJECT: two totals for one hash");
  if (part->offset > o->total || part->len > o->total - part->offset)
    return hato__fail(err, HATO_PROTOCOL, "OBJECT: more than its total");
  if (part->offset > o->got) return hato__fail(err, HATO_PROTOCOL, "OBJECT: a part is missing");
  /* Several may send the same content at once: whoever is ahead brings it on. */
  uint64_t end = part->offset + part->len, skip = o->got - part->offset;
  if (end <= o->got) return HATO_OK;
  if (!object_room(o, end)) return hato__fail(err, HATO_NO_MEMORY, "no memory for a shared object");
  memcpy(o->bytes + o->got, part->data + skip, end - o->got);
  o->got = end;
  return HATO_OK;
}

/* ---- specifications ---- */

static void title_of(spec *s, const proto_spec *p) {
  enum { TITLE_MAX = 200 };
  hato__buf b = {0};
  if (p->kind == PROTO_FUNCTION) {
    hato__buf_printf(&b, "%s:%s", p->object_path ? p->object_path : "object", p->symbol);
  } else if ((p->flags & PROTO_SPEC_SHELL) && p->argv[1] && p->argv[2]) {
    hato__buf_append(&b, p->argv[2], strlen(p->argv[2]));
  } else {
    for (char **w = p->argv; *w && b.len < TITLE_MAX; w++) {
      if (b.len) hato__buf_u8(&b, ' ');
      hato__sh_quote(&b, *w, strlen(*w));
    }
  }
  if (b.len > TITLE_MAX) {
    b.len = TITLE_MAX;
    while (b.len > 0 && (b.data[b.len - 1] & 0xc0) == 0x80) b.len--; /* not inside a character */
    if (b.len > 0 && b.data[b.len - 1] >= 0xc0) b.len--;
    hato__buf_append(&b, "…", strlen("…"));
  }
  s->title = hato__buf_text(&b);
}

static hato_status spec_make(dispatcher *d, const uint8_t *bytes, uint32_t len, spec **out, hato_error *err) {
  proto_spec p = {0};
  hato_status st = proto_spec_decode(&p, bytes, len, err);
  if (st) {
    proto_spec_free(&p);
    return st;
  }
  object *o = p.has_hash ? object_find(d, p.hash) : NULL;
  if (p.has_hash && (!o || o->got < o->total)) {
    proto_spec_free(&p);
    return hato__fail(err, HATO_PROTOCOL, "SPEC names a shared object whose content was not sent before it");
  }
  spec *s = calloc(1, sizeof *s);
  if (s) s->bytes = malloc(len ? len : 1);
  if (!s || !s->bytes) {
    free(s);
    proto_spec_free(&p);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a specification");
  }
  memcpy(s->bytes, bytes, len);
  s->len = len;
  s->refs = 1;
  s->number = ++d->next_spec;
  s->limit_ns = p.limit_ns;
  title_of(s, &p);
  if (o) o->refs++;
  s->object = o;
  proto_spec_free(&p);
  *out = s;
  return HATO_OK;
}

static struct client_spec *entry_find(client *c, uint32_t number) {
  struct client_spec *e = NULL;
  HASH_FIND(hh, c->specs, &number, sizeof number, e);
  return e;
}

static void entry_free(client *c, struct client_spec *e) {
  HASH_DEL(c->specs, e);
  if (e->spec) dispatcher_spec_unref(c->peer.d, e->spec);
  free(e->partial);
  free(e);
}

hato_status dispatcher_specs_part(client *c, const proto_part *part, hato_error *err) {
  struct client_spec *e = entry_find(c, part->number);
  if (e && e->spec) return hato__fail(err, HATO_PROTOCOL, "SPEC %u was sent before", part->number);
  if (!e) {
    e = calloc(1, sizeof *e);
    if (e) e->partial = malloc(part->total ? part->total : 1);
    if (!e || !e->partial) {
      free(e);
      return hato__fail(err, HATO_NO_MEMORY, "no memory for a specification");
    }
    e->number = part->number;
    e->total = part->total;
    HASH_ADD(hh, c->specs, number, sizeof e->number, e);
  }
  if (part->total != e->total || part->offset != e->got || part->len > e->total - e->got) {
    uint32_t got = e->got;
    entry_free(c, e);
    return hato__fail(err, HATO_PROTOCOL, "SPEC %u: offset %u, where %u was to come", part->number,
                      part->offset, got);
  }
  if (part->len) memcpy(e->partial + e->got, part->data, part->len);
  e->got += part->len;
  if (e->got < e->total) return HATO_OK;
  hato_status st = spec_make(c->peer.d, e->partial, e->total, &e->spec, err);
  free(e->partial);
  e->partial = NULL;
  if (st) entry_free(c, e);
  return st;
}

spec *dispatcher_specs_find(client *c, uint32_t number) {
  struct client_spec *e = entry_find(c, number);
  return e ? e->spec : NULL;
}

void dispatcher_specs_drop(client *c, uint32_t number) {
  struct client_spec *e = entry_find(c, number);
  if (e) entry_free(c, e);
}

void dispatcher_specs_client_gone(client *c) {
  struct client_spec *e, *next;
  HASH_ITER(hh, c->specs, e, next) entry_free(c, e);
  for (uint32_t i = 0; i < c->objects.n; i++) dispatcher_object_unref(c->peer.d, c->objects.at[i]);
  set_free(&c->objects);
}

/* ---- who has it ---- */

static void ensure_object(worker *w, object *o) {
  for (size_t i = 0; i < w->hashes.len; i += 32)
    if (memcmp(w->hashes.data + i, o->hash, 32) == 0) return;
  hato__buf_append(&w->hashes, o->hash, 32);
  dispatcher_outbox_object(&w->peer, o);
}

void dispatcher_specs_ensure(worker *w, spec *s) {
  if (set_has(&w->specs, s)) return;
  if (!set_add(&w->specs, s)) return;
  if (!set_add(&s->known, w)) {
    set_remove(&w->specs, s);
    return;
  }
  if (s->object) ensure_object(w, s->object);
  dispatcher_outbox_spec(&w->peer, s);
}

void dispatcher_specs_worker_gone(worker *w) {
  for (uint32_t i = 0; i < w->specs.n; i++) set_remove(&((spec *)w->specs.at[i])->known, w);
  set_free(&w->specs);
  hato__buf_free(&w->hashes);
}

void dispatcher_spec_unref(dispatcher *d, spec *s) {
  if (--s->refs > 0) return;
  for (uint32_t i = 0; i < s->known.n; i++) {
    worker *w = s->known.at[i];
    set_remove(&w->specs, s);
    if (w->peer.closed) continue;
    size_t begun;
    hato__buf *b = dispatcher_outbox_bytes(&w->peer, &begun);
    proto_spec_drop_encode(b, s->number);
    dispatcher_outbox_done(&w->peer, begun);
  }
  dispatcher_object_unref(d, s->object);
  set_free(&s->known);
  free(s->title);
  free(s->bytes);
  free(s);
}
