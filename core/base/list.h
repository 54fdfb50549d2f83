/* An intrusive doubly linked list. A node is in at most one list. */
#ifndef HATO_BASE_LIST_H
#define HATO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct hato__link {
  struct hato__link *prev, *next;
} hato__link;

#define HATO__ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void hato__list_init(hato__link *head) { head->prev = head->next = head; }
static inline bool hato__list_empty(const hato__link *head) { return head->next == head; }
static inline void hato__list_push(hato__link *head, hato__link *n) { /* at the end */
  n->prev = head->prev;
  n->next = head;
  head->prev->next = n;
  head->prev = n;
}
static inline void hato__list_push_front(hato__link *head, hato__link *n) {
  n->next = head->next;
  n->prev = head;
  head->next->prev = n;
  head->next = n;
}
/* Safe on a node that was initialised and is in no list. */
static inline void hato__list_remove(hato__link *n) {
  n->prev->next = n->next;
  n->next->prev = n->prev;
  n->prev = n->next = n;
}
static inline hato__link *hato__list_pop(hato__link *head) { /* the first, or NULL */
  hato__link *n = head->next;
  if (n == head) return NULL;
  hato__list_remove(n);
  return n;
}
static inline bool hato__linked(const hato__link *n) { return n->next != n && n->next != NULL; }

#endif
