/* Specifications, by the dispatcher's number, and shared objects given by content. */
#include "base/error.h"
#include "base/str.h"
#include "daemon/state.h"
#include <stdio.h>
#include <stdlib.h>

daemon_spec *daemon_spec_find(daemon_state *d, uint32_t number) {
  daemon_spec *s = NULL;
  HASH_FIND(hh, d->specs, &number, sizeof number, s);
  return s;
}

static void spec_free(daemon_spec *s) {
  hato__list_remove(&s->all);
  hato__buf_free(&s->bytes);
  free(s->why);
  free(s->known);
  free(s);
}

/* Executors hear of the end with its last task, never before. */
void daemon_spec_unref(daemon_state *d, daemon_spec *s) {
  if (!s->dropped || s->runs > 0) return;
  for (unsigned i = 0; i < d->n_slots; i++)
    if (s->known[i / 64] >> (i % 64) & 1) proto_spec_drop_encode(daemon_slot_out(d, &d->slots[i]), s->local);
  spec_free(s);
}

void daemon_specs_free(daemon_state *d) {
  HASH_CLEAR(hh, d->specs);
  while (!hato__list_empty(&d->all_specs)) spec_free(HATO__ENTRY(d->all_specs.next, daemon_spec, all));
}

void daemon_specs_forget(daemon_state *d, unsigned slot) {
  for (hato__link *l = d->all_specs.next; l != &d->all_specs; l = l->next)
    HATO__ENTRY(l, daemon_spec, all)->known[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

static daemon_spec *spec_new(daemon_state *d, uint32_t number) {
  daemon_spec *s = calloc(1, sizeof *s);
  if (s) s->known = calloc((d->n_slots + 63) / 64, sizeof *s->known);
  if (!s || !s->known) {
    free(s);
    daemon_no_memory(d);
    return NULL;
  }
  s->number = number;
  s->local = ++d->last_spec;
  hato__list_push(&d->all_specs, &s->all);
  HASH_ADD(hh, d->specs, number, sizeof s->number, s);
  return s;
}

/* An object given by content: the executor is told where it lies here. */
static void place_object(daemon_state *d, daemon_spec *s, proto_spec *p) {
  char path[PATH_MAX + 80], hex[65];
  hato__hex(hex, p->hash, sizeof p->hash);
  if (!d->objects[0]) {
    s->failed = HATO_NO_SPACE;
    s->why = hato__printf("%s: no folder for shared objects: %s", d->node, d->objects_why);
  } else if (!daemon_object_path(d, p->hash, path, sizeof path)) {
    s->failed = HATO_NOT_FOUND;
    s->why = hato__printf("%s: the shared object %s (sha256 %s) was not sent to this daemon", d->node,
                          p->object_path ? p->object_path : "", hex);
  } else {
    free(p->object_path);
    p->object_path = strdup(path);
    hato__buf_clear(&s->bytes);
    proto_spec_encode(&s->bytes, p);
    if (!p->object_path || s->bytes.failed) daemon_no_memory(d);
  }
}

static hato_status complete(daemon_state *d, daemon_spec *s, hato_error *err) {
  proto_spec p;
  hato_status rc = proto_spec_decode(&p, s->bytes.data, s->bytes.len, err);
  if (rc == HATO_OK) {
    s->complete = true;
    s->kind = p.kind;
    s->one_by_one = p.limit_ns > 0;
    const char *name = p.kind == PROTO_FUNCTION ? p.symbol : p.argv[0];
    snprintf(s->name, sizeof s->name, "%s", name);
    if (p.kind == PROTO_FUNCTION && p.has_hash) place_object(d, s, &p);
  } else if (rc == HATO_NOT_SUPPORTED) { /* a later hato's: its tasks cannot run here */
    s->complete = true;
    s->failed = rc;
    s->why = hato__printf("%s: %s", d->node, err ? err->text : "");
    rc = HATO_OK;
  }
  proto_spec_free(&p);
  return rc;
}

hato_status daemon_spec_part(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_part m;
  hato_status rc = proto_spec_part_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  daemon_spec *s = daemon_spec_find(d, m.number);
  if (s && (s->complete || m.offset != s->bytes.len || m.total != s->total))
    return hato__fail(err, HATO_PROTOCOL, "SPEC: offset: specification %u at %u of %u, has %zu of %u",
                      m.number, m.offset, m.total, s->bytes.len, s->total);
  if (!s) {
    if (m.offset != 0 || m.total > PROTO_SPEC_MAX)
      return hato__fail(err, HATO_PROTOCOL, "SPEC: specification %u begins at %u of %u bytes", m.number,
                        m.offset, m.total);
    s = spec_new(d, m.number);
    if (!s) return HATO_OK;
    s->total = m.total;
  }
  hato__buf_append(&s->bytes, m.data, m.len);
  if (s->bytes.failed)
    daemon_no_memory(d);
  else if (s->bytes.len == s->total)
    return complete(d, s, err);
  return HATO_OK;
}

hato_status daemon_spec_gone(daemon_state *d, const net_frame *f, hato_error *err) {
  uint32_t number;
  hato_status rc = proto_spec_drop_decode(&number, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  daemon_spec *s = daemon_spec_find(d, number);
  if (!s) return HATO_OK;
  HASH_DEL(d->specs, s);
  s->dropped = true;
  daemon_spec_unref(d, s);
  return HATO_OK;
}
