/* The services of a launcher's host for targets that hold a module's parsers: memory until fuzz_host_end, texts,
 * failures that have words, options from a table, commands that say what the input has them say. */
#ifndef HATO_TESTS_FUZZ_HOST_H
#define HATO_TESTS_FUZZ_HOST_H

#include "fuzz/fuzz.h"

#include <hato/launcher.h>
#include <stdarg.h>
#include <stdbool.h>

typedef struct fuzz_block {
  struct fuzz_block *next;
} fuzz_block;

typedef struct fuzz_option {
  const char *name, *text;
  int64_t number;
  const char *const *list;
} fuzz_option;

typedef struct fuzz_host {
  hato_host host;
  fuzz_block *blocks;
  const fuzz_option *options; /* up to one without a name; NULL: none */
  char words[2000];           /* of the last failure */
  /* What a command that is run says. */
  const char *out, *err;
  int exit_code;
  unsigned runs;
  uint32_t count; /* members of the launch; 0: none may be told of */
} fuzz_host;

static inline fuzz_host *fuzz_host_of(const hato_host *h) { return h->ctx; }

static void *fuzz_alloc(const hato_host *h, size_t size) {
  fuzz_host *f = fuzz_host_of(h);
  fuzz_block *b = calloc(1, sizeof *b + size);
  require(b != NULL);
  b->next = f->blocks;
  f->blocks = b;
  return b + 1;
}

static char *__attribute__((format(printf, 2, 3))) fuzz_format(const hato_host *h, const char *format, ...) {
  va_list ap, again;
  va_start(ap, format);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, format, ap);
  require(n >= 0);
  char *text = fuzz_alloc(h, (size_t)n + 1);
  (void)vsnprintf(text, (size_t)n + 1, format, again);
  va_end(again);
  va_end(ap);
  return text;
}

static void __attribute__((format(printf, 3, 4))) fuzz_log(const hato_host *h, int level, const char *format, ...) {
  char text[2000];
  va_list ap;
  (void)h;
  require(level >= HATO_LEVEL_ERROR && level <= HATO_LEVEL_DEBUG);
  va_start(ap, format);
  (void)vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
}

static int __attribute__((format(printf, 3, 4))) fuzz_fail(const hato_host *h, int status, const char *format, ...) {
  fuzz_host *f = fuzz_host_of(h);
  va_list ap;
  va_start(ap, format);
  (void)vsnprintf(f->words, sizeof f->words, format, ap);
  va_end(ap);
  require(status != HATO_OK && f->words[0] != 0);
  return status;
}

static void __attribute__((format(printf, 2, 3))) fuzz_progress(const hato_host *h, const char *format, ...) {
  (void)h;
  (void)format;
}

static int fuzz_should_abort(const hato_host *h) {
  (void)h;
  return 0;
}

static void fuzz_member(const hato_host *h, uint64_t launch, const hato_member *m) {
  const fuzz_host *f = fuzz_host_of(h);
  (void)launch;
  require(m->count > 0 && m->first < f->count && m->count <= f->count - m->first);
  require(m->state <= HATO_MEMBER_ENDED);
  /* As the host does, every text is read to its end. */
  const char *const texts[] = {m->reason, m->host, m->job, m->log_path, m->log_tail};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) require(texts[i] == NULL || strlen(texts[i]) < 1u << 24);
}

static int fuzz_run(const hato_host *h, hato_run *run) {
  fuzz_host *f = fuzz_host_of(h);
  require(run->argv != NULL && run->argv[0] != NULL && ++f->runs < 100);
  run->exit_code = f->exit_code;
  run->out = fuzz_format(h, "%s", f->out != NULL ? f->out : "");
  run->err = fuzz_format(h, "%s", f->err != NULL ? f->err : "");
  run->out_len = strlen(run->out);
  run->err_len = strlen(run->err);
  return HATO_OK;
}

static int fuzz_spawn(const hato_host *h, hato_spawn *spawn) {
  (void)spawn;
  return fuzz_fail(h, HATO_SYSTEM, "nothing is started here");
}

static char *fuzz_quote(const hato_host *h, const char *word) { return fuzz_format(h, "'%s'", word); }

static char *fuzz_quote_words(const hato_host *h, const char *const *words) {
  char *text = fuzz_format(h, "%s", "");
  for (; *words != NULL; words++) text = fuzz_format(h, "%s '%s'", text, *words);
  return text;
}

static char *fuzz_expand(const hato_host *h, const char *text, const hato_template_value *values, uint32_t n) {
  (void)values;
  (void)n;
  return fuzz_format(h, "%s", text);
}

static const fuzz_option *fuzz_option_of(const hato_host *h, const char *name) {
  static const fuzz_option none;
  for (const fuzz_option *o = fuzz_host_of(h)->options; o != NULL && o->name != NULL; o++)
    if (strcmp(o->name, name) == 0) return o;
  return &none;
}

static int fuzz_is_set(const hato_host *h, const hato_launcher_options *o, const char *name) {
  (void)o;
  return fuzz_option_of(h, name)->name != NULL;
}
static int fuzz_bool(const hato_host *h, const hato_launcher_options *o, const char *name) {
  (void)o;
  return fuzz_option_of(h, name)->number != 0;
}
static int64_t fuzz_int(const hato_host *h, const hato_launcher_options *o, const char *name) {
  (void)o;
  return fuzz_option_of(h, name)->number;
}
static uint64_t fuzz_quantity(const hato_host *h, const hato_launcher_options *o, const char *name) {
  (void)o;
  return (uint64_t)fuzz_option_of(h, name)->number;
}
static const char *fuzz_string(const hato_host *h, const hato_launcher_options *o, const char *name) {
  (void)o;
  return fuzz_option_of(h, name)->text;
}
static int fuzz_enum(const hato_host *h, const hato_launcher_options *o, const char *name) {
  (void)o;
  return (int)fuzz_option_of(h, name)->number;
}
static const char *const *fuzz_list(const hato_host *h, const hato_launcher_options *o, const char *name) {
  static const char *const none[] = {NULL};
  (void)o;
  const fuzz_option *found = fuzz_option_of(h, name);
  return found->list != NULL ? found->list : none;
}

static inline void fuzz_host_begin(fuzz_host *f) {
  *f = (fuzz_host){.host = {.size = sizeof f->host,
                            .abi_major = HATO_LAUNCHER_ABI_MAJOR,
                            .abi_minor = HATO_LAUNCHER_ABI_MINOR,
                            .ctx = f,
                            .log = fuzz_log,
                            .fail = fuzz_fail,
                            .progress = fuzz_progress,
                            .should_abort = fuzz_should_abort,
                            .member = fuzz_member,
                            .alloc = fuzz_alloc,
                            .format = fuzz_format,
                            .quote = fuzz_quote,
                            .quote_words = fuzz_quote_words,
                            .quote_ssh = fuzz_quote_words,
                            .expand = fuzz_expand,
                            .run = fuzz_run,
                            .spawn = fuzz_spawn,
                            .option_is_set = fuzz_is_set,
                            .option_bool = fuzz_bool,
                            .option_int = fuzz_int,
                            .option_size = fuzz_quantity,
                            .option_duration = fuzz_quantity,
                            .option_string = fuzz_string,
                            .option_enum = fuzz_enum,
                            .option_list = fuzz_list}};
}

static inline void fuzz_host_end(fuzz_host *f) {
  while (f->blocks != NULL) {
    fuzz_block *next = f->blocks->next;
    free(f->blocks);
    f->blocks = next;
  }
}

#endif
