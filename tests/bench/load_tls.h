/*
 * Lets the load speak TLS. Like send() and recv() without waiting: -1 with EAGAIN means later.
 *
 * Every connection is a full handshake: no session is kept, so none is resumed. The certificate is not
 * verified, which would cost the load time and the server none.
 */
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

static SSL_CTX *tls_context;

static int tls_prepare(void) {
  /* OpenSSL writes without MSG_NOSIGNAL. */
  signal(SIGPIPE, SIG_IGN);
  tls_context = SSL_CTX_new(TLS_client_method());
  if (tls_context == NULL) return 0;
  SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(tls_context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                       SSL_MODE_RELEASE_BUFFERS);
  /* One read for the head and the body of a record. */
  SSL_CTX_set_read_ahead(tls_context, 1);
  return 1;
}

/* The client's end of TLS on a socket that does not block; NULL when there is no memory. */
static SSL *tls_open(int fd) {
  SSL *tls = SSL_new(tls_context);
  if (tls == NULL) return NULL;
  SSL_set_connect_state(tls);
  if (SSL_set_fd(tls, fd) != 1 || SSL_set_tlsext_host_name(tls, "localhost") != 1) {
    SSL_free(tls);
    return NULL;
  }
  return tls;
}

static ssize_t tls_result(SSL *tls, int n) {
  if (n > 0) return n;
  switch (SSL_get_error(tls, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_SYSCALL:
      if (errno == 0) errno = ECONNRESET;
      return -1;
    default:
      ERR_print_errors_fp(stderr);
      errno = EPROTO;
      return -1;
  }
}

/* Handshakes first, which is why it may be waiting for bytes to arrive: see tls_waits_to_send(). */
static ssize_t tls_send(SSL *tls, const void *from, size_t size) {
  ERR_clear_error();
  errno = 0;
  return tls_result(tls, SSL_write(tls, from, (int)size));
}

static ssize_t tls_receive(SSL *tls, void *into, size_t size) {
  ERR_clear_error();
  errno = 0;
  return tls_result(tls, SSL_read(tls, into, (int)size));
}

static int tls_waits_to_send(SSL *tls) { return SSL_want_write(tls); }

static void tls_end(SSL *tls) {
  ERR_clear_error();
  SSL_shutdown(tls);
}

static void tls_forget(SSL *tls) { SSL_free(tls); }

#else

/* Built where there is no OpenSSL: `--tls 1` ends the program before any of these is called. */
typedef struct ssl SSL;
static int tls_prepare(void) { return 0; }
static SSL *tls_open(int fd) { return (void)fd, NULL; }
static ssize_t tls_send(SSL *tls, const void *from, size_t size) {
  return (void)tls, (void)from, (void)size, -1;
}
static ssize_t tls_receive(SSL *tls, void *into, size_t size) {
  return (void)tls, (void)into, (void)size, -1;
}
static int tls_waits_to_send(SSL *tls) { return (void)tls, 0; }
static void tls_end(SSL *tls) { (void)tls; }
static void tls_forget(SSL *tls) { (void)tls; }

#endif
