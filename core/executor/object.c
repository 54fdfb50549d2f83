/* Shared objects of functions. */
#include "base/str.h"
#include "executor/state.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define DESTROY_SECONDS 2

/* This program's own header, by which the architecture of an object is judged. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static void note_file(executor_object *o, const struct stat *st) {
  o->dev = st->st_dev;
  o->ino = st->st_ino;
  o->size = st->st_size;
  o->changed = st->st_mtim;
}

bool executor_object_changed(const executor_object *o) {
  struct stat st;
  if (o->fixed) return false;
  if (stat(o->path, &st) < 0) return true;
  return st.st_dev != o->dev || st.st_ino != o->ino || st.st_size != o->size ||
         st.st_mtim.tv_sec != o->changed.tv_sec || st.st_mtim.tv_nsec != o->changed.tv_nsec;
}

static bool explain_open(executor *x, int e, const char *path) {
  if (e == ENOENT || e == ENOTDIR)
    executor_refuse(x, HATO_NOT_FOUND, "no such shared object: %s", path);
  else if (e == EACCES)
    executor_refuse(x, HATO_PERMISSION, "no permission to read the shared object %s", path);
  else
    executor_refuse(x, HATO_SYSTEM, "cannot read the shared object %s: %s", path, strerror(e));
  return false;
}

static bool check_header(executor *x, const char *path, const ElfW(Ehdr) * h, size_t n) {
  const ElfW(Ehdr) *own = &__ehdr_start;
  if (n < EI_NIDENT + 4 || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) {
    executor_refuse(x, HATO_NOT_SUPPORTED, "%s is not a shared object (no ELF header)", path);
    return false;
  }
  const uint8_t *class = h->e_ident;
  if (class[EI_CLASS] != own->e_ident[EI_CLASS] || class[EI_DATA] != own->e_ident[EI_DATA] ||
      h->e_machine != own->e_machine) {
    executor_refuse(
        x, HATO_NOT_SUPPORTED,
        "%s is for another architecture: %d-bit, ELF machine %u, where this one is %d-bit, machine %u", path,
        class[EI_CLASS] == ELFCLASS32 ? 32 : 64, h->e_machine, own->e_ident[EI_CLASS] == ELFCLASS32 ? 32 : 64,
        own->e_machine);
    return false;
  }
  if (h->e_type == ET_DYN) return true;
  executor_refuse(x, HATO_NOT_SUPPORTED, "%s is an ELF file of type %u, not a shared object (3)", path,
                  h->e_type);
  return false;
}

/* What dlopen would say less clearly. */
static bool check_file(executor *x, executor_object *o) {
  int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return explain_open(x, errno, o->path);
  struct stat st;
  ElfW(Ehdr) h = {0};
  ssize_t n = -1;
  bool folder = false;
  if (fstat(fd, &st) == 0) {
    note_file(o, &st);
    folder = S_ISDIR(st.st_mode);
    n = folder ? 0 : read(fd, &h, sizeof h);
  }
  int e = errno;
  close(fd);
  if (folder) {
    executor_refuse(x, HATO_PERMISSION, "cannot load %s: it is a folder", o->path);
    return false;
  }
  if (n < 0) return explain_open(x, e, o->path);
  return check_header(x, o->path, &h, (size_t)n);
}

static bool load(executor *x, executor_object *o) {
  if (!check_file(x, o)) return false;
  o->handle = dlopen(o->path, RTLD_NOW | RTLD_LOCAL);
  if (o->handle != NULL) return true;
  const char *why = dlerror();
  if (why == NULL) why = "no reason given";
  bool absent = strstr(why, "cannot open shared object") != NULL || strstr(why, "undefined symbol") != NULL;
  executor_refuse(x, absent ? HATO_NOT_FOUND : HATO_NOT_SUPPORTED, "cannot load %s: %s", o->path, why);
  return false;
}

static executor_object *find(executor *x, const char *path) {
  for (executor_object *o = x->objects; o != NULL; o = o->next) {
    if (strcmp(o->path, path) == 0) return o;
  }
  return NULL;
}

static executor_object *get(executor *x, const executor_spec *s) {
  const char *given = s->s.object_path, *cwd = s->s.cwd;
  bool below = *given != '/' && cwd != NULL;
  char *path = below ? hato__printf("%s/%s", cwd, given)
                     : hato__printf("%s%s", strchr(given, '/') ? "" : "./", given);
  executor_object *o = path ? find(x, path) : NULL;
  if (o != NULL) {
    free(path);
    return o;
  }
  o = path ? calloc(1, sizeof *o) : NULL;
  if (o == NULL) {
    free(path);
    executor_refuse(x, HATO_NO_MEMORY, "out of memory for a shared object");
    return NULL;
  }
  o->path = path;
  o->fixed = s->s.has_hash;
  if (!load(x, o)) {
    free(path);
    free(o);
    return NULL;
  }
  o->next = x->objects;
  x->objects = o;
  return o;
}

bool executor_object_resolve(executor *x, executor_spec *s) {
  if (s->object == NULL && (s->object = get(x, s)) == NULL) return false;
  (void)dlerror();
  void *symbol = dlsym(s->object->handle, s->s.symbol);
  if (symbol == NULL) {
    executor_refuse(x, HATO_NOT_FOUND, "no symbol %s in %s", s->s.symbol, s->object->path);
    return false;
  }
  memcpy(&s->function, &symbol, sizeof symbol); /* an object pointer, as POSIX has it */
  return true;
}

static void __attribute__((noreturn)) on_alarm(int sig) {
  (void)sig;
  _exit(EXECUTOR_EXIT_CLOSED);
}

void executor_objects_free(executor *x) {
  /* A destructor that hangs must not keep the slot. */
  struct sigaction sa = {.sa_handler = on_alarm};
  bool any = false;
  for (executor_object *o = x->objects; o != NULL; o = o->next) any |= o->destroy != NULL && o->state != NULL;
  if (any) {
    (void)sigaction(SIGALRM, &sa, NULL);
    (void)alarm(DESTROY_SECONDS);
  }
  for (executor_object *o = x->objects, *next; o != NULL; o = next) {
    next = o->next;
    if (o->destroy != NULL && o->state != NULL) o->destroy(o->state);
    free(o->path);
    free(o); /* the object stays loaded: its exit handlers and threads may need it */
  }
  x->objects = NULL;
  if (any) (void)alarm(0);
}
