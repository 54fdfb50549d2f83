/* A batch system of a shell script and a folder, for the tests of the launcher `command`: real processes,
 * ids, states, and faults to order.
 *
 *   spool DIR sub N            its script on standard input; prints "Your job <7> is in"
 *   spool DIR stat ID...       "7 2 run node1 -" a member that it knows; notes its words in DIR/asked
 *   spool DIR del ID[.K]...    fails for an id that it does not know
 *
 * Files in DIR order it: stat.fail (to exit with 3), stat.hang, sub.fail.N (the Nth submit fails), hold (new
 * jobs wait until it is gone), forgetful (ended members are not listed). */
#ifndef HATO_TESTS_UNIT_HELP_SPOOL_H
#define HATO_TESTS_UNIT_HELP_SPOOL_H

#include "launchers.h"

static const char spool_text[] =
    "#!/bin/sh\n"
    "S=$1 verb=$2; shift 2; mkdir -p $S; cd $S || exit 9\n"
    "case $verb in\n"
    "sub)\n"
    "  id=7; while ! mkdir job.$id 2>/dev/null; do id=$((id + 1)); done\n"
    "  [ ! -e sub.fail.$((id - 6)) ] || { echo 'sub: over the quota' >&2; exit 4; }\n"
    "  cat >job.$id/script; chmod +x job.$id/script; k=1\n"
    "  while [ $k -le $1 ]; do\n"
    "    [ ! -e hold ] || : >job.$id/$k.held\n"
    "    setsid sh -c 'while [ -e job.$0/$1.held -a -e hold ]; do sleep 0.02; done; rm -f job.$0/$1.held\n"
    "      SPOOL_INDEX=$1 ./job.$0/script >job.$0/$1.out 2>&1; echo $? >job.$0/$1.exit' \\\n"
    "      $id $k </dev/null >/dev/null 2>&1 &\n"
    "    echo $! >job.$id/$k.pid; k=$((k + 1))\n"
    "  done; echo welcome; echo \"Your job <$id> is in\";;\n"
    "stat)\n"
    "  echo \"$*\" >>asked; [ ! -e stat.hang ] || sleep 600; [ ! -e stat.fail ] || { echo 'no master' >&2; "
    "exit 3; }\n"
    "  for id; do for f in job.$id/*.pid; do [ -e $f ] || continue\n"
    "    k=${f#job.$id/}; k=${k%.pid}; b=job.$id/$k\n"
    "    if [ -e $b.exit ]; then [ -e forgetful ] || echo \"$id $k done node1 $(cat $b.exit)\"\n"
    "    elif [ -e $b.gone ]; then [ -e forgetful ] || echo \"$id $k deleted node1 -\"\n"
    "    elif [ -e $b.held ]; then echo \"$id $k wait - -\"; else echo \"$id $k run node1 -\"; fi\n"
    "  done; done; exit 0;;\n"
    "del)\n"
    "  echo \"$*\" >>deleted\n"
    "  for id; do k='*'; case $id in *.*) k=${id#*.}; id=${id%.*};; esac\n"
    "    [ -d job.$id ] || { echo \"del: no job $id\" >&2; exit 5; }\n"
    "    for f in job.$id/$k.pid; do [ -e ${f%.pid}.exit ] || { kill -9 -$(cat $f) 2>/dev/null; : "
    ">${f%.pid}.gone; }; done\n"
    "  done; exit 0;;\n"
    "esac\n";

static char spool_options[12][256];
static const char *spool_list[24];

/* Its options, which hold until the next call, with those that follow. */
static inline const char *const *spool(bench *b, bool array, const char *const *more) {
  char path[128];
  int n = 0;
  (void)snprintf(path, sizeof path, "%s/spool", b->dir);
  FILE *f = fopen(path, "w");
  ck_assert(f != NULL && fputs(spool_text, f) >= 0 && fclose(f) == 0 && chmod(path, 0700) == 0);
#define SPOOL_OPTION(...) (void)snprintf(spool_options[n], sizeof *spool_options, __VA_ARGS__), n++
  SPOOL_OPTION("submit=%s %s/s sub %s", path, b->dir, array ? "{n}" : "1");
  SPOOL_OPTION("script=exec >%s/{tag}.%s.log 2>&1", b->dir, array ? "$((SPOOL_INDEX - 1))" : "{i}");
  SPOOL_OPTION("script=exec {daemon}");
  SPOOL_OPTION("id=<([0-9]+)>");
  SPOOL_OPTION("status=%s %s/s stat {ids}", path, b->dir);
  SPOOL_OPTION("status-row=^([0-9]+) ([0-9]+) ([a-z]+) ([^ ]+) ([0-9]+|-)$");
  SPOOL_OPTION(array ? "status-fields=id member state host exit" : "status-fields=id - state host exit");
  SPOOL_OPTION("queued=wait");
  SPOOL_OPTION("running=run");
  SPOOL_OPTION("cancelled=deleted");
  SPOOL_OPTION("cancel=%s %s/s del {ids}", path, b->dir);
  SPOOL_OPTION("interval=50ms");
#undef SPOOL_OPTION
  for (int i = 0; i < n; i++) spool_list[i] = spool_options[i];
  for (int i = 0; more != NULL && more[i] != NULL && n < 23; i++) spool_list[n++] = more[i];
  if (array) spool_list[n++] = "member-env=SPOOL_INDEX";
  spool_list[n] = NULL;
  return spool_list;
}

static inline void spool_touch(bench *b, const char *name) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/s", b->dir);
  (void)mkdir(path, 0700);
  (void)snprintf(path, sizeof path, "%s/s/%s", b->dir, name);
  FILE *f = fopen(path, "w");
  ck_assert(f != NULL && fclose(f) == 0);
}

static inline void spool_remove(bench *b, const char *name) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/s/%s", b->dir, name);
  ck_assert_int_eq(unlink(path), 0);
}

/* What a file of the spool has; "" when it is not there. */
static inline const char *spool_read(bench *b, const char *name) {
  static char text[8192];
  char path[512];
  (void)snprintf(path, sizeof path, "%s/%s", b->dir, name);
  FILE *f = fopen(path, "r");
  size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f != NULL) (void)fclose(f);
  text[n] = 0;
  return text;
}

#endif
