/* What verbs share. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const hato__conf_row session_rows[] = {
    {.type = HATO__CONF_HEADING, .help = "Session"},
    {.name = "session", .type = HATO__CONF_STRING, .metavar = "NAME",
     .help = "The session: a name, or the path of its folder. Default: HATO_SESSION, else \"default\"."},
    {.name = "url", .type = HATO__CONF_STRING, .metavar = "URL",
     .help = "A dispatcher by its address, as ipc:///path or tls+tcp://host:port, instead of a session."},
    {.name = "credential-file", .type = HATO__CONF_STRING, .metavar = "FILE",
     .help = "With --url, over anything but a Unix socket: a client's credential, as client.credential in the session's folder. A session's own is found there."},
};
static const hato__conf_row json_rows[] = {
    {.name = "json", .type = HATO__CONF_BOOL, .help = "Report in JSON: one object, or an object a line for lists."},
};
static const hato__conf_row other_rows[] = {
    {.type = HATO__CONF_HEADING, .help = "Other"},
};
static const hato__conf_row all_rows[] = {
    {.name = "log-level", .type = HATO__CONF_ENUM, .def = "warn", .metavar = "LEVEL",
     .names = (const char *const[]){"error", "warn", "notice", "info", "debug", NULL},
     .help = "The least important messages that are written to standard error (of a dispatcher or daemon: to its log)."},
    {.name = "help", .type = HATO__CONF_BOOL, .help = "Print this help."},
};

hato__conf *cli_conf_of(const cli_verb *v) {
  char what[64];
  snprintf(what, sizeof what, "hato %s", v->name);
  hato__conf *c = hato__conf_create(what);
  if (!c) return NULL;
  hato_status st = v->n_rows ? hato__conf_add(c, v->rows, v->n_rows, NULL) : HATO_OK;
  if (!st && !(v->flags & CLI_NO_SESSION_ROWS)) st = hato__conf_add(c, CLI_ROWS(session_rows), NULL);
  if (!st && v->n_rows) st = hato__conf_add(c, CLI_ROWS(other_rows), NULL);
  if (!st && (v->flags & CLI_REPORTS)) st = hato__conf_add(c, CLI_ROWS(json_rows), NULL);
  if (!st) st = hato__conf_add(c, CLI_ROWS(all_rows), NULL);
  if (st) {
    hato__conf_destroy(c);
    return NULL;
  }
  return c;
}

int cli_fail(const cli *c, int code, const char *fmt, ...) {
  hato__buf b = {0};
  char text[2048];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  hato__clean(text, true); /* it may quote a stranger */
  hato__buf_printf(&b, "hato %s: %s\n", c->verb->name, text);
  if (!b.failed) fwrite(b.data, 1, b.len, stderr);
  hato__buf_free(&b);
  return code;
}

int cli_code(hato_status status) {
  switch (status) {
    case HATO_OK: return CLI_OK;
    case HATO_INVALID: return CLI_USAGE;
    case HATO_REFUSED:
    case HATO_UNREACHABLE:
    case HATO_PEER_AUTH:
    case HATO_PROTOCOL:
    case HATO_CLOSED:
    case HATO_RESET: return CLI_NO_SESSION;
    default: return CLI_FAILED;
  }
}

static void pool_log(void *arg, hato_log_level level, const char *id, const char *text) {
  hato__log_to_fd(arg, (hato__log_level)level, id, text);
}

void cli_pool_options(cli *c, hato_pool_options *o) {
  *o = (hato_pool_options)HATO_POOL_OPTIONS_INIT;
  o->session = hato__conf_get_str(c->conf, "session");
  o->url = hato__conf_get_str(c->conf, "url");
  o->credential_file = hato__conf_get_str(c->conf, "credential-file");
  o->mode = o->url ? HATO_POOL_URL : HATO_POOL_SESSION;
  o->log = pool_log;
  o->log_arg = &c->log_fd;
  o->log_level = (hato_log_level)c->log.level;
}

int cli_connect(cli *c, hato_pool **pool) {
  hato_pool_options o;
  hato_error err;
  cli_pool_options(c, &o);
  hato_status st = hato_pool_open(&o, pool, &err);
  if (!st) return CLI_OK;
  bool none = st == HATO_NOT_FOUND, told = strstr(err.text, "hato up") != NULL;
  return cli_fail(c, none ? CLI_NO_SESSION : cli_code(st), "%s%s", err.text,
                  none && !o.url && !told ? "; `hato up` starts one" : "");
}

json_int_t cli_number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

const char *cli_text(const json_t *o, const char *key) {
  const char *s = json_string_value(json_object_get(o, key));
  return s ? s : "";
}

void cli_print_json(const json_t *o) {
  json_dumpf(o, stdout, JSON_COMPACT);
  putchar('\n');
}

typedef struct lines {
  cli *c;
  int (*line)(cli *c, json_t *object, void *arg);
  void *arg;
  int code;
} lines;

static bool one_line(void *arg, const char *text) {
  lines *l = arg;
  if (!l->line) return fputs(text, stdout) >= 0 && putchar('\n') != EOF;
  json_error_t bad;
  json_t *o = json_loads(text, 0, &bad);
  if (!o) {
    l->code = cli_fail(l->c, CLI_FAILED, "the dispatcher's answer is not JSON: %s", bad.text);
    return false;
  }
  l->code = l->line(l->c, o, l->arg);
  json_decref(o);
  return l->code == CLI_OK;
}

int cli_request(cli *c, hato_pool *pool, json_t *q, int (*line)(cli *c, json_t *object, void *arg), void *arg) {
  hato_error err;
  lines l = {.c = c, .line = line, .arg = arg};
  char *text = json_dumps(q, JSON_COMPACT);
  json_decref(q);
  if (!text) return cli_fail(c, CLI_FAILED, "out of memory");
  hato_status st = hato_pool_control(pool, text, HATO_FOREVER, one_line, &l, &err);
  free(text);
  if (l.code) return l.code;
  if (st == HATO_INTERRUPTED) return CLI_FAILED; /* standard output is gone */
  if (!st) return CLI_OK;
  return cli_fail(c, st == HATO_NOT_FOUND ? CLI_USAGE : cli_code(st), "%s", err.text);
}

int cli_ignore_answer(cli *c, json_t *o, void *arg) {
  (void)c, (void)o, (void)arg;
  return CLI_OK;
}

bool cli_add_tasks(cli *c, json_t *q) {
  if (hato__conf_get_bool(c->conf, "all")) {
    json_object_set_new(q, "all", json_true());
    return true;
  }
  if (c->n_words == 0) return false;
  hato__buf b = {0};
  for (size_t i = 0; i < c->n_words; i++) hato__buf_printf(&b, "%s%s", i ? "," : "", c->words[i]);
  char *text = hato__buf_text(&b);
  if (text) json_object_set_new(q, "tasks", json_string(text));
  hato__buf_free(&b);
  return true;
}

int cli_request_tasks(cli *c, json_t *q, int (*line)(cli *c, json_t *object, void *arg), void *arg) {
  hato_pool *pool;
  if (!cli_add_tasks(c, q)) {
    json_decref(q);
    return cli_fail(c, CLI_USAGE, "which tasks? their numbers, or --all, were wanted");
  }
  int code = cli_connect(c, &pool);
  if (code) {
    json_decref(q);
    return code;
  }
  code = cli_request(c, pool, q, line, arg);
  hato_pool_close(pool);
  return code;
}

const char *cli_seconds(double s, char *out, size_t n) {
  if (s < 0.0995) {
    snprintf(out, n, "%.0f ms", s * 1000);
  } else if (s < 59.95) {
    snprintf(out, n, "%.1f s", s);
  } else if (s < 3600) {
    snprintf(out, n, "%d min %02d s", (int)s / 60, (int)s % 60);
  } else {
    snprintf(out, n, "%lld h %02d min", (long long)s / 3600, (int)((long long)s % 3600 / 60));
  }
  return out;
}

const char *cli_binary(char *out, size_t n) {
  if (!hato__self_exe(out, n)) snprintf(out, n, "hato");
  return out;
}
