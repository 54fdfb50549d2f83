/*
 * The kernel's queue of connections that are yet to be accepted. NNG 1.5 asks for one of 128, and a peer that finds it
 * full hears nothing, and asks again after a second, after three, after seven. Thousands of daemons that dial at once,
 * or a flood, fill it before we have a turn. NNG does not tell its socket, so it is found by its port; to listen on it
 * once more only makes its queue longer (up to what net.core.somaxconn allows).
 */
#include "net/listener.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define BACKLOG 1024
#define FD_MOST 4096 /* where a listening socket is looked for */

void net__backlog_lengthen(nng_stream_listener *sl) {
  int port = 0;
  struct rlimit r;
  if (nng_stream_listener_get_int(sl, NNG_OPT_TCP_BOUND_PORT, &port) != 0 || port == 0 ||
      getrlimit(RLIMIT_NOFILE, &r) != 0)
    return;
  for (int fd = 0; fd < FD_MOST && (rlim_t)fd < r.rlim_cur; fd++) {
    struct sockaddr_storage sa;
    int listens = 0;
    socklen_t n = sizeof listens, m = sizeof sa;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0 || !listens ||
        getsockname(fd, (struct sockaddr *)&sa, &m) != 0)
      continue;
    in_port_t mine = sa.ss_family == AF_INET    ? ((struct sockaddr_in *)&sa)->sin_port
                     : sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                                : 0;
    if (mine == htons((uint16_t)port)) (void)listen(fd, BACKLOG);
  }
}
