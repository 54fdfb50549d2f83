/* After fork: a page that the kernel wipes in the child tells every handle that it is in
 * the wrong process, for the price of a load and with no global state. */
#include "client/internal.h"

#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

uint32_t *client_fork_page(void) {
  uint32_t *page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return NULL;
  if (madvise(page, page_size(), MADV_WIPEONFORK) != 0) {
    munmap(page, page_size());
    return NULL;
  }
  *page = 1;
  return page;
}

void client_fork_page_free(uint32_t *page) {
  if (page) munmap(page, page_size());
}
