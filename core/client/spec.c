/* Specifications, encoded once, and shared objects given by content. Both are sent before
 * the first submission that needs them. */
#include "client/internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* ---- objects ---- */

void client_object_unref(hato_pool *p, object *o) {
  /* What was sent stays known, so that it is not sent again for another specification. */
  if (!o || --o->refs > 0 || o->sent) return;
  HASH_DEL(p->objects, o);
  free(o->bytes);
  free(o);
}

static hato_status object_of(hato_spec *s, const void *content, size_t size, uint8_t hash[32], hato_error *err) {
  hato_pool *p = s->pool;
  if (!net_sha256(hash, content, size)) return hato__fail(err, HATO_INTERNAL, "no SHA-256");
  pool_lock(p);
  object *o = NULL;
  HASH_FIND(hh, p->objects, hash, 32, o);
  if (!o && (o = calloc(1, sizeof *o)) != NULL) {
    o->bytes = malloc(size);
    o->size = size;
    memcpy(o->hash, hash, sizeof o->hash);
    if (o->bytes) {
      memcpy(o->bytes, content, size);
      HASH_ADD(hh, p->objects, hash, sizeof o->hash, o);
    } else {
      free(o);
      o = NULL;
    }
  }
  if (o) o->refs++;
  s->object = o;
  pool_unlock(p);
  return o ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a shared object of %zu bytes", size);
}

/* ---- a specification's life ---- */

hato_spec *client_spec_ref(hato_spec *s) {
  atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

static void spec_free(hato_spec *s) {
  hato_pool *p = s->pool;
  hato__buf_free(&s->bytes);
  free(s);
  client_pool_unref(p);
}

/* True: this was the last reference, and the dispatcher is told. With the lock. */
static bool spec_end(hato_spec *s) {
  hato_pool *p = s->pool;
  if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return false;
  if (s->queued && p->state == POOL_OPEN) {
    item *i = client_outbox_item(ITEM_BYTES, 16);
    if (i) {
      proto_spec_drop_encode(&i->u.bytes, s->number);
      client_outbox_push(p, i);
    }
  }
  if (s->object) client_object_unref(p, s->object);
  return true;
}

void client_spec_drop_locked(hato_spec *s) {
  if (!spec_end(s)) return;
  hato_pool *p = s->pool;
  hato__buf_free(&s->bytes);
  free(s);
  /* The pool outlives this: its connection's callbacks hold a reference. */
  atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel);
}

void client_spec_unref(hato_spec *s) {
  hato_pool *p = s->pool;
  pool_lock(p);
  bool last = spec_end(s);
  pool_unlock(p);
  if (last) spec_free(s); /* SPEC_DROP is in no hurry: it goes with what comes next */
}

void hato_spec_release(hato_spec *s) {
  if (s && !forked(s->pool)) client_spec_unref(s);
}

void client_spec_queue(hato_pool *p, hato_spec *s) {
  if (s->queued) return;
  object *o = s->object;
  if (o && !o->queued) {
    item *i = client_outbox_item(ITEM_OBJECT, FILL_AIM);
    if (!i) return; /* the dispatcher will say what is missing */
    i->u.object = o;
    o->refs++;
    o->queued = true;
    client_outbox_push(p, i);
  }
  item *i = client_outbox_item(ITEM_SPEC, (uint32_t)s->bytes.len);
  if (!i) return;
  i->u.spec = client_spec_ref(s);
  s->queued = true;
  client_outbox_push(p, i);
}

static size_t texts(char *const *list) {
  size_t n = 0;
  for (; list && *list; list++) n += strlen(*list) + 6; /* a tag and a length each */
  return n;
}

static hato_status spec_make(hato_spec *s, const proto_spec *e, hato_error *err) {
  size_t size = texts(e->argv) + texts(e->env);
  if (size > PROTO_SPEC_MAX)
    return hato__fail(err, HATO_TOO_LARGE, "words and variables have %zu bytes, at most %u were wanted", size,
                      PROTO_SPEC_MAX);
  proto_spec_encode(&s->bytes, e);
  if (s->bytes.failed) return hato__fail(err, HATO_NO_MEMORY, "no memory for a specification");
  if (s->bytes.len > PROTO_SPEC_MAX)
    return hato__fail(err, HATO_TOO_LARGE, "the specification has %zu bytes, at most %u were wanted (words, variables "
                      "and folder together)", s->bytes.len, PROTO_SPEC_MAX);
  return HATO_OK;
}

static hato_spec *spec_new(hato_pool *p) {
  hato_spec *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  atomic_init(&s->refs, 1);
  s->pool = client_pool_ref(p);
  s->number = atomic_fetch_add_explicit(&p->next_spec, 1, memory_order_relaxed);
  return s;
}

static void spec_discard(hato_spec *s) {
  if (s->object) {
    pool_lock(s->pool);
    client_object_unref(s->pool, s->object);
    pool_unlock(s->pool);
  }
  spec_free(s);
}

/* ---- commands ---- */

/* hato's credentials are not for tasks. */
static bool secret_variable(const char *v) { return strncmp(v, "HATO_CREDENTIAL=", 16) == 0; }

static char **own_environment(void) {
  size_t n = 0, m = 0;
  while (environ && environ[n]) n++;
  char **env = calloc(n + 1, sizeof *env);
  for (size_t i = 0; env && i < n; i++)
    if (!secret_variable(environ[i])) env[m++] = environ[i];
  return env;
}

/* This process's mask of file modes, which can be read without setting it. */
static uint32_t own_umask(void) {
  char line[128];
  unsigned mask = 022;
  FILE *f = fopen("/proc/self/status", "re");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "Umask: %o", &mask) == 1) break;
  if (f) fclose(f);
  return mask;
}

#define COMMAND_FLAGS (HATO_COMMAND_SUBSTITUTE | HATO_COMMAND_SHELL | HATO_COMMAND_LIVE | HATO_COMMAND_MERGE)

static hato_status command_check(const hato_command *c, hato_error *err) {
  if (!c->argv || !c->argv[0] || !*c->argv[0]) return hato__fail(err, HATO_INVALID, "a command needs a program in argv[0]");
  if (c->flags & ~COMMAND_FLAGS)
    return hato__fail(err, HATO_INVALID, "unknown flag bits 0x%x of a command", c->flags & ~COMMAND_FLAGS);
  if ((unsigned)c->stdin_kind > HATO_STDIN_ARGUMENT)
    return hato__fail(err, HATO_INVALID, "standard input of kind %d: 0 to 2 were wanted", (int)c->stdin_kind);
  if (c->stdin_kind == HATO_STDIN_FILE && !c->stdin_path)
    return hato__fail(err, HATO_INVALID, "standard input from a file needs stdin_path");
  for (size_t i = 0; c->env && c->env[i]; i++)
    if (!strchr(c->env[i], '=')) return hato__fail(err, HATO_INVALID, "the variable \"%.100s\" has no =", c->env[i]);
  return HATO_OK;
}

static hato_status command_encode(hato_spec *s, const hato_command *c, hato_error *err) {
  char cwd[PATH_MAX];
  char **env = c->env ? NULL : own_environment();
  if (!c->env && !env) return hato__fail(err, HATO_NO_MEMORY, "no memory for a specification");
  if (!c->cwd && !getcwd(cwd, sizeof cwd)) {
    free(env);
    return hato__fail_errno(err, "the working folder");
  }
  proto_spec e = {.kind = PROTO_COMMAND,
                  .flags = c->flags,
                  .limit_ns = c->limit_ms * HATO__MS,
                  .output_limit = c->output_limit,
                  .argv = (char **)(uintptr_t)c->argv,
                  .env = c->env ? (char **)(uintptr_t)c->env : env,
                  .cwd = c->cwd ? (char *)(uintptr_t)c->cwd : cwd,
                  .umask = own_umask(),
                  .stdin_kind = (uint8_t)c->stdin_kind,
                  .stdin_path = c->stdin_kind == HATO_STDIN_FILE ? (char *)(uintptr_t)c->stdin_path : NULL,
                  .output_to = (char *)(uintptr_t)c->output_to};
  hato_status st = spec_make(s, &e, err);
  free(env);
  s->command = true;
  s->live = (c->flags & HATO_COMMAND_LIVE) != 0;
  s->takes_input = c->stdin_kind == HATO_STDIN_ARGUMENT;
  return st;
}

hato_status hato_spec_command(hato_pool *p, const hato_command *command, hato_spec **spec, hato_error *err) {
  hato_command c = HATO_COMMAND_INIT;
  hato__error_clear(err);
  if (spec) *spec = NULL;
  if (!p || !spec || !command || command->size < sizeof(size_t) + sizeof c.argv || command->size > 65536)
    return hato__fail(err, HATO_INVALID, "hato_spec_command: a NULL argument, or a struct without its size");
  if (forked(p)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  memcpy(&c, command, command->size < sizeof c ? command->size : sizeof c);
  hato_status st = command_check(&c, err);
  if (st) return st;
  hato_spec *s = spec_new(p);
  if (!s) return hato__fail(err, HATO_NO_MEMORY, "no memory for a specification");
  st = command_encode(s, &c, err);
  if (st) {
    spec_discard(s);
  } else {
    *spec = s;
  }
  return st;
}

/* ---- functions ---- */

static hato_status function_encode(hato_spec *s, const hato_function *f, hato_error *err) {
  char *path = NULL;
  proto_spec e = {.kind = PROTO_FUNCTION, .limit_ns = f->limit_ms * HATO__MS, .symbol = (char *)(uintptr_t)f->symbol};
  hato_status st = HATO_OK;
  if (f->content) {
    st = object_of(s, f->content, f->content_size, e.hash, err);
    e.has_hash = true;
    e.object_path = (char *)(uintptr_t)f->object_path;
  } else {
    char cwd[PATH_MAX];
    if (f->object_path[0] == '/') {
      path = strdup(f->object_path);
    } else if (getcwd(cwd, sizeof cwd)) {
      path = hato__printf("%s/%s", cwd, f->object_path);
    }
    if (!path) st = hato__fail_errno(err, "the path of %s", f->object_path);
    e.object_path = path;
  }
  if (st == HATO_OK) st = spec_make(s, &e, err);
  free(path);
  return st;
}

hato_status hato_spec_function(hato_pool *p, const hato_function *function, hato_spec **spec, hato_error *err) {
  hato_function f = HATO_FUNCTION_INIT;
  hato__error_clear(err);
  if (spec) *spec = NULL;
  if (!p || !spec || !function || function->size < sizeof(size_t) || function->size > 65536)
    return hato__fail(err, HATO_INVALID, "hato_spec_function: a NULL argument, or a struct without its size");
  if (forked(p)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  memcpy(&f, function, function->size < sizeof f ? function->size : sizeof f);
  if (!f.symbol || !*f.symbol) return hato__fail(err, HATO_INVALID, "a function needs a symbol");
  if (!f.content && (!f.object_path || !*f.object_path))
    return hato__fail(err, HATO_INVALID, "a function needs a shared object, by its path or its content");
  if (f.content && (f.content_size == 0 || f.content_size > PROTO_OBJECT_MAX))
    return hato__fail(err, HATO_TOO_LARGE, "a shared object of %zu bytes: 1 to %llu were wanted", f.content_size,
                      (unsigned long long)PROTO_OBJECT_MAX);
  hato_spec *s = spec_new(p);
  if (!s) return hato__fail(err, HATO_NO_MEMORY, "no memory for a specification");
  hato_status st = function_encode(s, &f, err);
  if (st) {
    spec_discard(s);
  } else {
    *spec = s;
  }
  return st;
}
