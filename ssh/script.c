/* The other side: what runs at a host's end of a session, in any POSIX shell.
 *
 * The session's standard input brings lines that are executed; the first ones define the functions below.
 * Its standard output brings events, a line each: "run JOB.MEMBER PID SHARE", "end JOB.MEMBER STATUS" and
 * so on (follow.c). Each daemon has a subshell that waits for it, so that its exit status comes back, and
 * writes into a file that has no name any more, so that nothing is left behind.
 *
 * When the connection is lost input ends: no more is asked for, but daemons that were started are waited
 * for, since they need not end with it. The secret is read into a variable that is not exported, and goes
 * out by a builtin, so that no argument, environment or file ever has it.
 */
#include "ssh.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* One line, for any login shell: quote_ssh wraps it. It reads the script up to a line of one dot. What the
 * user's start-up files printed comes before its first event. */
const char ssh_loader[] = "n=$(printf '\\n.');n=${n%.};s=;"
                          "while IFS= read -r l&&[ \"$l\" != . ];do s=$s$l$n;done;eval \"$s\"";

static const char script[] =
    "exec 3>&1 4<&0 1>&2 </dev/null\n"
    "trap : PIPE; set -f\n"
    "own= nl=$n followers=\n"
    "command -v setsid >/dev/null 2>&1 && own=setsid\n"
    "case $(command -V printf) in *builtin*) bytes='printf %s' ;; *) bytes='print -rn --' ;; esac\n"
    "say() { printf '%s\\n' \"$*\" >&3; } 2>/dev/null\n"
    "say ready\n"
    /* JOB same|copy|path PATH SYSTEM: where is hato? */
    "use() {\n"
    "  if [ \"$2\" = path ]; then\n"
    "    if [ ! -e \"$3\" ]; then say failed $1 none \"$3\"; return; fi\n"
    "    if e=$(\"$3\" --version 2>&1); then eval \"hato_$1=\\$3\"; else\n"
    "      say failed $1 broken $(uname -sm): $e; fi\n"
    "    return\n"
    "  fi\n"
    "  s=$(uname -sm)\n"
    "  if [ \"$s\" != \"$4\" ]; then say failed $1 system $s; return; fi\n"
    "  if [ \"$2\" = same ] && [ -f \"$3\" ] && [ -x \"$3\" ]; then eval \"hato_$1=\\$3\"\n"
    "  else say want $1; fi\n"
    "}\n"
    /* JOB HASH SIZE: as many bytes follow, once "send" was said. Whole or not at all, and tried first. */
    "copy() {\n"
    "  d=${XDG_CACHE_HOME:-$HOME/.cache}/hato/$2 f=$d/new.$nonce\n"
    "  if [ -x \"$d/hato\" ]; then eval \"hato_$1=\\$d/hato\"; say copied $1; return; fi\n"
    "  if e=$( (umask 077; mkdir -p \"$d\" && : >\"$f\") 2>&1 ); then say send $1\n"
    "  else rmdir \"$d\" 2>/dev/null; say failed $1 copy $e; return; fi\n"
    "  if e=$( (head -c \"$3\" <&4 | { cat >\"$f\"; r=$?; cat >/dev/null; exit $r; } &&\n"
    "    [ $(wc -c <\"$f\") -eq \"$3\" ] && chmod 700 \"$f\" && \"$f\" --version >/dev/null &&\n"
    "    mv -f \"$f\" \"$d/hato\") 2>&1 ); then eval \"hato_$1=\\$d/hato\"; say copied $1\n"
    "  else rm -f \"$f\"; rmdir \"$d\" 2>/dev/null; say failed $1 copy $e; fi\n"
    "}\n"
    /* JOB.MEMBER NAME=VALUE... -- WORDS */
    "member() {\n"
    "  (\n"
    "    trap : PIPE; exec 4<&-\n"
    "    h_n=$1; shift\n"
    "    eval \"h_secret=\\$secret_${h_n%.*}\"\n"
    "    while [ \"$1\" != -- ]; do export \"$1\"; shift; done; shift\n"
    "    h_f=${TMPDIR:-/tmp}/hato-$nonce.$h_n\n"
    "    if (umask 077; set -C; : >\"$h_f\") 2>/dev/null; then exec 5>>\"$h_f\"; else exec 5>/dev/null; "
    "h_f=; fi\n"
    "    if [ \"$h_secret\" ]; then $bytes \"$h_secret\" 3>&- | $own \"$@\" >&5 2>&1 3>&- 5>&- &\n"
    "    else $own \"$@\" </dev/null >&5 2>&1 3>&- 5>&- & fi\n"
    "    h_p=$!; unset h_secret\n"
    "    say run $h_n $h_p $HATO_SHARE\n"
    "    [ -z \"$h_f\" ] || rm -f \"$h_f\"\n"
    "    wait $h_p; h_s=$?\n"
    "    if [ -s /proc/self/fd/5 ]; then\n"
    "      tail -c 3500 /proc/self/fd/5 | tail -n 10 | while IFS= read -r h_l; do say log $h_n \"$h_l\"; "
    "done; fi\n"
    "    say end $h_n $h_s\n"
    "  ) </dev/null &\n"
    "}\n"
    "stop() { kill -s $1 -- $2 || kill -s $1 ${2#-}; } 2>/dev/null\n"
    /* JOB TAG: which members live here, started by another session? Tasks have the environment of their
     * daemon, but only it leads its session. Daemons let nobody read theirs, and say the same as arguments,
     * which others could imitate. */
    "ours() { set -- $(grep -s '^Uid:' \"$1/status\") && [ \"$2\" = \"$(id -u)\" ]; }\n"
    "search() {\n"
    "  set +f\n"
    "  for f in $(grep -lsF " SSH_TAG
    "=\"$2\" /proc/[0-9]*/environ); do f=${f%/environ}; look $1 $2 ${f#/proc/}; done\n"
    "  for f in $(grep -lsF " SSH_TAG
    "=\"$2\" /proc/[0-9]*/cmdline); do f=${f%/cmdline}\n"
    "    if [ ! -r $f/environ ] && ours $f; then look $1 $2 ${f#/proc/}; fi; done\n"
    "  set -f; say searched $1\n"
    "}\n"
    "born() { read -r s <\"/proc/$1/stat\" && set -- ${s##*) } && [ $1 != Z ] && shift 19 && s=$1; } "
    "2>/dev/null\n"
    "look() {\n"
    "  j=$1 t=$2 p=$3 q=\n"
    "  e=$(tr '\\0' '\\n' <\"/proc/$p/environ\" || tr '\\0' '\\n' <\"/proc/$p/cmdline\") && born $p && b=$s || return\n"
    "  read -r s <\"/proc/$p/stat\" && set -- ${s##*) }\n"
    "  [ \"$4\" = $p ] || [ -z \"$own\" ] || return\n"
    "  case $nl$e$nl in *\"${nl}" SSH_TAG "=$t$nl\"*) ;; *) return ;; esac\n"
    "  case $nl$e in *\"${nl}" SSH_MEMBER "=\"*) m=${e#*" SSH_MEMBER "=} m=${m%%$nl*} ;; *) return ;; esac\n"
    "  case $nl$e in *\"${nl}" SSH_SHARE "=\"*) q=${e#*" SSH_SHARE "=} q=${q%%$nl*} ;; esac\n"
    "  say found $j.$m $p $q\n"
    "  ( while born $p && [ \"$s\" = \"$b\" ]; do sleep 1; done; say end $j.$m - $p ) 4<&- &\n"
    "  followers=\"$followers $!\"\n"
    "} 2>/dev/null\n";

static const char loop[] = "while IFS= read -r line <&4; do eval \"$line\"; done\n"
                           "[ -z \"$followers\" ] || kill $followers 2>/dev/null\n"
                           "exec 4<&-\n"
                           "wait\n";

void ssh_script(ssh_text *out, const ssh_session *s) {
  ssh_putf(out, "nonce=%s\n", s->nonce);
  ssh_puts(out, script);
  ssh_puts(out, loop);
  if (s->tunnel == SSH_SOCKET) ssh_putf(out, "rm -f '%s'\n", s->socket);
  ssh_puts(out, "exit 0\n.\n");
  if (s->tunnel == SSH_SOCKET) ssh_putf(out, "dial=ipc://%s\n", s->socket);
}

/* Lines are what the other side reads, so a line break within a quoted word is a variable there. */
static void put_words(ssh_text *out, const char *quoted) {
  for (; *quoted != 0; quoted++) {
    if (*quoted == '\n')
      ssh_puts(out, "'\"$nl\"'");
    else
      ssh_put(out, quoted, 1);
  }
}

static int put_word(const hato_host *h, ssh_text *out, const char *word) {
  const char *q = h->quote(h, word);
  if (q == NULL) return HATO_NO_MEMORY;
  ssh_puts(out, " ");
  put_words(out, q);
  return HATO_OK;
}

static bool is_name(const char *s, size_t n) {
  if (n == 0 || isdigit((unsigned char)*s)) return false;
  for (size_t i = 0; i < n; i++) {
    if (!isalnum((unsigned char)s[i]) && s[i] != '_') return false;
  }
  return true;
}

static int put_environment(const hato_host *h, const hato_launch_request *r, ssh_text *out) {
  for (const char *const *e = r->env; *e != NULL; e++) {
    const char *end = strchr(*e, '=');
    if (end == NULL || !is_name(*e, (size_t)(end - *e)))
      return h->fail(h, HATO_INVALID, "the environment has '%.64s'; NAME=VALUE was wanted", *e);
    int rc = put_word(h, out, *e);
    if (rc != HATO_OK) return rc;
  }
  ssh_putf(out, " " SSH_TAG "=%s --", r->tag);
  return HATO_OK;
}

static int put_secret(const hato_host *h, const hato_launch_request *r, ssh_text *out) {
  if (r->secret_way == 0) return HATO_OK;
  if (r->secret_way != HATO_SECRET_STDIN)
    return h->fail(h, HATO_NOT_SUPPORTED, "ssh hands over secrets by standard input alone");
  if (memchr(r->secret, 0, r->secret_len) != NULL)
    return h->fail(h, HATO_INVALID, "the secret has a zero byte");
  const char *at = r->secret, *end = at + r->secret_len;
  unsigned long long id = r->id;
  for (bool first = true;; first = false) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((stop != NULL ? stop : end) - at);
    ssh_puts(out, "IFS= read -r s <&4\n");
    ssh_put(out, at, n);
    ssh_puts(out, "\n");
    if (first) ssh_putf(out, "secret_%llu=$s s=\n", id);
    if (!first) ssh_putf(out, "secret_%llu=$secret_%llu$nl$s s=\n", id, id);
    if (stop == NULL) break;
    at = stop + 1;
  }
  return HATO_OK;
}

/* Which hato is to run there. */
static int put_program(const hato_host *h, const hato_launch_request *r, ssh_text *out) {
  const char *want = h->option_string(h, r->options, "hato");
  bool mode = strcmp(want, "same") == 0 || strcmp(want, "copy") == 0;
  if (!mode && *want != '/')
    return h->fail(h, HATO_INVALID, "hato '%s': same, copy or an absolute path was wanted", want);
  ssh_putf(out, "use %llu %s", (unsigned long long)r->id, mode ? want : "path");
  int rc = put_word(h, out, mode ? r->argv[0] : want);
  struct utsname u;
  (void)uname(&u);
  const char *here = h->format(h, "%s %s", u.sysname, u.machine);
  if (rc == HATO_OK) rc = here != NULL ? put_word(h, out, here) : HATO_NO_MEMORY;
  ssh_puts(out, "\n");
  return rc;
}

int ssh_script_job(const hato_host *h, const hato_launch_request *r, ssh_tunnel tunnel, ssh_text *out) {
  bool daemons = (r->flags & HATO_LAUNCH_DIAL_IN) != 0;
  unsigned long long id = r->id;
  int rc = put_secret(h, r, out);
  if (rc == HATO_OK && daemons) rc = put_program(h, r, out);
  if (rc != HATO_OK) return rc;
  if (daemons) ssh_putf(out, "job_%llu() { if [ -z \"$hato_%llu\" ]; then say held $1; return; fi; ", id, id);
  if (!daemons) ssh_putf(out, "job_%llu() { ", id);
  ssh_puts(out, "member \"$@\"");
  rc = put_environment(h, r, out);
  for (uint32_t i = 0; rc == HATO_OK && i < r->argc; i++) {
    if (i == 0 && daemons)
      ssh_putf(out, " \"$hato_%llu\"", id);
    else if (i > 0 && i == r->dial_arg && tunnel != SSH_DIRECT)
      ssh_puts(out, " \"$dial\"");
    else
      rc = put_word(h, out, r->argv[i]);
  }
  ssh_puts(out, "; }\n");
  return rc;
}

void ssh_script_member(ssh_text *out, const ssh_job *j, uint32_t i) {
  const ssh_member *m = &j->members[i];
  ssh_putf(out, "job_%llu %llu.%u " SSH_MEMBER "=%u", (unsigned long long)j->id, (unsigned long long)j->id, i,
           i);
  if (m->share_of > 1) ssh_putf(out, " " SSH_SHARE "=%u/%u", m->share, m->share_of);
  ssh_puts(out, "\n");
}
