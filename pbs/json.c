/* The answer of PBS Pro's `qstat -f -F json`. Some of its versions write what is not JSON (an environment with
 * quotes in it is enough): then the text is asked for. */
#include "pbs.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void take(const hato_host *h, pbs_jobs *jobs, pbs_job *j, const char *name, const json_t *value) {
  char *text = NULL;
  if (json_is_string(value))
    text = h->format(h, "%s", json_string_value(value));
  else if (json_is_integer(value))
    text = h->format(h, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  else
    return; /* objects are resources and the environment */
  if (text == NULL)
    jobs->failed = true;
  else
    pbs_attribute(j, name, text);
}

bool pbs_parse_json(const hato_host *h, const char *text, size_t len, pbs_jobs *jobs) {
  json_t *root = json_loadb(text, len, 0, NULL);
  if (!json_is_object(root)) {
    json_decref(root);
    return false;
  }
  const char *id, *name;
  json_t *job, *value;
  json_object_foreach(json_object_get(root, "Jobs"), id, job) {
    char *copy = h->format(h, "%s", id);
    pbs_job *j = copy != NULL ? pbs_add_job(h, jobs, copy) : NULL;
    if (j == NULL) jobs->failed |= copy == NULL;
    if (jobs->failed) break;
    if (j == NULL) continue;
    json_object_foreach(job, name, value) take(h, jobs, j, name, value);
  }
  json_decref(root);
  return true;
}
