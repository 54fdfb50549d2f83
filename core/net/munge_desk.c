/* Where threads that must not block leave what is to be asked of munged. */
#include "net/munge.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

struct net__munge_desk {
  pthread_mutex_t lock;
  pthread_cond_t work;
  net__munge_job *first, *last;
  unsigned waiting; /* jobs */
  unsigned idle;    /* threads */
  unsigned threads;
  pthread_t thread[NET_MUNGE_DESK_THREADS];
  atomic_bool ending; /* written under the lock */
};

static hato_status serve(net__munge_desk *desk, net__munge_job *job) {
  uint64_t waited = (hato__now() - job->posted) / HATO__MS;
  if (atomic_load(&desk->ending)) return hato__fail(&job->err, HATO_CANCELLED, "nobody asks munged any more");
  if (waited > NET_MUNGE_DESK_WAIT_MS)
    return hato__fail(&job->err, HATO_AGAIN, "munged is slow: it was not asked within %u ms",
                      NET_MUNGE_DESK_WAIT_MS);
  if (job->credential != NULL) {
    hato_status st = net__munge_decode(job->credential, job->payload_in, &job->err);
    if (st != HATO_OK) return st;
  }
  if (!job->encode) return HATO_OK;
  if (atomic_load(&desk->ending)) return hato__fail(&job->err, HATO_CANCELLED, "nobody asks munged any more");
  return net__munge_encode(job->payload_out, job->answer, sizeof job->answer, &job->err);
}

/* NULL: the desk is taken down, and nothing is left. */
static net__munge_job *take(net__munge_desk *desk) {
  pthread_mutex_lock(&desk->lock);
  desk->idle++;
  while (desk->first == NULL && !atomic_load(&desk->ending)) pthread_cond_wait(&desk->work, &desk->lock);
  desk->idle--;
  net__munge_job *job = desk->first;
  if (job != NULL) {
    desk->first = job->next;
    desk->waiting--;
  }
  pthread_mutex_unlock(&desk->lock);
  return job;
}

static void *desk_thread(void *arg) {
  net__munge_desk *desk = arg;
  for (net__munge_job *job; (job = take(desk)) != NULL;) {
    serve(desk, job);
    job->done(job);
  }
  return NULL;
}

/* False: there is no thread at all. */
static bool staff(net__munge_desk *desk) {
  if (desk->waiting < desk->idle || desk->threads == NET_MUNGE_DESK_THREADS) return true;
  if (hato__thread_start(&desk->thread[desk->threads], 0, desk_thread, desk) == 0) desk->threads++;
  return desk->threads > 0;
}

bool net__munge_post(net__munge_desk *desk, net__munge_job *job) {
  job->next = NULL;
  job->posted = hato__now();
  job->answer[0] = 0;
  hato__error_clear(&job->err);
  pthread_mutex_lock(&desk->lock);
  bool taken = !atomic_load(&desk->ending) && desk->waiting < NET_MUNGE_DESK_ROOM && staff(desk);
  if (taken) {
    if (desk->first == NULL)
      desk->first = job;
    else
      desk->last->next = job;
    desk->last = job;
    desk->waiting++;
    pthread_cond_signal(&desk->work);
  }
  pthread_mutex_unlock(&desk->lock);
  return taken;
}

net__munge_desk *net__munge_desk_create(void) {
  net__munge_desk *desk = calloc(1, sizeof *desk);
  if (desk == NULL) return NULL;
  pthread_mutex_init(&desk->lock, NULL);
  pthread_cond_init(&desk->work, NULL);
  return desk;
}

void net__munge_desk_destroy(net__munge_desk *desk) {
  if (desk == NULL) return;
  pthread_mutex_lock(&desk->lock);
  atomic_store(&desk->ending, true);
  pthread_cond_broadcast(&desk->work);
  pthread_mutex_unlock(&desk->lock);
  for (unsigned i = 0; i < desk->threads; i++) pthread_join(desk->thread[i], NULL);
  pthread_cond_destroy(&desk->work);
  pthread_mutex_destroy(&desk->lock);
  free(desk);
}
