/* What this machine says of itself in files and variables: control groups, mounts, sets of CPUs, what a batch
 * system granted. An input is the contents of the files and then the variables, parted by zero bytes. */
#include "topo/internal.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = {"/proc/self/cgroup", "/proc/self/mountinfo", "/cg/cpu.max", "/cg/cpuset.cpus.effective", "/hosts"};
static const char *const names[] = {"SLURM_JOB_ID",       "SLURM_STEP_ID", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_JOB_CPUS_PER_NODE",
                                    "SLURM_NODEID",       "PBS_JOBID",     "NCPUS",               "PBS_NUM_PPN",        "JOB_ID",
                                    "NSLOTS"};
enum { FILES = sizeof files / sizeof *files, NAMES = sizeof names / sizeof *names };

static char root[64]; /* for the whole run */

static const char *variable(void *arg, const char *name) {
  const char *const *texts = arg;
  if (strcmp(name, "PBS_NODEFILE") == 0 || strcmp(name, "PE_HOSTFILE") == 0) return "/hosts";
  for (size_t i = 0; i < NAMES; i++)
    if (strcmp(name, names[i]) == 0) return texts[FILES + i];
  return NULL;
}

static void put_file(const char *name, const char *text) {
  char path[200];
  (void)snprintf(path, sizeof path, "%s%s", root, name);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  size_t n = strlen(text);
  require(fd >= 0 && write(fd, text, n) == (ssize_t)n);
  close(fd);
}

static void folders(void) {
  static const char *const all[] = {"", "/proc", "/proc/self", "/cg"};
  char path[200];
  if (root[0] != 0) return;
  (void)snprintf(root, sizeof root, "%s/hato-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  require(mkdtemp(root) != NULL);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    (void)snprintf(path, sizeof path, "%s%s", root, all[i]);
    (void)mkdir(path, 0700);
  }
}

static void __attribute__((destructor)) clear(void) {
  if (root[0] == 0) return;
  static const char *const all[] = {"/cg", "/proc/self", "/proc", ""};
  char path[200];
  for (size_t i = 0; i < FILES; i++) {
    (void)snprintf(path, sizeof path, "%s%s", root, files[i]);
    (void)unlink(path);
  }
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    (void)snprintf(path, sizeof path, "%s%s", root, all[i]);
    (void)rmdir(path);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *texts[FILES + NAMES] = {NULL};
  char *room, words[200];
  cpu_set_t set, before;
  size_t n = fuzz_texts(data, size, texts, FILES + NAMES, &room);
  topo_source src = {.root = root, .getenv = variable, .arg = texts, .hostname = "node1.example"};
  folders();
  for (size_t i = 0; i < FILES; i++) put_file(files[i], texts[i] != NULL ? texts[i] : "");
  require(topo__quota(&src) >= 1);
  CPU_ZERO(&set);
  for (size_t i = 0; i < 16; i++) CPU_SET(i, &set);
  before = set;
  topo__cpuset(&src, &set, sizeof set);
  CPU_AND(&before, &before, &set);
  require(CPU_EQUAL(&before, &set)); /* it takes away only */
  unsigned cpus = topo__grant(&src, words, sizeof words);
  require(cpus <= INT32_MAX && (cpus == 0 || strlen(words) > 0));
  if (n > 3) (void)topo__cpu_list(texts[3], &set, sizeof set);
  free(room);
  return 0;
}
