/* Executes operations of one module, in a thread of the host or in its own process. Keeps the
 * launches that the module made, as every later operation is handed them. */
#include "launchers/internal.h"
#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

void launchers__runner_init(launchers__runner *r, const hato_launcher *module, const launchers__sink *sink) {
  *r = (launchers__runner){.module = *module, .sink = *sink, .watch_fd = -1};
}

/* ---- launches ---- */

static void made_free(launchers__made *m) {
  if (m == NULL) return;
  hato__conf_destroy(m->values);
  launchers__arena_free(&m->mem);
  free(m);
}

static launchers__made *made_find(launchers__runner *r, uint64_t id) {
  launchers__made *m = NULL;
  HASH_FIND(hh, r->made, &id, sizeof id, m);
  return m;
}

static void made_drop(launchers__runner *r, launchers__made *m) {
  HASH_DEL(r->made, m);
  made_free(m);
}

static void set_record(launchers__made *m, const uint8_t *record, size_t n) {
  if (n > sizeof m->record) n = sizeof m->record;
  if (n > 0) memcpy(m->record, record, n);
  m->launch.record = m->record;
  m->launch.record_len = (uint32_t)n;
}

/* Option rows of the module with the values of a request. */
static hato_status make_values(launchers__runner *r, const launchers_request *q, hato__conf **out,
                               hato_error *err) {
  const hato_launcher *m = &r->module;
  hato_option_row *rows = calloc((size_t)m->option_count + 1, sizeof *rows);
  if (rows == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for options");
  for (uint32_t i = 0; i < m->option_count; i++) rows[i] = launchers__row(m, i);
  hato_status rc = launchers__conf(m->name, rows, m->option_count, out, err);
  free(rows);
  if (rc == HATO_OK) rc = launchers__set(*out, q->options, err);
  if (rc != HATO_OK) {
    hato__conf_destroy(*out);
    *out = NULL;
  }
  return rc;
}

static launchers__made *make(launchers__runner *r, const launchers__call *c, hato_error *err) {
  const launchers_request *q = c->request;
  launchers__made *m = calloc(1, sizeof *m);
  if (m == NULL || make_values(r, q, &m->values, err) != HATO_OK) {
    if (m == NULL) (void)hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
    free(m);
    return NULL;
  }
  m->launch = (hato_launch){.size = sizeof m->launch,
                            .count = q->count,
                            .id = q->id,
                            .flags = q->dial_in ? HATO_LAUNCH_DIAL_IN : 0,
                            .options = (const hato_launcher_options *)(const void *)m->values};
  m->launch.tag = launchers__dup(&m->mem, q->tag, strlen(q->tag));
  if (q->log_dir != NULL) m->launch.log_dir = launchers__dup(&m->mem, q->log_dir, strlen(q->log_dir));
  set_record(m, c->record, c->record_len);
  if (m->launch.tag != NULL && (q->log_dir == NULL || m->launch.log_dir != NULL)) return m;
  (void)hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  made_free(m);
  return NULL;
}

/* ---- operations ---- */

/* A struct in memory that ends later than it does; its size says so when grown is asked for. */
static void *passed(launchers__runner *r, const void *object, uint32_t size) {
  unsigned char *copy = launchers__alloc(&r->scratch, (size_t)size + LAUNCHERS__GROWTH);
  if (copy == NULL) return NULL;
  memcpy(copy, object, size);
  uint32_t said = size + (r->grown ? LAUNCHERS__GROWTH : 0);
  memcpy(copy, &said, sizeof said); /* each begins with it */
  return copy;
}
#define PASSED(r, object) passed(r, &(object), (uint32_t)sizeof(object))

static hato_status ensure_open(launchers__runner *r) {
  if (r->opened) return HATO_OK;
  hato_status rc = r->module.open != NULL ? (hato_status)r->module.open(&r->host, &r->state) : HATO_OK;
  if (rc != HATO_OK) return rc;
  r->opened = true;
  r->watch_fd = r->module.watch != NULL ? r->module.watch(r->state, &r->host) : -1;
  return HATO_OK;
}

static hato_status do_plan(launchers__runner *r, const launchers__call *c, launchers__reply *out,
                           hato_error *err) {
  const hato_launcher *m = &r->module;
  hato__conf *conf = NULL;
  hato_status rc = make_values(r, c->request, &conf, err);
  if (rc != HATO_OK) return rc;
  hato_launch_plan plan = {.size = sizeof plan,
                           .count = c->request->count,
                           .flags = m->flags,
                           .secret_ways = m->secret_ways,
                           .member_env = m->member_env,
                           .member_first = m->member_first};
  hato_launch_plan *p = PASSED(r, plan);
  if (p == NULL)
    rc = hato__fail(err, HATO_NO_MEMORY, "no memory for a plan");
  else if (m->plan != NULL)
    rc = (hato_status)m->plan(r->state, &r->host, (const hato_launcher_options *)(const void *)conf, p);
  if (p != NULL) plan = *p;
  if (rc == HATO_OK && (plan.count < 1 || plan.count > HATO_LAUNCH_MAX))
    rc = hato__fail(err, HATO_INVALID, "a launch of %u daemons, expected 1 to %d", plan.count,
                    HATO_LAUNCH_MAX);
  out->plan = (launchers_plan_result){.count = plan.count,
                                      .flags = plan.flags,
                                      .secret_ways = plan.secret_ways,
                                      .member_first = plan.member_first};
  if (plan.member_env != NULL) {
    (void)snprintf(out->member_env, sizeof out->member_env, "%s", plan.member_env);
    out->plan.member_env = out->member_env;
  }
  hato__conf_destroy(conf);
  return rc;
}

static uint32_t words(const char *const *list) {
  uint32_t n = 0;
  while (list != NULL && list[n] != NULL) n++;
  return n;
}

static hato_status do_launch(launchers__runner *r, const launchers__call *c, hato_launch_record *rec,
                             hato_error *err) {
  static const char *const none[] = {NULL};
  const launchers_request *q = c->request;
  if (made_find(r, q->id) != NULL)
    return hato__fail(err, HATO_EXISTS, "launch %llu exists", (unsigned long long)q->id);
  /* A module with a plan may offer other ways with some options, and sees for itself. */
  if (q->secret_way != 0 && (r->module.secret_ways & q->secret_way) == 0 && r->module.plan == NULL)
    return hato__fail(err, HATO_NOT_SUPPORTED,
                      "launcher %s does not hand over secrets by way %u, only by 0x%x", r->module.name,
                      q->secret_way, r->module.secret_ways);
  launchers__made *m = make(r, c, err);
  if (m == NULL) return err->status;
  hato_launch_request ask = {.size = sizeof ask,
                             .count = q->count,
                             .id = q->id,
                             .tag = m->launch.tag,
                             .flags = m->launch.flags,
                             .argc = words(q->argv),
                             .argv = q->argv,
                             .dial_arg = q->dial_arg,
                             .cores = q->cores,
                             .dial_urls = q->dial_urls != NULL ? q->dial_urls : none,
                             .env = q->env != NULL ? q->env : none,
                             .secret_way = q->secret_way,
                             .secret_len = (uint32_t)q->secret_len,
                             .secret = q->secret,
                             .secret_env = q->secret_env,
                             .secret_file = q->secret_file,
                             .log_dir = m->launch.log_dir,
                             .options = m->launch.options};
  const hato_launch_request *p = PASSED(r, ask);
  hato_status rc = p != NULL ? (hato_status)r->module.launch(r->state, &r->host, p, rec)
                             : hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  if (rc != HATO_OK) {
    made_free(m);
    return rc;
  }
  set_record(m, rec->bytes, rec->len);
  HASH_ADD(hh, r->made, launch.id, sizeof m->launch.id, m);
  return HATO_OK;
}

static const hato_launch *given(launchers__runner *r, const launchers__made *m) {
  const hato_launch *p = r->grown ? PASSED(r, m->launch) : NULL;
  return p != NULL ? p : &m->launch;
}

static hato_status do_adopt(launchers__runner *r, const launchers__call *c, hato_launch_record *rec,
                            hato_error *err) {
  launchers__made *m = made_find(r, c->request->id);
  bool fresh = m == NULL;
  if (fresh) m = make(r, c, err);
  if (m == NULL) return err->status;
  hato_status rc = (hato_status)r->module.adopt(r->state, &r->host, given(r, m), rec);
  if (rc != HATO_OK) {
    if (fresh) made_free(m);
    return rc;
  }
  set_record(m, rec->bytes, rec->len);
  if (fresh) HASH_ADD(hh, r->made, launch.id, sizeof m->launch.id, m);
  return HATO_OK;
}

static hato_status do_poll(launchers__runner *r, hato_error *err) {
  unsigned n = HASH_COUNT(r->made);
  const hato_launch **all = launchers__alloc(&r->scratch, (n + 1) * sizeof *all);
  if (all == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory to poll %u launches", n);
  uint32_t k = 0;
  for (launchers__made *m = r->made; m != NULL; m = m->hh.next) all[k++] = given(r, m);
  return (hato_status)r->module.poll(r->state, &r->host, all, k);
}

static hato_status do_cancel(launchers__runner *r, const launchers__call *c, hato_error *err) {
  launchers__made *m = made_find(r, c->id);
  if (m == NULL) return hato__fail(err, HATO_NOT_FOUND, "there is no launch %llu", (unsigned long long)c->id);
  for (uint32_t i = 0; i < c->n_members; i++) {
    if (c->members[i] >= m->launch.count)
      return hato__fail(err, HATO_INVALID, "launch %llu has no member %u, only 0 to %u",
                        (unsigned long long)c->id, c->members[i], m->launch.count - 1);
  }
  if (c->n_members > 0 && (r->module.flags & HATO_LAUNCHER_CANCELS_MEMBERS) == 0)
    return hato__fail(err, HATO_NOT_SUPPORTED, "launcher %s ends whole launches only", r->module.name);
  return (hato_status)r->module.cancel(r->state, &r->host, given(r, m), c->members, c->n_members);
}

static hato_status do_forget(launchers__runner *r, uint64_t id) {
  launchers__made *m = made_find(r, id);
  if (m == NULL) return HATO_OK;
  if (r->module.forget != NULL) r->module.forget(r->state, &r->host, &m->launch);
  made_drop(r, m);
  return HATO_OK;
}

static void do_close(launchers__runner *r) {
  if (r->opened && r->module.close != NULL) r->module.close(r->state, &r->host);
  r->opened = false;
  r->state = NULL;
  r->watch_fd = -1;
}

static hato_status execute(launchers__runner *r, const launchers__call *c, launchers__reply *out,
                           hato_launch_record *rec, hato_error *err) {
  hato_status rc = HATO_OK;
  switch (c->op) {
  case LAUNCHERS__LOAD:
    return HATO_OK;
  case LAUNCHERS__PROBE:
    return r->module.probe != NULL ? (hato_status)r->module.probe(&r->host) : HATO_OK;
  case LAUNCHERS__FORGET:
    return do_forget(r, c->id);
  case LAUNCHERS__CLOSE:
    do_close(r);
    return HATO_OK;
  case LAUNCHERS__PLAN:
  case LAUNCHERS__LAUNCH:
  case LAUNCHERS__ADOPT:
  case LAUNCHERS__POLL:
  case LAUNCHERS__CANCEL:
    break;
  default:
    return hato__fail(err, HATO_PROTOCOL, "there is no operation %d", (int)c->op);
  }
  bool asks = c->op == LAUNCHERS__PLAN || c->op == LAUNCHERS__LAUNCH || c->op == LAUNCHERS__ADOPT;
  if (asks && c->request == NULL)
    return hato__fail(err, HATO_PROTOCOL, "operation %d lacks its request", (int)c->op);
  if (asks && c->op != LAUNCHERS__PLAN && (c->request->count < 1 || c->request->count > HATO_LAUNCH_MAX))
    return hato__fail(err, HATO_INVALID, "a launch of %u daemons, expected 1 to %d", c->request->count,
                      HATO_LAUNCH_MAX);
  rc = ensure_open(r);
  if (rc != HATO_OK) return rc;
  switch (c->op) {
  case LAUNCHERS__PLAN:
    return do_plan(r, c, out, err);
  case LAUNCHERS__LAUNCH:
    return do_launch(r, c, rec, err);
  case LAUNCHERS__ADOPT:
    return do_adopt(r, c, rec, err);
  case LAUNCHERS__POLL:
    return do_poll(r, err);
  default:
    return do_cancel(r, c, err);
  }
}

/* What the module said is worth more than the number; what the host itself said, even more. */
static void conclude(launchers__runner *r, hato_status rc, const hato_error *err, launchers__reply *out) {
  out->status = rc;
  if (rc == HATO_OK) return;
  if (err->status != HATO_OK)
    (void)snprintf(out->text, sizeof out->text, "%s", err->text);
  else if (r->failed != HATO_OK)
    (void)snprintf(out->text, sizeof out->text, "%s", r->words);
  else
    (void)snprintf(out->text, sizeof out->text, "launcher %s: %s", r->module.name, hato_strerror((int)rc));
}

void launchers__runner_call(launchers__runner *r, const launchers__call *c, launchers__reply *out) {
  hato_launch_record rec = {.size = sizeof rec};
  hato_error err;
  hato__error_clear(&err);
  *out = (launchers__reply){0};
  /* A little before the host's own deadline, so that services end first. */
  uint32_t ms = c->deadline_ms == 0 ? 30000 : c->deadline_ms;
  r->deadline = hato__now() + (ms > 2000 ? ms - 1000 : ms / 2 + 1) * HATO__MS;
  r->failed = HATO_OK;
  r->words[0] = 0;
  launchers__services(r);
  r->grown = c->grown;
  if (r->grown) r->host.size += LAUNCHERS__GROWTH;
  hato_status rc = execute(r, c, out, &rec, &err);
  if (rc == HATO_OK && rec.len > sizeof rec.bytes) {
    launchers__runner_log(r, HATO__LOG_ERROR, "gave a record of %u bytes, at most %d", rec.len,
                          HATO_RECORD_MAX);
    rec.len = 0; /* its tag finds it */
  }
  conclude(r, rc, &err, out);
  out->record_len = rec.len;
  memcpy(out->record, rec.bytes, rec.len);
  launchers__arena_free(&r->scratch);
}

void launchers__runner_end(launchers__runner *r) {
  launchers__reply out;
  launchers__runner_call(r, &(launchers__call){.op = LAUNCHERS__CLOSE}, &out);
  while (r->made != NULL) made_drop(r, r->made);
  launchers__arena_free(&r->scratch);
}
