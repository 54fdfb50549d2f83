/* The thread on which the host's release and output functions run, so that they may block
 * without holding up the connection. It is started when there is something for it. */
#include "client/internal.h"

#include "base/thread.h"

static job *take(hato_pool *p) {
  pthread_mutex_lock(&p->helper_lock);
  while (!p->jobs && !p->helper_stop) pthread_cond_wait(&p->helper_work, &p->helper_lock);
  job *j = p->jobs;
  if (j) {
    p->jobs = j->next;
    if (!p->jobs) p->jobs_tail = &p->jobs;
  }
  pthread_mutex_unlock(&p->helper_lock);
  return j;
}

static void *run(void *arg) {
  hato_pool *p = arg;
  job *j;
  while ((j = take(p)) != NULL) j->run(j);
  client_pool_thread_over(p, &p->helper_over);
  client_pool_unref(p);
  return NULL;
}

bool client_helper_add(hato_pool *p, job *j) {
  pthread_mutex_lock(&p->helper_lock);
  if (!p->helper_runs && !p->helper_stop) {
    client_pool_ref(p);
    p->helper_runs = hato__thread_start(&p->helper, 0, run, p) == 0;
    if (!p->helper_runs) client_pool_unref(p);
  }
  bool ok = p->helper_runs && !p->helper_stop;
  if (ok) {
    j->next = NULL;
    *p->jobs_tail = j;
    p->jobs_tail = &j->next;
    pthread_cond_signal(&p->helper_work);
  }
  pthread_mutex_unlock(&p->helper_lock);
  return ok;
}

void client_helper_stop(hato_pool *p, uint64_t until) {
  pthread_mutex_lock(&p->helper_lock);
  p->helper_stop = true;
  bool runs = p->helper_runs;
  pthread_cond_signal(&p->helper_work);
  pthread_mutex_unlock(&p->helper_lock);
  if (runs) client_pool_join(p, p->helper, &p->helper_over, until); /* it does what is left first */
}

/* ---- giving an argument back ---- */

typedef struct release_job {
  job job;
  void *data;
  void (*release)(void *);
} release_job;

static void release_run(job *j) {
  release_job *r = (release_job *)j;
  r->release(r->data);
  free(r);
}

void client_helper_release(hato_pool *p, void *data, void (*release)(void *)) {
  release_job *r = malloc(sizeof *r);
  if (r) {
    *r = (release_job){.job = {.run = release_run}, .data = data, .release = release};
    if (client_helper_add(p, &r->job)) return;
    free(r);
  }
  release(data);
}
