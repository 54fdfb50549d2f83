/* A tree of pages by place, 256 to a page. Where tasks in a row have nothing of their own (none is resolved yet, they
 * were cancelled together) one word stands for all of them, so that an array of billions costs what became of it. */
#include "dispatcher/briefs.h"

#include <stdlib.h>

#define BITS 8u
#define FAN (1u << BITS)

/* A word in the tree: 0, not resolved; odd, what all below it have in common; else the address of a page, which has
 * briefs at height 1 and words above. */
static bool is_page(uintptr_t w) { return w != 0 && (w & 1) == 0; }
static brief *briefs_of(uintptr_t page) { return (brief *)page; }
static uintptr_t *words_of(uintptr_t page) { return (uintptr_t *)page; }

static uintptr_t pack(const brief *b) {
  return 1u | (uintptr_t)b->resolved << 1 | (uintptr_t)b->collected << 2 | (uintptr_t)b->forgotten << 3 |
         (uintptr_t)b->error << 4;
}

static brief unpack(uintptr_t w) {
  return (brief){.resolved = w & 2, .collected = w & 4, .forgotten = w & 8, .error = (uint16_t)(w >> 4)};
}

static uint64_t last_below(unsigned height) { return (UINT64_C(1) << BITS * height) - 1; }

/* A submission of a few tasks has a page of so many. */
static size_t page_size(const briefs *b) { return b->count < FAN ? (size_t)b->count : FAN; }

void dispatcher_briefs_init(briefs *b, uint64_t count) {
  *b = (briefs){.count = count, .height = 1};
  while (count - 1 > last_below(b->height)) b->height++;
}

static void free_below(const briefs *b, uintptr_t w, unsigned height) {
  if (!is_page(w)) return;
  for (size_t i = 0; height > 1 && i < FAN; i++) free_below(b, words_of(w)[i], height - 1);
  free((void *)w);
}

void dispatcher_briefs_free(briefs *b) {
  free_below(b, b->root, b->height);
  b->root = 0;
}

brief dispatcher_briefs_at(const briefs *b, uint64_t place, uint64_t *alike) {
  uintptr_t w = b->root;
  unsigned height = b->height;
  for (; is_page(w); height--) {
    uint64_t at = place >> BITS * (height - 1) & (FAN - 1);
    if (height == 1) {
      *alike = 1;
      return briefs_of(w)[at];
    }
    w = words_of(w)[at];
  }
  *alike = last_below(height) - (place & last_below(height)) + 1;
  return unpack(w);
}

/* A page in the place of a word that is none. */
static bool split(const briefs *b, uintptr_t *w, unsigned height) {
  size_t n = height > 1 ? FAN : page_size(b);
  void *page = calloc(n, height > 1 ? sizeof(uintptr_t) : sizeof(brief));
  if (!page) return false;
  for (size_t i = 0; *w && i < n; i++) {
    if (height > 1) {
      ((uintptr_t *)page)[i] = *w;
    } else {
      ((brief *)page)[i] = unpack(*w);
    }
  }
  *w = (uintptr_t)page;
  return true;
}

brief *dispatcher_briefs_own(briefs *b, uint64_t place) {
  uintptr_t *w = &b->root;
  for (unsigned height = b->height;; height--) {
    uint64_t at = place >> BITS * (height - 1) & (FAN - 1);
    if (!is_page(*w) && !split(b, w, height)) return NULL;
    if (height == 1) return &briefs_of(*w)[at];
    w = &words_of(*w)[at];
  }
}

/* Places first to last below one word. Pages that are there stay: others know where a brief is. */
static bool fill(const briefs *b, uintptr_t *w, unsigned height, uint64_t first, uint64_t last, uintptr_t like) {
  if (!is_page(*w)) {
    if (first == 0 && last == last_below(height)) {
      *w = like;
      return true;
    }
    if (!split(b, w, height)) return false;
  }
  unsigned shift = BITS * (height - 1);
  uint64_t below = last_below(height - 1), from = first >> shift, to = last >> shift;
  for (uint64_t at = from; at <= to; at++) {
    if (height > 1) {
      if (!fill(b, &words_of(*w)[at], height - 1, at == from ? first & below : 0, at == to ? last & below : below, like))
        return false;
    } else if (at < page_size(b)) {
      briefs_of(*w)[at] = unpack(like);
    }
  }
  return true;
}

bool dispatcher_briefs_fill(briefs *b, uint64_t first, uint64_t last, const brief *like) {
  if (last == b->count - 1) last = last_below(b->height); /* beyond them there is nothing */
  return fill(b, &b->root, b->height, first, last, pack(like));
}
