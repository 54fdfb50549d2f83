/* Waiting: a futex in the handle itself, so that a result wakes who waits for it and nobody
 * else. Waiting for any of many leaves a note at each. */
#include "client/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t client_wait_until(int timeout_ms) {
  return timeout_ms < 0 ? UINT64_MAX : hato__now() + (uint64_t)timeout_ms * HATO__MS;
}

bool client_word_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t until) {
  struct timespec ts = {.tv_sec = (time_t)(until / HATO__SEC), .tv_nsec = (long)(until % HATO__SEC)};
  if (until != UINT64_MAX && hato__now() >= until) return false;
  /* WAIT_BITSET takes an absolute time on the monotonic clock. */
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, seen, until == UINT64_MAX ? NULL : &ts, NULL,
          FUTEX_BITSET_MATCH_ANY);
  return true;
}

void client_word_wake(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

static hato_status future_await(hato_future *f, uint64_t until) {
  uint32_t word = atomic_load_explicit(&f->word, memory_order_acquire);
  while (!(word & WORD_RESOLVED)) {
    if (!(word & WORD_WAITERS)) {
      word = atomic_fetch_or_explicit(&f->word, WORD_WAITERS, memory_order_acq_rel) | WORD_WAITERS;
      continue;
    }
    if (!client_word_wait(&f->word, word, until)) {
      word = atomic_load_explicit(&f->word, memory_order_acquire);
      return word & WORD_RESOLVED ? HATO_OK : HATO_TIMED_OUT;
    }
    word = atomic_load_explicit(&f->word, memory_order_acquire);
  }
  return HATO_OK;
}

hato_status hato_future_wait(hato_future *f, int timeout_ms) {
  if (!f) return HATO_INVALID;
  if (forked(f->pool)) return HATO_STATE;
  return future_await(f, client_wait_until(timeout_ms));
}

hato_status hato_wait_all(hato_future *const *futures, size_t count, int timeout_ms) {
  if (!futures && count > 0) return HATO_INVALID;
  uint64_t until = client_wait_until(timeout_ms);
  for (size_t i = 0; i < count; i++) {
    if (!futures[i]) return HATO_INVALID;
    if (forked(futures[i]->pool)) return HATO_STATE;
    hato_status st = future_await(futures[i], until);
    if (st) return st;
  }
  return HATO_OK;
}

/* ---- any of many ---- */

struct watch { /* one for each future of a wait */
  watch *next;
  size_t index;
  struct race *race;
};
struct race {
  _Atomic uint32_t over;
  _Atomic size_t first;
};

static void race_won(struct race *r, size_t index) {
  uint32_t no = 0;
  atomic_store_explicit(&r->first, index, memory_order_relaxed);
  if (atomic_compare_exchange_strong(&r->over, &no, 1)) client_word_wake(&r->over);
}

void client_watch_fire(hato_future *f) {
  pthread_mutex_lock(&f->pool->watch_lock);
  for (const watch *w = f->watchers; w; w = w->next) race_won(w->race, w->index);
  pthread_mutex_unlock(&f->pool->watch_lock);
}

static bool watch_add(hato_future *f, watch *w) {
  pthread_mutex_lock(&f->pool->watch_lock);
  w->next = f->watchers;
  f->watchers = w;
  pthread_mutex_unlock(&f->pool->watch_lock);
  return atomic_fetch_or_explicit(&f->word, WORD_WATCHED, memory_order_acq_rel) & WORD_RESOLVED;
}

static void watch_remove(hato_future *f, const watch *w) {
  pthread_mutex_lock(&f->pool->watch_lock);
  for (watch **at = &f->watchers; *at; at = &(*at)->next) {
    if (*at != w) continue;
    *at = w->next;
    break;
  }
  pthread_mutex_unlock(&f->pool->watch_lock);
}

hato_status hato_wait_any(hato_future *const *futures, size_t count, int timeout_ms, size_t *first) {
  if (!futures || count == 0 || !first) return HATO_INVALID;
  *first = 0;
  for (size_t i = 0; i < count; i++) {
    if (!futures[i]) return HATO_INVALID;
    if (forked(futures[i]->pool)) return HATO_STATE;
    if (!(atomic_load_explicit(&futures[i]->word, memory_order_acquire) & WORD_RESOLVED)) continue;
    *first = i;
    return HATO_OK;
  }
  uint64_t until = client_wait_until(timeout_ms);
  struct race race = {0};
  watch *w = calloc(count, sizeof *w);
  if (!w) return HATO_NO_MEMORY;
  size_t n = 0;
  while (n < count) {
    w[n] = (watch){.index = n, .race = &race};
    bool won = watch_add(futures[n], &w[n]);
    if (won) race_won(&race, n);
    n++;
    if (won) break;
  }
  hato_status st = HATO_OK;
  while (!atomic_load_explicit(&race.over, memory_order_acquire)) {
    if (client_word_wait(&race.over, 0, until)) continue;
    if (!atomic_load_explicit(&race.over, memory_order_acquire)) st = HATO_TIMED_OUT;
    break;
  }
  for (size_t i = 0; i < n; i++) watch_remove(futures[i], &w[i]);
  *first = atomic_load_explicit(&race.first, memory_order_relaxed);
  free(w);
  return st;
}
