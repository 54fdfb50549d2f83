#include "base/buf.h"
#include "base/io.h"
#include "topo/internal.h"
#include "unit.h"
#include <sys/stat.h>
#include <unistd.h>

/* A recorded system: variables, and a folder that stands for /proc and /sys. */
struct recorded {
  const char *vars[12]; /* NAME, value, … */
  char root[64];
};

static const char *var(void *arg, const char *name) {
  struct recorded *r = arg;
  for (int i = 0; r->vars[i]; i += 2)
    if (strcmp(r->vars[i], name) == 0) return r->vars[i + 1];
  return NULL;
}

static void put(struct recorded *r, const char *path, const char *text) {
  if (!r->root[0]) {
    strcpy(r->root, "/tmp/hato-topo-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->root));
  }
  char full[512], dir[512];
  snprintf(full, sizeof full, "%s%s", r->root, path);
  strcpy(dir, full);
  *strrchr(dir, '/') = '\0';
  ck_assert_int_eq(hato__make_dir(dir, 0700, false, NULL), HATO_OK);
  FILE *f = fopen(full, "w");
  ck_assert_ptr_nonnull(f);
  fputs(text, f);
  fclose(f);
}

static topo *probe(struct recorded *r, const char *machine) {
  topo_source src = {.root = r->root[0] ? r->root : "/nonexistent",
                     .getenv = var,
                     .arg = r,
                     .synthetic = machine,
                     .hostname = "n2.cluster"};
  topo *t = NULL;
  hato_error err = {0};
  ck_assert_msg(topo_probe(&src, &t, &err) == HATO_OK, "%s", err.text);
  if (r->root[0]) unit_remove_folder(r->root);
  return t;
}

static void check_set(const topo *t, topo_bind bind, unsigned slot, unsigned slots, const char *want) {
  topo_set s;
  bool bound = topo_slot(t, bind, slot, slots, &s);
  char text[256] = "", *at = text;
  for (unsigned i = 0; bound && i < s.size * 8; i++)
    if (CPU_ISSET_S(i, s.size, s.set)) at += sprintf(at, "%s%u", at == text ? "" : ",", i);
  ck_assert_str_eq(bound ? text : "-", want);
  topo_set_free(&s);
}

UNIT_TEST(this_machine) {
  topo *t;
  ck_assert_int_eq(topo_probe(NULL, &t, NULL), HATO_OK);
  ck_assert_uint_ge(topo_cores(t), 1);
  ck_assert_uint_le(topo_cores(t), (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
  ck_assert(strstr(topo_how(t), "core"));
  ck_assert_ptr_null(getenv("HWLOC_PLUGINS_PATH"));
  topo_set s;
  ck_assert(topo_slot(t, TOPO_BIND_CORE, 0, 1, &s));
  ck_assert_int_eq(sched_setaffinity(0, s.size, s.set), 0);
  topo_set_free(&s);
  topo_destroy(t);
}

UNIT_TEST(affinity_mask) {
  cpu_set_t one;
  ck_assert_int_eq(sched_getaffinity(0, sizeof one, &one), 0);
  int first = 0;
  while (!CPU_ISSET(first, &one)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
  topo *t;
  ck_assert_int_eq(topo_probe(NULL, &t, NULL), HATO_OK);
  ck_assert_uint_eq(topo_cores(t), 1);
  topo_destroy(t);
}

UNIT_TEST(a_core_is_its_pus) {
  struct recorded r = {0};
  topo *t = probe(&r, "pack:2 core:4 pu:2");
  ck_assert_uint_eq(topo_cores(t), 8);
  ck_assert_str_eq(topo_how(t), "8 of 8 cores");
  ck_assert(!topo_granted(t));
  check_set(t, TOPO_BIND_CORE, 1, 8, "2,3");
  check_set(t, TOPO_BIND_CORE, 1, 4, "4,5,6,7");
  check_set(t, TOPO_BIND_CORE, 9, 16, "2,3");
  check_set(t, TOPO_BIND_AUTO, 0, 8, "-");
  check_set(t, TOPO_BIND_NONE, 0, 8, "-");
  topo_destroy(t);
}

UNIT_TEST(pus_without_cores) {
  struct recorded r = {0};
  topo *t = probe(&r, "pu:3");
  ck_assert_uint_eq(topo_cores(t), 3);
  topo_destroy(t);
}

#define MOUNTS                                                                   \
  "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"                            \
  "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n" \
  "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset\n"

UNIT_TEST(cgroup1) {
  struct recorded r = {0};
  put(&r, "/proc/self/cgroup", "4:memory:/\n3:cpuset:/jobs/7\n1:cpu,cpuacct:/jobs/7\n0::/\n");
  put(&r, "/proc/self/mountinfo", MOUNTS);
  put(&r, "/sys/fs/cgroup/cpuset/jobs/7/cpuset.cpus", "0-5,8\n");
  put(&r, "/sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us", "-1\n");
  put(&r, "/sys/fs/cgroup/cpu/jobs/7/cpu.cfs_period_us", "100000\n");
  put(&r, "/sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us", "250000\n");
  put(&r, "/sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us", "100000\n");
  topo *t = probe(&r, "core:8 pu:2");
  ck_assert_str_eq(topo_how(t), "3 of 8 cores: affinity leaves 4, a CPU quota of 3");
  check_set(t, TOPO_BIND_CORE, 3, 4, "8");
  topo_destroy(t);
}

UNIT_TEST(cgroup2_in_a_container) {
  struct recorded r = {0};
  put(&r, "/proc/self/cgroup", "0::/docker/abc/job\n");
  put(&r, "/proc/self/mountinfo", "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  put(&r, "/sys/fs/cgroup/job/cpu.max", "max 100000\n");
  put(&r, "/sys/fs/cgroup/cpu.max", "150000 100000\n");
  put(&r, "/sys/fs/cgroup/cpuset.cpus.effective", "0-3\n");
  topo *t = probe(&r, "core:8 pu:1");
  ck_assert_uint_eq(topo_cores(t), 2);
  ck_assert_str_eq(topo_how(t), "2 of 8 cores: affinity leaves 4, a CPU quota of 2");
  topo_destroy(t);
}

static void granted(const char *const *vars, unsigned want) {
  struct recorded r = {0};
  put(&r, "/nodes", "n1\nn1\nn2.other.domain\nn2\nn2\n");
  put(&r, "/pe", "n1 7 all.q UNDEFINED\nN2.cluster 2 all.q UNDEFINED\nn2 1 fast.q UNDEFINED\n");
  for (int i = 0; vars[i]; i++) r.vars[i] = vars[i];
  topo *t = probe(&r, "core:16 pu:2");
  ck_assert_uint_eq(topo_cores(t), want);
  ck_assert(topo_granted(t) == (want < 16));
  if (want < 16) ck_assert_msg(strstr(topo_how(t), "grants"), "%s", topo_how(t));
  check_set(t, TOPO_BIND_AUTO, 0, 1, "-"); /* more cores than granted: which are ours? */
  topo_destroy(t);
}
#define GRANTED(want, ...) granted((const char *const[]){__VA_ARGS__, NULL}, want)

UNIT_TEST(batch_grants) {
  GRANTED(4, "SLURM_JOB_ID", "1", "SLURM_CPUS_ON_NODE", "4", "SLURM_CPUS_PER_TASK", "2");
  GRANTED(2, "SLURM_JOB_ID", "1", "SLURM_STEP_ID", "0", "SLURM_STEP_NUM_TASKS", "2", "SLURM_CPUS_ON_NODE",
          "4", "SLURM_CPUS_PER_TASK", "2");
  GRANTED(2, "SLURM_JOB_ID", "1", "SLURM_STEP_ID", "0", "SLURM_STEP_NUM_TASKS", "1", "SLURM_CPUS_ON_NODE",
          "4", "SLURM_CPUS_PER_TASK", "2");
  GRANTED(1, "SLURM_JOB_ID", "1", "SLURM_STEP_ID", "0", "SLURM_STEP_NUM_TASKS", "4", "SLURM_CPUS_ON_NODE",
          "4");
  GRANTED(3, "SLURM_JOB_ID", "1", "SLURM_JOB_CPUS_PER_NODE", "4(x2),3", "SLURM_NODEID", "2");
  GRANTED(4, "SLURM_JOB_ID", "1", "SLURM_JOB_CPUS_PER_NODE", "4(x2),3", "SLURM_NODEID", "1");
  GRANTED(5, "PBS_JOBID", "16.pbs1", "NCPUS", "5", "PBS_NODEFILE", "/nodes");
  GRANTED(3, "PBS_JOBID", "16.pbs1", "PBS_NODEFILE", "/nodes");
  GRANTED(3, "JOB_ID", "4", "NSLOTS", "10", "PE_HOSTFILE", "/pe");
  GRANTED(6, "JOB_ID", "4", "NSLOTS", "6");
  GRANTED(16, "OMP_NUM_THREADS", "2");
  GRANTED(16, "NCPUS", "2");
  GRANTED(16, "SLURM_JOB_ID", "1", "SLURM_CPUS_ON_NODE", "none");
}

UNIT_TEST(auto_binds_within_a_grant) {
  struct recorded r = {.vars = {"SLURM_JOB_ID", "9", "SLURM_CPUS_ON_NODE", "4"}};
  put(&r, "/proc/self/cgroup", "3:cpuset:/\n");
  put(&r, "/proc/self/mountinfo", MOUNTS);
  put(&r, "/sys/fs/cgroup/cpuset/cpuset.cpus", "8-15");
  topo *t = probe(&r, "core:16 pu:2"); /* 8 PUs are 4 cores */
  ck_assert_uint_eq(topo_cores(t), 4);
  ck_assert(topo_granted(t));
  check_set(t, TOPO_BIND_AUTO, 0, 4, "8,9");
  check_set(t, TOPO_BIND_AUTO, 3, 4, "14,15");
  check_set(t, TOPO_BIND_AUTO, 1, 2, "12,13,14,15");
  check_set(t, TOPO_BIND_AUTO, 0, 5, "-");
  topo_destroy(t);
}

UNIT_TEST(dealt_shares_are_disjoint) {
  unsigned sum = 0;
  for (unsigned member = 0; member < 3; member++) {
    struct recorded r = {0};
    topo *t = probe(&r, "core:8 pu:1");
    topo_deal(t, member, 3);
    sum += topo_cores(t);
    static const char *const want[] = {"0,1", "2,3,4", "5,6,7"};
    check_set(t, TOPO_BIND_AUTO, 0, 1, want[member]);
    ck_assert(strstr(topo_how(t), "a share of"));
    topo_destroy(t);
  }
  ck_assert_uint_eq(sum, 8);
}

UNIT_TEST(dealt_shares_wrap) {
  struct recorded r = {0};
  topo *t = probe(&r, "core:2 pu:1");
  topo_deal(t, 3, 4);
  ck_assert_uint_eq(topo_cores(t), 1);
  check_set(t, TOPO_BIND_AUTO, 0, 1, "-"); /* two daemons on one core: leave it to the kernel */
  check_set(t, TOPO_BIND_CORE, 0, 1, "1");
  topo_destroy(t);
}

UNIT_TEST(cpu_lists) {
  cpu_set_t set;
  ck_assert(topo__cpu_list("0-3,8\n", &set, sizeof set));
  ck_assert_int_eq(CPU_COUNT(&set), 5);
  ck_assert(topo__cpu_list("", &set, sizeof set));
  ck_assert_int_eq(CPU_COUNT(&set), 0);
  ck_assert(topo__cpu_list("0-4000000000", &set, sizeof set));
  ck_assert(!topo__cpu_list("3-1", &set, sizeof set));
  ck_assert(!topo__cpu_list("x", &set, sizeof set));
  ck_assert(!topo__cpu_list("1-", &set, sizeof set));
  topo_bind bind;
  ck_assert(topo_bind_parse("none", &bind) && bind == TOPO_BIND_NONE);
  ck_assert(!topo_bind_parse("cores", &bind));
}

UNIT_MAIN("topo")
