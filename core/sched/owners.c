/* Owners: they open, pause and are lost. */
#include "sched/internal.h"

s_owner *sched__owner(const sched *s, sched_owner handle) { return sched__table_get(&s->owners, handle); }

hato_status sched_owner_open(sched *s, sched_owner *out) {
  *out = 0;
  s_owner *o = sched__pool_get(&s->owner_pool);
  if (!o) return HATO_NO_MEMORY;
  uint32_t handle = sched__table_add(&s->owners, o);
  if (!handle) {
    sched__pool_put(&s->owner_pool, o);
    return HATO_NO_MEMORY;
  }
  *o = (s_owner){.handle = handle};
  hato__list_init(&o->ring);
  hato__list_init(&o->work);
  hato__list_init(&o->queue);
  hato__list_init(&o->ranges);
  s->owners_n++;
  *out = handle;
  return HATO_OK;
}

void sched_owner_pause(sched *s, sched_owner handle, bool paused) {
  s_owner *o = sched__owner(s, handle);
  if (!o) return;
  o->paused = paused;
  sched__owner_serve(s, o);
}

void sched_owner_lost(sched *s, uint64_t now, sched_owner handle, int value) {
  sched__clock(s, now);
  s_owner *o = sched__owner(s, handle);
  if (!o || o->lost || handle == SCHED_SHARED_OWNER) return;
  o->lost = true;
  o->lost_value = value;
  o->cursor = 0;
  sched__owner_serve(s, o);
  hato__list_push(&s->lost_owners, &o->work);
}

/* false: no room for more. */
static bool resolve_ranges(sched *s, s_out *e, s_owner *o, size_t until) {
  while (!hato__list_empty(&o->ranges)) {
    if (sched__full(e) || e->n >= until) return false;
    s_range *r = HATO__ENTRY(o->ranges.next, s_range, link);
    if (o->cursor < r->first || o->cursor > sched__range_last(r)) o->cursor = r->first;
    s_seg *none = NULL; /* whole ranges go, so no seg is split */
    o->cursor = sched__cancel_at(s, e, r, o->cursor, sched__range_last(r), o->lost_value, &none);
  }
  return true;
}

/* `share`: how many actions it may add. */
bool sched__owners_step(sched *s, s_out *e, size_t share) {
  hato__link *next;
  size_t until = share < e->max - e->n ? e->n + share : e->max;
  for (hato__link *l = s->lost_owners.next; l != &s->lost_owners; l = next) {
    next = l->next;
    s_owner *o = HATO__ENTRY(l, s_owner, work);
    if (!resolve_ranges(s, e, o, until) || sched__full(e)) return true;
    sched__spend(e, 1);
    if (o->kept > 0) continue; /* their RELEASEs come first */
    sched__emit(s, e, &(sched_action){.type = SCHED_OWNER_END, .owner = o->handle});
    hato__list_remove(&o->work);
    sched__table_remove(&s->owners, o->handle);
    sched__pool_put(&s->owner_pool, o);
    s->owners_n--;
  }
  return false;
}

uint64_t sched_owner_unresolved(const sched *s, sched_owner handle) {
  const s_owner *o = sched__owner(s, handle);
  return o ? o->unresolved : 0;
}
