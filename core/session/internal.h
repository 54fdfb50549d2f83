/* Shared by the files of this layer only. */
#ifndef HATO_SESSION_INTERNAL_H
#define HATO_SESSION_INTERNAL_H

#include "session/session.h"

#include <jansson.h>

struct hato__session {
  char *name;
  char *dir;
  bool locked;
  hato__process self; /* who we are, as our lock says */
  char note[512];
  char *local_dir;
  char *local_url;
};

#define SMALL_FILE 65536 /* no lock or address is larger */

typedef enum session_judgement {
  PROCESS_LIVE,
  PROCESS_DEAD,     /* of this host and boot, gone */
  PROCESS_REBOOTED, /* of an earlier boot of this host */
  PROCESS_ELSEWHERE,
} session_judgement;

session_judgement session__judge(const hato__process *p);
/* "process 17 on node3" and the like. */
void session__describe(const hato__process *p, session_judgement j, char *out, size_t n);
json_t *session__process_json(const hato__process *p);
bool session__process_parse(const json_t *j, hato__process *p);
/* A JSON object from a small file that a stranger may have damaged. */
hato_status session__read_json(const char *path, json_t **out, hato_error *err);
/* dir/file, malloc'd. */
char *session__file(const hato__session *s, const char *file);
/* All of the folder. */
void session__remove_credentials(const hato__session *s);
/* What can be removed below a folder of ours, links not followed. */
void session__empty_dir(const char *path);

#endif
