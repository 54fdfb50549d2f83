/* Where launchers come from: a table of those compiled in, and folders of shared objects. */
#include "launchers/internal.h"
#include "base/io.h"
#include "base/str.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- compiled in: the descriptors of launchers/modules, named by the build ---- */

extern const hato_launcher hato__launcher_local, hato__launcher_command;

static const hato_launcher *const builtins[] = {&hato__launcher_local, &hato__launcher_command, NULL};

const hato_launcher *const *launchers__builtins(void) { return builtins; }

const hato_launcher *launchers__builtin(const char *name) {
  for (size_t i = 0; builtins[i] != NULL; i++) {
    if (strcmp(builtins[i]->name, name) == 0) return builtins[i];
  }
  return NULL;
}

/* ---- lists of strings ---- */

void launchers_folders_free(char **list) { hato__texts_free(list); }

typedef struct strings {
  char **list;
  size_t n;
  bool failed;
} strings;

/* Takes s, also when it fails. */
static void add(strings *s, char *text) {
  char **more = text != NULL && !s->failed ? realloc(s->list, (s->n + 2) * sizeof *more) : NULL;
  if (more == NULL) {
    free(text);
    s->failed = true;
    return;
  }
  s->list = more;
  s->list[s->n++] = text;
  s->list[s->n] = NULL;
}

static char **done(strings *s) {
  if (s->list == NULL && !s->failed) s->list = calloc(1, sizeof *s->list);
  if (!s->failed) return s->list;
  launchers_folders_free(s->list);
  return NULL;
}

char **launchers__strings_copy(const char *const *list) {
  strings s = {0};
  for (size_t i = 0; list != NULL && list[i] != NULL; i++) add(&s, strdup(list[i]));
  return done(&s);
}

/* ---- folders ---- */

char **launchers_default_folders(const char *hato_binary) {
  strings s = {0};
  const char *path = getenv("HATO_LAUNCHERS_PATH");
  while (path != NULL && *path != 0) {
    size_t n = strcspn(path, ":");
    if (n > 0) add(&s, hato__strndup(path, n));
    path += n + (path[n] == ':');
  }
  char self[PATH_MAX];
  if (hato_binary == NULL && hato__self_exe(self, sizeof self)) hato_binary = self;
  /* The binary may be found through a link. */
  char *real = hato_binary != NULL ? realpath(hato_binary, NULL) : NULL;
  char *slash = real != NULL ? strrchr(real, '/') : NULL;
  if (slash != NULL) {
    *slash = 0;
    add(&s, hato__printf("%s/../lib/hato/launchers", real));
  }
  free(real);
  return done(&s);
}

char *launchers__find(char *const *folders, const char *name) {
  if (strchr(name, '/') != NULL) return NULL;
  for (size_t i = 0; folders != NULL && folders[i] != NULL; i++) {
    char *path = hato__printf("%s/hato_launcher_%s.so", folders[i], name);
    if (path != NULL && access(path, F_OK) == 0) return path;
    free(path);
  }
  return NULL;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void add_folder(strings *s, const char *folder) {
  DIR *d = opendir(folder);
  if (d == NULL) return;
  for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
    size_t n = 0;
    const char *name = launchers__name_of(e->d_name, &n);
    if (name != NULL) add(s, hato__strndup(name, n));
  }
  (void)closedir(d);
}

char **launchers__names(char *const *folders) {
  strings s = {0};
  for (size_t i = 0; builtins[i] != NULL; i++) add(&s, strdup(builtins[i]->name));
  for (size_t i = 0; folders != NULL && folders[i] != NULL; i++) add_folder(&s, folders[i]);
  if (s.failed || s.list == NULL) return done(&s);
  qsort(s.list, s.n, sizeof *s.list, by_name);
  size_t kept = 0;
  for (size_t i = 0; i < s.n; i++) {
    if (kept > 0 && strcmp(s.list[kept - 1], s.list[i]) == 0)
      free(s.list[i]);
    else
      s.list[kept++] = s.list[i];
  }
  s.list[kept] = NULL;
  return s.list;
}
