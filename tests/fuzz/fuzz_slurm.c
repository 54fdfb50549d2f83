/* What the launcher slurm reads as text: srun's log, lists of tasks and of CPUs, time limits, what sbatch printed,
 * records of launches. The first byte says which. Answers of the controller are libslurm's to read. */
#include "fuzz/host.h"

#include "slurm/internal.h"

#include <sys/mman.h>

/* What these files call and this target does not reach, or answers itself. */
#include "slurm/adopt.c"
#include "slurm/launches.c"
#include "slurm/options.c"
#include "slurm/srun.c"
#undef FIRST_SPECIAL_STEP
#include "slurm/srunlog.c"
#include "slurm/submit.c"

int sl_query(sl_state *s, const hato_host *h) {
  (void)s;
  (void)h;
  return HATO_OK;
}
int sl_find_jobs(sl_state *s, const hato_host *h, sl_launch *l) {
  (void)s;
  (void)h;
  (void)l;
  return HATO_OK;
}
int sl_limits(sl_state *s, const hato_host *h) {
  (void)h;
  s->max_array = 1000;
  strcpy(s->cluster, "c1");
  return HATO_OK;
}
bool sl_find_srun(sl_state *s, sl_launch *l) {
  (void)s;
  (void)l;
  return true;
}
int sl_cancel(sl_state *s, const hato_host *h, sl_launch *l, const uint32_t *members, uint32_t n) {
  (void)s;
  (void)h;
  (void)l;
  (void)members;
  (void)n;
  return HATO_OK;
}

enum { COUNT = 2500 };

/* srun's log and its first task's are files of a folder; both have what the input says. */
static void srun_log(fuzz_host *f, const uint8_t *data, size_t size) {
  static char dir[64];
  char path[100];
  sl_state s = {.epoll = -1};
  if (dir[0] == 0) {
    (void)snprintf(dir, sizeof dir, "%s/hato-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(dir) != NULL);
  }
  (void)mkdir(dir, 0700);
  sl_launch *l = sl_launch_make(&s, 1, 40, "tag", dir, NULL, SL_JOB);
  require(l != NULL);
  static const char *const files[] = {"srun", "0"};
  for (size_t i = 0; i < 2; i++) {
    (void)snprintf(path, sizeof path, "%s/tag.%s.log", dir, files[i]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
  }
  sl_srun_said said, step;
  f->count = l->count;
  sl_read_srun(&f->host, l, "11", &said);
  sl_read_step(&f->host, l, &step);
  require(said.step == step.step);
  require(strlen(said.waits) < sizeof said.waits && strlen(said.error) < sizeof said.error);
  sl_launch_drop(&s, l);
  for (size_t i = 0; i < 2; i++) {
    (void)snprintf(path, sizeof path, "%s/tag.%s.log", dir, files[i]);
    (void)unlink(path);
  }
  (void)rmdir(dir);
}

static void lists(const char *text) {
  const char *at = text;
  size_t n = 0;
  for (sl_range g; sl_next_range(&at, &g); n++) {
    require(g.first <= g.last && g.step > 0 && at <= text + strlen(text));
    require(g.last < NO_VAL && n <= strlen(text));
  }
  sl_grant g = {0};
  per_node(text, &g);
  require(g.n_kinds <= SL_KINDS);
  uint64_t cpus = 0, nodes = 0;
  for (uint32_t i = 0; i < g.n_kinds; i++) {
    nodes += g.kinds[i].nodes;
    cpus += (uint64_t)g.kinds[i].nodes * g.kinds[i].cpus;
  }
  require(cpus == g.cpus && nodes == g.nodes); /* nothing wrapped around */
  if (g.cpus > 0) require(even_share(&g, 3) >= 1);
  int64_t minutes = sl_time_minutes(text);
  require(minutes >= -1 && minutes < INT64_C(1) << 40);
  (void)is_ours(text, (char[40]){0}, 40);
}

/* An sbatch that printed the one half, and complained of the other. */
static void sbatch(fuzz_host *f, const uint8_t *data, size_t size) {
  static const char *const none[] = {NULL}, *const argv[] = {"hato", "daemon", NULL};
  const char *said[2] = {"", ""};
  char *room;
  sl_state s = {.epoll = -1};
  hato_launch_record record = {.size = sizeof record}, again = {.size = sizeof again};
  if (size == 0) return;
  (void)fuzz_texts(data + 1, size - 1, said, 2, &room);
  f->out = said[0];
  f->err = said[1];
  f->exit_code = data[0] & 1;
  f->count = COUNT;
  const hato_launch_request r = {.size = sizeof r, .count = COUNT, .id = 1, .tag = "tag", .argc = 2, .argv = argv, .dial_urls = none, .env = none};
  const sl_settings set = {.layout = data[0] & 2 ? SL_JOB : SL_ARRAY, .directives = none, .srun = none};
  int rc = sl_submit(&s, &f->host, &r, &set, &record);
  require(rc == HATO_OK || f->words[0] != 0);
  if (rc == HATO_OK) { /* what stands on record leads to the same jobs */
    const hato_launch l = {.size = sizeof l, .count = COUNT, .id = 2, .tag = "tag", .record = record.bytes, .record_len = record.len};
    require(record.len <= sizeof record.bytes);
    require(sl_adopt(&s, &f->host, &l, &again) == HATO_OK);
    require(again.len == record.len && memcmp(again.bytes, record.bytes, record.len) == 0);
  }
  while (s.launches != NULL) sl_launch_drop(&s, s.launches);
  free(room);
}

static void record(fuzz_host *f, const uint8_t *data, size_t size) {
  sl_state s = {.epoll = -1};
  unsigned char bytes[HATO_RECORD_MAX + 1] = {0};
  uint32_t len = size < HATO_RECORD_MAX ? (uint32_t)size : HATO_RECORD_MAX;
  memcpy(bytes, data, len);
  f->count = COUNT;
  sl_launch *l = sl_launch_make(&s, 1, COUNT, "tag", NULL, NULL, SL_ARRAY);
  require(l != NULL && sl_limits(&s, &f->host) == HATO_OK);
  const hato_launch launch = {.size = sizeof launch, .count = COUNT, .id = 1, .tag = "tag", .record = bytes, .record_len = len};
  if (read_record(&s, &f->host, &launch, l) == HATO_OK) {
    for (uint32_t i = 0; i < l->n_chunks; i++)
      require(l->chunks[i].count > 0 && l->chunks[i].first < COUNT && l->chunks[i].count <= COUNT - l->chunks[i].first);
  } else {
    require(f->words[0] != 0);
  }
  sl_launch_drop(&s, l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_host f;
  if (size == 0) return 0;
  fuzz_host_begin(&f);
  if (data[0] == 's') {
    srun_log(&f, data + 1, size - 1);
  } else if (data[0] == 'b') {
    sbatch(&f, data + 1, size - 1);
  } else if (data[0] == 'r') {
    record(&f, data + 1, size - 1);
  } else {
    char *text = fuzz_text(data + 1, size - 1);
    lists(text);
    free(text);
  }
  fuzz_host_end(&f);
  return 0;
}
