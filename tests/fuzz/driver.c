/* A plain driver for the fuzz targets, so that every build runs them for a fixed
 * count: PROGRAM CORPUS COUNT [SEED]. Runs the corpus as it is, then COUNT seeded
 * mutations of it. What it was running when it died is in the file it names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024 };

struct seed {
  uint8_t *data;
  size_t size;
};
struct corpus {
  struct seed *seeds;
  size_t count;
};
/* Mapped from a file, so that the input that killed us outlives us. */
struct current {
  uint64_t size;
  uint8_t data[INPUT_MAX];
};

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static int add_seed(struct corpus *c, const void *data, size_t size) {
  struct seed *grown = realloc(c->seeds, (c->count + 1) * sizeof *grown);
  if (!grown) return -1;
  c->seeds = grown;
  uint8_t *copy = malloc(size ? size : 1);
  if (!copy) return -1;
  if (size) memcpy(copy, data, size);
  c->seeds[c->count++] = (struct seed){copy, size};
  return 0;
}

static int load_file(struct corpus *c, int dir, const char *name) {
  static uint8_t data[INPUT_MAX];
  int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, data, sizeof data);
  close(fd);
  return n < 0 ? -1 : add_seed(c, data, (size_t)n);
}

/* A folder that is not there is an empty corpus: the empty input alone. */
static int load_corpus(struct corpus *c, const char *path) {
  if (add_seed(c, "", 0) != 0) return -1;
  DIR *dir = opendir(path);
  if (!dir) return errno == ENOENT ? 0 : -1;
  const struct dirent *entry;
  int rc = 0;
  while (rc == 0 && (entry = readdir(dir)) != NULL)
    if (entry->d_name[0] != '.') rc = load_file(c, dirfd(dir), entry->d_name);
  closedir(dir);
  return rc;
}

/* Numbers that parsers stumble over, at any place. */
static void plant(uint8_t *at, size_t room, uint64_t *state) {
  static const uint64_t odd[] = {0,          1,          0x7f,       0x80,       0xff,         0x7fff,    0xffff,
                                 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x100000000u, UINT64_MAX};
  uint64_t value = odd[next_random(state) % (sizeof odd / sizeof *odd)];
  size_t width = (size_t)1 << (next_random(state) % 4);
  memcpy(at, &value, width < room ? width : room);
}

static size_t mutate(const struct corpus *c, uint8_t *out, uint64_t *state) {
  const struct seed *seed = &c->seeds[next_random(state) % c->count];
  size_t size = seed->size;
  memcpy(out, seed->data, size);
  for (uint64_t edits = 1 + next_random(state) % 8; edits > 0; edits--) {
    size_t at = size ? next_random(state) % size : 0;
    const struct seed *other = &c->seeds[next_random(state) % c->count];
    size_t from = other->size ? next_random(state) % other->size : 0, n = other->size - from;
    switch (next_random(state) % 6) {
    case 0: /* flip a bit */
      if (size) out[at] ^= (uint8_t)(1u << (next_random(state) % 8));
      break;
    case 1: /* any byte */
      if (size) out[at] = (uint8_t)next_random(state);
      break;
    case 2:
      if (size) plant(out + at, size - at, state);
      break;
    case 3: /* cut short */
      size = at;
      break;
    case 4: /* drop a piece */
      n = size ? next_random(state) % (size - at) : 0;
      memmove(out + at, out + at + n, size - at - n);
      size -= n;
      break;
    default: /* insert a piece of another */
      if (n > INPUT_MAX - size) n = INPUT_MAX - size;
      memmove(out + at + n, out + at, size - at);
      memcpy(out + at, other->data + from, n);
      size += n;
    }
  }
  return size;
}

static struct current *map_current(char *path) {
  int fd = mkstemp(path);
  if (fd < 0) return NULL;
  void *at = MAP_FAILED;
  if (ftruncate(fd, sizeof(struct current)) == 0)
    at = mmap(NULL, sizeof(struct current), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return at == MAP_FAILED ? NULL : at;
}

/* A copy of its own, exactly as large, so that reading past it is seen. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  if (!copy) abort();
  if (size) memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s CORPUS COUNT [SEED]\n", argv[0]);
    return 2;
  }
  uint64_t count = strtoull(argv[2], NULL, 10), state = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
  struct corpus corpus = {0};
  if (load_corpus(&corpus, argv[1]) != 0) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    return 2;
  }
  char path[] = "/tmp/hato-fuzz-XXXXXX";
  struct current *current = map_current(path);
  if (!current) {
    perror(path);
    return 2;
  }
  printf("%zu seeds, %" PRIu64 " mutations; should this die: its size (8 bytes) and input are in %s\n",
         corpus.count, count, path);
  fflush(stdout);
  for (size_t i = 0; i < corpus.count; i++) {
    current->size = corpus.seeds[i].size;
    memcpy(current->data, corpus.seeds[i].data, corpus.seeds[i].size);
    run(corpus.seeds[i].data, corpus.seeds[i].size);
  }
  for (uint64_t i = 0; i < count; i++) {
    current->size = mutate(&corpus, current->data, &state);
    run(current->data, current->size);
  }
  unlink(path);
  for (size_t i = 0; i < corpus.count; i++) free(corpus.seeds[i].data);
  free(corpus.seeds);
  return 0;
}
