/* The batch jobs of a launch: how many arrays, what they are called, and how that is kept. */
#include "pbs.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "pbs 1 DIALECT SIZE SUFFIX SEQ SEQ …", the suffix "-" when there is none. */
bool pbs_write_record(const pbs_record *r, hato_launch_record *out) {
  char *to = (char *)out->bytes;
  size_t room = sizeof out->bytes;
  int n = snprintf(to, room, "pbs 1 %d %u %s", (int)r->dialect, r->size, *r->suffix != 0 ? r->suffix : "-");
  for (uint32_t k = 0; k < r->n && n > 0 && (size_t)n < room; k++)
    n += snprintf(to + n, room - (size_t)n, " %llu", (unsigned long long)r->seq[k]);
  if (n <= 0 || (size_t)n >= room) return false;
  out->len = (uint32_t)n;
  return true;
}

static bool read_record(const unsigned char *bytes, uint32_t len, uint32_t count, pbs_record *r) {
  char text[HATO_RECORD_MAX + 1];
  int dialect = 0, at = 0;
  if (len > HATO_RECORD_MAX) return false;
  memcpy(text, bytes, len);
  text[len] = 0;
  if (sscanf(text, "pbs 1 %d %u %79s%n", &dialect, &r->size, r->suffix, &at) != 3 || r->size == 0) return false;
  if (dialect < PBS_PRO || dialect > PBS_SLURM) return false;
  r->dialect = (pbs_dialect)dialect;
  if (strcmp(r->suffix, "-") == 0) r->suffix[0] = 0;
  for (const char *s = r->suffix; *s != 0; s++)
    if (r->suffix[0] != '.' || !isgraph((unsigned char)*s)) return false;
  char *next = text + at;
  for (char *from = next; r->n < PBS_JOBS_MAX; from = next) {
    unsigned long long seq = strtoull(from, &next, 10);
    if (next == from) break;
    r->seq[r->n++] = seq;
  }
  return *next == 0 && r->n == (count - 1) / r->size + 1;
}

/* Of one that cannot be read nothing stays, its dialect neither: it is nobody's. */
bool pbs_read_record(const unsigned char *bytes, uint32_t len, uint32_t count, pbs_record *r) {
  *r = (pbs_record){0};
  if (read_record(bytes, len, count, r)) return true;
  *r = (pbs_record){0};
  return false;
}

uint32_t pbs_members_of(const pbs_record *r, uint32_t k, uint32_t count) {
  uint32_t first = k * r->size;
  return count - first < r->size ? count - first : r->size;
}

/* PBS Pro takes arrays of 10,000 unless its max_array_size says otherwise; Slurm of 1,001, Torque of any
 * size, but with servers set to less. */
int pbs_divide(const hato_host *h, const hato_launcher_options *o, pbs_dialect d, uint32_t count,
               pbs_record *r) {
  int64_t size = h->option_int(h, o, "array-size");
  *r = (pbs_record){.dialect = d, .size = (uint32_t)(size > 0 ? size : d == PBS_PRO ? 10000 : 1000)};
  r->n = (count - 1) / r->size + 1;
  if (r->n <= PBS_JOBS_MAX) return HATO_OK;
  return h->fail(h, HATO_TOO_LARGE,
                 "a launch of %u daemons is %u job arrays of %u; at most %d arrays make one launch (say "
                 "array-size=, when this server takes larger ones)",
                 count, r->n, r->size, PBS_JOBS_MAX);
}

char *pbs_job_id(const hato_host *h, const pbs_record *r, uint32_t k, uint32_t count) {
  bool array = r->dialect != PBS_SLURM && pbs_members_of(r, k, count) > 1;
  return h->format(h, "%llu%s%s", (unsigned long long)r->seq[k], array ? "[]" : "", r->suffix);
}

char *pbs_member_id(const hato_host *h, const pbs_record *r, uint32_t member, uint32_t count) {
  uint32_t k = member / r->size;
  if (pbs_members_of(r, k, count) == 1) return pbs_job_id(h, r, k, count);
  return h->format(h, r->dialect == PBS_SLURM ? "%llu_%u%s" : "%llu[%u]%s", (unsigned long long)r->seq[k],
                   member % r->size, r->suffix);
}

/* ---- names ---- */

static uint64_t hash(const char *text, uint32_t k) { /* FNV-1a */
  uint64_t x = 0xcbf29ce484222325u + k;
  for (; *text != 0; text++) x = (x ^ (unsigned char)*text) * 0x100000001b3u;
  return x;
}

char *pbs_job_name(const hato_host *h, const hato_launcher_options *o, const char *tag, uint32_t k,
                   bool brief) {
  const char *prefix = h->option_string(h, o, "job-name");
  char number[16] = "";
  if (k > 0) (void)snprintf(number, sizeof number, ".%u", k);
  if (brief) return h->format(h, "h%014llx", (unsigned long long)(hash(tag, k) & 0xffffffffffffff));
  if (prefix != NULL) return h->format(h, "%s-%s%s", prefix, tag, number);
  bool letter = (*tag | 0x20) >= 'a' && (*tag | 0x20) <= 'z'; /* a name begins with one */
  return h->format(h, "%s%s%s", letter ? "" : "h", tag, number);
}

pbs_names pbs_names_of(const hato_host *h, const hato_launch *l, uint32_t n) {
  struct passwd pw, *found = NULL;
  char text[4096];
  pbs_names names = {.n = n};
  for (uint32_t k = 0; k < n; k++) {
    names.whole[k] = pbs_job_name(h, l->options, l->tag, k, false);
    names.brief[k] = pbs_job_name(h, l->options, l->tag, k, true);
  }
  if (getpwuid_r(geteuid(), &pw, text, sizeof text, &found) == 0 && found != NULL)
    names.user = h->format(h, "%s", found->pw_name);
  return names;
}

/* Another user's job may have any name; owners are USER@HOST. */
static bool owned(const char *user, const char *owner) {
  if (owner == NULL || user == NULL) return true;
  size_t n = strlen(user);
  return strncmp(owner, user, n) == 0 && (owner[n] == '@' || owner[n] == 0);
}

static bool is(const char *name, const char *wanted) { return wanted != NULL && strcmp(name, wanted) == 0; }

bool pbs_is_ours(const pbs_names *names, const pbs_job *j, uint32_t *k) {
  if (j->name == NULL) return false;
  for (*k = 0; *k < names->n; (*k)++) {
    if (is(j->name, names->whole[*k]) || is(j->name, names->brief[*k])) return owned(names->user, j->owner);
  }
  return false;
}
