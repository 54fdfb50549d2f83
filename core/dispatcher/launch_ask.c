/* Requests for launches: read, resolved with their profile (which may load a module and read files), begun,
 * answered. */
#include "dispatcher/launch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_NS (10 * HATO__SEC)

typedef struct asking {
  errand errand;
  asked *asked; /* holds a reference */
  bool wait, print;
  uint64_t wait_ns;
} asking;

static bool listens(dispatcher *d) {
  dispatcher_lock(d);
  bool yes = d->n_listeners > 0;
  dispatcher_unlock(d);
  return yes;
}

static hato_status check(dispatcher *d, const asked *a, hato_error *err) {
  if (a->bind && strcmp(a->bind, "auto") != 0 && strcmp(a->bind, "core") != 0 && strcmp(a->bind, "none") != 0)
    return hato__fail(err, HATO_INVALID, "bind \"%s\"; auto, core or none was wanted", a->bind);
  if (a->argv && !a->argv[0]) return hato__fail(err, HATO_INVALID, "the command of the workers has no words");
  if (!listens(d)) return hato__fail(err, HATO_STATE, "the dispatcher listens nowhere yet");
  return HATO_OK;
}

/* ---- by hand ---- */

static char *shell_words(char *const *words, unsigned n) {
  hato__buf b = {0};
  for (unsigned i = 0; i < n; i++) {
    if (i) hato__buf_u8(&b, ' ');
    hato__sh_quote(&b, words[i], strlen(words[i]));
  }
  char *text = hato__buf_text(&b) ? hato__printf("%s", hato__buf_text(&b)) : NULL;
  hato__buf_free(&b);
  return text;
}

/* The commands to paste: neither shows the credential, which the shell that one is pasted to reads. */
static hato_status by_hand(dispatcher *d, const asked *a, json_t **answer, hato_error *err) {
  char **urls = NULL;
  launch_command shared = {0}, far = {0};
  char *path = NULL;
  if (!d->credentials.shared)
    return hato__fail(err, HATO_NOT_SUPPORTED, "an embedded dispatcher has no session that others could join");
  hato_status st = dispatcher_where(d, WHERE_BEYOND, &urls, err);
  if (!st) st = dispatcher_credentials_file(d, PROTO_ROLE_DAEMON, 0, &path, err);
  if (st) {
    dispatcher_where_free(urls);
    return st;
  }
  dispatcher_launch_command(d, a, HATO_LAUNCHER_NEEDS_LISTEN, NULL, 1, urls, path, &shared);
  dispatcher_launch_command(d, a, HATO_LAUNCHER_NEEDS_LISTEN, NULL, 1, urls, "-", &far);
  char *here = shell_words(shared.words, shared.n), *there = NULL, *file = NULL;
  if (!far.failed && far.n) {
    free(far.words[0]);
    far.words[0] = hato__printf("hato");
    there = far.words[0] ? shell_words(far.words, far.n) : NULL;
  }
  file = shell_words(&path, 1);
  char *quoted = there ? shell_words(&there, 1) : NULL; /* twice: for the shell here, and for the one there */
  char *document = quoted && file ? hato__printf("ssh HOST %s <<END\n$(cat %s)\nEND", quoted, file) : NULL;
  *answer = here && document && !shared.failed
                ? json_pack("{s:s,s:s}", "shared", here, "elsewhere", document)
                : NULL;
  free(here);
  free(there);
  free(quoted);
  free(file);
  free(path);
  free(document);
  dispatcher_launch_command_free(&shared);
  dispatcher_launch_command_free(&far);
  dispatcher_where_free(urls);
  return *answer ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
}

/* ---- a request ---- */

static void carry_out(errand *e) {
  asking *q = HATO__ENTRY(e, asking, errand);
  dispatcher *d = e->client->peer.d;
  hato_error err = {0};
  uint64_t id = 0;
  json_t *answer = NULL;
  hato_status st = check(d, q->asked, &err);
  if (!st) st = dispatcher_profile_resolve(d, q->asked, &err);
  if (!st && q->print) {
    st = by_hand(d, q->asked, &answer, &err);
  } else if (!st) {
    st = dispatcher_launch_begin(d, q->asked, 0, q->asked->n, q->wait ? e->client : NULL, e->token, q->wait_ns, &id,
                                 &err);
  }
  if (st) {
    dispatcher_errand_fail(e, &err);
  } else if (q->print || !q->wait) {
    dispatcher_lock(d);
    launch *l = answer ? NULL : dispatcher_launch_find(d, id);
    if (!answer) answer = l ? dispatcher_launch_one_json(l) : json_pack("{s:I}", "launch", (json_int_t)id);
    dispatcher_control_reply(e->client, e->token, answer);
    dispatcher_unlock(d);
  }
}

static void free_asking(errand *e) {
  asking *q = HATO__ENTRY(e, asking, errand);
  dispatcher_asked_unref(q->asked);
  free(q);
}

static bool copy_text(char **to, const json_t *from) {
  const char *text = json_string_value(from);
  *to = text ? hato__printf("%s", text) : NULL;
  return !text || *to;
}

/* A list of texts; absent: NULL. */
static bool copy_list(char ***to, const json_t *from, const char *name, hato_error *err) {
  size_t i, n = json_array_size(from);
  const json_t *v;
  if (!from || json_is_null(from)) return true;
  *to = calloc(n + 1, sizeof **to);
  if (*to) json_array_foreach(from, i, v) {
    if (!json_is_string(v)) return hato__fail(err, HATO_INVALID, "\"%s\" holds what is no text", name), false;
    if (!copy_text(&(*to)[i], v)) break;
  }
  return (*to && (n == 0 || (*to)[n - 1])) ||
         (hato__fail(err, HATO_NO_MEMORY, "no memory for a launch"), false);
}

static bool take_count(unsigned *to, const json_t *q, const char *name, json_int_t max, hato_error *err) {
  const json_t *v = json_object_get(q, name);
  if (!v || json_is_null(v)) return true;
  if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= max) {
    *to = (unsigned)json_integer_value(v);
    return true;
  }
  char *found = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
  hato__fail(err, HATO_INVALID, "\"%s\" is %s, wanted 0 to %lld", name, found ? found : "?", (long long)max);
  free(found);
  return false;
}

static bool take_time(uint64_t *ns, const json_t *q, const char *name, hato_error *err) {
  const json_t *v = json_object_get(q, name);
  if (!v || json_is_null(v)) return true;
  double s = json_number_value(v);
  if (json_is_number(v) && s >= 0 && s < 1e9) {
    *ns = (uint64_t)(s * 1e9);
    return true;
  }
  hato__fail(err, HATO_INVALID, "\"%s\" is not a time in seconds", name);
  return false;
}

/* The fields of a request, as far as they are there. */
static bool read_request(asking *q, const json_t *o, hato_error *err) {
  asked *a = q->asked;
  q->wait = json_is_true(json_object_get(o, "wait"));
  q->print = json_is_true(json_object_get(o, "print"));
  q->wait_ns = WAIT_NS;
  if (!copy_text(&a->launcher, json_object_get(o, "launcher")) ||
      !copy_text(&a->profile, json_object_get(o, "profile")) || !copy_text(&a->bind, json_object_get(o, "bind")))
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a launch"), false;
  return take_count(&a->n, o, "n", HATO_LAUNCH_MAX, err) && take_count(&a->slots, o, "slots", 65536, err) &&
         take_count(&a->crash_limit, o, "crash_limit", INT_MAX, err) &&
         take_time(&a->connect_ns, o, "launch_timeout", err) && take_time(&q->wait_ns, o, "wait_for", err) &&
         copy_list(&a->options, json_object_get(o, "options"), "options", err) &&
         copy_list(&a->argv, json_object_get(o, "argv"), "argv", err);
}

void dispatcher_launch_asked(client *c, uint32_t token, const json_t *request) {
  hato_error err = {0};
  asking *q = calloc(1, sizeof *q);
  asked *a = q ? dispatcher_asked_new() : NULL;
  if (!a) {
    free(q);
    dispatcher_lock(c->peer.d);
    dispatcher_control_fail(c, token, HATO_NO_MEMORY, "no memory for a launch");
    dispatcher_unlock(c->peer.d);
    return;
  }
  *q = (asking){.errand = {.run = carry_out, .free = free_asking}, .asked = a};
  a->refs = 1;
  if (!dispatcher_errand_open(&q->errand, c, token)) {
    dispatcher_asked_free(a);
    free(q);
  } else if (read_request(q, request, &err)) {
    dispatcher_errand_go(&q->errand);
  } else {
    dispatcher_errand_fail(&q->errand, &err);
    dispatcher_errand_close(&q->errand);
  }
}

hato_status dispatcher_launch(dispatcher *d, const dispatcher_launch_request *r, uint64_t *id, hato_error *err) {
  uint64_t none;
  asked *a = dispatcher_asked_new();
  if (!a) return hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  a->refs = 1;
  a->n = r->n > 0 ? (unsigned)r->n : 0;
  a->slots = r->slots > 0 ? (unsigned)r->slots : 0;
  a->launcher = hato__printf("%s", r->launcher ? r->launcher : "local");
  a->bind = r->bind ? hato__printf("%s", r->bind) : NULL;
  a->crash_limit = CRASH_LIMIT;
  a->connect_ns = CONNECT_NS;
  hato_status st = !a->launcher || (r->bind && !a->bind) ? hato__fail(err, HATO_NO_MEMORY, "no memory for a launch")
                   : r->n < 0 || r->n > HATO_LAUNCH_MAX
                       ? hato__fail(err, HATO_INVALID, "%d daemons; 0 to %d were wanted", r->n, HATO_LAUNCH_MAX)
                   : r->slots < 0 || r->slots > 65536
                       ? hato__fail(err, HATO_INVALID, "%d slots; 0 to 65536 were wanted", r->slots)
                       : check(d, a, err);
  if (!st) st = dispatcher_launch_begin(d, a, 0, a->n, NULL, 0, 0, id ? id : &none, err);
  dispatcher_lock(d);
  dispatcher_asked_unref(a);
  dispatcher_unlock(d);
  return st;
}
