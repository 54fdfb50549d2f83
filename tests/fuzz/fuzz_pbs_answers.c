/* What the launcher pbs does with what qsub and qstat print, and with what it kept itself: records, and the notes
 * that scripts leave. Operations are run whole, with commands that say what the input has them say: a letter for
 * which operation, one for whose PBS it is and how the command exits, and its output and complaint, parted by a zero
 * byte (with a third part, the record). */
#include "fuzz/host.h"
#include "pbs/pbs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNT = 30 };

static const char *const none[] = {NULL};
static const char *const argv[] = {"hato", "daemon", NULL};

static hato_launch launch_of(const unsigned char *record, uint32_t len, const char *dir) {
  return (hato_launch){.size = sizeof(hato_launch),
                       .count = COUNT,
                       .id = 1,
                       .tag = "tag",
                       .record = record,
                       .record_len = len,
                       .log_dir = dir};
}

/* What is written down is read back, and its members' ids fit what qstat prints. */
static void check_record(fuzz_host *f, const unsigned char *bytes, uint32_t len) {
  pbs_record r, again;
  hato_launch_record out = {.size = sizeof out};
  if (!pbs_read_record(bytes, len, COUNT, &r)) return;
  require(r.size > 0 && r.n > 0 && r.n <= PBS_JOBS_MAX && r.dialect >= PBS_PRO && r.dialect <= PBS_SLURM);
  uint64_t members = 0;
  for (uint32_t k = 0; k < r.n; k++) members += pbs_members_of(&r, k, COUNT);
  require(members == COUNT);
  if (!pbs_write_record(&r, &out)) return;
  require(pbs_read_record(out.bytes, out.len, COUNT, &again) && memcmp(&r, &again, sizeof r) == 0);
  for (uint32_t i = 0; i < COUNT; i += 7) {
    uint64_t seq;
    int64_t index;
    const char *suffix;
    const char *id = pbs_member_id(&f->host, &r, i, COUNT);
    require(id != NULL);
    if (r.dialect != PBS_SLURM && r.seq[i / r.size] != 0) {
      require(pbs_parse_id(id, &seq, &index, &suffix) && seq == r.seq[i / r.size] && strcmp(suffix, r.suffix) == 0);
    }
  }
}

static void submit(fuzz_host *f) {
  pbs p = {0};
  hato_launch_record record = {.size = sizeof record};
  const hato_launch_request r = {.size = sizeof r, .count = COUNT, .id = 1, .tag = "tag", .argc = 2, .argv = argv, .dial_urls = none, .env = none};
  int rc = pbs_launch(&p, &f->host, &r, &record);
  require(rc == HATO_OK || f->words[0] != 0);
  if (rc != HATO_OK) return;
  pbs_record read;
  require(record.len <= HATO_RECORD_MAX && pbs_read_record(record.bytes, record.len, COUNT, &read));
  check_record(f, record.bytes, record.len);
}

static void follow(fuzz_host *f, const char *record, bool adopt) {
  pbs p = {0};
  uint32_t len = (uint32_t)strnlen(record, HATO_RECORD_MAX);
  const hato_launch l = launch_of((const unsigned char *)record, len, "/nowhere"), *const all[] = {&l};
  hato_launch_record again = {.size = sizeof again};
  check_record(f, l.record, len);
  int rc = adopt ? pbs_adopt(&p, &f->host, &l, &again) : pbs_poll(&p, &f->host, all, 1);
  require(rc == HATO_OK || f->words[0] != 0);
  if (adopt && rc == HATO_OK) require(again.len <= HATO_RECORD_MAX);
}

static void note(fuzz_host *f, const uint8_t *data, size_t size) {
  static char dir[64];
  char path[100];
  if (dir[0] == 0) {
    (void)snprintf(dir, sizeof dir, "%s/hato-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(dir) != NULL);
  }
  (void)mkdir(dir, 0700);
  (void)snprintf(path, sizeof path, "%s/tag.0.job", dir);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  close(fd);
  pbs_note n = pbs_read_note(&f->host, dir, "tag", 0);
  require(strnlen(n.job, sizeof n.job) < sizeof n.job && strnlen(n.host, sizeof n.host) < sizeof n.host);
  hato_member m = {0};
  pbs_exit(&m, n.code);
  require(m.signal >= 0 && m.signal <= 64);
  (void)unlink(path);
  (void)rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_host f;
  const char *said[3] = {"", "", "pbs 1 1 10000 .pbs1 18"};
  char *room;
  if (size < 2) return 0;
  fuzz_host_begin(&f);
  (void)fuzz_texts(data + 2, size - 2, said, 3, &room);
  f.out = said[0];
  f.err = said[1];
  static const int codes[] = {0, 153, 35, 38, 1, 2, 127, 0};
  f.exit_code = codes[data[1] >> 2 & 7];
  f.count = COUNT;
  const fuzz_option options[] = {{.name = "dialect", .number = data[1] & 3},
                                 {.name = "array-size", .number = data[1] & 32 ? 7 : 0},
                                 {.name = NULL}};
  f.options = options;
  switch (data[0]) {
  case 'q': submit(&f); break;
  case 'a': follow(&f, said[2], true); break;
  case 'n': note(&f, data + 2, size - 2); break;
  default: follow(&f, said[2], false);
  }
  free(room);
  fuzz_host_end(&f);
  return 0;
}
