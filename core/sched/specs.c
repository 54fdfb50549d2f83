/* What is known of specifications: how long their tasks take. */
#include "sched/internal.h"

/* The weight of a new duration ends at 1/32: soon enough for a change, and one
 * hiccup of the machine among microsecond tasks is forgotten after some dozens. */
enum { SAMPLES_MAX = 32, IDLE_MAX = 1024 };

static void forget(sched *s, s_spec *p) {
  sched__map_del(&s->specs, p->number);
  sched__pool_put(&s->spec_pool, p);
}

s_spec *sched__spec_get(sched *s, uint32_t number) {
  s_spec *p = sched__map_get(&s->specs, number);
  if (!p) {
    p = sched__pool_get(&s->spec_pool);
    if (!p) return NULL;
    *p = (s_spec){.number = number};
    hato__list_init(&p->idle);
    if (!sched__map_set(&s->specs, number, p)) {
      sched__pool_put(&s->spec_pool, p);
      return NULL;
    }
  }
  if (p->refs++ == 0 && hato__linked(&p->idle)) {
    hato__list_remove(&p->idle);
    s->idle_specs_n--;
  }
  return p;
}

void sched__spec_put(sched *s, s_spec *p) {
  if (--p->refs > 0) return;
  hato__list_push(&s->idle_specs, &p->idle);
  if (++s->idle_specs_n <= IDLE_MAX) return;
  forget(s, HATO__ENTRY(hato__list_pop(&s->idle_specs), s_spec, idle));
  s->idle_specs_n--;
}

void sched__spec_learn(s_spec *p, uint64_t duration_ns) {
  if (p->samples < SAMPLES_MAX) p->samples++;
  if (duration_ns > INT64_MAX / 2) duration_ns = INT64_MAX / 2;
  int64_t off = (int64_t)duration_ns - (int64_t)p->mean_ns;
  p->mean_ns = (uint64_t)((int64_t)p->mean_ns + off / (int64_t)p->samples);
}
