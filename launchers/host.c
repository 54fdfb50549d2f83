/* The host's interface: launchers by name, requests to the keepers that carry them out. */
#include "launchers/keeper.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- its life ---- */

hato_status launchers_create(const launchers_options *o, launchers **out, hato_error *err) {
  *out = NULL;
  hato__error_clear(err);
  launchers *h = calloc(1, sizeof *h);
  if (h == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for the launchers");
  (void)pthread_mutex_init(&h->lock, NULL);
  h->o = *o;
  h->hato_binary = o->hato_binary != NULL ? strdup(o->hato_binary) : NULL;
  h->folders = o->folders != NULL ? launchers__strings_copy(o->folders)
                                  : launchers_default_folders(o->hato_binary);
  if (h->folders != NULL && (o->hato_binary == NULL || h->hato_binary != NULL)) {
    *out = h;
    return HATO_OK;
  }
  launchers_destroy(h, 0);
  return hato__fail(err, HATO_NO_MEMORY, "no memory for the launchers");
}

void launchers_destroy(launchers *h, uint32_t grace_ms) {
  if (h == NULL) return;
  /* A keeper's thread may be asking for the launch of what it has planned: from now on it is refused. */
  pthread_mutex_lock(&h->lock);
  h->stop_by = hato__now() + grace_ms * HATO__MS;
  atomic_store(&h->stopping, true);
  for (launchers__keeper *k = h->keepers; k != NULL; k = k->hh.next) launchers__keeper_wake(k, true);
  pthread_mutex_unlock(&h->lock);
  for (launchers__keeper *k = h->keepers; k != NULL; k = k->hh.next) launchers__keeper_join(k);
  while (h->keepers != NULL) {
    launchers__keeper *k = h->keepers;
    HASH_DEL(h->keepers, k);
    launchers__keeper_free(k);
  }
  while (h->entries != NULL) {
    launchers__entry *e = h->entries;
    HASH_DEL(h->entries, e);
    free(e);
  }
  while (h->known != NULL) {
    launchers__known *n = h->known;
    HASH_DEL(h->known, n);
    launchers_info_free(n->info);
    free(n);
  }
  launchers_folders_free(h->folders);
  free(h->hato_binary);
  (void)pthread_mutex_destroy(&h->lock);
  free(h);
}

/* ---- descriptions ---- */

static launchers__known *find_known(launchers *h, const char *name) {
  launchers__known *n = NULL;
  HASH_FIND_STR(h->known, name, n);
  return n;
}

/* The first description stands: others may have borrowed it. */
static const launchers_info *remember(launchers *h, const launchers_info *info) {
  launchers__known *n = find_known(h, info->name);
  if (n != NULL) return n->info;
  n = calloc(1, sizeof *n);
  if (n != NULL) n->info = launchers__info_clone(info);
  if (n == NULL || n->info == NULL) {
    free(n);
    return NULL;
  }
  n->info->usable = true;
  HASH_ADD_KEYPTR(hh, h->known, n->info->name, strlen(n->info->name), n);
  return n->info;
}

void launchers__remember(launchers *h, const launchers_info *info) {
  pthread_mutex_lock(&h->lock);
  (void)remember(h, info);
  pthread_mutex_unlock(&h->lock);
}

char **launchers_names(launchers *h) { return launchers__names(h->folders); }

static hato_status unknown(launchers *h, const char *name, hato_error *err) {
  char **names = launchers_names(h);
  const char *near = names != NULL ? hato__nearest(name, (const char *const *)names) : NULL;
  hato__buf all = {0};
  for (size_t i = 0; names != NULL && names[i] != NULL; i++)
    hato__buf_printf(&all, "%s%s", i > 0 ? ", " : "", names[i]);
  const char *list = hato__buf_text(&all);
  hato_status rc = near != NULL
                       ? hato__fail(err, HATO_NOT_FOUND, "there is no launcher '%.100s'; did you mean '%s'?",
                                    name, near)
                       : hato__fail(err, HATO_NOT_FOUND, "there is no launcher '%.100s'; there are %s", name,
                                    list != NULL ? list : "others");
  hato__buf_free(&all);
  launchers_folders_free(names);
  return rc;
}

/* Under the lock. */
static const launchers_info *known_info(launchers *h, const char *name, const hato_launcher *builtin) {
  launchers__known *n = find_known(h, name);
  if (n != NULL) return n->info;
  launchers_info *made = builtin != NULL ? launchers__info_of(builtin, NULL) : NULL;
  const launchers_info *info = made != NULL ? remember(h, made) : NULL;
  launchers_info_free(made);
  return info;
}

hato_status launchers_known(launchers *h, const char *name, const launchers_info **out, hato_error *err) {
  *out = NULL;
  hato__error_clear(err);
  const hato_launcher *builtin = launchers__builtin(name);
  pthread_mutex_lock(&h->lock);
  *out = known_info(h, name, builtin);
  pthread_mutex_unlock(&h->lock);
  if (*out != NULL) return HATO_OK;
  char *path = builtin == NULL ? launchers__find(h->folders, name) : NULL;
  bool found = builtin != NULL || path != NULL;
  free(path);
  return found ? hato__fail(err, HATO_AGAIN, "launcher %s was not described yet", name)
               : unknown(h, name, err);
}

static void describe_log(void *arg, hato__log_level level, const char *text) {
  launchers *h = arg;
  hato__log_msg(&h->o.log, level, "LAUNCHER", "%s", text);
}
static void describe_progress(void *arg, const char *text) { describe_log(arg, HATO__LOG_DEBUG, text); }
static void describe_member(void *arg, uint64_t launch, uint32_t first, uint32_t count,
                            const launchers_member *m) {
  (void)arg, (void)launch, (void)first, (void)count, (void)m;
}
static bool describe_abort(void *arg) { return atomic_load(&((launchers *)arg)->stopping); }

/* Loads and probes; what does not succeed is its trouble. */
static launchers_info *try_out(launchers *h, const char *name, const char *path,
                               const hato_launcher *builtin) {
  launchers__line_options o = {.name = name,
                               .path = path,
                               .builtin = builtin,
                               .hato_binary = h->hato_binary,
                               .wake_fd = -1,
                               .sink = {h, describe_log, describe_progress, describe_member, describe_abort}};
  launchers__line *line = NULL;
  launchers_info *info = NULL;
  launchers__reply reply;
  hato_error err;
  hato__error_clear(&err);
  hato_status rc = launchers__line_open(&o, &line, &info, &err);
  if (rc == HATO_OK) {
    launchers__remember(h, info);
    rc = launchers__line_call(line, &(launchers__call){.op = LAUNCHERS__PROBE, .deadline_ms = 10000}, &reply,
                              &err);
    if (rc == HATO_OK && reply.status != HATO_OK) rc = hato__fail(&err, reply.status, "%s", reply.text);
  }
  launchers__line_close(line, true);
  if (info == NULL) {
    info = calloc(1, sizeof *info);
    if (info == NULL) return NULL;
    info->name = strdup(name);
    info->version = strdup("");
    info->description = strdup("");
    info->path = path != NULL ? strdup(path) : NULL;
  }
  info->usable = rc == HATO_OK;
  if (rc != HATO_OK) info->trouble = strdup(err.text);
  return info;
}

hato_status launchers_describe(launchers *h, const char *name, launchers_info **out, hato_error *err) {
  hato__error_clear(err);
  const hato_launcher *builtin = launchers__builtin(name);
  char *path = builtin == NULL ? launchers__find(h->folders, name) : NULL;
  *out = NULL;
  if (builtin == NULL && path == NULL) return unknown(h, name, err);
  *out = try_out(h, name, path, builtin);
  free(path);
  return *out != NULL ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory to describe launcher %s", name);
}

/* ---- requests ---- */

static bool tag_fits(const char *tag) {
  size_t n = strlen(tag);
  return n > 0 && n <= HATO_TAG_MAX &&
         strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

static hato_status check_secret(const launchers_request *r, hato_error *err) {
  uint32_t way = r->secret_way;
  if (way == 0) return HATO_OK;
  if ((way != HATO_SECRET_STDIN && way != HATO_SECRET_FILE && way != HATO_SECRET_ENVIRONMENT) ||
      r->secret_len > HATO_SECRET_MAX)
    return hato__fail(err, HATO_INVALID, "a secret of %zu bytes by way %u, expected at most %d by one way",
                      r->secret_len, way, HATO_SECRET_MAX);
  if (way != HATO_SECRET_FILE && (r->secret == NULL || r->secret_len == 0))
    return hato__fail(err, HATO_INVALID, "a launch without the secret it is to hand over");
  if (way == HATO_SECRET_ENVIRONMENT && memchr(r->secret, 0, r->secret_len) != NULL)
    return hato__fail(err, HATO_INVALID, "a secret for the environment must be text");
  return HATO_OK;
}

static hato_status check_request(const launchers_request *r, bool argv_too, hato_error *err) {
  if (r->launcher == NULL || *r->launcher == 0)
    return hato__fail(err, HATO_INVALID, "a launch without a launcher's name");
  if (r->count < 1 || r->count > HATO_LAUNCH_MAX)
    return hato__fail(err, HATO_INVALID, "a launch of %d daemons, expected 1 to %d", (int)r->count,
                      HATO_LAUNCH_MAX);
  if (r->tag == NULL || !tag_fits(r->tag))
    return hato__fail(err, HATO_INVALID, "the tag '%.80s', expected 1 to %d of A-Z, a-z, 0-9, _ . and -",
                      r->tag != NULL ? r->tag : "", HATO_TAG_MAX);
  if (!argv_too) return HATO_OK;
  uint32_t argc = 0;
  while (r->argv != NULL && r->argv[argc] != NULL) argc++;
  if (argc == 0 || r->argv[0][0] == 0) return hato__fail(err, HATO_INVALID, "a launch without a command");
  if (r->dial_arg >= argc)
    return hato__fail(err, HATO_INVALID, "the urls' word is %u of %u", r->dial_arg, argc);
  return check_secret(r, err);
}

/* The keeper of a launcher, started when there is none. Under the lock. */
static launchers__keeper *keeper_of(launchers *h, const char *name, const char *path,
                                    const hato_launcher *builtin, hato_error *err) {
  launchers__keeper *k = NULL;
  HASH_FIND_STR(h->keepers, name, k);
  if (k != NULL) return k;
  k = launchers__keeper_create(h, name, path, builtin, err);
  if (k != NULL) HASH_ADD_KEYPTR(hh, h->keepers, k->name, strlen(k->name), k);
  return k;
}

static void give(launchers__keeper *k, launchers__job *j, bool abort) {
  hato__list_push(&k->jobs, &j->link);
  launchers__keeper_wake(k, abort);
}

/* Under the lock. An id may be in use by one launch only; plans have none. */
static launchers__entry *enter(launchers *h, const launchers_request *r, launchers__keeper *k,
                               hato_error *err) {
  launchers__entry *e = calloc(1, sizeof *e);
  if (e == NULL) {
    (void)hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
    return NULL;
  }
  e->id = r->id;
  e->count = r->count;
  e->keeper = k;
  HASH_ADD(hh, h->entries, id, sizeof e->id, e);
  return e;
}

void launchers__entry_remove(launchers *h, launchers__entry *e) {
  pthread_mutex_lock(&h->lock);
  HASH_DEL(h->entries, e);
  pthread_mutex_unlock(&h->lock);
  free(e);
}

/* Under the lock, all having been checked. Takes kept and job over when it succeeds. */
static hato_status hand_over(launchers *h, const launchers_request *r, const char *path,
                             const hato_launcher *builtin, launchers__job *job, hato_error *err) {
  if (atomic_load(&h->stopping)) return hato__fail(err, HATO_CLOSED, "the dispatcher ends");
  const launchers_info *info = known_info(h, r->launcher, builtin);
  launchers__entry *e = NULL;
  HASH_FIND(hh, h->entries, &r->id, sizeof r->id, e);
  if (e != NULL && job->type != LAUNCHERS__JOB_PLAN)
    return hato__fail(err, HATO_EXISTS, "launch %llu exists", (unsigned long long)r->id);
  if (info != NULL && info->conf != NULL && job->type != LAUNCHERS__JOB_ADOPT) {
    hato_status rc = launchers__set(info->conf, r->options, err);
    hato__conf_reset(info->conf);
    if (rc != HATO_OK) return rc;
  }
  launchers__keeper *k = keeper_of(h, r->launcher, path, builtin, err);
  if (k == NULL) return HATO_SYSTEM;
  if (job->type != LAUNCHERS__JOB_PLAN) {
    job->kept->entry = enter(h, r, k, err);
    if (job->kept->entry == NULL) return HATO_NO_MEMORY;
  }
  give(k, job, false);
  return HATO_OK;
}

static hato_status ask(launchers *h, const launchers_request *r, launchers__job_type type, const void *record,
                       size_t record_len, hato_error *err) {
  hato_error local;
  if (err == NULL) err = &local;
  const hato_launcher *builtin = launchers__builtin(r->launcher);
  char *path = builtin == NULL ? launchers__find(h->folders, r->launcher) : NULL;
  if (builtin == NULL && path == NULL) return unknown(h, r->launcher, err);
  if (builtin == NULL && h->hato_binary == NULL) {
    free(path);
    return hato__fail(err, HATO_NOT_SUPPORTED,
                      "launcher %s runs in a process of its own, and the hato program was not found",
                      r->launcher);
  }
  launchers_request full = *r;
  if (full.tag == NULL) full.tag = "";
  if (full.secret_way == HATO_SECRET_ENVIRONMENT && full.secret_env == NULL)
    full.secret_env = "HATO_CREDENTIAL";
  launchers__job *job = calloc(1, sizeof *job);
  launchers__kept *kept = launchers__kept_create(&full, record, record_len);
  hato_status rc = HATO_OK;
  if (job == NULL || kept == NULL) {
    rc = hato__fail(err, HATO_NO_MEMORY, "no memory for a launch of %u", r->count);
  } else {
    *job = (launchers__job){.type = type, .id = r->id, .kept = kept};
    pthread_mutex_lock(&h->lock);
    rc = hand_over(h, r, path, builtin, job, err);
    pthread_mutex_unlock(&h->lock);
  }
  free(path);
  if (rc == HATO_OK) return rc;
  free(job);
  launchers__kept_free(kept);
  return rc;
}

hato_status launchers_launch(launchers *h, const launchers_request *r, hato_error *err) {
  hato__error_clear(err);
  hato_status rc = check_request(r, true, err);
  return rc == HATO_OK ? ask(h, r, LAUNCHERS__JOB_LAUNCH, NULL, 0, err) : rc;
}

hato_status launchers_plan(launchers *h, const launchers_request *r, hato_error *err) {
  hato__error_clear(err);
  if (r->launcher == NULL) return hato__fail(err, HATO_INVALID, "a plan without a launcher's name");
  return ask(h, r, LAUNCHERS__JOB_PLAN, NULL, 0, err);
}

hato_status launchers_adopt(launchers *h, const launchers_request *r, const void *record, size_t record_len,
                            hato_error *err) {
  hato__error_clear(err);
  if (record_len > HATO_RECORD_MAX)
    return hato__fail(err, HATO_INVALID, "a record of %zu bytes, at most %d", record_len, HATO_RECORD_MAX);
  hato_status rc = check_request(r, false, err);
  return rc == HATO_OK ? ask(h, r, LAUNCHERS__JOB_ADOPT, record, record_len, err) : rc;
}

/* ---- live launches ---- */

static hato_status to_launch(launchers *h, launchers__job job, hato_error *err) {
  launchers__job *j = malloc(sizeof *j);
  if (j == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory");
  *j = job;
  pthread_mutex_lock(&h->lock);
  launchers__entry *e = NULL;
  HASH_FIND(hh, h->entries, &job.id, sizeof job.id, e);
  hato_status rc = HATO_OK;
  if (e == NULL)
    rc = hato__fail(err, HATO_NOT_FOUND, "there is no live launch %llu", (unsigned long long)job.id);
  else if (job.type == LAUNCHERS__JOB_CANCEL_MEMBER && job.member >= e->count)
    rc = hato__fail(err, HATO_INVALID, "launch %llu has members 0 to %u, not %u", (unsigned long long)job.id,
                    e->count - 1, job.member);
  else if (job.type == LAUNCHERS__JOB_CANCEL_MEMBER) {
    launchers__known *n = find_known(h, e->keeper->name);
    if (n != NULL && (n->info->flags & HATO_LAUNCHER_CANCELS_MEMBERS) == 0)
      rc = hato__fail(err, HATO_NOT_SUPPORTED, "launcher %s ends whole launches only", e->keeper->name);
  }
  if (e != NULL && rc == HATO_OK) {
    if (job.type == LAUNCHERS__JOB_CANCEL) atomic_store(&e->cancelled, true);
    give(e->keeper, j, job.type == LAUNCHERS__JOB_CANCEL);
  }
  pthread_mutex_unlock(&h->lock);
  if (rc != HATO_OK) free(j);
  return rc;
}

hato_status launchers_cancel(launchers *h, uint64_t launch, hato_error *err) {
  hato__error_clear(err);
  return to_launch(h, (launchers__job){.type = LAUNCHERS__JOB_CANCEL, .id = launch}, err);
}

hato_status launchers_cancel_member(launchers *h, uint64_t launch, uint32_t member, hato_error *err) {
  hato__error_clear(err);
  return to_launch(h, (launchers__job){.type = LAUNCHERS__JOB_CANCEL_MEMBER, .id = launch, .member = member},
                   err);
}

void launchers_member_known(launchers *h, uint64_t launch, uint32_t member, bool connected) {
  (void)to_launch(
      h,
      (launchers__job){.type = LAUNCHERS__JOB_KNOWN, .id = launch, .member = member, .connected = connected},
      NULL);
}

void launchers_poll_now(launchers *h, uint64_t launch) {
  (void)to_launch(h, (launchers__job){.type = LAUNCHERS__JOB_POLL, .id = launch}, NULL);
}
