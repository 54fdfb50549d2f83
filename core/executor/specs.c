/* Specifications the daemon sent, kept until it drops them. */
#include "base/error.h"
#include "base/str.h"
#include "executor/state.h"

#include <stdlib.h>

static void spec_destroy(executor_spec *s) {
  hato__buf_free(&s->parts);
  proto_spec_free(&s->s);
  free(s->words);
  free(s->env); /* the strings are the specification's */
  for (char **p = s->tries; p != NULL && *p != NULL; p++) free(*p);
  free(s->tries);
  free(s);
}

void executor_spec_unref(executor *x, executor_spec *s) {
  if (s == NULL || --s->refs > 0) return;
  if (x->caller.spec == s) x->caller.spec = NULL; /* another may come to lie at its address */
  spec_destroy(s);
}

static executor_spec *find(executor *x, uint32_t number) {
  executor_spec *s = NULL;
  HASH_FIND(hh, x->specs, &number, sizeof number, s);
  return s;
}

static executor_spec *add(executor *x, uint32_t number) {
  executor_spec *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->number = number;
  s->refs = 1;
  s->status = HATO_STATE;
  HASH_ADD(hh, x->specs, number, sizeof s->number, s);
  return s;
}

static void complete(executor_spec *s) {
  hato_error err;
  s->status = proto_spec_decode(&s->s, s->parts.data, s->parts.len, &err);
  if (s->status != HATO_OK) s->words = hato__printf("%s", err.text);
  hato__buf_free(&s->parts);
}

void executor_spec_part(executor *x, const proto_part *part) {
  if (part->offset == 0) executor_spec_drop(x, part->number); /* a number used again */
  executor_spec *s = find(x, part->number);
  if (s == NULL && part->offset == 0) s = add(x, part->number);
  if (s == NULL || s->status != HATO_STATE || s->parts.len != part->offset) {
    executor_stop(x, EXECUTOR_EXIT_PROTOCOL, "SPEC %u: a part at %u is out of order", part->number,
                  part->offset);
    return;
  }
  if (part->offset == 0) (void)hato__buf_reserve(&s->parts, part->total);
  hato__buf_append(&s->parts, part->data, part->len);
  if (s->parts.failed) {
    executor_stop(x, EXECUTOR_EXIT_FAILED, "out of memory for a specification of %u bytes", part->total);
  } else if (s->parts.len >= part->total) {
    complete(s);
  }
}

void executor_spec_drop(executor *x, uint32_t number) {
  executor_spec *s = find(x, number);
  if (s == NULL) return;
  HASH_DEL(x->specs, s);
  executor_spec_unref(x, s);
}

void executor_specs_free(executor *x) {
  executor_spec *s, *next;
  HASH_ITER(hh, x->specs, s, next) {
    HASH_DEL(x->specs, s);
    executor_spec_unref(x, s);
  }
}
