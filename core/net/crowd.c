/*
 * Who waits to be admitted: how many there may be, and who makes room for the next.
 *
 * Whoever comes is accepted at once, so that a peer of ours is never behind a flood in the
 * kernel's queue, which is short. Room for it is made by who has had its time: a peer of ours
 * says HELLO, or begins TLS, as soon as it is connected, and goes on a round trip later. Those
 * who have said HELLO and those who have not have half of the places each, and give way to their
 * own: strangers that keep silent, or stammer, never cost one of ours its place, and strangers who
 * know the protocol cost those their places only who are as new as they are. Of those who have not
 * said it, the silent go before who is in TLS's handshake. All give way the oldest first, and none
 * before a moment has passed: a flood then waits in the kernel, and how fast it is served, and what
 * that costs, has a limit too.
 */
#include "base/clock.h"
#include "net/listener.h"
#include "net/tls.h"

#include <sys/resource.h>

/* Descriptors are for those who are admitted: strangers have a quarter of them at most. */
static unsigned most_waiting(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur / 4 >= NET_UNADMITTED_MAX) return NET_UNADMITTED_MAX;
  return r.rlim_cur < 64 ? 16 : (unsigned)(r.rlim_cur / 4);
}

void net__crowd_init(net_listener *l) {
  for (int i = 0; i < NET_STAGES; i++) hato__list_init(&l->staying[i]);
  hato__list_init(&l->leaving);
  l->most = most_waiting();
}

/* Out of the list of those who may stay. */
static void take_out(net_listener *l, net__place *p) {
  hato__list_remove(&p->link);
  if (!p->told) l->n_staying[p->stage]--;
}

static void enter(net_listener *l, net__place *p, net__stage stage, uint64_t now) {
  p->stage = stage;
  p->stayed = now;
  hato__list_push(&l->staying[stage], &p->link);
  l->n_staying[stage]++;
}

static void tell_to_leave(net_listener *l, net__place *p, const char *why) {
  take_out(l, p);
  p->told = true;
  hato__list_push(&l->leaving, &p->link);
  net_close(p->c, HATO_TIMED_OUT, why);
}

/* Who has been there longest, and has had its time. */
static net__place *oldest(const net_listener *l, net__stage stage, uint64_t now) {
  static const uint64_t ms[NET_STAGES] = {[NET_SILENT] = 250, [NET_HANDSHAKING] = 2000, [NET_GREETED] = 1000};
  const hato__link *list = &l->staying[stage];
  if (hato__list_empty(list)) return NULL;
  net__place *p = HATO__ENTRY(list->next, net__place, link);
  return now - p->stayed >= ms[stage] * HATO__MS ? p : NULL;
}

/* Whose silence is none: what NNG and TLS have heard of it has not come to us. */
static void sort_out(net_listener *l, uint64_t now) {
  net__place *p;
  while (l->kind == HATO__SCHEME_TLS && (p = oldest(l, NET_SILENT, now)) != NULL && net__tls_begun(p->c->stream)) {
    take_out(l, p);
    enter(l, p, NET_HANDSHAKING, now);
  }
}

static unsigned staying(const net_listener *l) {
  unsigned n = 0;
  for (int i = 0; i < NET_STAGES; i++) n += l->n_staying[i];
  return n;
}

/* Until so many are left, or the others are too new. */
static void make_room(net_listener *l, uint64_t now, unsigned keep) {
  static const char *const words[NET_STAGES] = {
      [NET_SILENT] = "kept silent while others waited to be admitted",
      [NET_HANDSHAKING] = "did not end TLS's handshake and say HELLO while others waited to be admitted",
      [NET_GREETED] = "did not prove itself while others waited to be admitted"};
  while (staying(l) > keep) {
    bool greeted = l->n_staying[NET_GREETED] > keep / 2;
    if (!greeted) sort_out(l, now);
    net__place *p = oldest(l, greeted ? NET_GREETED : NET_SILENT, now);
    if (p == NULL && !greeted) p = oldest(l, NET_HANDSHAKING, now);
    if (p == NULL) return;
    tell_to_leave(l, p, words[p->stage]);
  }
}

/* Some places are for those who were told to leave and have not yet. */
static unsigned may_stay(const net_listener *l) { return l->most - l->most / 8; }

void net__crowd_join(net_listener *l, net__place *p, net_conn *c) {
  pthread_mutex_lock(&l->lock);
  uint64_t now = hato__now(); /* under the lock: never before a place that somebody else has taken */
  *p = (net__place){.c = c, .since = now};
  enter(l, p, NET_SILENT, now);
  l->n_waiting++;
  make_room(l, now, may_stay(l));
  pthread_mutex_unlock(&l->lock);
}

void net__crowd_greeted(net_listener *l, net__place *p) {
  pthread_mutex_lock(&l->lock);
  if (p->stage != NET_GREETED && !p->told) {
    take_out(l, p);
    enter(l, p, NET_GREETED, hato__now());
  }
  pthread_mutex_unlock(&l->lock);
}

void net__crowd_leave(net_listener *l, net__place *p) {
  take_out(l, p);
  l->n_waiting--;
}

static void expire(net_listener *l, hato__link *list, uint64_t now) {
  for (hato__link *at = list->next, *next; at != list; at = next) {
    net__place *p = HATO__ENTRY(at, net__place, link);
    next = at->next;
    if (now - p->since >= NET_ADMISSION_NS) tell_to_leave(l, p, "was not admitted in 10 seconds");
  }
}

void net__crowd_expire(net_listener *l, uint64_t now) {
  for (int i = 0; i < NET_STAGES; i++) expire(l, &l->staying[i], now);
  if (l->paused_until != 0) /* theirs are descriptors that are missing */
    make_room(l, now, l->most / 8);
  else if (l->crowded)
    make_room(l, now, may_stay(l));
}

void net__crowd_close_all(net_listener *l) {
  for (int i = 0; i < NET_STAGES; i++)
    for (hato__link *at = l->staying[i].next; at != &l->staying[i]; at = at->next)
      net_close(HATO__ENTRY(at, net__place, link)->c, HATO_CLOSED, "the listener was closed");
}
