/* Specifications. A list is a field an item, in order; a text that is not there has no field. */
#include "proto/spec.h"

#include <stdlib.h>

#include "proto/wire.h"

/* Append only; a tag of 0x8000 and more may be passed over by a reader that does not know it. */
enum {
  TAG_KIND = 1,         /* u8 */
  TAG_FLAGS = 2,        /* u32 */
  TAG_LIMIT = 3,        /* u64 */
  TAG_OUTPUT_LIMIT = 4, /* u64 */
  TAG_ARG = 16,         /* str, repeated */
  TAG_ENV = 17,         /* str, repeated */
  TAG_CWD = 18,
  TAG_UMASK = 19, /* u32 */
  TAG_STDIN = 20, /* u8 */
  TAG_STDIN_PATH = 21,
  TAG_OUTPUT_TO = 22,
  TAG_OBJECT_PATH = 32,
  TAG_HASH = 33, /* 32 bytes */
  TAG_SYMBOL = 34,
  TAG_MAY_IGNORE = 0x8000,
};
#define FIELD_HEAD 6u
#define FLAGS (PROTO_SPEC_SUBSTITUTE | PROTO_SPEC_SHELL | PROTO_SPEC_LIVE | PROTO_SPEC_MERGE)

static void put_field(hato__buf *out, uint16_t tag, const void *data, size_t n) {
  if (n > PROTO_SPEC_MAX) {
    out->failed = true;
    return;
  }
  uint8_t *at = hato__buf_grow(out, FIELD_HEAD + n);
  if (at == NULL) return;
  at = proto_put_u16(at, tag);
  (void)proto_put_bytes(at, data, (uint32_t)n);
}

static void put_u8(hato__buf *out, uint16_t tag, uint8_t v) { put_field(out, tag, &v, sizeof v); }
static void put_u32(hato__buf *out, uint16_t tag, uint32_t v) {
  v = htole32(v);
  put_field(out, tag, &v, sizeof v);
}
static void put_u64(hato__buf *out, uint16_t tag, uint64_t v) {
  v = htole64(v);
  put_field(out, tag, &v, sizeof v);
}
static void put_str(hato__buf *out, uint16_t tag, const char *s) {
  if (s != NULL) put_field(out, tag, s, strlen(s));
}
static void put_list(hato__buf *out, uint16_t tag, char *const *list) {
  for (; list != NULL && *list != NULL; list++) put_str(out, tag, *list);
}

void proto_spec_encode(hato__buf *out, const proto_spec *s) {
  put_u8(out, TAG_KIND, s->kind);
  put_u32(out, TAG_FLAGS, s->flags);
  if (s->limit_ns != 0) put_u64(out, TAG_LIMIT, s->limit_ns);
  if (s->output_limit != 0) put_u64(out, TAG_OUTPUT_LIMIT, s->output_limit);
  put_list(out, TAG_ARG, s->argv);
  put_list(out, TAG_ENV, s->env);
  put_str(out, TAG_CWD, s->cwd);
  put_u32(out, TAG_UMASK, s->umask);
  put_u8(out, TAG_STDIN, s->stdin_kind);
  put_str(out, TAG_STDIN_PATH, s->stdin_path);
  put_str(out, TAG_OUTPUT_TO, s->output_to);
  put_str(out, TAG_OBJECT_PATH, s->object_path);
  if (s->has_hash) put_field(out, TAG_HASH, s->hash, sizeof s->hash);
  put_str(out, TAG_SYMBOL, s->symbol);
}

static void free_list(char **list) {
  for (char **p = list; p != NULL && *p != NULL; p++) free(*p);
  free(list);
}

void proto_spec_free(proto_spec *s) {
  if (s == NULL) return;
  free_list(s->argv);
  free_list(s->env);
  free(s->cwd);
  free(s->stdin_path);
  free(s->output_to);
  free(s->object_path);
  free(s->symbol);
  *s = (proto_spec){0};
}

typedef struct field {
  uint16_t tag;
  const uint8_t *at;
  uint32_t len;
} field;

/* The state of one decoding. Fields that occur once are remembered by a bit, tags up to 63. */
typedef struct decoding {
  proto_spec *s;
  uint64_t seen;
  size_t args, envs;
  bool no_memory;
  bool later; /* something only a later hato knows */
} decoding;

static field next_field(proto_cursor *c) {
  field f = {.tag = proto_get_u16(c, "tag")};
  f.at = proto_get_bytes(c, UINT32_MAX, &f.len, "field");
  return f;
}

/* A field as a cursor of its own, for its numbers. */
static uint64_t number(const field *f, uint32_t size, proto_cursor *c, const char *name) {
  if (f->len != size) {
    proto_wrong(c, name, "not of its size");
    return 0;
  }
  if (size == 1) return f->at[0];
  return size == 4 ? proto_load_u32(f->at) : proto_load_u64(f->at);
}

static char *text(const field *f, proto_cursor *c, decoding *d, const char *name) {
  if (f->len > 0 && memchr(f->at, 0, f->len) != NULL) {
    proto_wrong(c, name, "holds a NUL");
    return NULL;
  }
  char *s = malloc((size_t)f->len + 1);
  if (s == NULL) {
    d->no_memory = true;
    return NULL;
  }
  memcpy(s, f->at, f->len);
  s[f->len] = 0;
  return s;
}

static void take_number(const field *f, proto_cursor *c, decoding *d) {
  proto_spec *s = d->s;
  switch (f->tag) {
  case TAG_KIND:
    s->kind = (uint8_t)number(f, 1, c, "kind");
    d->later |= s->kind != PROTO_COMMAND && s->kind != PROTO_FUNCTION;
    break;
  case TAG_FLAGS:
    s->flags = (uint32_t)number(f, 4, c, "flags");
    d->later |= (s->flags & ~FLAGS) != 0;
    break;
  case TAG_LIMIT:
    s->limit_ns = number(f, 8, c, "time limit");
    break;
  case TAG_OUTPUT_LIMIT:
    s->output_limit = number(f, 8, c, "output limit");
    break;
  case TAG_UMASK:
    s->umask = (uint32_t)number(f, 4, c, "umask");
    if (s->umask > 0777) proto_wrong(c, "umask", "over 0777");
    break;
  default:
    s->stdin_kind = (uint8_t)number(f, 1, c, "standard input");
    d->later |= s->stdin_kind > PROTO_STDIN_ARG;
  }
}

static void take_env(const field *f, proto_cursor *c, decoding *d) {
  const uint8_t *equals = f->len > 0 ? memchr(f->at, '=', f->len) : NULL;
  if (equals == NULL || equals == f->at)
    proto_wrong(c, "environment", "not NAME=value");
  else
    d->s->env[d->envs++] = text(f, c, d, "environment");
}

static void take_field(const field *f, proto_cursor *c, decoding *d) {
  proto_spec *s = d->s;
  if (f->tag >= TAG_MAY_IGNORE) return;
  bool list = f->tag == TAG_ARG || f->tag == TAG_ENV;
  uint64_t bit = f->tag < 64 && !list ? UINT64_C(1) << f->tag : 0;
  if (d->seen & bit) proto_wrong(c, "field", "there twice");
  d->seen |= bit;
  if (c->field != NULL) return;
  switch (f->tag) {
  case TAG_KIND:
  case TAG_FLAGS:
  case TAG_LIMIT:
  case TAG_OUTPUT_LIMIT:
  case TAG_UMASK:
  case TAG_STDIN:
    take_number(f, c, d);
    break;
  case TAG_ARG:
    s->argv[d->args++] = text(f, c, d, "argument vector");
    break;
  case TAG_ENV:
    take_env(f, c, d);
    break;
  case TAG_CWD:
    s->cwd = text(f, c, d, "working folder");
    break;
  case TAG_STDIN_PATH:
    s->stdin_path = text(f, c, d, "file of standard input");
    break;
  case TAG_OUTPUT_TO:
    s->output_to = text(f, c, d, "output pattern");
    break;
  case TAG_OBJECT_PATH:
    s->object_path = text(f, c, d, "object");
    break;
  case TAG_SYMBOL:
    s->symbol = text(f, c, d, "symbol");
    break;
  case TAG_HASH:
    if (f->len != sizeof s->hash) {
      proto_wrong(c, "hash", "not of its size");
      break;
    }
    memcpy(s->hash, f->at, sizeof s->hash);
    s->has_hash = true;
    break;
  default:
    d->later = true;
  }
}

/* Lists as long as the fields need: a first pass counts them. */
static void make_lists(proto_cursor c, decoding *d) {
  size_t args = 0, envs = 0;
  while (c.at != c.end && c.field == NULL) {
    field f = next_field(&c);
    args += f.tag == TAG_ARG;
    envs += f.tag == TAG_ENV;
  }
  d->s->argv = calloc(args + 1, sizeof *d->s->argv);
  d->s->env = calloc(envs + 1, sizeof *d->s->env);
  d->no_memory = d->s->argv == NULL || d->s->env == NULL;
}

static void check_whole(const proto_spec *s, proto_cursor *c) {
  if (s->kind == PROTO_COMMAND) {
    if (s->argv[0] == NULL) proto_wrong(c, "argument vector", "empty");
    if (s->stdin_kind == PROTO_STDIN_FILE && s->stdin_path == NULL)
      proto_wrong(c, "file of standard input", "missing");
  } else if (s->kind == PROTO_FUNCTION) {
    if (s->symbol == NULL || s->symbol[0] == 0) proto_wrong(c, "symbol", "missing");
    if (s->object_path == NULL && !s->has_hash) proto_wrong(c, "object", "missing");
  } else {
    proto_wrong(c, "kind", "missing");
  }
}

hato_status proto_spec_decode(proto_spec *s, const uint8_t *bytes, size_t n, hato_error *err) {
  *s = (proto_spec){0};
  if (n > PROTO_SPEC_MAX)
    return hato__fail(err, HATO_PROTOCOL, "specification: %zu bytes, at most %u", n, PROTO_SPEC_MAX);
  proto_cursor c = proto_cursor_of("specification", bytes, n);
  decoding d = {.s = s};
  make_lists(c, &d);
  uint16_t later_tag = 0;
  while (c.at != c.end && c.field == NULL && !d.no_memory && !d.later) {
    field f = next_field(&c);
    later_tag = f.tag;
    if (c.field == NULL) take_field(&f, &c, &d);
  }
  hato_status status = HATO_OK;
  if (d.no_memory) {
    status = hato__fail(err, HATO_NO_MEMORY, "specification: out of memory");
  } else if (d.later) {
    status = hato__fail(err, HATO_NOT_SUPPORTED, "specification: field %u is of a later hato than this",
                        later_tag);
  } else {
    if (c.field == NULL) check_whole(s, &c);
    status = proto_finish(&c, err);
  }
  if (status != HATO_OK) proto_spec_free(s);
  return status;
}
