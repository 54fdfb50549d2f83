/* hato run: one task, as if it ran here. */
#include "cli/signals.h"
#include "cli/task.h"
#include "cli/verbs.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const hato__conf_row rows[] = {
    COMMAND_ROW("What to run."),
    {.name = "stdin",
     .type = HATO__CONF_STRING,
     .metavar = "FILE",
     .help = "Standard input of the task, a file where it runs. Default: what is piped in, and /dev/null for "
             "a terminal's."},
    TASK_ROWS,
    EMBEDDED_ROWS,
};

typedef struct run_state {
  cli *c;
  signals signals;
  task_command command;
  hato_pool *pool;
  hato_spec *spec;
  hato_queue *queue;
  hato_future *future;
  bool embedded;
  int gone_fd;        /* an eventfd: nobody reads the output */
  atomic_int trouble; /* errno of a write */
} run_state;

/* ---- output, on a thread of the library ---- */

static void on_output(void *arg, int stream, const void *data, size_t size) {
  run_state *s = arg;
  uint64_t one = 1;
  if (atomic_load(&s->trouble)) return;
  if (hato__write_all(stream == 2 ? STDERR_FILENO : STDOUT_FILENO, data, size) == 0) return;
  atomic_store(&s->trouble, errno);
  if (write(s->gone_fd, &one, sizeof one) < 0) return; /* its counter cannot be full */
}

/* ---- input ---- */

/* Whether standard input has something for the task: not a terminal, not /dev/null, not closed. */
static bool has_input(void) {
  struct stat s;
  if (fstat(STDIN_FILENO, &s) != 0 || isatty(STDIN_FILENO)) return false;
  if (S_ISCHR(s.st_mode)) return s.st_rdev != makedev(1, 3);
  return !S_ISDIR(s.st_mode);
}

static hato_status submit(run_state *s, hato_error *err) {
  const char *file = hato__conf_get_str(s->c->conf, "stdin");
  hato_command *k = &s->command.command;
  k->flags |= HATO_COMMAND_LIVE;
  if (k->output_to) k->flags &= ~HATO_COMMAND_LIVE;
  if (file && strcmp(file, "-") != 0) {
    k->stdin_kind = HATO_STDIN_FILE;
    k->stdin_path = file;
  } else if (has_input()) {
    k->stdin_kind = HATO_STDIN_ARGUMENT;
  }
  hato_status st = hato_spec_command(s->pool, k, &s->spec, err);
  if (!st) st = hato_queue_create(s->pool, &s->queue);
  if (st) return st;
  if (k->stdin_kind == HATO_STDIN_ARGUMENT) {
    st = hato_submit_stream(s->pool, s->spec, STDIN_FILENO, s->queue, &s->future, err);
  } else {
    st = hato_submit(s->pool, s->spec, (hato_argument){"", 0}, NULL, s->queue, &s->future, err);
  }
  if (!st && k->flags & HATO_COMMAND_LIVE) st = hato_future_on_output(s->future, on_output, s);
  return st;
}

/* ---- waiting ---- */

/* Until the task is resolved, asked to end (*asked: by which signal, or -1 when the output's reader left),
 * or has nobody to execute it. */
static int wait_for_it(run_state *s, int *asked) {
  int why = 0, code = CLI_OK;
  while (!code && !hato_future_resolved(s->future)) {
    struct pollfd p[3] = {{.fd = s->signals.fd, .events = POLLIN},
                          {.fd = hato_queue_fd(s->queue), .events = POLLIN},
                          {.fd = why ? -1 : s->gone_fd, .events = POLLIN}};
    int r = poll(p, 3, s->embedded ? CLI_TASK_LOOK_MS : -1);
    if (r < 0 && errno != EINTR) return cli_fail(s->c, 125, "poll: %s", strerror(errno));
    if (r == 0 && cli_task_look(s->c, s->pool)) code = 125;
    int number = cli_signals_take(&s->signals);
    if (number && why > 0)
      _exit(128 + number); /* asked twice: its daemons end without us, or with the session's care */
    if (number) why = number;
    if (r > 0 && !number && p[2].revents && !why) why = -1;
    if (why && !*asked) hato_future_cancel(s->future);
    *asked = why;
  }
  return code;
}

/* ---- its end ---- */

static int error_code(int error) {
  switch (error) {
  case HATO_NOT_FOUND:
    return 127;
  case HATO_PERMISSION:
    return 126;
  case HATO_TIMED_OUT:
    return 124;
  case HATO_CANCELLED:
    return 130;
  default:
    return 125;
  }
}

static int ended(run_state *s, int why) {
  char how[700];
  hato_result r;
  hato_future_result(s->future, &r);
  hato__write_all(STDOUT_FILENO, r.out, r.out_size);
  hato__write_all(STDERR_FILENO, r.err, r.err_size);
  if (why < 0 && atomic_load(&s->trouble) == EPIPE) return 128 + SIGPIPE;
  if (why < 0)
    return cli_fail(s->c, CLI_FAILED, "cannot write the output: %s", strerror(atomic_load(&s->trouble)));
  cli_task_outcome(&r, how, sizeof how);
  if (why > 0 && r.error) return cli_fail(s->c, 128 + why, "%s: the task is cancelled", strsignal(why));
  if (r.error) return cli_fail(s->c, error_code(r.error), "%s", how);
  if (WIFSIGNALED(r.wait_status)) return cli_fail(s->c, 128 + WTERMSIG(r.wait_status), "%s", how);
  return WEXITSTATUS(r.wait_status);
}

static int work(run_state *s) {
  hato_error err;
  int why = 0, code = cli_task_pool_open(s->c, &s->pool, &s->embedded);
  if (code) return code == CLI_USAGE ? code : 125;
  hato_status st = submit(s, &err);
  if (st) return cli_fail(s->c, 125, "%s", err.text);
  code = wait_for_it(s, &why);
  return code ? code : ended(s, why);
}

static int run(cli *c) {
  run_state s = {.c = c, .gone_fd = eventfd(0, EFD_CLOEXEC)};
  int code = cli_task_command_make(c, &s.command, TASK_NO_INPUT);
  if (code) return code;
  if (s.gone_fd < 0 || !cli_signals_catch(&s.signals)) return cli_fail(c, 125, "out of descriptors");
  code = work(&s);
  cli_signals_release(&s.signals);
  hato_pool_close(s.pool);
  hato_future_release(s.future);
  hato_spec_release(s.spec);
  hato_queue_release(s.queue);
  cli_task_command_free(&s.command);
  close(s.gone_fd);
  return code;
}

const cli_verb cli_run = {
    .name = "run",
    .summary = "run one command as a task, as if it ran here",
    .operands = "[--] COMMAND...",
    .text = "Its output comes as it is written, standard input is passed on when it is a pipe or a file, and "
            "Ctrl-C "
            "cancels it (a second one does not wait for its end).\n\n"
            "A command of several words is executed as it stands; one single word with blanks or shell "
            "characters is a line "
            "for /bin/sh. The session that is up is used; without one, a daemon is started on this machine "
            "and gone at the "
            "end.\n\n"
            "Exit status: the task's own; 128 + n when signal n ended it; 124 when it ran out of time, 126 "
            "when it may not be "
            "executed, 127 when there is no such program or folder, 125 for every other failure of hato; 130 "
            "when it was "
            "cancelled, 143 by SIGTERM, 141 when nobody reads the output any more.\n",
    .examples = "hato run -- make test\ton a daemon of the session, live\n"
                "tar c . | hato run -- sh -c 'tar x -C /scratch'\tstandard input goes along\n"
                "hato run --timeout 10m ./simulate; echo $?\t124 when it ran out of time\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .flags = CLI_COMMAND,
    .run = run};
