/* Bytes shared by reference. */
#include "net/internal.h"

net_data *net_data_new(size_t n, uint8_t **bytes) {
  *bytes = NULL;
  net_data *d = malloc(sizeof *d + n);
  if (d == NULL) return NULL;
  uint8_t *at = (uint8_t *)(d + 1);
  *d = (net_data){.n = n, .bytes = at};
  atomic_init(&d->refs, 1);
  *bytes = at;
  return d;
}

net_data *net_data_wrap(const void *bytes, size_t n, void (*release)(void *arg), void *arg) {
  net_data *d = malloc(sizeof *d);
  if (d == NULL) return NULL;
  *d = (net_data){.n = n, .bytes = bytes, .release = release, .arg = arg};
  atomic_init(&d->refs, 1);
  return d;
}

net_data *net_data_ref(net_data *d) {
  if (d != NULL) atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
  return d;
}

void net_data_unref(net_data *d) {
  if (d == NULL) return;
  if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1) return;
  if (d->release != NULL) d->release(d->arg);
  free(d);
}
