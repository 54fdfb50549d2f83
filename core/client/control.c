/* Requests in JSON, and their answers, a line at a time. */
#include "client/internal.h"

#include <jansson.h>
#include <string.h>

#define AHEAD (4u << 20) /* bytes of an answer that nobody has taken, at which no more is read from the dispatcher */

struct request { /* on the stack of who asks */
  request *next;
  uint32_t token;
  _Atomic uint32_t news; /* counts up with each part */
  hato__buf text;        /* control_lock */
  bool last, gone;
};

hato_status client_control_reply_frame(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_text m;
  hato_status st = proto_reply_decode(&m, f->body, f->len, err);
  if (st) return st;
  pthread_mutex_lock(&p->control_lock);
  request *r = p->requests;
  while (r && r->token != m.token) r = r->next;
  if (r) { /* else nobody waits for it any more */
    hato__buf_append(&r->text, m.text, m.len);
    r->last = m.last;
    if (r->text.len > AHEAD) net_pause(p->conn, true);
    atomic_fetch_add_explicit(&r->news, 1, memory_order_release);
    client_word_wake(&r->news);
  }
  pthread_mutex_unlock(&p->control_lock);
  return HATO_OK;
}

void client_control_close(hato_pool *p) {
  pthread_mutex_lock(&p->control_lock);
  for (request *r = p->requests; r; r = r->next) {
    r->gone = true;
    atomic_fetch_add_explicit(&r->news, 1, memory_order_release);
    client_word_wake(&r->news);
  }
  pthread_mutex_unlock(&p->control_lock);
}

static void request_begin(hato_pool *p, request *r) {
  pthread_mutex_lock(&p->control_lock);
  r->token = ++p->next_token;
  r->next = p->requests;
  p->requests = r;
  pthread_mutex_unlock(&p->control_lock);
}

static void request_end(hato_pool *p, request *r) {
  pthread_mutex_lock(&p->control_lock);
  for (request **at = &p->requests; *at; at = &(*at)->next) {
    if (*at != r) continue;
    *at = r->next;
    break;
  }
  pthread_mutex_unlock(&p->control_lock);
  if (r->text.len > AHEAD) net_pause(p->conn, false);
  hato__buf_free(&r->text);
}

/* With the dispatcher's own words, if it had any. Under the pool's lock. */
static hato_status gone(const hato_pool *p, const char *what, hato_error *err) {
  const char *why = p->gone_reason;
  return hato__fail(err, HATO_CLOSED, "the dispatcher %s%s%s", what, why ? ": " : "", why ? why : "");
}

static hato_status request_send(hato_pool *p, const request *r, const char *json, size_t n, hato_error *err) {
  pool_lock(p);
  hato_status st = p->state == POOL_OPEN ? HATO_OK : gone(p, "is gone", err);
  if (!st) proto_control_encode(outbox_urgent(p), r->token, json, n);
  pool_unlock(p);
  if (!st) net_wake(p->conn);
  return st;
}

/* {"error": words, "status": number} as the whole of an answer. */
static hato_status refusal(const char *line, hato_error *err) {
  if (strstr(line, "\"error\"") == NULL) return HATO_OK;
  json_t *o = json_loads(line, 0, NULL);
  const char *words = json_string_value(json_object_get(o, "error"));
  json_t *status = json_object_get(o, "status");
  hato_status st = HATO_OK;
  if (words && json_is_integer(status) && json_object_size(o) == 2 && json_integer_value(status) > 0)
    st = hato__fail(err, (hato_status)json_integer_value(status), "%s", words);
  json_decref(o);
  return st;
}

/* Hands on whole lines of text, and at the end what is left. */
static hato_status hand_on(hato__buf *text, bool last, bool *first, bool (*line)(void *, const char *), void *arg,
                           hato_error *err) {
  if (text->failed || (last && text->len > 0 && text->data[text->len - 1] != '\n')) hato__buf_u8(text, '\n');
  if (text->failed) return hato__fail(err, HATO_NO_MEMORY, "no memory for an answer");
  size_t at = 0;
  hato_status st = HATO_OK;
  while (st == HATO_OK && at < text->len) {
    uint8_t *end = memchr(text->data + at, '\n', text->len - at);
    if (!end) break;
    *end = 0;
    const char *one = (const char *)text->data + at;
    at = (size_t)(end - text->data) + 1;
    if (*one == 0) continue;
    if (*first) st = refusal(one, err);
    *first = false;
    if (st == HATO_OK && line && !line(arg, one)) st = hato__fail(err, HATO_INTERRUPTED, "interrupted");
  }
  hato__buf_consume(text, at);
  return st;
}

static hato_status receive(hato_pool *p, request *r, uint64_t until, bool (*line)(void *, const char *), void *arg,
                           hato_error *err) {
  bool first = true;
  hato__buf mine = {0};
  hato_status st = HATO_OK;
  for (bool last = false; st == HATO_OK && !last;) {
    uint32_t seen = atomic_load_explicit(&r->news, memory_order_acquire);
    pthread_mutex_lock(&p->control_lock);
    last = r->last;
    bool left = r->gone, full = r->text.len > AHEAD;
    mine.failed |= r->text.failed;
    hato__buf_append(&mine, r->text.data, r->text.len);
    hato__buf_clear(&r->text);
    pthread_mutex_unlock(&p->control_lock);
    if (full) net_pause(p->conn, false); /* it may call back, so without the lock */
    st = hand_on(&mine, last, &first, line, arg, err);
    if (st || last) break;
    if (left) {
      pool_lock(p);
      st = gone(p, "went before it had answered", err);
      pool_unlock(p);
    } else if (!client_word_wait(&r->news, seen, until)) {
      st = hato__fail(err, HATO_TIMED_OUT, "the dispatcher did not answer in time");
    }
  }
  hato__buf_free(&mine);
  return st;
}

hato_status hato_pool_control(hato_pool *p, const char *json, int timeout_ms,
                              bool (*line)(void *arg, const char *json_line), void *arg, hato_error *err) {
  hato__error_clear(err);
  if (!p || !json) return hato__fail(err, HATO_INVALID, "hato_pool_control: a NULL argument");
  if (forked(p)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  size_t n = strlen(json);
  if (n > PROTO_BODY_MAX - 4)
    return hato__fail(err, HATO_TOO_LARGE, "a request of %zu bytes, at most %u were wanted", n, PROTO_BODY_MAX - 4);
  uint64_t until = client_wait_until(timeout_ms);
  request r = {0};
  request_begin(p, &r);
  hato_status st = request_send(p, &r, json, n, err);
  if (st == HATO_OK) st = receive(p, &r, until, line, arg, err);
  request_end(p, &r);
  return st;
}
