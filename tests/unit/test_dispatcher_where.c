/* Where daemons dial: what is listened at for them, and the urls they are given. */
#include "unit/unit.h"

#include "base/error.h"
#include "dispatcher/addresses.h"
#include "dispatcher/dispatcher.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct served {
  char dir[64], url[128];
  dispatcher *d;
  int told; /* calls of `listening` */
} served;

static void listening(void *arg) {
  served *v = arg;
  v->told++;
}

static hato_status try_serve(served *v, dispatcher_options o, hato_error *err) {
  v->d = NULL;
  v->told = 0;
  strcpy(v->dir, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(v->dir));
  snprintf(v->url, sizeof v->url, "ipc://%s/s", v->dir);
  o.local_dir = v->dir;
  o.hato_binary = HATO_BUILD_DIR "/bin/hato";
  o.listening = listening;
  o.listening_arg = v;
  hato_status st = dispatcher_create(&o, &v->d, err);
  return st ? st : dispatcher_listen(v->d, v->url, err);
}

static void serve(served *v, dispatcher_options o) {
  hato_error err = {0};
  if (try_serve(v, o, &err)) ck_abort_msg("%s", err.text);
}

static void unserve(served *v) {
  dispatcher_destroy(v->d);
  unit_remove_folder(v->dir);
}

static char **where_of(served *v, where_kind kind) {
  hato_error err = {0};
  char **urls = NULL;
  if (dispatcher_where(v->d, kind, &urls, &err)) ck_abort_msg("%s", err.text);
  ck_assert_ptr_nonnull(urls);
  ck_assert_ptr_nonnull(urls[0]);
  return urls;
}

static unsigned listeners(served *v) {
  unsigned n = 0;
  while (dispatcher_url(v->d, n)) n++;
  return n;
}

static unsigned port_of(const char *url) { return (unsigned)atoi(strrchr(url, ':') + 1); }

static bool starts(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* A tcp port of loopback that is taken for as long as the socket is open. */
static int taken(unsigned *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  a.sin_port = htons((uint16_t)*port);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0 ||
      getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
    close(fd);
    return -1;
  }
  *port = ntohs(a.sin_port);
  return fd;
}

UNIT_TEST(here_is_the_socket) {
  served v;
  serve(&v, (dispatcher_options){0});
  char **urls = where_of(&v, WHERE_HERE);
  ck_assert_str_eq(urls[0], v.url);
  ck_assert_ptr_null(urls[1]);
  ck_assert_uint_eq(listeners(&v), 1);
  ck_assert_int_eq(v.told, 0);
  dispatcher_where_free(urls);
  unserve(&v);
}

UNIT_TEST(a_tunnel_needs_loopback_alone) {
  served v;
  serve(&v, (dispatcher_options){0});
  char **urls = where_of(&v, WHERE_LOOPBACK);
  ck_assert(starts(urls[0], "tcp://127.0.0.1:"));
  ck_assert_ptr_null(urls[1]);
  ck_assert_int_eq(v.told, 1);
  char **again = where_of(&v, WHERE_LOOPBACK);
  ck_assert_str_eq(again[0], urls[0]);
  ck_assert_uint_eq(listeners(&v), 2);
  ck_assert_int_eq(v.told, 1);
  dispatcher_where_free(urls);
  dispatcher_where_free(again);
  unserve(&v);
}

UNIT_TEST(one_port_for_all_beyond) {
  served v;
  address *all;
  size_t n, i = 0;
  hato_error err = {0};
  ck_assert_int_eq(dispatcher_addresses(NULL, &all, &n, &err), HATO_OK);
  serve(&v, (dispatcher_options){0});
  char **urls = NULL;
  hato_status st = dispatcher_where(v.d, WHERE_BEYOND, &urls, &err);
  if (n == 0) { /* a machine without a network */
    ck_assert_int_eq(st, HATO_UNREACHABLE);
    ck_assert_ptr_null(urls);
    free(all);
    unserve(&v);
    return;
  }
  ck_assert_int_eq(st, HATO_OK);
  ck_assert_uint_eq(listeners(&v), 2);
  unsigned port = port_of(urls[0]);
  for (; urls[i]; i++) {
    char want[128];
    snprintf(want, sizeof want, "tls+tcp://%s:%u", all[i].host, port);
    ck_assert_str_eq(urls[i], want);
    ck_assert(!strstr(urls[i], "127.0.0.1") && !strstr(urls[i], "[::") && !strstr(urls[i], "[fe80"));
  }
  ck_assert_uint_eq(i, n);
  char **again = where_of(&v, WHERE_BEYOND), **tunnel = where_of(&v, WHERE_LOOPBACK);
  ck_assert_str_eq(again[0], urls[0]);
  /* Tunnels encrypt themselves: they get a port of loopback without TLS. */
  ck_assert(starts(tunnel[0], "tcp://127.0.0.1:") && port_of(tunnel[0]) != port);
  ck_assert_uint_eq(listeners(&v), 3);
  dispatcher_where_free(urls);
  dispatcher_where_free(again);
  dispatcher_where_free(tunnel);
  free(all);
  unserve(&v);
}

UNIT_TEST(what_is_encrypted) {
  for (int never = 0; never < 2; never++) {
    served v;
    serve(&v, (dispatcher_options){.network.dial_hosts = (const char *const[]){"login1", NULL},
                                   .network.tls = never ? DISPATCHER_TLS_NEVER : DISPATCHER_TLS_ALWAYS});
    char **tunnel = where_of(&v, WHERE_LOOPBACK), **urls = where_of(&v, WHERE_BEYOND);
    ck_assert(starts(tunnel[0], never ? "tcp://127.0.0.1:" : "tls+tcp://127.0.0.1:"));
    ck_assert(starts(urls[0], never ? "tcp://login1:" : "tls+tcp://login1:"));
    dispatcher_where_free(urls);
    dispatcher_where_free(tunnel);
    unserve(&v);
  }
}

/* Who listens for plain clients has said nothing of daemons. */
UNIT_TEST(a_plain_listener_is_not_for_daemons) {
  for (int always = 0; always < 2; always++) {
    served v;
    hato_error err = {0};
    serve(&v, (dispatcher_options){.network.dial_hosts = (const char *const[]){"login1", NULL},
                                   .network.tls = always ? DISPATCHER_TLS_ALWAYS : DISPATCHER_TLS_AUTO});
    ck_assert_int_eq(dispatcher_listen(v.d, "tcp://0.0.0.0:0", &err), HATO_OK);
    char **urls = where_of(&v, WHERE_BEYOND);
    ck_assert(starts(urls[0], "tls+tcp://login1:") && urls[1] == NULL);
    dispatcher_where_free(urls);
    ck_assert_int_eq(dispatcher_listen(v.d, "tls+tcp://0.0.0.0:0", &err), HATO_OK);
    unserve(&v);
  }
}

UNIT_TEST(names_to_dial_are_given_as_they_are) {
  served v;
  serve(&v, (dispatcher_options){
                .network.dial_hosts = (const char *const[]){"login1.example", "10.1.2.3", "fd00::2", "[fd00::3]", NULL}});
  char **urls = where_of(&v, WHERE_BEYOND), want[64];
  const char *hosts[] = {"login1.example", "10.1.2.3", "[fd00::2]", "[fd00::3]"};
  for (int i = 0; i < 4; i++) {
    snprintf(want, sizeof want, "tls+tcp://%s:%u", hosts[i], port_of(urls[0]));
    ck_assert_str_eq(urls[i], want);
  }
  ck_assert_ptr_null(urls[4]);
  dispatcher_where_free(urls);
  unserve(&v);
}

UNIT_TEST(an_interface_narrows_and_listens_there_only) {
  served v;
  serve(&v, (dispatcher_options){.network.interfaces = (const char *const[]){"lo", NULL}});
  char **urls = where_of(&v, WHERE_BEYOND);
  ck_assert(starts(urls[0], "tcp://127.0.0.1:"));
  for (unsigned i = 1; i < listeners(&v); i++) {
    ck_assert(starts(dispatcher_url(v.d, i), "tcp://127.") || starts(dispatcher_url(v.d, i), "tcp://[::1]"));
    ck_assert_uint_eq(port_of(dispatcher_url(v.d, i)), port_of(urls[0]));
  }
  dispatcher_where_free(urls);
  unserve(&v);
}

UNIT_TEST(wrong_options_are_said_at_once) {
  served v;
  hato_error err = {0};
  dispatcher_options o = {.network.interfaces = (const char *const[]){"lo", "nosuch7", NULL}};
  ck_assert_int_eq(try_serve(&v, o, &err), HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(err.text, "\"nosuch7\" is not there"));
  ck_assert_ptr_nonnull(strstr(err.text, "there are: "));
  ck_assert_ptr_nonnull(strstr(err.text, "lo"));
  unserve(&v);
  static const char *const bad[] = {"host:5555", "[fd00::2]:5555", "", "a/b", "a b", "[fd00::2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    o = (dispatcher_options){.network.dial_hosts = (const char *const[]){bad[i], NULL}};
    ck_assert_int_eq(try_serve(&v, o, &err), HATO_INVALID);
    ck_assert_ptr_nonnull(strstr(err.text, bad[i]));
    unserve(&v);
  }
  o = (dispatcher_options){.network.port_low = 7000, .network.port_high = 6000};
  ck_assert_int_eq(try_serve(&v, o, &err), HATO_INVALID);
  ck_assert_ptr_nonnull(strstr(err.text, "7000-6000"));
  unserve(&v);
}

UNIT_TEST(a_range_of_ports) {
  served v, w;
  hato_error err = {0};
  unsigned port = 0, next;
  int fds[2] = {-1, -1};
  while (fds[1] < 0) { /* two ports in a row, both taken */
    port = 0;
    fds[0] = taken(&port);
    next = port + 1;
    fds[1] = taken(&next);
    if (fds[1] < 0) close(fds[0]);
  }
  dispatcher_options o = {.network.interfaces = (const char *const[]){"lo", NULL},
                          .network.port_low = (uint16_t)port,
                          .network.port_high = (uint16_t)next};
  char **urls = NULL, text[64];
  serve(&v, o);
  ck_assert_int_eq(dispatcher_where(v.d, WHERE_BEYOND, &urls, &err), HATO_ADDRESS_IN_USE);
  ck_assert_ptr_null(urls);
  snprintf(text, sizeof text, "%u-%u", port, next);
  ck_assert_ptr_nonnull(strstr(err.text, text));
  ck_assert_uint_eq(listeners(&v), 1);
  close(fds[1]);
  urls = where_of(&v, WHERE_BEYOND); /* it is asked again, and one is free now */
  ck_assert_uint_eq(port_of(urls[0]), next);
  dispatcher_where_free(urls);
  o.network.port_low = (uint16_t)next;
  serve(&w, o);
  ck_assert_int_eq(dispatcher_where(w.d, WHERE_BEYOND, &urls, &err), HATO_ADDRESS_IN_USE);
  snprintf(text, sizeof text, "port %u is in use", next);
  ck_assert_ptr_nonnull(strstr(err.text, text));
  close(fds[0]);
  unserve(&v);
  unserve(&w);
}

UNIT_TEST(what_listens_already_is_used) {
  served v;
  hato_error err = {0};
  serve(&v, (dispatcher_options){.network.dial_hosts = (const char *const[]){"login1", NULL},
                                 .network.tls = DISPATCHER_TLS_NEVER});
  ck_assert_int_eq(dispatcher_listen(v.d, "tcp://127.0.0.1:0", &err), HATO_OK);
  char **urls = where_of(&v, WHERE_LOOPBACK);
  ck_assert_str_eq(urls[0], dispatcher_url(v.d, 1));
  dispatcher_where_free(urls);
  ck_assert_int_eq(dispatcher_listen(v.d, "tcp://0.0.0.0:0", &err), HATO_OK);
  urls = where_of(&v, WHERE_BEYOND);
  ck_assert(starts(urls[0], "tcp://login1:"));
  ck_assert_uint_eq(port_of(urls[0]), port_of(dispatcher_url(v.d, 2)));
  ck_assert_uint_eq(listeners(&v), 3);
  ck_assert_int_eq(v.told, 0);
  dispatcher_where_free(urls);
  ck_assert_int_eq(dispatcher_reach(v.d, &urls, &err), HATO_OK); /* for clients: all of it */
  ck_assert_str_eq(urls[0], v.url);
  ck_assert_str_eq(urls[1], dispatcher_url(v.d, 1));
  ck_assert(starts(urls[2], "tcp://login1:"));
  ck_assert_ptr_null(urls[3]);
  dispatcher_where_free(urls);
  unserve(&v);
}

UNIT_MAIN("dispatcher_where")
