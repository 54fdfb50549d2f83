/* Ending members: by the lines cancel and cancel-member, or, of a held command, by signals. */
#include "command.h"

#include <string.h>

#define TRIES 3

typedef struct targets {
  uint32_t *list;
  uint32_t n;
} targets;

/* Those that neither ended nor are cancelled already. */
static bool find_targets(const hato_host *h, const command_job *j, const uint32_t *members, uint32_t n,
                         targets *out) {
  uint32_t all = n > 0 ? n : j->count;
  *out = (targets){.list = h->alloc(h, all * sizeof *out->list)};
  if (out->list == NULL) return false;
  for (uint32_t k = 0; k < all; k++) {
    uint32_t i = n > 0 ? members[k] : k;
    if (i < j->count && !j->members[i].ended && !j->members[i].cancelled) out->list[out->n++] = i;
  }
  return true;
}

static int cancel_members(const hato_host *h, const hato_launch *l, const command_job *j, const targets *t) {
  const char *text = h->option_string(h, l->options, "cancel-member");
  if (text == NULL)
    return h->fail(h, HATO_NOT_SUPPORTED,
                   "one member of an array cannot be ended without the option cancel-member");
  int64_t first = h->option_int(h, l->options, "member-first");
  for (uint32_t k = 0; k < t->n; k++) {
    const hato_template_value values[] = {{"id", h->quote(h, j->whole)},
                                          {"tag", l->tag},
                                          {"index", h->format(h, "%lld", (long long)first + t->list[k])},
                                          {"i", h->format(h, "%u", t->list[k])}};
    const char *line = h->expand(h, text, values, 4);
    hato_run run = {.timeout_ms = (uint32_t)h->option_duration(h, l->options, "timeout")};
    int rc = line != NULL ? hato__command_run(h, "cancel-member", line, NULL, &run) : HATO_INVALID;
    if (rc != HATO_OK) return rc;
  }
  return HATO_OK;
}

static int cancel_ids(const hato_host *h, const hato_launch *l, const command_job *j, const targets *t) {
  const char **ids = h->alloc(h, (t->n + 1) * sizeof *ids);
  uint32_t n = 0;
  if (ids == NULL) return HATO_NO_MEMORY;
  if (j->whole != NULL) {
    ids[n++] = j->whole;
  } else {
    for (uint32_t k = 0; k < t->n; k++) ids[n++] = hato__command_id(j, t->list[k]);
  }
  return hato__command_run_ids(h, l->options, "cancel", l->tag, ids, n, NULL, NULL);
}

/* Without a status line nothing will tell of their end. */
static void give_up(const hato_host *h, const hato_launch *l, command_job *j, const targets *t,
                    const char *why) {
  for (uint32_t k = 0; k < t->n; k++)
    hato__command_tell(
        h, l->options, j, t->list[k], 1,
        (hato_member){.state = HATO_MEMBER_ENDED, .flags = HATO_MEMBER_CANCELLED, .reason = why});
}

/* What cancel said may be that all have ended. */
static int after_failure(command *c, const hato_host *h, const hato_launch *l, command_job *j,
                         const targets *t, int rc) {
  if (h->option_string(h, l->options, "status") == NULL) {
    if (++j->cancel_failures < TRIES) return rc;
    give_up(h, l, j, t, "not followed any more: cancel failed, and there is no status line to ask");
    return HATO_OK;
  }
  if (hato__command_ask(c, h, &l, 1, j) != HATO_OK) return HATO_AGAIN;
  for (uint32_t k = 0; k < t->n; k++) {
    if (!j->members[t->list[k]].ended) return rc;
  }
  return HATO_OK;
}

int hato__command_cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members,
                         uint32_t n) {
  command *c = state;
  command_job *j = hato__command_find(c, l->id);
  targets t;
  if (j == NULL) return h->fail(h, HATO_NOT_FOUND, "command knows no launch %s", l->tag);
  if (!find_targets(h, j, members, n, &t)) return HATO_NO_MEMORY;
  if (j->mode == COMMAND_HOLD) {
    for (uint32_t k = 0; k < t.n; k++) hato__command_hold_cancel(c, h, l, j, t.list[k]);
    hato__command_hold_arm(c);
    return HATO_OK;
  }
  bool status = h->option_string(h, l->options, "status") != NULL,
       part = n > 0 && j->whole != NULL && j->count > 1;
  if (t.n == 0) return HATO_OK;
  if (!part && h->option_string(h, l->options, "cancel") == NULL) {
    h->log(h, HATO_LEVEL_WARN, "launch %s cannot be cancelled: there is no cancel line", l->tag);
    if (!status) give_up(h, l, j, &t, "not followed any more: there is neither a cancel nor a status line");
    return HATO_OK;
  }
  int rc = part ? cancel_members(h, l, j, &t) : cancel_ids(h, l, j, &t);
  if (rc != HATO_OK && rc != HATO_NOT_SUPPORTED) rc = after_failure(c, h, l, j, &t, rc);
  if (rc != HATO_OK) return rc;
  for (uint32_t k = 0; k < t.n; k++) j->members[t.list[k]].cancelled = true;
  j->ask_at = 0;
  if (!status) give_up(h, l, j, &t, "cancelled; there is no status line to ask whether it ended");
  return HATO_OK;
}
