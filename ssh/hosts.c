/* Lists of hosts: node[01-16],ssh://user@host:2222,other. */
#include "ssh.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 255 };

void ssh_hosts_free(ssh_hosts *s) {
  for (uint32_t i = 0; i < s->n; i++) {
    free(s->hosts[i].text);
    free(s->hosts[i].user);
    free(s->hosts[i].name);
    free(s->hosts[i].port);
  }
  free(s->hosts);
  free(s->table);
  *s = (ssh_hosts){0};
}

static int no_memory(const hato_host *h) {
  return h->fail(h, HATO_NO_MEMORY, "no memory for a list of hosts");
}

static bool valid(const char *s, const char *also) {
  if (*s == 0 || *s == '-') return false;
  for (; *s != 0; s++) {
    if (!isalnum((unsigned char)*s) && strchr(also, *s) == NULL) return false;
  }
  return true;
}

static bool valid_port(const char *s) {
  char *end;
  if (!isdigit((unsigned char)*s)) return false;
  long n = strtol(s, &end, 10);
  return *end == 0 && n >= 1 && n <= 65535;
}

/* ssh://[user@]host[:port], host being also [IPv6]; or [user@]host. Splits text in place. */
static int parse(const hato_host *h, char *text, const char *shown, ssh_host *out) {
  bool uri = strncmp(text, "ssh://", 6) == 0;
  char *name = uri ? text + 6 : text, *at = strrchr(name, '@');
  size_t n = strlen(name);
  *out = (ssh_host){.listings = 1};
  if (!uri && strstr(text, "://") != NULL)
    return h->fail(h, HATO_INVALID, "host '%s': expected HOST, USER@HOST or ssh://[USER@]HOST[:PORT]", shown);
  if (uri && n > 0 && name[n - 1] == '/') name[n - 1] = 0;
  if (at != NULL) {
    *at = 0;
    out->user = name;
    name = at + 1;
    if (!valid(out->user, "._-+@\\") || strlen(out->user) > NAME_MAX_LEN)
      return h->fail(h, HATO_INVALID, "host '%s': '%s' is not the name of a user", shown, out->user);
  }
  char *colon = NULL;
  if (uri && *name == '[') {
    char *close = strchr(name, ']');
    if (close == NULL || (close[1] != 0 && close[1] != ':'))
      return h->fail(h, HATO_INVALID, "host '%s': expected ssh://[IPv6 address]:PORT", shown);
    name++;
    *close = 0;
    colon = close[1] == ':' ? close + 1 : NULL;
  } else if (uri) {
    colon = strrchr(name, ':');
  }
  if (colon != NULL) {
    *colon = 0;
    out->port = colon + 1;
    if (!valid_port(out->port))
      return h->fail(h, HATO_INVALID, "host '%s': port '%s'; 1 to 65535 was wanted", shown, out->port);
  }
  out->name = name;
  if (!valid(name, "._-:%") || strlen(name) > NAME_MAX_LEN)
    return h->fail(h, HATO_INVALID, "host '%s': '%s' is not the name of a host", shown, name);
  return HATO_OK;
}

static bool same(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

static char *copy_of(const char *s, bool *failed) {
  char *c = s != NULL ? strdup(s) : NULL;
  *failed = *failed || (s != NULL && c == NULL);
  return c;
}

static uint64_t hash(uint64_t x, const char *s) { /* FNV-1a */
  for (; s != NULL && *s != 0; s++) x = (x ^ (unsigned char)*s) * 0x100000001b3u;
  return (x ^ 0xff) * 0x100000001b3u;
}

/* Its place in the table, or the free one that is for it. There is one: the table is never more than half full. */
static uint32_t *find(const ssh_hosts *s, const ssh_host *h) {
  uint32_t mask = 2 * s->max - 1;
  uint64_t x = hash(hash(hash(0xcbf29ce484222325u, h->name), h->user), h->port);
  for (uint32_t i = (uint32_t)(x ^ x >> 32) & mask;; i = (i + 1) & mask) {
    const ssh_host *o = s->table[i] != 0 ? &s->hosts[s->table[i] - 1] : NULL;
    if (o == NULL || (same(o->name, h->name) && same(o->user, h->user) && same(o->port, h->port)))
      return &s->table[i];
  }
}

static bool grow(ssh_hosts *s) {
  uint32_t max = s->max > 0 ? 2 * s->max : 16;
  ssh_host *more = realloc(s->hosts, max * sizeof *more);
  if (more != NULL) s->hosts = more;
  uint32_t *table = more != NULL ? calloc((size_t)2 * max, sizeof *table) : NULL;
  if (table == NULL) return false;
  free(s->table);
  s->table = table;
  s->max = max;
  for (uint32_t i = 0; i < s->n; i++) *find(s, &s->hosts[i]) = i + 1;
  return true;
}

/* A host that is there already gets a listing more. */
static int add(const hato_host *h, ssh_hosts *s, const char *text) {
  char *work = h->format(h, "%s", text);
  ssh_host p;
  if (work == NULL) return HATO_NO_MEMORY;
  int rc = parse(h, work, text, &p);
  if (rc != HATO_OK) return rc;
  if (++s->listings > HATO_LAUNCH_MAX)
    return h->fail(h, HATO_TOO_LARGE, "host lists more than %d hosts", HATO_LAUNCH_MAX);
  if (s->n == s->max && !grow(s)) return no_memory(h);
  uint32_t *place = find(s, &p);
  if (*place != 0) {
    s->hosts[*place - 1].listings++;
    return HATO_OK;
  }
  bool failed = false;
  s->hosts[s->n++] = (ssh_host){.text = copy_of(text, &failed),
                                .user = copy_of(p.user, &failed),
                                .name = copy_of(p.name, &failed),
                                .port = copy_of(p.port, &failed),
                                .listings = 1};
  *place = s->n;
  return failed ? no_memory(h) : HATO_OK;
}

/* A number of at most 9 digits. */
static bool number(const char **at, uint32_t *out, int *width) {
  char *end;
  if (!isdigit((unsigned char)**at)) return false;
  unsigned long n = strtoul(*at, &end, 10);
  *width = (int)(end - *at);
  *out = (uint32_t)n;
  *at = end;
  return *width <= 9;
}

static int expand(const hato_host *h, ssh_hosts *s, const char *text, const char *whole);

/* One text for each number of "1,3-5", between what stands before and after the brackets. */
static int expand_range(const hato_host *h, ssh_hosts *s, const char *text, const char *open,
                        const char *close, const char *whole) {
  for (const char *at = open + 1;;) {
    uint32_t lo, hi;
    int width, unused;
    const char *from = at;
    if (!number(&at, &lo, &width)) break;
    hi = lo;
    int pad = *from == '0' ? width : 1;
    if (*at == '-') {
      at++;
      if (!number(&at, &hi, &unused)) break;
    }
    if (at > close || (*at != ',' && at != close)) break;
    if (hi < lo)
      return h->fail(h, HATO_INVALID, "host '%s': the range %.*s runs backwards", whole, (int)(at - from),
                     from);
    if (hi - lo >= HATO_LAUNCH_MAX)
      return h->fail(h, HATO_TOO_LARGE, "host '%s': the range %.*s has more than %d hosts", whole,
                     (int)(at - from), from, HATO_LAUNCH_MAX);
    for (uint32_t i = lo; i <= hi; i++) {
      char *one = NULL;
      if (asprintf(&one, "%.*s%0*u%s", (int)(open - text), text, pad, i, close + 1) < 0) return no_memory(h);
      int rc = expand(h, s, one, whole);
      free(one);
      if (rc != HATO_OK) return rc;
    }
    if (at == close) return HATO_OK;
    at++;
  }
  return h->fail(h, HATO_INVALID, "host '%s': '%.*s' is no list of numbers and ranges, as [1,3-5] or [01-16]",
                 whole, (int)(close - open + 1), open);
}

/* The first bracket that is no IPv6 address. */
static const char *bracket(const char *text) {
  const char *open = strchr(text, '[');
  bool uri = strncmp(text, "ssh://", 6) == 0;
  if (open != NULL && uri && (open == text + 6 || open[-1] == '@')) {
    const char *close = strchr(open, ']');
    const char *colon = strchr(open, ':');
    if (close != NULL && colon != NULL && colon < close) return strchr(close, '[');
  }
  return open;
}

static int expand(const hato_host *h, ssh_hosts *s, const char *text, const char *whole) {
  const char *open = bracket(text);
  if (open == NULL) return add(h, s, text);
  const char *close = strchr(open, ']');
  if (close == NULL) return h->fail(h, HATO_INVALID, "host '%s': '[' without ']'", whole);
  return expand_range(h, s, text, open, close, whole);
}

/* Commas outside of brackets part hosts. */
static int read_list(const hato_host *h, ssh_hosts *s, const char *list) {
  while (true) {
    list += strspn(list, " \t");
    size_t n = 0;
    for (int depth = 0; list[n] != 0 && (depth > 0 || list[n] != ','); n++)
      depth += list[n] == '[' ? 1 : list[n] == ']' ? -1 : 0;
    size_t len = n;
    while (len > 0 && (list[len - 1] == ' ' || list[len - 1] == '\t')) len--;
    char *one = h->format(h, "%.*s", (int)len, list);
    if (one == NULL) return HATO_NO_MEMORY;
    if (len == 0) return h->fail(h, HATO_INVALID, "host: an empty name in the list");
    int rc = expand(h, s, one, one);
    if (rc != HATO_OK || list[n] == 0) return rc;
    list += n + 1;
  }
}

int ssh_hosts_read(const hato_host *h, const hato_launcher_options *o, ssh_hosts *out) {
  *out = (ssh_hosts){0};
  const char *const *lists = h->option_list(h, o, "host");
  int rc = lists != NULL && lists[0] != NULL
               ? HATO_OK
               : h->fail(h, HATO_INVALID,
                         "no host is named: -o host=NAME, as node[01-16] or ssh://user@name:22");
  for (; rc == HATO_OK && *lists != NULL; lists++) rc = read_list(h, out, *lists);
  if (rc != HATO_OK) ssh_hosts_free(out);
  return rc;
}
