/* Handing tasks out: which slot, how many at once. */
#include "daemon/state.h"
#include <math.h>

void daemon_learn(daemon_spec *spec, uint64_t wall_ns) {
  double x = (double)wall_ns;
  uint64_t among = spec->samples < DAEMON_LONG_MEMORY ? spec->samples + 1 : DAEMON_LONG_MEMORY;
  uint64_t from = spec->kind == PROTO_COMMAND ? DAEMON_LONG_COMMAND_NS : DAEMON_LONG_NS;
  spec->long_share += ((wall_ns >= from ? 1 : 0) - spec->long_share) / (double)among;
  if (spec->samples++ == 0) {
    spec->mean = x;
    spec->deviation = x / 2;
    return;
  }
  double off = x - spec->mean;
  spec->mean += off / 8;
  spec->deviation += ((off < 0 ? -off : off) - spec->deviation) / 4;
}

/* How many tasks fill a batch, sure of it: by the mean and twice the deviation, as
 * a timer of retransmission is set, and at first no more than were ever seen. Tasks
 * of very unequal length go one by one. */
uint32_t daemon_batch(const daemon_spec *spec) {
  if (spec->samples == 0 || spec->one_by_one || spec->long_share > DAEMON_LONG_SHARE) return 1;
  double each = spec->mean + 2 * spec->deviation + 1;
  double n = ceil((spec->kind == PROTO_COMMAND ? DAEMON_COMMANDS_NS : DAEMON_BATCH_NS) / each);
  if (n < 2 && each < DAEMON_PAIR_NS) n = 2;
  uint32_t most = spec->kind == PROTO_COMMAND ? DAEMON_BATCH_COMMANDS : DAEMON_BATCH_MAX;
  if (most > spec->samples) most = (uint32_t)spec->samples;
  return n < most ? (uint32_t)n : most;
}

void daemon_slot_ready(daemon_state *d, daemon_slot *s) {
  if (s->outstanding > s->ahead || (s->ended && s->pid != 0)) return;
  hato__list_remove(&s->idle);
  hato__list_push_front(s->outstanding == 0 ? &d->idle : &d->hungry, &s->idle);
}

static void send_spec(daemon_slot *s, daemon_spec *spec) {
  uint64_t bit = UINT64_C(1) << (s->index % 64);
  if (spec->known[s->index / 64] & bit) return;
  spec->known[s->index / 64] |= bit;
  proto_spec_send(&s->staged, spec->local, spec->bytes.data, (uint32_t)spec->bytes.len);
}

void daemon_stage(daemon_state *d, daemon_slot *s, const daemon_tasks *t) {
  send_spec(s, t->spec);
  proto_assign_encode(&s->staged, &t->a, t->from);
  if (s->staged.failed) daemon_no_memory(d);
  s->need = true;
  d->wake = true;
  if (!hato__linked(&s->needs)) hato__list_push(&d->needs, &s->needs);
}

/* The next tasks of the queue, at most n, to a slot. */
static bool hand(daemon_state *d, daemon_slot *s, daemon_tasks *t, uint32_t n) {
  if (t->a.count > n) {
    t = daemon_tasks_cut(d, t, n);
    if (!t) return false;
  } else {
    n = t->a.count;
    hato__list_remove(&t->link);
  }
  d->queued -= n;
  d->outstanding += n;
  s->outstanding += n;
  hato__list_push(&s->runs, &t->link);
  daemon_started(d, t->a.first, n, t->a.attempt);
  daemon_stage(d, s, t);
  if (s->runs.next == &t->link && s->n_interrupts > 0) daemon_slot_head(d, s);
  return true;
}

/* A batch for one slot: tasks of one specification, no more than the slot's even
 * part of the queue, so that no other sits idle. */
static bool fill_slot(daemon_state *d, daemon_slot *s) {
  daemon_spec *spec = HATO__ENTRY(d->queue.next, daemon_tasks, link)->spec;
  uint32_t batch = daemon_batch(spec), n = batch;
  uint64_t even = (d->queued + d->n_slots - 1) / d->n_slots;
  if (n > even) n = (uint32_t)even;
  s->ahead = batch / 2;
  while (n > 0 && !hato__list_empty(&d->queue)) {
    daemon_tasks *t = HATO__ENTRY(d->queue.next, daemon_tasks, link);
    uint32_t count = t->a.count < n ? t->a.count : n;
    if (t->spec != spec || (t->a.large && s->outstanding > 0)) break;
    if (!hand(d, s, t, n)) return false;
    n -= count;
  }
  return true;
}

void daemon_hand_out(daemon_state *d) {
  while (!hato__list_empty(&d->queue) && !d->ended) {
    hato__link *l = hato__list_pop(&d->idle);
    if (!l) {
      /* An argument in pieces is asked for when its task begins: it goes to an idle slot only. */
      if (HATO__ENTRY(d->queue.next, daemon_tasks, link)->a.large) return;
      l = hato__list_pop(&d->hungry);
    }
    if (!l) return;
    daemon_slot *s = HATO__ENTRY(l, daemon_slot, idle);
    if (s->pid == 0 && !daemon_slot_start(d, s)) return;
    if (!fill_slot(d, s)) return;
    daemon_slot_ready(d, s);
  }
}
