/* What the launcher pbs reads from qstat, on any bytes: text of each kind, JSON, and the records of launches. */
#include "pbs/jobs.c"
#include "pbs/json.c"
#include "pbs/meaning.c"
#include "pbs/text.c"

#include <stdarg.h>

/* Services of a host, as far as the parsers call them: memory until the end of a run. */
typedef struct block {
  struct block *next;
} block;
static block *blocks;

static void *keep(void *p) {
  block *b = p;
  if (b == NULL) abort();
  b->next = blocks;
  blocks = b;
  return b + 1;
}

static void *alloc(const hato_host *h, size_t size) {
  (void)h;
  return keep(calloc(1, sizeof(block) + size));
}

static char *__attribute__((format(printf, 2, 3))) format(const hato_host *h, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  if (n < 0) abort();
  char *text = alloc(h, (size_t)n + 1);
  (void)vsnprintf(text, (size_t)n + 1, fmt, again);
  va_end(again);
  va_end(ap);
  return text;
}

static void require(int holds) {
  if (!holds) abort();
}

static void check(const hato_host *h, pbs_jobs *jobs) {
  pbs_sort(jobs);
  for (size_t i = 0; i < jobs->n; i++) {
    hato_member m;
    const pbs_job *j = &jobs->at[i];
    require(j->seq > 0 && j->index >= PBS_PARENT && pbs_find(jobs, j->seq, j->index) != NULL);
    pbs_meaning(h, j, &m);
    require(m.state >= HATO_MEMBER_QUEUED && m.state <= HATO_MEMBER_ENDED);
    require((m.state == HATO_MEMBER_ENDED) == (pbs_is_live(j) ? 0 : j->state != 'M'));
    require(m.signal >= 0 && m.signal <= 64);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  hato_host h = {.size = sizeof h, .alloc = alloc, .format = format};
  pbs_jobs from_text = {0}, from_json = {0};
  char *text = alloc(&h, size + 1);
  if (size > 0) memcpy(text, data, size);
  if (pbs_parse_json(&h, text, size, &from_json)) check(&h, &from_json);
  pbs_parse_text(&h, text, &from_text);
  check(&h, &from_text);
  while (blocks != NULL) {
    block *next = blocks->next;
    free(blocks);
    blocks = next;
  }
  return 0;
}
