/* Finding a launch again: its ids stand in its record, numbers in a row as a range, and, of whatever
 * length, in the file TAG.ids in the folder of logs, which grows with each submit.
 *
 *   command 1 MODE [BOOT] ID...      MODE: a command_mode; BOOT: of held processes, whose ids are of that
 * boot command 1 MODE @                 too long: in the file only
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "command 1 "
#define FILE_MAX ((size_t)32 << 20)

static bool path_of(const char *log_dir, const char *tag, char *out, size_t n) {
  if (log_dir == NULL) return false;
  int w = snprintf(out, n, "%s/%s.ids", log_dir, tag);
  return w > 0 && (size_t)w < n;
}

/* With a blank behind it. */
static void boot_id(char out[40]) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, out, 36) : -1;
  if (fd >= 0) (void)close(fd);
  (void)stpcpy(out + (n > 0 ? n : 0), " ");
}

static int head(const command_job *j, char *out, size_t n) {
  char boot[40] = "";
  if (j->mode == COMMAND_HOLD) boot_id(boot);
  return snprintf(out, n, HEAD "%c %s", (char)j->mode, boot);
}

/* ---- writing ---- */

int hato__command_note(const hato_host *h, const command_job *j, uint32_t i) {
  char path[4096], top[80] = "";
  if (!path_of(j->log_dir, j->tag, path, sizeof path)) return HATO_OK;
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND | O_NOFOLLOW | (i == 0 ? O_TRUNC : 0), 0600);
  if (i == 0) (void)head(j, top, sizeof top);
  bool fine = fd >= 0 && dprintf(fd, "%s", top) >= 0;
  bool many = j->mode == COMMAND_ARRAY && j->whole == NULL;
  for (uint32_t k = i; fine && k < (many ? j->count : i + 1); k++)
    fine = dprintf(fd, "%s\n", hato__command_id(j, k)) > 0;
  int e = errno;
  if (fd >= 0) fine = close(fd) == 0 && fine;
  return fine ? HATO_OK : h->fail(h, HATO_SYSTEM, "the file of ids %s: %s", path, strerror(e));
}

void hato__command_record(const command_job *j, hato_launch_record *record) {
  char *out = (char *)record->bytes;
  const size_t max = sizeof record->bytes;
  int n = head(j, out, max);
  record->len = 0;
  if (n < 0 || (size_t)n >= max) return;
  uint32_t count = j->whole != NULL ? 1 : j->count;
  const char **ids = calloc(count, sizeof *ids);
  for (uint32_t i = 0; ids != NULL && i < count; i++) ids[i] = hato__command_id(j, i);
  if (ids == NULL || !hato__command_pack(ids, count, out + n, max - (size_t)n)) (void)stpcpy(out + n, "@");
  free(ids);
  record->len = (uint32_t)strlen(out);
}

void hato__command_unkeep(const command_job *j) {
  char path[4096];
  if (!path_of(j->log_dir, j->tag, path, sizeof path)) return;
  (void)unlink(path);
  for (uint32_t i = 0; j->mode == COMMAND_HOLD && i < j->count; i++) {
    int n = snprintf(path, sizeof path, "%s/%s.%u.sh", j->log_dir, j->tag, i);
    if (n > 0 && (size_t)n < sizeof path && unlink(path) < 0) break; /* there are no scripts */
  }
}

/* ---- reading ---- */

static char *read_file(const hato_host *h, const hato_launch *l) {
  char path[4096];
  int fd = path_of(l->log_dir, l->tag, path, sizeof path) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
                                                          : -1;
  off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
  char *text = size >= 0 && (size_t)size <= FILE_MAX ? h->alloc(h, (size_t)size + 1) : NULL;
  if (text != NULL && pread(fd, text, (size_t)size, 0) != size) text = NULL;
  if (fd >= 0) (void)close(fd);
  return text;
}

/* The text behind the head, whatever of the two has it. */
static const char *ids_text(const hato_host *h, const hato_launch *l, command_mode *mode) {
  const char *text = l->record_len > 0 ? h->format(h, "%.*s", (int)l->record_len, (const char *)l->record)
                                       : read_file(h, l);
  if (text != NULL && strlen(text) == strlen(HEAD "a @") && strchr(text, '@') != NULL) text = read_file(h, l);
  const size_t n = strlen(HEAD);
  if (text == NULL || strncmp(text, HEAD, n) != 0 || strchr("aeh", text[n]) == NULL || text[n] == 0 ||
      text[n + 1] != ' ')
    return NULL;
  *mode = (command_mode)text[n];
  text += n + 2;
  if (*mode != COMMAND_HOLD) return text;
  char boot[40];
  boot_id(boot);
  if (strncmp(text, boot, strlen(boot)) != 0) return NULL;
  text += strlen(boot);
  return *text == '@' ? strchr(read_file(h, l), '\n') : text;
}

static int not_found(const hato_host *h, const hato_launch *l) {
  return h->fail(h, HATO_NOT_FOUND, "nothing is known of launch %s any more%s", l->tag,
                 l->record_len > 0 ? "" : ", for it left no file of ids in the folder of logs");
}

/* ---- taking up ---- */

static command_job *take_ids(command *c, const hato_host *h, const hato_launch *l, command_mode mode,
                             const char *text) {
  char **ids = h->alloc(h, (l->count + 1) * sizeof *ids);
  uint32_t n = ids != NULL ? hato__command_unpack(text, ids, l->count) : 0;
  if (n == 0) return NULL;
  command_job *j = hato__command_make(c, h, l->id, l->count, mode, l->tag, l->log_dir);
  bool whole = mode == COMMAND_ARRAY && n == 1;
  for (uint32_t i = 0; i < n; i++) {
    if (j == NULL)
      free(ids[i]);
    else if (whole)
      j->whole = ids[i];
    else
      j->members[i].id = ids[i];
  }
  return j;
}

static uint32_t left(const command_job *j) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < j->count; i++) n += !j->members[i].ended;
  return n;
}

/* Which of them live. What cannot be asked now is taken to. */
static void look(command *c, const hato_host *h, const hato_launch *l, command_job *j) {
  hato__command_tell_submitted(h, l->options, l->flags, j);
  for (uint32_t i = 0; i < j->count; i++) {
    command_member *m = &j->members[i];
    m->seen = true; /* it was submitted long ago: absence is its end */
    bool none = hato__command_id(j, i)[0] == 0;
    if (none || (j->mode == COMMAND_HOLD && !hato__command_hold_adopt(c, m, m->id)))
      hato__command_tell(
          h, l->options, j, i, 1,
          (hato_member){.state = HATO_MEMBER_ENDED,
                        .reason = none ? "was not submitted" : "ended before it was taken up"});
  }
  if (j->mode != COMMAND_HOLD && hato__command_ask(c, h, &l, 1, j) != HATO_OK)
    h->log(h, HATO_LEVEL_NOTICE, "launch %s is taken up, though its status is not known now", l->tag);
}

int hato__command_adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
  command *c = state;
  command_mode mode;
  command_job *j = hato__command_find(c, l->id);
  if (j == NULL) {
    const char *text = ids_text(h, l, &mode);
    j = text != NULL ? take_ids(c, h, l, mode, text) : NULL;
    if (j == NULL) return not_found(h, l);
    look(c, h, l, j);
  }
  if (left(j) > 0) {
    hato__command_record(j, record);
    return HATO_OK;
  }
  hato__command_unkeep(j);
  hato__command_drop(c, j);
  return not_found(h, l);
}
