/*
 * Puts load on a server: one thread, epoll, closed loop. Every connection has one exchange in flight, and
 * the next begins when the last byte of the reply has arrived.
 *
 *   load exchange PORT --connections 64 --request 64 --reply 64 --depth 1 --warm 0.2 --seconds 1
 *   load stream   PORT --connections 16 --request 1460 --window 65536 --warm 0.2 --seconds 1
 *   load connect  PORT --connections 16 --request 64 --warm 0.2 --seconds 1
 *   load hold     PORT --connections 2000 --request 64 --burst 65536 --warm 0.3
 *
 * exchange  sends request bytes and waits for reply bytes; depth exchanges travel as one batch
 * stream    writes request bytes at a time to an echo, whenever at most window bytes would then be
 *           unanswered; the latency is that from a write to the last byte of its echo
 * connect   one exchange on each connection: connect, exchange, FIN, wait for the server's FIN; the
 *           latency is that from connect() to the reply. With `--server-closes 1` the server's FIN comes
 *           first
 * hold      opens connections, exchanges once on each, then `--times` times with burst bytes (with
 *           `--window`, as a stream of that many writes)
 *
 * With `--prefix 1` each request begins with the number of the bytes behind it, in four bytes. With
 * `--through PORT` every connection asks the SOCKS5 proxy at that port for the server.
 *
 * `--rest S` keeps the connections of exchange and stream open and silent for S seconds behind the
 * measured time, then adds the phase "idle"; for hold it is the silence before memory is read.
 *
 * With `--tls 1` all of it happens inside TLS, where load_tls.h could be built; the latency of connect
 * is then that from connect() to the first reply, handshake included.
 *
 * `--rounds N` measures so many times, with a report each; `--slices N` divides the seconds of each round,
 * so that the loads of several servers can take turns: a machine that is slower for a while then slows
 * all of them.
 *
 * Between phases nothing is in flight: it prints {"at":"turn"} and {"at":"warm"} before each slice (hold:
 * "warm", "small", "burst") and waits for a line on stdin, so that the server's CPU time or memory is
 * read at rest and no request is half counted. From "turn" to "warm" it repeats what is measured without
 * counting it, since another server has had the caches meanwhile. A report is at "round", the last one
 * at "end". load.ts speaks the same.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "load_tls.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* Connections opened before each of them has had an answer: far below any backlog, since a SYN that
 * finds the queue full is repeated only a second later. */
#define OPEN_AT_ONCE 64

/* Bursts in flight at once while memory is measured: many idle connections, few busy ones. */
#define BURSTS_AT_ONCE 16

/* Seconds a started exchange may take beyond the end of its phase. */
#define GRACE 3.0

/* Seconds of uncounted load before each slice. */
#define LEAD 0.03

/* Seconds of silence before memory is read where --rest is missing: for what the server does behind its
 * replies. */
#define REST 0.3

/* Seconds after which a phase is stuck and this program over, on top of what was asked for. */
#define SPARE 60

struct connection {
  int fd;
  SSL *tls; /* NULL without TLS */
  int waits_to_send;
  int ending; /* FIN sent, theirs awaited */
  size_t sent, received;
  size_t begun;       /* of a stream: the bytes of every write begun so far */
  uint64_t *began_at; /* of a stream: when each unanswered write began, as a ring */
  uint64_t began;
  uint64_t served;
  int done; /* exchanges of the present run */
};

static struct {
  int port, through, connections, depth, tls, server_closes, times, prefix, rounds, slices;
  size_t request, reply, burst, window;
  double warm, seconds, rest;
} asked = {
    .connections = 1, .depth = 1, .times = 1, .rounds = 1, .slices = 1, .request = 64, .reply = 64, .burst = 65536};

static int queue = -1;
static int short_lived; /* one exchange per connection */
static int checking;    /* compare every byte of a reply with the request */
static int counting;    /* what is served now belongs to the report */
static size_t request, reply;
static unsigned char *pattern, *arrived;
static size_t arrived_size = 256 * 1024;

static uint64_t errors;
static char first_error[160];

/* Latencies in ns, by the highest bit and the six below it: within 1.6 %. */
static uint64_t histogram[64 * 64];
static uint64_t recorded;

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double own_cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
         (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void record(uint64_t ns) {
  if (!counting) return;
  int shift = ns < 128 ? 0 : 57 - __builtin_clzll(ns);
  histogram[shift * 64 + (ns >> shift)]++;
  recorded++;
}

/* The latency in µs that `share` of the exchanges did not exceed. */
static double percentile(double share) {
  uint64_t rank = (uint64_t)(share * (double)recorded), seen = 0;
  if (rank >= recorded) rank = recorded - 1;
  for (int i = 0; i < 64 * 64; i++) {
    seen += histogram[i];
    if (seen > rank) {
      int shift = i < 128 ? 0 : i / 64 - 1;
      uint64_t low = (uint64_t)(i - shift * 64) << shift;
      return ((double)low + (double)(1ull << shift) / 2) / 1000;
    }
  }
  return 0;
}

static void close_socket(struct connection *c) {
  if (c->tls != NULL) tls_forget(c->tls);
  if (c->fd >= 0) close(c->fd);
  c->tls = NULL;
  c->fd = -1;
}

static void connection_failed(struct connection *c, const char *what, int number) {
  if (errors++ == 0)
    snprintf(first_error, sizeof first_error, "%s%s%s", what, number ? ": " : "",
             number ? strerror(number) : "");
  close_socket(c);
}

/* Asks a SOCKS5 proxy for the server (RFC 1928), and waits for it: nothing is measured meanwhile. */
static int pass_proxy(int fd) {
  unsigned char hello[] = {5, 1, 0}, answer[10];
  unsigned char port[] = {(unsigned char)(asked.port >> 8), (unsigned char)asked.port};
  unsigned char request[] = {5, 1, 0, 1, 127, 0, 0, 1, port[0], port[1]};
  return send(fd, hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello &&
         recv(fd, answer, 2, MSG_WAITALL) == 2 && answer[1] == 0 &&
         send(fd, request, sizeof request, MSG_NOSIGNAL) == sizeof request &&
         recv(fd, answer, sizeof answer, MSG_WAITALL) == sizeof answer && answer[1] == 0;
}

/* The source address turns with every connection, and the port is chosen at connect(), so that ports
 * in TIME_WAIT never run out, without a reset that the server would see. */
static int open_socket(struct connection *c) {
  static unsigned turn;
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) {
    connection_failed(c, "socket", errno);
    return 0;
  }
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + turn++ % 250);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((uint16_t)(asked.through ? asked.through : asked.port));
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event interest = {.events = EPOLLIN, .data.ptr = c};
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
      connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 ||
      epoll_ctl(queue, EPOLL_CTL_ADD, c->fd, &interest) < 0) {
    connection_failed(c, "connect", errno);
    return 0;
  }
  if (asked.through && !pass_proxy(c->fd)) {
    connection_failed(c, "the proxy refused", 0);
    return 0;
  }
  /* OpenSSL reads and writes without flags, so it is the socket that must not wait. */
  if (asked.tls && (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || (c->tls = tls_open(c->fd)) == NULL)) {
    connection_failed(c, "TLS", errno);
    return 0;
  }
  c->waits_to_send = c->ending = 0;
  return 1;
}

/* Sends as much as fits; 0 when nothing does, -1 when the connection is lost. */
static ssize_t send_some(struct connection *c, const unsigned char *from, size_t size) {
  ssize_t n = c->tls != NULL ? tls_send(c->tls, from, size)
                             : send(c->fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n >= 0) return n;
  if (errno == EAGAIN) return 0;
  connection_failed(c, "send", errno);
  return -1;
}

/* Asks epoll for the moment when there is room to send, as long as something is left. */
static void await_room(struct connection *c, int left) {
  int waits = left && (c->tls == NULL || tls_waits_to_send(c->tls));
  if (waits == c->waits_to_send) return;
  struct epoll_event interest = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(queue, EPOLL_CTL_MOD, c->fd, &interest);
  c->waits_to_send = waits;
}

/* Sends what is left of the request; false when the connection is lost. */
static int send_rest(struct connection *c) {
  while (c->sent < request) {
    ssize_t n = send_some(c, pattern + c->sent, request - c->sent);
    if (n < 0) return 0;
    if (n == 0) break;
    c->sent += (size_t)n;
  }
  await_room(c, c->sent < request);
  return 1;
}

/* Begins one exchange; false when the connection is lost. */
static int begin(struct connection *c, uint64_t now) {
  c->began = now;
  c->sent = c->received = 0;
  if (short_lived && !open_socket(c)) return 0;
  return send_rest(c);
}

enum progress { WAITS, COMPLETE, LOST };

/* The whole reply is there. */
static enum progress answered(struct connection *c) {
  record(nanoseconds() - c->began);
  if (!short_lived) return COMPLETE;
  c->ending = 1;
  if (asked.server_closes) return WAITS;
  if (c->tls != NULL) tls_end(c->tls);
  shutdown(c->fd, SHUT_WR);
  return WAITS;
}

/* Takes what has arrived, or all that has arrived where TLS would keep the rest out of epoll's sight. */
static enum progress receive(struct connection *c) {
  /* Bytes that are not compared need not be copied: on TCP MSG_TRUNC drops them in the kernel. */
  int flags = MSG_DONTWAIT | (checking ? 0 : MSG_TRUNC);
  do {
    /* After our own close_notify, what TLS still sends is not decrypted. */
    int decrypting = c->tls != NULL && !c->ending;
    ssize_t n = decrypting ? tls_receive(c->tls, arrived, arrived_size)
                           : recv(c->fd, arrived, arrived_size, flags);
    if (n < 0 && errno == EAGAIN) return WAITS;
    if (n < 0) {
      connection_failed(c, "recv", errno);
      return LOST;
    }
    if (n == 0 && c->ending) {
      close_socket(c);
      return COMPLETE;
    }
    if (c->ending && c->tls != NULL) continue;
    if (n == 0 || c->ending || c->received + (size_t)n > reply) {
      connection_failed(c, n == 0 ? "the server closed" : "more bytes than asked for", 0);
      return LOST;
    }
    if (checking && memcmp(arrived, pattern + c->received, (size_t)n) != 0) {
      connection_failed(c, "the echo differs from what was sent", 0);
      return LOST;
    }
    c->received += (size_t)n;
    if (c->received == reply && c->sent == request) return answered(c);
  } while (c->tls != NULL);
  return WAITS;
}

/* Exchanges on each connection until the time is over; for 0 seconds, so many times on each. */
static void run(struct connection *all, int count, double seconds, int times) {
  struct epoll_event events[256];
  uint64_t now = nanoseconds();
  uint64_t end = now + (uint64_t)(seconds * 1e9);
  uint64_t limit = end + (uint64_t)(GRACE * 1e9);
  int active = 0;
  for (int i = 0; i < count; i++) all[i].done = 0;
  for (int i = 0; i < count; i++) active += begin(&all[i], now);
  while (active > 0) {
    int n = epoll_wait(queue, events, 256, 100);
    now = nanoseconds();
    if (now > limit) {
      for (int i = 0; i < count; i++)
        if (all[i].fd >= 0 && (all[i].received < reply || all[i].ending))
          connection_failed(&all[i], "no reply within the grace time", 0);
      return;
    }
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      /* A handshake goes on when bytes arrive; the request follows it. */
      int shaking_hands = c->tls != NULL && c->sent < request;
      if ((events[i].events & EPOLLOUT || shaking_hands) && !send_rest(c)) {
        active--;
        continue;
      }
      if (!(events[i].events & ~EPOLLOUT)) continue;
      enum progress progress = receive(c);
      if (progress == WAITS) continue;
      if (progress == COMPLETE && counting) c->served += (uint64_t)asked.depth;
      now = nanoseconds();
      int over = seconds > 0 ? now >= end : ++c->done >= times;
      if (progress == LOST || over || !begin(c, now)) active--;
    }
  }
}

/* Begins writes as long as the window has room for a whole one; false when the connection is lost. */
static int send_stream(struct connection *c, int beginning, uint64_t now) {
  size_t slots = asked.window / request;
  for (;;) {
    if (c->sent == c->begun) {
      if (!beginning || c->begun - c->received + request > asked.window) break;
      c->began_at[c->begun / request % slots] = now;
      c->begun += request;
    }
    ssize_t n = send_some(c, pattern + c->sent % request, c->begun - c->sent);
    if (n < 0) return 0;
    if (n == 0) break;
    c->sent += (size_t)n;
  }
  await_room(c, c->sent < c->begun);
  return 1;
}

/* Takes what has arrived of a stream's echo; false when the connection is lost. */
static int receive_stream(struct connection *c) {
  size_t slots = asked.window / request;
  int flags = MSG_DONTWAIT | (checking ? 0 : MSG_TRUNC);
  do {
    ssize_t n = c->tls != NULL ? tls_receive(c->tls, arrived, arrived_size)
                               : recv(c->fd, arrived, arrived_size, flags);
    if (n < 0 && errno == EAGAIN) return 1;
    if (n <= 0 || c->received + (size_t)n > c->sent) {
      connection_failed(c, n < 0 ? "recv" : n == 0 ? "the server closed" : "more bytes than sent",
                        n < 0 ? errno : 0);
      return 0;
    }
    for (size_t i = 0; checking && i < (size_t)n; i++) {
      if (arrived[i] == pattern[(c->received + i) % request]) continue;
      connection_failed(c, "the echo differs from what was sent", 0);
      return 0;
    }
    uint64_t now = nanoseconds();
    size_t answered = c->received / request;
    c->received += (size_t)n;
    for (; answered < c->received / request; answered++) {
      record(now - c->began_at[answered % slots]);
      if (counting) c->served++;
    }
  } while (c->tls != NULL);
  return 1;
}

/* Streams on each connection until the time is over; for 0 seconds, so many writes on each. */
static void run_stream(struct connection *all, int count, double seconds, int times) {
  struct epoll_event events[256];
  uint64_t now = nanoseconds();
  uint64_t end = now + (uint64_t)(seconds * 1e9);
  uint64_t limit = end + (uint64_t)(GRACE * 1e9);
  int active = 0;
  for (int i = 0; i < count; i++) {
    struct connection *c = &all[i];
    c->sent = c->received = c->begun = 0;
    if (c->began_at == NULL) c->began_at = calloc(asked.window / request, sizeof *c->began_at);
    if (c->began_at == NULL) fail("calloc");
    active += send_stream(c, 1, now);
  }
  while (active > 0) {
    int n = epoll_wait(queue, events, 256, 100);
    now = nanoseconds();
    if (now > limit) {
      for (int i = 0; i < count; i++)
        if (all[i].fd >= 0 && all[i].received < all[i].begun)
          connection_failed(&all[i], "no echo within the grace time", 0);
      return;
    }
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (events[i].events & ~EPOLLOUT && !receive_stream(c)) {
        active--;
        continue;
      }
      now = nanoseconds();
      int beginning = seconds > 0 ? now < end : c->begun < (size_t)times * request;
      if (!send_stream(c, beginning, now) || (!beginning && c->received == c->begun)) active--;
    }
  }
}

/* Opens connections group by group, one exchange on each: then they are accepted for certain. */
static void open_all(struct connection *all, int count) {
  for (int from = 0; from < count; from += OPEN_AT_ONCE) {
    int group = count - from < OPEN_AT_ONCE ? count - from : OPEN_AT_ONCE;
    int opened = 0;
    for (int i = from; i < from + group; i++) opened += open_socket(&all[i]);
    if (opened == group) run(all + from, group, 0, 1);
    if (errors > 0) return;
  }
}

static void close_all(struct connection *all, int count) {
  for (int i = 0; i < count; i++) close_socket(&all[i]);
}

static void rest(void) {
  double seconds = asked.rest > 0 ? asked.rest : REST;
  usleep((useconds_t)(seconds * 1e6));
}

/* Ends this program when a phase takes too long. */
static void watch_over(void) {
  alarm((unsigned)(asked.warm + asked.seconds + asked.rest) + SPARE);
}

/* Waits until the load may go on. How long that takes is not up to it. */
static void pause_here(void) {
  char line[16];
  fflush(stdout);
  alarm(0);
  if (read(0, line, sizeof line) <= 0) exit(0);
  watch_over();
}

/* A phase that had errors is the last one. */
static void phase(const char *name) {
  if (errors > 0) {
    fprintf(stderr, "load: %llu errors, the first: %s\n", (unsigned long long)errors, first_error);
    exit(1);
  }
  printf("{\"at\":\"%s\"}\n", name);
  pause_here();
}

/* What has passed while counting. */
static struct {
  double seconds, cpu;
} spent;

static void set_counting(int on) {
  double sign = on ? -1 : 1;
  counting = on;
  spent.seconds += sign * (double)nanoseconds() / 1e9;
  spent.cpu += sign * own_cpu();
}

static void report(struct connection *all, const char *name) {
  double busy = spent.cpu / spent.seconds;
  uint64_t requests = 0, least = UINT64_MAX, most = 0;
  for (int i = 0; i < asked.connections; i++) {
    uint64_t served = all[i].served;
    requests += served;
    if (served < least) least = served;
    if (served > most) most = served;
  }
  printf("{\"at\":\"%s\",\"requests\":%llu,\"seconds\":%.6f,\"p50\":%.3f,\"p99\":%.3f,"
         "\"p999\":%.3f,\"least\":%llu,\"most\":%llu,\"errors\":%llu,\"error\":\"%s\","
         "\"busy\":%.3f,\"by\":\"load.c\"}\n",
         name, (unsigned long long)requests, spent.seconds, percentile(0.5), percentile(0.99),
         percentile(0.999), (unsigned long long)least, (unsigned long long)most,
         (unsigned long long)errors, first_error, busy);
}

static void set_sizes(size_t request_size, size_t reply_size) {
  request = request_size * (size_t)asked.depth;
  reply = reply_size * (size_t)asked.depth;
  size_t size = request > reply ? request : reply;
  free(pattern);
  pattern = malloc(size);
  if (pattern == NULL) fail("malloc");
  /* No two neighbouring bytes or messages alike; each message ends like a line. */
  for (size_t i = 0; i < size; i++)
    pattern[i] = i % request_size == request_size - 1
                     ? '\n'
                     : (unsigned char)('a' + (i + i / request_size + i / 4096) % 26);
  for (size_t at = 0; asked.prefix && at + request_size <= size; at += request_size)
    for (int i = 0; i < 4; i++)
      pattern[at + (size_t)i] = (unsigned char)((request_size - 4) >> (24 - 8 * i));
}

typedef void load_run(struct connection *all, int count, double seconds, int times);

/* The warm-up compares every byte of an echo; the measured time does not, to stay cheap. */
static void warm_up(struct connection *all, int count, load_run *one) {
  if (errors > 0) return;
  checking = request == reply;
  one(all, count, asked.warm, 1);
  checking = 0;
}

static void count_from_here(struct connection *all) {
  for (int i = 0; i < asked.connections; i++) all[i].served = 0;
  memset(histogram, 0, sizeof histogram);
  recorded = 0;
  spent.seconds = spent.cpu = 0;
}

static void measure(struct connection *all, load_run *one) {
  warm_up(all, asked.connections, one);
  for (int round = 1; round <= asked.rounds; round++) {
    for (int i = 0; i < asked.slices; i++) {
      phase("turn");
      one(all, asked.connections, LEAD, 1);
      phase("warm");
      set_counting(1);
      one(all, asked.connections, asked.seconds / asked.slices, 1);
      set_counting(0);
    }
    if (round == asked.rounds) break;
    report(all, "round");
    pause_here();
    count_from_here(all);
  }
  if (asked.rest > 0) {
    phase("done");
    rest();
    phase("idle");
  }
  report(all, "end");
}

static void hold(struct connection *all) {
  int every = asked.connections;
  int few = every < BURSTS_AT_ONCE ? every : BURSTS_AT_ONCE;
  open_all(all, few);
  warm_up(all, few, run);
  close_all(all, few);
  usleep((useconds_t)(REST * 1e6));
  phase("warm");
  set_counting(1);
  open_all(all, every);
  usleep((useconds_t)(REST * 1e6));
  phase("small");
  set_sizes(asked.burst, asked.burst);
  load_run *burst = asked.window > 0 ? run_stream : run;
  for (int from = 0; from < every && errors == 0; from += few)
    burst(all + from, every - from < few ? every - from : few, 0, asked.times);
  rest();
  phase("burst");
  set_counting(0);
  report(all, "end");
}

static void parse(int count, char **words) {
  for (int i = 3; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (strcmp(name, "--connections") == 0) asked.connections = atoi(value);
    else if (strcmp(name, "--depth") == 0) asked.depth = atoi(value);
    else if (strcmp(name, "--request") == 0) asked.request = (size_t)atol(value);
    else if (strcmp(name, "--reply") == 0) asked.reply = (size_t)atol(value);
    else if (strcmp(name, "--burst") == 0) asked.burst = (size_t)atol(value);
    else if (strcmp(name, "--window") == 0) asked.window = (size_t)atol(value);
    else if (strcmp(name, "--prefix") == 0) asked.prefix = atoi(value);
    else if (strcmp(name, "--through") == 0) asked.through = atoi(value);
    else if (strcmp(name, "--rounds") == 0) asked.rounds = atoi(value);
    else if (strcmp(name, "--slices") == 0) asked.slices = atoi(value);
    else if (strcmp(name, "--times") == 0) asked.times = atoi(value);
    else if (strcmp(name, "--server-closes") == 0) asked.server_closes = atoi(value);
    else if (strcmp(name, "--rest") == 0) asked.rest = atof(value);
    else if (strcmp(name, "--tls") == 0) asked.tls = atoi(value);
    else if (strcmp(name, "--warm") == 0) asked.warm = atof(value);
    else if (strcmp(name, "--seconds") == 0) asked.seconds = atof(value);
    else {
      fprintf(stderr, "load: unknown option '%s'\n", name);
      exit(2);
    }
  }
}

int main(int count, char **words) {
  if (count < 3) {
    fprintf(stderr, "usage: load exchange|stream|connect|hold PORT [--option value]...\n");
    return 2;
  }
  const char *kind = words[1];
  asked.port = atoi(words[2]);
  parse(count, words);
  if (asked.connections < 1 || asked.depth < 1 || asked.request < 1 || asked.reply < 1 ||
      asked.times < 1 || asked.rounds < 1 || asked.slices < 1) {
    fprintf(stderr, "load: counts and sizes start at 1\n");
    return 2;
  }
  size_t write_size = strcmp(kind, "hold") == 0 ? asked.burst : asked.request;
  if (asked.window < write_size && (asked.window > 0 || strcmp(kind, "stream") == 0)) {
    fprintf(stderr, "load: a window has room for a whole write\n");
    return 2;
  }
  if (asked.tls && !tls_prepare()) {
    fprintf(stderr, "load: built without OpenSSL\n");
    return 2;
  }
  watch_over();

  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  queue = epoll_create1(EPOLL_CLOEXEC);
  arrived = malloc(arrived_size);
  struct connection *all = calloc((size_t)asked.connections, sizeof *all);
  if (queue < 0 || arrived == NULL || all == NULL) fail("start");
  for (int i = 0; i < asked.connections; i++) all[i].fd = -1;
  set_sizes(asked.request, asked.reply);

  if (strcmp(kind, "exchange") == 0) {
    open_all(all, asked.connections);
    measure(all, run);
  } else if (strcmp(kind, "stream") == 0) {
    set_sizes(asked.request, asked.request);
    open_all(all, asked.connections);
    measure(all, run_stream);
  } else if (strcmp(kind, "connect") == 0) {
    short_lived = 1;
    measure(all, run);
  } else if (strcmp(kind, "hold") == 0) {
    hold(all);
  } else {
    fprintf(stderr, "load: unknown kind '%s'\n", kind);
    return 2;
  }
  return 0;
}
