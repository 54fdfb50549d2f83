/* Calls, replies and what they carry, as bytes between host and process. Both are of one
 * installation, yet nothing is trusted: the process holds a stranger's module. */
#include "launchers/internal.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX (1u << 20)

/* ---- strings that may be NULL, and lists ---- */

static void put_text(hato__buf *b, const char *s) {
  hato__buf_u8(b, s != NULL);
  if (s != NULL) hato__buf_str(b, s);
}

static char *get_text(hato__reader *in, launchers__arena *a) {
  if (hato__read_u8(in) == 0) return NULL;
  uint32_t n = 0;
  const uint8_t *at = hato__read_bytes(in, &n);
  if (at == NULL) return NULL;
  char *copy = launchers__dup(a, at, n);
  if (copy == NULL || strlen(copy) != n) in->failed = true;
  return copy;
}

/* Never NULL, for texts of the interface. */
static const char *get_words(hato__reader *in, launchers__arena *a) {
  const char *s = get_text(in, a);
  return s != NULL ? s : "";
}

static void put_list(hato__buf *b, const char *const *list) {
  uint32_t n = 0;
  while (list != NULL && list[n] != NULL) n++;
  hato__buf_u32(b, n);
  for (uint32_t i = 0; i < n; i++) hato__buf_str(b, list[i]);
}

static const char *const *get_list(hato__reader *in, launchers__arena *a) {
  uint32_t n = hato__read_u32(in);
  /* Each takes 4 bytes at least, so that a wrong count cannot ask for much. */
  if (n > LIST_MAX || n > hato__reader_left(in) / 4) in->failed = true;
  char **list = launchers__alloc(a, (in->failed ? 1 : (size_t)n + 1) * sizeof *list);
  if (list == NULL) in->failed = true;
  for (uint32_t i = 0; i < n && !in->failed; i++) {
    uint32_t len = 0;
    const uint8_t *at = hato__read_bytes(in, &len);
    list[i] = at != NULL ? launchers__dup(a, at, len) : NULL;
    if (list[i] == NULL || strlen(list[i]) != len) in->failed = true;
  }
  return (const char *const *)list;
}

/* ---- a request ---- */

void launchers__put_request(hato__buf *b, const launchers_request *r) {
  hato__buf_u64(b, r->id);
  put_text(b, r->launcher);
  put_list(b, r->options);
  put_list(b, r->argv);
  hato__buf_u32(b, r->count);
  hato__buf_u8(b, r->dial_in);
  hato__buf_u32(b, r->dial_arg);
  put_list(b, r->dial_urls);
  put_text(b, r->tag);
  hato__buf_u32(b, r->secret_way);
  hato__buf_bytes(b, r->secret, r->secret != NULL ? r->secret_len : 0);
  put_text(b, r->secret_env);
  put_text(b, r->secret_file);
  put_list(b, r->env);
  hato__buf_u32(b, r->cores);
  put_text(b, r->log_dir);
}

bool launchers__get_request(hato__reader *in, launchers__arena *a, launchers_request *r) {
  *r = (launchers_request){.id = hato__read_u64(in)};
  r->launcher = get_text(in, a);
  r->options = get_list(in, a);
  r->argv = get_list(in, a);
  r->count = hato__read_u32(in);
  r->dial_in = hato__read_u8(in) != 0;
  r->dial_arg = hato__read_u32(in);
  r->dial_urls = get_list(in, a);
  r->tag = get_text(in, a);
  r->secret_way = hato__read_u32(in);
  uint32_t n = 0;
  const uint8_t *secret = hato__read_bytes(in, &n);
  r->secret = secret != NULL ? launchers__dup_secret(a, secret, n) : NULL;
  r->secret_len = n;
  r->secret_env = get_text(in, a);
  r->secret_file = get_text(in, a);
  r->env = get_list(in, a);
  r->cores = hato__read_u32(in);
  r->log_dir = get_text(in, a);
  if (r->launcher == NULL || r->tag == NULL || r->secret == NULL) in->failed = true;
  return !in->failed;
}

/* ---- a call ---- */

void launchers__put_call(hato__buf *b, const launchers__call *c) {
  hato__buf_u8(b, (uint8_t)c->op);
  hato__buf_u64(b, c->id);
  hato__buf_u32(b, c->deadline_ms);
  put_text(b, c->path);
  hato__buf_u8(b, c->request != NULL);
  if (c->request != NULL) launchers__put_request(b, c->request);
  hato__buf_bytes(b, c->record, c->record != NULL ? c->record_len : 0);
  hato__buf_u8(b, c->grown);
  hato__buf_u32(b, c->n_members);
  for (uint32_t i = 0; i < c->n_members; i++) hato__buf_u32(b, c->members[i]);
}

bool launchers__get_call(hato__reader *in, launchers__arena *a, launchers__call *c) {
  *c = (launchers__call){.op = (launchers__op)hato__read_u8(in)};
  c->id = hato__read_u64(in);
  c->deadline_ms = hato__read_u32(in);
  c->path = get_text(in, a);
  if (hato__read_u8(in) != 0) {
    launchers_request *r = launchers__alloc(a, sizeof *r);
    if (r == NULL || !launchers__get_request(in, a, r)) return false;
    c->request = r;
  }
  uint32_t n = 0;
  const uint8_t *record = hato__read_bytes(in, &n);
  c->record = record != NULL ? (const uint8_t *)launchers__dup(a, record, n) : NULL;
  c->record_len = n;
  c->grown = hato__read_u8(in) != 0;
  c->n_members = hato__read_u32(in);
  if (in->failed || n > HATO_RECORD_MAX || c->n_members > hato__reader_left(in) / 4) return false;
  uint32_t *members = launchers__alloc(a, ((size_t)c->n_members + 1) * sizeof *members);
  if (members == NULL) return false;
  for (uint32_t i = 0; i < c->n_members; i++) members[i] = hato__read_u32(in);
  c->members = members;
  return !in->failed;
}

/* ---- a descriptor ---- */

static void put_row(hato__buf *b, const hato_option_row *r) {
  put_text(b, r->name);
  hato__buf_u32(b, r->type);
  hato__buf_u32(b, r->flags);
  put_text(b, r->def);
  hato__buf_u64(b, (uint64_t)r->min);
  hato__buf_u64(b, (uint64_t)r->max);
  hato__buf_u8(b, r->values != NULL);
  put_list(b, r->values);
  put_text(b, r->metavar);
  put_text(b, r->help);
}

static void get_row(hato__reader *in, launchers__arena *a, hato_option_row *r) {
  r->name = get_text(in, a);
  r->type = hato__read_u32(in);
  r->flags = hato__read_u32(in);
  r->def = get_text(in, a);
  r->min = (int64_t)hato__read_u64(in);
  r->max = (int64_t)hato__read_u64(in);
  bool has_values = hato__read_u8(in) != 0;
  r->values = get_list(in, a);
  if (!has_values) r->values = NULL;
  r->metavar = get_text(in, a);
  r->help = get_text(in, a);
}

static void put_module(hato__buf *b, const hato_launcher *m) {
  put_text(b, m->name);
  put_text(b, m->version);
  put_text(b, m->description);
  hato__buf_u32(b, m->flags);
  hato__buf_u32(b, m->secret_ways);
  put_text(b, m->member_env);
  hato__buf_u32(b, m->member_first);
  hato__buf_u32(b, m->interval_ms);
  hato__buf_u8(b, m->watch != NULL);
  hato__buf_u32(b, m->launch_deadline_ms);
  hato__buf_u32(b, m->poll_deadline_ms);
  hato__buf_u32(b, m->other_deadline_ms);
  hato__buf_u32(b, m->option_count);
  for (uint32_t i = 0; i < m->option_count; i++) {
    hato_option_row row = launchers__row(m, i);
    put_row(b, &row);
  }
}

static char *get_owned(hato__reader *in) {
  launchers__arena a = {0};
  const char *s = get_text(in, &a);
  char *copy = s != NULL ? strdup(s) : NULL;
  launchers__arena_free(&a);
  return copy;
}

static uint32_t or_default(uint32_t v, uint32_t def) { return v != 0 ? v : def; }

static void get_rows(hato__reader *in, launchers_info *info, hato_error *err) {
  launchers__arena a = {0};
  uint32_t n = hato__read_u32(in);
  if (n > hato__reader_left(in) / 33) in->failed = true; /* an empty row's bytes */
  hato_option_row *rows = in->failed ? NULL : launchers__alloc(&a, ((size_t)n + 1) * sizeof *rows);
  for (uint32_t i = 0; rows != NULL && i < n && !in->failed; i++) get_row(in, &a, &rows[i]);
  if (rows == NULL || in->failed || info->name == NULL ||
      launchers__conf(info->name, rows, n, &info->conf, err) != HATO_OK)
    in->failed = true;
  launchers__arena_free(&a);
}

static launchers_info *get_module(hato__reader *in, hato_error *err) {
  launchers_info *info = calloc(1, sizeof *info);
  if (info == NULL) return NULL;
  info->name = get_owned(in);
  info->version = get_owned(in);
  info->description = get_owned(in);
  info->flags = hato__read_u32(in);
  info->secret_ways = hato__read_u32(in);
  info->member_env = get_owned(in);
  info->member_first = hato__read_u32(in);
  info->interval_ms = hato__read_u32(in);
  bool watches = hato__read_u8(in) != 0;
  if (info->interval_ms == 0 && !watches) info->interval_ms = 30000;
  info->launch_deadline_ms = or_default(hato__read_u32(in), 120000);
  info->poll_deadline_ms = or_default(hato__read_u32(in), 60000);
  info->other_deadline_ms = or_default(hato__read_u32(in), 30000);
  get_rows(in, info, err);
  if (!in->failed && info->version != NULL && info->description != NULL) return info;
  launchers_info_free(info);
  return NULL;
}

launchers_info *launchers__info_of(const hato_launcher *m, hato_error *err) {
  hato__buf b = {0};
  put_module(&b, m);
  hato__reader in = hato__reader_of(b.data, b.failed ? 0 : b.len);
  hato__error_clear(err);
  launchers_info *info = get_module(&in, err);
  if (info == NULL && err != NULL && err->status == HATO_OK)
    (void)hato__fail(err, HATO_NO_MEMORY, "no memory for the description of launcher %s", m->name);
  hato__buf_free(&b);
  return info;
}

/* ---- a reply ---- */

void launchers__put_reply(hato__buf *b, const launchers__reply *r, const hato_launcher *described) {
  hato__buf_u32(b, (uint32_t)r->status);
  put_text(b, r->text);
  hato__buf_bytes(b, r->record, r->record_len);
  hato__buf_u32(b, r->plan.count);
  hato__buf_u32(b, r->plan.flags);
  hato__buf_u32(b, r->plan.secret_ways);
  put_text(b, r->plan.member_env);
  hato__buf_u32(b, r->plan.member_first);
  hato__buf_u8(b, described != NULL);
  if (described != NULL) put_module(b, described);
}

bool launchers__get_reply(hato__reader *in, launchers__reply *r, hato_error *err) {
  launchers__arena a = {0};
  *r = (launchers__reply){.status = (hato_status)hato__read_u32(in)};
  (void)snprintf(r->text, sizeof r->text, "%s", get_words(in, &a));
  uint32_t n = 0;
  const uint8_t *record = hato__read_bytes(in, &n);
  if (record == NULL || n > sizeof r->record)
    in->failed = true;
  else
    memcpy(r->record, record, n);
  r->record_len = n;
  r->plan.count = hato__read_u32(in);
  r->plan.flags = hato__read_u32(in);
  r->plan.secret_ways = hato__read_u32(in);
  const char *env = get_text(in, &a);
  if (env != NULL) {
    (void)snprintf(r->member_env, sizeof r->member_env, "%s", env);
    r->plan.member_env = r->member_env;
  }
  r->plan.member_first = hato__read_u32(in);
  launchers__arena_free(&a);
  if (hato__read_u8(in) != 0 && (r->info = get_module(in, err)) == NULL) return false;
  if (!in->failed) return true;
  launchers_info_free(r->info);
  r->info = NULL;
  (void)hato__fail(err, HATO_PROTOCOL, "a malformed reply of the launcher's process");
  return false;
}

/* ---- a member ---- */

void launchers__put_member(hato__buf *b, uint64_t launch, uint32_t first, uint32_t count,
                           const launchers_member *m) {
  hato__buf_u64(b, launch);
  hato__buf_u32(b, first);
  hato__buf_u32(b, count);
  hato__buf_u32(b, (uint32_t)m->state);
  hato__buf_u8(b, (uint8_t)((m->exit_known ? HATO_MEMBER_EXIT_KNOWN : 0) |
                            (m->cancelled ? HATO_MEMBER_CANCELLED : 0) | (m->never ? HATO_MEMBER_NEVER : 0)));
  hato__buf_u32(b, (uint32_t)m->exit_code);
  hato__buf_u32(b, (uint32_t)m->signal);
  put_text(b, m->reason);
  put_text(b, m->host);
  put_text(b, m->job);
  put_text(b, m->log_path);
  put_text(b, m->log_tail);
}

bool launchers__get_member(hato__reader *in, launchers__arena *a, uint64_t *launch, uint32_t *first,
                           uint32_t *count, launchers_member *m) {
  *launch = hato__read_u64(in);
  *first = hato__read_u32(in);
  *count = hato__read_u32(in);
  *m = (launchers_member){.number = *first, .state = (hato_member_state)hato__read_u32(in)};
  uint8_t flags = hato__read_u8(in);
  m->exit_known = (flags & HATO_MEMBER_EXIT_KNOWN) != 0;
  m->cancelled = (flags & HATO_MEMBER_CANCELLED) != 0;
  m->never = (flags & HATO_MEMBER_NEVER) != 0;
  m->exit_code = (int)hato__read_u32(in);
  m->signal = (int)hato__read_u32(in);
  m->reason = get_text(in, a); /* NULL: not known, what was known stands */
  m->host = get_text(in, a);
  m->job = get_text(in, a);
  m->log_path = get_text(in, a);
  m->log_tail = get_text(in, a);
  return !in->failed;
}
