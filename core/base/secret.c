#include "base/secret.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t whole_pages(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return n > SIZE_MAX - page ? 0 : (n + page - 1) / page * page;
}

void *hato__secret_alloc(size_t n) {
  size_t size = whole_pages(n ? n : 1);
  void *p = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
  if (p == MAP_FAILED) return NULL;
  /* Each as far as the kernel and the limits let us. */
  (void)madvise(p, size, MADV_DONTDUMP);
  (void)madvise(p, size, MADV_WIPEONFORK);
  (void)mlock(p, size);
  return p;
}

void hato__secret_free(void *p, size_t n) {
  if (!p) return;
  explicit_bzero(p, n);
  munmap(p, whole_pages(n ? n : 1));
}
