/* Shared objects given by content: kept as <sha256>.so in a folder of ours alone,
 * across specifications and daemons. A file under its final name is whole and true. */
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "daemon/state.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void daemon_objects_open(daemon_state *d) {
  const char *tmp = getenv("TMPDIR");
  int n;
  if (d->o->local_dir)
    n = snprintf(d->objects, sizeof d->objects, "%s/objects", d->o->local_dir);
  else
    n = snprintf(d->objects, sizeof d->objects, "%s/hato-%u-objects", tmp && *tmp ? tmp : "/tmp", (unsigned)getuid());
  if (n < (int)sizeof d->objects) return;
  d->objects[0] = '\0';
  snprintf(d->objects_why, sizeof d->objects_why, "a folder's path of %d bytes", n);
}

/* With the first object, so that a daemon that is sent none leaves nothing on its machine. What is loaded from
 * there must be nobody else's. */
static bool make_folder(daemon_state *d) {
  hato_error err = {0};
  if (d->objects[0] && (hato__make_dir(d->objects, 0700, true, &err) != HATO_OK ||
                        hato__check_above(d->objects, &err) != HATO_OK)) {
    snprintf(d->objects_why, sizeof d->objects_why, "%s", err.text);
    d->objects[0] = '\0';
  }
  d->objects_made = d->objects[0] != '\0'; /* and is nobody else's */
  return d->objects_made;
}

bool daemon_object_path(const daemon_state *d, const uint8_t hash[32], char *out, size_t n) {
  char hex[65];
  hato__hex(hex, hash, 32);
  return d->objects_made && snprintf(out, n, "%s/%s.so", d->objects, hex) < (int)n && access(out, R_OK) == 0;
}

void daemon_object_abort(daemon_state *d) {
  daemon_object *o = &d->object;
  if (o->fd >= 0) {
    close(o->fd);
    unlink(o->part);
  }
  *o = (daemon_object){.fd = -1};
}

/* Begins an object; one that is here already, or that cannot be stored, is read
 * past: its specification finds it, or says that it is not here. */
static void begin(daemon_state *d, const proto_object *m) {
  daemon_object_abort(d);
  daemon_object *o = &d->object;
  o->busy = true;
  o->total = m->total;
  memcpy(o->hash, m->hash, sizeof o->hash);
  char have[PATH_MAX + 80];
  if (!make_folder(d) || daemon_object_path(d, m->hash, have, sizeof have)) return;
  snprintf(o->part, sizeof o->part, "%s/part-XXXXXX", d->objects);
  o->fd = mkostemp(o->part, O_CLOEXEC);
  if (o->fd < 0) hato__warn(d->log, "OBJECT-STORE", "%s: %s", d->objects, strerror(errno));
}

/* What is in the file now, of whose content nothing is believed. */
static bool is_true(const daemon_object *o) {
  uint8_t hash[32];
  void *bytes = mmap(NULL, o->total, PROT_READ, MAP_SHARED, o->fd, 0);
  if (bytes == MAP_FAILED) return false;
  bool same = net_sha256(hash, bytes, o->total) && memcmp(hash, o->hash, sizeof hash) == 0;
  munmap(bytes, o->total);
  return same;
}

static hato_status finish(daemon_state *d, hato_error *err) {
  daemon_object *o = &d->object;
  hato_status rc = HATO_OK;
  if (o->fd >= 0) {
    char hex[65], path[PATH_MAX + 80];
    hato__hex(hex, o->hash, sizeof o->hash);
    snprintf(path, sizeof path, "%s/%s.so", d->objects, hex);
    if (!is_true(o)) {
      rc = hato__fail(err, HATO_PROTOCOL, "OBJECT: hash: the content is not of sha256 %s", hex);
    } else if (fchmod(o->fd, 0700) != 0 || rename(o->part, path) != 0) {
      hato__warn(d->log, "OBJECT-STORE", "%s: %s", path, strerror(errno));
    } else {
      close(o->fd);
      o->fd = -1;
    }
  }
  daemon_object_abort(d);
  return rc;
}

hato_status daemon_object_part(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_object m;
  hato_status rc = proto_object_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  daemon_object *o = &d->object;
  if (m.offset == 0) {
    begin(d, &m);
  } else if (!o->busy || memcmp(o->hash, m.hash, sizeof m.hash) != 0 || m.offset != o->got ||
             m.total != o->total) {
    return hato__fail(err, HATO_PROTOCOL, "OBJECT: offset: %llu of %llu, has %llu",
                      (unsigned long long)m.offset, (unsigned long long)m.total, (unsigned long long)o->got);
  }
  if (o->fd >= 0 && hato__write_all(o->fd, m.data, m.len) != 0) {
    hato__warn(d->log, "OBJECT-STORE", "%s: %s", o->part, strerror(errno));
    close(o->fd);
    unlink(o->part);
    o->fd = -1;
  }
  o->got += m.len;
  return o->got == o->total ? finish(d, err) : HATO_OK;
}
