/* net over TLS: who is believed and who is not, through real connections; and the certificates that are read. */
#include "net/dial.h"
#include "unit/certs.h"
#include "unit/net_help.h"

#include <openssl/ssl.h>

#define PASS "open sesame"

/* One key, encrypted with the pass phrase above, as openssl writes it: in its old form and in PKCS #8. */
static const char old_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                              "Proc-Type: 4,ENCRYPTED\n"
                              "DEK-Info: AES-256-CBC,02889A3165C4EE152B5C3BD8206542DF\n"
                              "\n"
                              "xZ/JwCM3voiI7HLch1odyebsL+DIY/gL4ySlnP8LD0ToZf3yMDIFcIbfMtbZDfvA\n"
                              "miSx7ReA/wwVJAWGCkFdfGDwjlHNvmDC3r7FBEFAeN3hRXYbeVEq1pgguYIOv3hz\n"
                              "MJSadadJY2eB7ridn1pLJo9gH22VlYw80ZkQG8yMQmw=\n"
                              "-----END EC PRIVATE KEY-----\n";

static const char new_key[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                              "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiZsyUv01W8GQICCAAw\n"
                              "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEBuDm93n+fT2Lokx/ALddGAEgZAG\n"
                              "z2gPyJj1EZLgm2F4pv24AOjaS2LsjIy86jszk/Qds/blwr70lUGj/xwa36Iq0BIE\n"
                              "As5dJq0OCAjizxP98e/wcLUq+M1jNO7T/41LiG6RhBiVJJisIqk649aJgJcaXaZr\n"
                              "YGkYBCQFZdkGR3K2g3dsN4VcJSAwMNJ8wJpPlYi5kyl9IgfW7z4cTWTbQMDwUvs=\n"
                              "-----END ENCRYPTED PRIVATE KEY-----\n";

/* ---- hosts and dials ---- */

static net_identity *make(void) {
  hato_error err;
  net_identity *id;
  hato_status st = net_identity_make(&id, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  return id;
}

static net_identity *load_ok(const net_identity_files *f) {
  hato_error err;
  net_identity *id;
  hato_status st = net_identity_load(f, &id, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  return id;
}

static void host_with(host *h, const char *scheme, const net_identity *id) {
  memset(h, 0, sizeof *h);
  h->echo = true;
  h->guard.identity = id;
  host_listen(h, scheme);
}

/* Dials and is to be refused, in these words. */
static void dial_fails(const char *url, const hato__certificate *trust, hato_status want, const char *words) {
  hato_error err = {0};
  hato__credential *k = hato__credential_new(HATO__ROLE_CLIENT, 0, trust);
  net_conn *c;
  hato_status st = net_dial(url, PROTO_ROLE_CLIENT, &(net_auth){.credential = k}, 10000, 0, &c, &err);
  hato__credential_free(k);
  ck_assert_msg(st == want, "%d %s", st, err.text);
  ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
  ck_assert_ptr_null(c);
}

static void end_ours(end *e) {
  net_close(e->c, HATO_OK, "done");
  end_free(e);
}

/* Frames there and back, small and large. */
static void converse(host *h, const char *url) {
  hato_error err;
  net_conn *c;
  end e;
  hato_status st = net_dial(url, PROTO_ROLE_CLIENT, &h->auth, 10000, 1000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  end_init(&e);
  e.next = 1;
  end_start(&e, c);
  uint32_t n = 0;
  for (; n < 200; n++) end_put(&e, n + 1, 4 + n);
  end_put(&e, ++n, 200000);
  end_put(&e, ++n, 20000);
  net_wake(e.c);
  WAIT_FOR(e.frames == n);
  ck_assert_uint_eq(net_peer_of(c)->local, false);
  ck_assert(net_peer_of(c)->secret && net_peer_of(c)->encrypted);
  end_ours(&e);
  WAIT_FOR(h->admitted == 1);
  end_free(&h->ends[0]);
}

static void round_trip(const char *scheme) {
  host h;
  net_identity *id = make();
  host_with(&h, scheme, id);
  ck_assert_int_eq(strncmp(h.url, scheme, strlen(scheme)), 0);
  converse(&h, h.url);
  host_close(&h);
  net_identity_free(id);
}

UNIT_TEST_LIMIT(made_identity_over_tls, 20) { round_trip("tls+tcp"); }
UNIT_TEST_LIMIT(made_identity_over_wss, 20) { round_trip("wss"); }

UNIT_TEST(url_may_name_another_host) {
  host h;
  char url[64];
  net_identity *id = make();
  host_with(&h, "tls+tcp", id);
  net_identity_free(make()); /* others come and go */
  snprintf(url, sizeof url, "tls+tcp://localhost%s", strrchr(h.url, ':'));
  converse(&h, url);
  host_close(&h);
  net_identity_free(id);
}

UNIT_TEST(identity_may_go_before_its_listener) {
  host h;
  net_identity *id = make();
  host_with(&h, "tls+tcp", id);
  net_identity_free(id);
  converse(&h, h.url);
  host_close(&h);
}

UNIT_TEST(identities_differ) {
  net_identity *a = make(), *b = make();
  size_t n, m;
  const uint8_t *at = net_identity_anchor(a, &n), *bt = net_identity_anchor(b, &m);
  ck_assert_uint_le(n, HATO__ANCHOR_MAX);
  ck_assert(n != m || memcmp(at, bt, n) != 0);
  ck_assert_str_ne(net_identity_name(a), net_identity_name(b));
  ck_assert_uint_eq(strlen(net_identity_name(a)), 21);
  ck_assert_mem_ne(net_identity_fingerprint(a), net_identity_fingerprint(b), HATO__FINGERPRINT_BYTES);
  X509 *x = d2i_X509(NULL, &at, (long)n);
  ck_assert_ptr_nonnull(x);
  ck_assert_int_eq(X509_check_ca(x), 0);
  ck_assert_int_eq(X509_check_host(x, net_identity_name(a), 0, 0, NULL), 1);
  ck_assert_int_gt(X509_cmp_current_time(X509_get0_notAfter(x)), 0);
  X509_free(x);
  net_identity_free(a);
  net_identity_free(b);
}

/* Neither those that are made nor those that are read. */
UNIT_TEST(keys_lie_where_no_dump_has_them) {
#if !defined(__SANITIZE_ADDRESS__)
  ck_assert(!CRYPTO_secure_malloc_initialized());
  net_identity *id = make();
  size_t used = CRYPTO_secure_used();
  ck_assert_uint_gt(used, 0);
  net_identity_free(id);
  ck_assert_uint_lt(CRYPTO_secure_used(), used);
#endif
}

/* ---- who is not believed ---- */

static void nobody_came(host *h) {
  ck_assert_uint_eq(h->admitted, 0);
  host_close(h);
}

static void impostor(const char *scheme) {
  host h;
  net_identity *ours = make(), *other = make();
  host_with(&h, scheme, other);
  dial_fails(h.url, net_identity_certificate(ours), HATO_PEER_AUTH, net_identity_name(ours));
  nobody_came(&h);
  net_identity_free(ours);
  net_identity_free(other);
}
/* As a relay that ends TLS between two honest ends. */
UNIT_TEST(another_certificate_over_tls) { impostor("tls+tcp"); }
UNIT_TEST(another_certificate_over_wss) { impostor("wss"); }

UNIT_TEST(another_certificate_of_the_same_names) {
  host h;
  cert c;
  cert_dir d;
  net_identity *ours = make();
  cert_spec s = {.cn = net_identity_name(ours), .dns = net_identity_name(ours), .ca = true};
  cert_make(&c, &s, NULL);
  cert_dir_open(&d);
  net_identity_files f = {.certificate = cert_file(&d, 0644, c.pem, NULL, NULL),
                          .key = cert_file(&d, 0600, c.key_pem, NULL, NULL)};
  net_identity *other = load_ok(&f);
  ck_assert_str_eq(net_identity_name(other), net_identity_name(ours));
  host_with(&h, "tls+tcp", other);
  dial_fails(h.url, net_identity_certificate(ours), HATO_PEER_AUTH, "another certificate than the dispatcher");
  dial_fails(h.url, net_identity_certificate(ours), HATO_PEER_AUTH, h.url);
  nobody_came(&h);
  net_identity_free(ours);
  net_identity_free(other);
  cert_dir_close(&d);
  cert_free(&c);
}

UNIT_TEST(another_name) {
  host h;
  net_identity *id = make();
  hato__certificate trust = *net_identity_certificate(id);
  trust.name[5] = trust.name[5] == '0' ? '1' : '0';
  host_with(&h, "tls+tcp", id);
  dial_fails(h.url, &trust, HATO_PEER_AUTH, trust.name);
  nobody_came(&h);
  net_identity_free(id);
}

UNIT_TEST(no_certificate_to_believe_in) {
  hato__certificate none = {0};
  dial_fails("tls+tcp://127.0.0.1:1", NULL, HATO_PEER_AUTH, "names no certificate");
  dial_fails("wss://127.0.0.1:1", &none, HATO_PEER_AUTH, "names no certificate");
}

UNIT_TEST(listening_takes_an_identity) {
  hato_error err;
  net_guard guard = {.find = host_find};
  net_listener *l;
  ck_assert_int_eq(net_listen("tls+tcp://127.0.0.1:0", &guard, NULL, host_admitted, NULL, &l, &err), HATO_INVALID);
  ck_assert_ptr_nonnull(strstr(err.text, "certificate"));
  ck_assert_ptr_null(l);
}

UNIT_TEST(plain_and_tls_do_not_mix) {
  host h;
  char url[64];
  net_identity *id = make();
  host_with(&h, "tls+tcp", id);
  snprintf(url, sizeof url, "tcp%s", h.url + 7);
  hato_error err;
  net_conn *c;
  hato_status st = net_dial(url, PROTO_ROLE_CLIENT, &h.auth, 10000, 0, &c, &err);
  /* The words may be lost with the connection. */
  ck_assert_msg(st == HATO_RESET || (st == HATO_PROTOCOL && strstr(err.text, "speaks TLS") != NULL), "%d %s", st, err.text);
  WAIT_FOR(h.refused > 0);
  ck_assert_msg(host_last(&h, "does not speak TLS"), "%s", h.last);
  nobody_came(&h);
  host_with(&h, "tcp", id);
  snprintf(url, sizeof url, "tls+%s", h.url);
  dial_fails(url, net_identity_certificate(id), HATO_PROTOCOL, "does not speak TLS");
  WAIT_FOR(h.refused > 0);
  ck_assert_msg(host_last(&h, "it speaks TLS"), "%s", h.last);
  nobody_came(&h);
  net_identity_free(id);
}

/* One of two ends; the first may be lost with the connection. */
static void ws_fails(const net_identity *id, const char *listens, const char *dials, const char *words, const char *or) {
  static host h;
  char url[64];
  hato_error err;
  net_conn *c;
  host_with(&h, listens, id);
  snprintf(url, sizeof url, "%s%s%s", dials, strstr(h.url, "://"), strstr(listens, "ws") ? "" : "/hato");
  hato_status st = net_dial(url, PROTO_ROLE_CLIENT, &h.auth, 10000, 0, &c, &err);
  ck_assert_msg(st == HATO_PROTOCOL || st == HATO_RESET, "%d %s", st, err.text);
  ck_assert_msg(strstr(err.text, st == HATO_PROTOCOL ? words : or) != NULL, "%s", err.text);
  nobody_came(&h);
}

UNIT_TEST(websockets_with_and_without_tls_do_not_mix) {
  net_identity *id = make();
  ws_fails(id, "wss", "ws", "speaks TLS, or no WebSocket: want wss, or tcp", "want wss, if it speaks TLS");
  ws_fails(id, "ws", "wss", "does not speak TLS", "hung up as TLS began: want ws, if it speaks none");
  ws_fails(id, "tls+tcp", "wss", "speaks TLS, and no WebSocket: want tls+tcp", "hung up as TLS began");
  ws_fails(id, "tcp", "ws", "speaks TLS, or no WebSocket: want wss, or tcp", "hung up as a WebSocket began");
  net_identity_free(id);
}

/* ---- ends ---- */

/* What the peer sent before it went is read, and its going heard of, however late the owner comes to it. */
static void late_reader(const char *scheme) {
  host h;
  hato_error err;
  net_conn *c;
  end e;
  net_identity *id = make();
  host_with(&h, scheme, id);
  h.echo = false;
  ck_assert_msg(net_dial(h.url, PROTO_ROLE_CLIENT, &h.auth, 10000, 1000, &c, &err) == HATO_OK, "%s", err.text);
  end_init(&e);
  end_start(&e, c);
  WAIT_FOR(h.admitted == 1);
  net_pause(h.ends[0].c, true);
  for (uint32_t n = 1; n <= 40; n++) end_put(&e, n, 1000);
  net_wake(e.c);
  WAIT_FOR(e.sents > 0 && e.sents == e.fills);
  end_ours(&e);
  net_pause(h.ends[0].c, false);
  end_free(&h.ends[0]); /* waits for it to be closed */
  host_close(&h);
  net_identity_free(id);
}
UNIT_TEST_LIMIT(late_reader_over_tls, 30) {
  for (int i = 0; i < 20; i++) late_reader("tls+tcp");
}
UNIT_TEST_LIMIT(late_reader_over_wss, 60) {
  for (int i = 0; i < 5; i++) late_reader("wss");
}

/* A peer with OpenSSL alone, that speaks this version only. The cipher that was agreed on; "": none was. */
static const char *agreed(const host *h, int version, const char *ciphers) {
  const char *name = "";
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(ctx, 0); /* with which it speaks old versions */
  ck_assert_int_eq(SSL_CTX_set_min_proto_version(ctx, version), 1);
  ck_assert_int_eq(SSL_CTX_set_max_proto_version(ctx, version), 1);
  if (ciphers != NULL) ck_assert_int_eq(SSL_CTX_set_cipher_list(ctx, ciphers), 1);
  SSL *ssl = SSL_new(ctx);
  int fd = raw_connect(h);
  SSL_set_fd(ssl, fd);
  if (SSL_connect(ssl) == 1) {
    name = SSL_get_cipher_name(ssl);
    ck_assert(!SSL_session_reused(ssl) && !SSL_SESSION_has_ticket(SSL_get_session(ssl)));
  }
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  close(fd);
  return name;
}

UNIT_TEST(only_versions_and_ciphers_that_are_sound) {
  host h;
  net_identity *id = make();
  host_with(&h, "tls+tcp", id);
  ck_assert_str_eq(agreed(&h, TLS1_3_VERSION, NULL), "TLS_AES_128_GCM_SHA256");
  ck_assert_str_eq(agreed(&h, TLS1_2_VERSION, NULL), "ECDHE-ECDSA-AES128-GCM-SHA256");
  ck_assert_uint_eq(h.refused, 0);
  ck_assert_str_eq(agreed(&h, TLS1_1_VERSION, NULL), "");
  WAIT_FOR(h.refused == 1);
  ck_assert_msg(host_last(&h, "neither TLS 1.2 nor 1.3 with a cipher of ours"), "%s", h.last);
  ck_assert_str_eq(agreed(&h, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256"), ""); /* CBC */
  WAIT_FOR(h.refused == 2);
  ck_assert_msg(host_last(&h, "neither TLS 1.2 nor 1.3 with a cipher of ours"), "%s", h.last);
  nobody_came(&h);
  net_identity_free(id);
}

/* ---- certificates of a CA ---- */

typedef struct authority {
  cert root, middle, leaf, stranger;
  cert_dir dir;
  const char *chain, *alone, *key, *root_file, *stranger_file;
} authority;

static void authority_open(authority *a, const cert_spec *leaf) {
  cert_make(&a->root, &(cert_spec){.cn = "root", .ca = true}, NULL);
  cert_make(&a->middle, &(cert_spec){.cn = "middle", .ca = true}, &a->root);
  cert_make(&a->leaf, leaf, &a->middle);
  cert_make(&a->stranger, &(cert_spec){.cn = "root", .ca = true}, NULL); /* the same name, another key */
  cert_dir_open(&a->dir);
  a->chain = cert_file(&a->dir, 0644, a->leaf.pem, a->middle.pem, NULL);
  a->alone = cert_file(&a->dir, 0644, a->leaf.pem, NULL, NULL);
  a->key = cert_file(&a->dir, 0600, a->leaf.key_pem, NULL, NULL);
  a->root_file = cert_file(&a->dir, 0644, a->stranger.pem, a->root.pem, NULL);
  a->stranger_file = cert_file(&a->dir, 0644, a->stranger.pem, NULL, NULL);
}

static void authority_close(authority *a) {
  cert_dir_close(&a->dir);
  cert_free(&a->root);
  cert_free(&a->middle);
  cert_free(&a->leaf);
  cert_free(&a->stranger);
}

static const cert_spec hub = {.cn = "ignored", .dns = "hub.example.org"};

static void speaks(const net_identity *id) {
  host h;
  host_with(&h, "tls+tcp", id);
  converse(&h, h.url);
  host_close(&h);
}

UNIT_TEST_LIMIT(chain_of_a_ca, 20) {
  authority a;
  authority_open(&a, &hub);
  net_identity *by_chain = load_ok(&(net_identity_files){.certificate = a.chain, .key = a.key});
  net_identity *by_root = load_ok(&(net_identity_files){.certificate = a.chain, .key = a.key, .ca = a.root_file});
  ck_assert_str_eq(net_identity_name(by_chain), "hub.example.org");
  ck_assert_mem_eq(net_identity_fingerprint(by_chain), net_identity_fingerprint(by_root), HATO__FINGERPRINT_BYTES);
  size_t n, m;
  const uint8_t *middle = net_identity_anchor(by_chain, &n), *root = net_identity_anchor(by_root, &m);
  ck_assert(n != m || memcmp(middle, root, n) != 0);
  speaks(by_chain);
  speaks(by_root);
  /* Of the same CA, for another name. */
  cert other;
  cert_make(&other, &(cert_spec){.cn = "x", .dns = "www.example.org"}, &a.middle);
  net_identity *www =
      load_ok(&(net_identity_files){.certificate = cert_file(&a.dir, 0644, other.pem, a.middle.pem, NULL),
                                    .key = cert_file(&a.dir, 0600, other.key_pem, NULL, NULL)});
  host h;
  host_with(&h, "tls+tcp", www);
  dial_fails(h.url, net_identity_certificate(by_root), HATO_PEER_AUTH, "hub.example.org");
  nobody_came(&h);
  net_identity_free(www);
  net_identity_free(by_chain);
  net_identity_free(by_root);
  cert_free(&other);
  authority_close(&a);
}

/* A CA may certify another for the same name: a relay with that is not the dispatcher. */
UNIT_TEST(another_certificate_of_the_same_ca_and_name) {
  host h;
  authority a;
  cert again;
  authority_open(&a, &hub);
  net_identity *ours = load_ok(&(net_identity_files){.certificate = a.chain, .key = a.key, .ca = a.root_file});
  cert_make(&again, &hub, &a.middle);
  net_identity *other =
      load_ok(&(net_identity_files){.certificate = cert_file(&a.dir, 0644, again.pem, a.middle.pem, NULL),
                                    .key = cert_file(&a.dir, 0600, again.key_pem, NULL, NULL),
                                    .ca = a.root_file});
  ck_assert_str_eq(net_identity_name(other), net_identity_name(ours));
  host_with(&h, "tls+tcp", other);
  dial_fails(h.url, net_identity_certificate(ours), HATO_PEER_AUTH, "another certificate than the dispatcher");
  nobody_came(&h);
  host_with(&h, "wss", other);
  dial_fails(h.url, net_identity_certificate(ours), HATO_PEER_AUTH, "another certificate than the dispatcher");
  nobody_came(&h);
  net_identity_free(ours);
  net_identity_free(other);
  cert_free(&again);
  authority_close(&a);
}

static void load_fails(const net_identity_files *f, hato_status want, const char *file, const char *words) {
  hato_error err = {0};
  net_identity *id;
  hato_status st = net_identity_load(f, &id, &err);
  ck_assert_msg(st == want, "%d %s", st, err.text);
  ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
  ck_assert_msg(file == NULL || strstr(err.text, file) != NULL, "%s", err.text);
  ck_assert_ptr_null(id);
}

UNIT_TEST(what_is_amiss_is_said) {
  authority a;
  authority_open(&a, &hub);
  const char *junk = cert_file(&a.dir, 0600, "junk\n", NULL, NULL);
  const char *open_key = cert_file(&a.dir, 0644, a.leaf.key_pem, NULL, NULL);
  const char *other_key = cert_file(&a.dir, 0600, a.root.key_pem, NULL, NULL);
  const char *gone = "/tmp/hato-tls-there-is-none";
#define FILES(...) (&(net_identity_files){__VA_ARGS__})
  load_fails(FILES(.certificate = a.chain), HATO_INVALID, NULL, "the key is missing");
  load_fails(FILES(.certificate = gone, .key = a.key), HATO_NOT_FOUND, gone, "No such file");
  load_fails(FILES(.certificate = a.chain, .key = gone), HATO_NOT_FOUND, gone, "No such file");
  load_fails(FILES(.certificate = a.chain, .key = a.key, .ca = gone), HATO_NOT_FOUND, gone, "No such file");
  load_fails(FILES(.certificate = junk, .key = a.key), HATO_INVALID, junk, "no certificate in PEM");
  load_fails(FILES(.certificate = a.chain, .key = junk), HATO_INVALID, junk, "no private key in PEM");
  load_fails(FILES(.certificate = a.chain, .key = a.chain), HATO_PERMISSION, a.chain, "mode 0644");
  load_fails(FILES(.certificate = a.chain, .key = open_key), HATO_PERMISSION, open_key, "chmod 600");
  load_fails(FILES(.certificate = a.chain, .key = a.dir.path), HATO_INVALID, a.dir.path, "not a plain file");
  load_fails(FILES(.certificate = a.chain, .key = other_key), HATO_INVALID, other_key, "is not that of");
  load_fails(FILES(.certificate = a.alone, .key = a.key), HATO_INVALID, a.alone, "stands alone");
  load_fails(FILES(.certificate = a.chain, .key = a.key, .ca = a.stranger_file), HATO_INVALID, a.stranger_file,
             "none of those");
  load_fails(FILES(.certificate = a.alone, .key = a.key, .ca = a.root_file), HATO_INVALID, a.root_file,
             "none of those");
  authority_close(&a);
}

static void leaf_fails(const cert_spec *leaf, const char *words) {
  authority a;
  authority_open(&a, leaf);
  load_fails(FILES(.certificate = a.chain, .key = a.key), HATO_INVALID, a.chain, words);
  authority_close(&a);
}

UNIT_TEST(certificates_out_of_time_or_without_a_name_or_of_clients) {
  leaf_fails(&(cert_spec){.cn = "x", .dns = "x.org", .from = -9, .to = -2}, "expired on 20");
  leaf_fails(&(cert_spec){.cn = "x", .dns = "x.org", .from = 2, .to = 9}, "not valid before 20");
  leaf_fails(&(cert_spec){.cn = "two words"}, "no name");
  leaf_fails(&(cert_spec){.cn = "x", .dns = "x.org", .use = "clientAuth"}, "not for servers");
}

UNIT_TEST(common_name_when_there_is_no_other) {
  authority a;
  authority_open(&a, &(cert_spec){.cn = "old.example.org"});
  net_identity *id = load_ok(FILES(.certificate = a.chain, .key = a.key));
  ck_assert_str_eq(net_identity_name(id), "old.example.org");
  speaks(id);
  net_identity_free(id);
  authority_close(&a);
}

/* ---- encrypted keys ---- */

typedef struct asked {
  const char *answer; /* NULL: it gives up */
  unsigned n;
} asked;

static hato_status answer(void *arg, char *buf, size_t n, hato_error *err) {
  asked *a = arg;
  a->n++;
  if (a->answer == NULL) return hato__fail(err, HATO_CANCELLED, "nobody there to ask");
  snprintf(buf, n, "%s", a->answer);
  return HATO_OK;
}

static void encrypted(const char *text) {
  authority a;
  authority_open(&a, &(cert_spec){.cn = "x", .dns = "hub.example.org", .key_pem = old_key, .pass = PASS});
  asked yes = {.answer = PASS}, no = {.answer = "wrong"}, nobody = {0};
  net_identity_files f = {
      .certificate = a.chain, .key = cert_file(&a.dir, 0600, text, NULL, NULL), .pass = answer, .pass_arg = &yes};
  net_identity *id = load_ok(&f);
  ck_assert_uint_eq(yes.n, 1);
  speaks(id);
  net_identity_free(id);
  f.pass_arg = &no;
  load_fails(&f, HATO_PERMISSION, f.key, "not its pass phrase");
  ck_assert_uint_eq(no.n, 1);
  f.pass_arg = &nobody;
  load_fails(&f, HATO_CANCELLED, NULL, "nobody there to ask");
  f.pass = NULL;
  load_fails(&f, HATO_INVALID, f.key, "is encrypted");
  f.key = a.key; /* is not: nobody is asked */
  f.pass = answer;
  net_identity_free(load_ok(&f));
  ck_assert_uint_eq(nobody.n, 1);
  authority_close(&a);
}

UNIT_TEST_LIMIT(encrypted_key_of_the_old_form, 20) { encrypted(old_key); }
UNIT_TEST_LIMIT(encrypted_key_of_pkcs8, 20) { encrypted(new_key); }

/* ---- an attempt that another thread stops, at any moment of it ---- */

static void let_go(void *arg, net_conn *c) {
  (void)arg;
  net_release(c);
}

static void *attempt(void *dial) {
  hato_error err = {0};
  int nng;
  (void)net__dial_attempt(dial, &nng, &err);
  return NULL;
}

UNIT_TEST_LIMIT(an_attempt_that_is_stopped_ends, 60) {
#ifdef HATO_SANITIZED
  const long step = 200000;
#else
  const long step = 50000;
#endif
  host h = {0};
  hato_error err;
  net_identity *id;
  ck_assert_int_eq(net_identity_make(&id, &err), HATO_OK);
  h.guard.identity = id;
  host_listen_with(&h, "tls+tcp", let_go);
  for (int i = 0; i < 200; i++) {
    net__dial d;
    pthread_t t;
    ck_assert_int_eq(net__dial_open(&d, h.url, PROTO_ROLE_CLIENT, &h.auth, &err), HATO_OK);
    d.deadline = hato__now() + 3600 * HATO__SEC;
    ck_assert_int_eq(pthread_create(&t, NULL, attempt, &d), 0);
    nanosleep(&(struct timespec){.tv_nsec = i * step}, NULL); /* of its handshake */
    net__dial_stop(&d);
    pthread_join(t, NULL);
    net__dial_close(&d);
  }
  host_close(&h);
  net_identity_free(id);
}

UNIT_MAIN("net_tls")
