/*
 * command: a launcher that is only configuration. A line submits, others ask and cancel; so any site's own
 * system is used without a module for it. Lines are run by sh, on the dispatcher's machine.
 *
 * Its options and its descriptor.
 */
#include "command.h"

static const char *const ways[] = {"file", "stdin", NULL};

#define TEXT(option, name_of_value, default_text, words)                                             \
  {                                                                                                  \
    .name = (option), .type = HATO_OPTION_STRING, .metavar = (name_of_value), .def = (default_text), \
    .help = (words)                                                                                  \
  }
#define YES_NO(option, default_text, words) \
  { .name = (option), .type = HATO_OPTION_BOOL, .def = (default_text), .help = (words) }

static const hato_option_row options[] = {
    {.name = "submit",
     .type = HATO_OPTION_STRING,
     .flags = HATO_OPTION_REQUIRED,
     .metavar = "LINE",
     .help =
         "The command that submits, run by sh, as `./my-submit {daemon:q}`. In it and in script become: "
         "{daemon} "
         "the words of a daemon's command, quoted for sh; {i} the member's number, from 0; {index} the same "
         "from member-first; {n} how many members; {first}, {last} their first and last index; {tag} a "
         "unique "
         "name for the job; {log} the member's log; {log_dir} the folder of logs; {cores} wanted for each; "
         "{script} the path of the filled-in script. {daemon:q} and the like are one quoted word; {{ is a "
         "brace."},
    {.name = "script",
     .type = HATO_OPTION_LIST,
     .metavar = "LINE",
     .help =
         "A line of a batch script; repeatable. It is submit's standard input, or a file where submit has "
         "{script}. Without #! in its first line it begins with #!/bin/sh."},
    YES_NO("array", NULL, "One submit makes all members. Implied by {n} or {last} in submit or script."),
    YES_NO("each", NULL,
           "Submit is run once for each member. Implied where array is not; a daemon's number is then in "
           "HATO_MEMBER."),
    YES_NO("hold", "no",
           "The submit command lives as long as the daemon, as `srun {daemon}` does: it is kept running, one "
           "for each "
           "member; its process is the state, its exit is the end, and it gets SIGTERM to cancel."),
    YES_NO("waits", "no",
           "A held submit may wait, for an allocation say, before it starts its daemon: the daemon is then "
           "submitted until it connects, and no launch time-out ends it."),
    TEXT("id", "REGEX", NULL,
         "Finds an id in submit's output: an extended regular expression, its first group the id; tried on "
         "each line. "
         "An array may print one id, or one for each member. Default: the first word of the first line."),
    TEXT("member-env", "NAME", NULL,
         "The variable in which the scheduler tells a member of an array its index, as SGE_TASK_ID."),
    {.name = "member-first",
     .type = HATO_OPTION_INT,
     .def = "1",
     .max = 1000000,
     .help = "The index of an array's first member."},
    TEXT("status", "LINE", NULL,
         "Prints the states of jobs: {ids} becomes the ids of all launches that have this line, asked in one "
         "go; "
         "{id} in its place has it run once for each id, {tag} once for each launch. It has to succeed also "
         "when it knows none "
         "of the ids; when it fails nothing is concluded. Without it launches stay in the state submitted, "
         "and "
         "an end is never told."),
    {.name = "status-row",
     .type = HATO_OPTION_LIST,
     .metavar = "REGEX",
     .help = "An extended regular expression for lines of the status output; up to 4, the first that matches "
             "counts, "
             "other lines are ignored. Default: two words."},
    {.name = "status-fields",
     .type = HATO_OPTION_LIST,
     .metavar = "NAMES",
     .help = "What the groups of a status-row are, in their order: id, state, member (its index in an array, "
             "or ranges "
             "as 2-6:2,9; none: all), reason, host, exit (its code), - (nothing). One for each status-row, "
             "or the last for "
             "all that follow. A row without a state adds its reason to a member that waits by a row above. "
             "Default: id state."},
    TEXT("status-exit", "CODES", NULL, "Exit codes of status that are as good as 0."),
    TEXT("queued", "WORDS", "queued pending waiting idle",
         "States of waiting members; this and the next are patterns (*, ?, [...]) between blanks or commas. "
         "The first "
         "that matches counts, in the order never, cancelled, failed, ended, running, starting, queued."),
    TEXT("starting", "WORDS", "starting", "States of members that are about to run."),
    TEXT("running", "WORDS", "running", "States of running members."),
    TEXT("ended", "WORDS", "ended done completed finished", "States of members that ended."),
    TEXT("failed", "WORDS", "failed error", "States of members that ended badly."),
    TEXT("cancelled", "WORDS", "cancelled removed", "States of members that somebody cancelled."),
    TEXT("never", "WORDS", NULL,
         "States of members that wait and will never run: they are cancelled, and reported."),
    {.name = "missing",
     .type = HATO_OPTION_INT,
     .def = "3",
     .min = 1,
     .max = 100,
     .help = "A member that the status output had and lacks has ended; one that it never had, after so many "
             "outputs."},
    TEXT("cancel", "LINE", NULL,
         "Ends jobs: {ids}, or {id} to have it run once for each; {tag}. Without it queued jobs stay, and "
         "end when they "
         "start and find no dispatcher."),
    TEXT("cancel-member", "LINE", NULL,
         "Ends one member of an array: {id}, {index}, {i}, {tag}. Members with ids of their own are ended by "
         "cancel."),
    TEXT("id-separator", "TEXT", NULL, "What stands between ids. Default: a blank."),
    TEXT("log", "PATH", "{log_dir}/{tag}.{i}.log",
         "Where a member's output is read, of {log_dir}, {tag}, {i}, {index}."),
    TEXT("log-index", "TEXT", NULL,
         "What the scheduler replaces by an array member's index in a path, as $TASK_ID; {log} has it for "
         "{i} and "
         "{index}. Without it the log of an array is TAG.log."),
    {.name = "timeout",
     .type = HATO_OPTION_DURATION,
     .def = "30s",
     .min = 100,
     .max = 50000,
     .help = "How long status and cancel may take."},
    {.name = "interval",
     .type = HATO_OPTION_DURATION,
     .def = "30s",
     .min = 50,
     .max = 86400000,
     .help = "Between two runs of status; while it fails, up to 16 times that."},
    {.name = "grace",
     .type = HATO_OPTION_DURATION,
     .def = "10s",
     .max = 3600000,
     .help = "How long a held command that got SIGTERM may take before it is killed."},
    {.name = "count-default",
     .type = HATO_OPTION_INT,
     .def = "1",
     .min = 1,
     .max = HATO_LAUNCH_MAX,
     .help = "How many daemons when nobody said."},
    YES_NO("needs-listen", "yes", "Daemons dial from other machines, so that loopback will not do."),
    {.name = "secret",
     .type = HATO_OPTION_ENUM,
     .def = "file",
     .values = ways,
     .help = "How a daemon gets its credential: from a file, for which it must see this machine's files; or, "
             "with hold, "
             "by the standard input of submit."},
};

/* Polls are often, and ask no more often than the option `interval` says: the host knows one interval of a
 * launcher, and here each launch has its own. */
const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .name = "command",
    .version = "1.0",
    .description = "any batch system, by command lines of its own",
    .flags = HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_CANCELS_MEMBERS | HATO_LAUNCHER_DEFAULT_COUNT,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .secret_ways = HATO_SECRET_FILE,
    .member_env = COMMAND_MEMBER_ENV,
    .member_first = 0,
    .interval_ms = 500,
    .plan = hato__command_plan,
    .open = hato__command_open,
    .launch = hato__command_launch,
    .poll = hato__command_poll,
    .cancel = hato__command_cancel,
    .adopt = hato__command_adopt,
    .forget = hato__command_forget,
    .watch = hato__command_watch,
    .close = hato__command_close,
};
