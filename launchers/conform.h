/* The conformance suite: its frame (conform.c) and its checks (checks.c). */
#ifndef HATO_LAUNCHERS_CONFORM_H
#define HATO_LAUNCHERS_CONFORM_H

#include "launchers/keeper.h"

#define LAUNCHERS__SUITE_MEMBERS 8

typedef struct launchers__seen { /* what was said of a member */
  hato_member_state state;
  bool exit_known;
  int exit_code;
  char reason[160], tail[512];
} launchers__seen;

typedef struct launchers__suite {
  launchers *h;
  char name[64];
  char *path;
  const hato_launcher *builtin;
  const char *const *options, *const *env;
  const char *log_dir;
  uint32_t patience_ms, salt;
  bool (*stop)(void *arg); /* NULL: never */
  void *arg;
  bool stopped;
  launchers__line *line; /* NULL: to be opened */
  launchers_info *info;
  bool grown;                                    /* pass longer structs */
  bool (*each_poll)(struct launchers__suite *s); /* looked at while waiting; false: wrong, words are set */
  const char *secret;                            /* of the launch at hand, for each_poll */
  /* The launch at hand. */
  uint64_t id;
  uint32_t count;
  bool live;
  char tag[HATO_TAG_MAX + 1];
  uint8_t record[HATO_RECORD_MAX];
  size_t record_len;
  launchers__seen seen[LAUNCHERS__SUITE_MEMBERS];
  char lie[256]; /* what it said and cannot be */
  char words[512];
} launchers__suite;

typedef struct launchers__check_row {
  const char *name;
  launchers_verdict (*check)(launchers__suite *s);
} launchers__check_row;
const launchers__check_row *launchers__checks(void); /* ends with a NULL name */

launchers_verdict launchers__wrong(launchers__suite *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
launchers_verdict launchers__left_out(launchers__suite *s, const char *why);
/* These set the words and return false when the module does other than it should. */
bool launchers__suite_open(launchers__suite *s);
void launchers__suite_kill(launchers__suite *s);
bool launchers__suite_call(launchers__suite *s, launchers__call c, launchers__reply *reply);
launchers_request launchers__ask(launchers__suite *s, uint32_t count, const char *const *argv);
bool launchers__make(launchers__suite *s, const launchers_request *r);
hato_status launchers__take_up(launchers__suite *s, const launchers_request *r, const void *record,
                               size_t len, launchers__reply *reply);
/* Polls until those members are in that state or beyond it; what: for the words when they are not. */
bool launchers__until_of(launchers__suite *s, uint32_t first, uint32_t n, hato_member_state state,
                         const char *what);
bool launchers__until(launchers__suite *s, hato_member_state state, const char *what);
bool launchers__cancel_it(launchers__suite *s);
bool launchers__end_it(launchers__suite *s);
void launchers__suite_remove_logs(launchers__suite *s);

#endif
