/* How fast the machine itself is: the plain loop in C: one thread, epoll, no socket options. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK 65536

struct connection {
  int fd;
  int waits_to_send;
  size_t discarded;         /* of the message being discarded */
  size_t left;              /* bytes still to be sent */
  const unsigned char *from; /* where they are; NULL: block after block */
  unsigned char *kept;      /* the rest of an echo that did not fit */
};

static enum { ECHO, ONCE, TWO_WRITES, SEND, DISCARD } mode;
static size_t message; /* bytes, for SEND and DISCARD */
static unsigned char block[BLOCK], zeros[BLOCK];
static int queue;

static void forget(struct connection *c) {
  close(c->fd);
  free(c->kept);
  free(c);
}

/* Sends what is left, as much as fits; false when the connection is lost. */
static int send_left(struct connection *c) {
  while (c->left > 0) {
    const unsigned char *from = c->from ? c->from : zeros;
    size_t size = c->from || c->left < BLOCK ? c->left : BLOCK;
    ssize_t n = send(c->fd, from, size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return 0;
    if (n < 0) break;
    c->left -= (size_t)n;
    if (c->from) c->from += n;
  }
  if (c->left == 0) {
    free(c->kept);
    c->kept = NULL;
  }
  int waits = c->left > 0;
  if (waits != c->waits_to_send) {
    struct epoll_event interest = {.events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(queue, EPOLL_CTL_MOD, c->fd, &interest);
    c->waits_to_send = waits;
  }
  return 1;
}

static int reply(struct connection *c, const unsigned char *from, size_t size) {
  c->from = from;
  c->left = size;
  if (!send_left(c)) return 0;
  if (c->left > 0 && from != NULL && from != zeros) { /* the block is shared: keep a copy */
    c->kept = malloc(c->left);
    if (c->kept == NULL) return 0;
    memcpy(c->kept, c->from, c->left);
    c->from = c->kept;
  }
  return 1;
}

/* Takes one read and answers it; false when the connection is over. */
static int serve(struct connection *c) {
  ssize_t n = recv(c->fd, block, BLOCK, 0);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) return 0;
  size_t size = (size_t)n;
  switch (mode) {
    case ECHO:
      return reply(c, block, size);
    case ONCE:
      return reply(c, block, size) && c->left > 0;
    case TWO_WRITES:
      return reply(c, block, size / 2) && reply(c, block + size / 2, size - size / 2);
    case SEND:
      return reply(c, NULL, message);
    case DISCARD:
      for (c->discarded += size; c->discarded >= message; c->discarded -= message)
        if (!reply(c, zeros, 1)) return 0;
      return 1;
  }
  return 0;
}

int main(int count, char **words) {
  const char *name = count > 1 ? words[1] : "echo";
  message = count > 2 ? (size_t)atol(words[2]) : 4194304;
  mode = strcmp(name, "two_writes") == 0 ? TWO_WRITES
         : strcmp(name, "once") == 0     ? ONCE
         : strcmp(name, "send") == 0     ? SEND
         : strcmp(name, "discard") == 0  ? DISCARD
                                         : ECHO;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  queue = epoll_create1(0);
  struct epoll_event interest = {.events = EPOLLIN, .data.ptr = NULL};
  if (listener < 0 || queue < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 ||
      listen(listener, 511) < 0 ||
      getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
      epoll_ctl(queue, EPOLL_CTL_ADD, listener, &interest) < 0) {
    perror("epoll");
    return 1;
  }
  printf("ready %d\n", ntohs(address.sin_port));
  fflush(stdout);

  struct epoll_event events[256];
  for (;;) {
    int ready = epoll_wait(queue, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      if (c == NULL) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) continue;
        c = calloc(1, sizeof *c);
        if (c == NULL) {
          close(fd);
          continue;
        }
        c->fd = fd;
        interest.data.ptr = c;
        epoll_ctl(queue, EPOLL_CTL_ADD, fd, &interest);
      } else if (c->waits_to_send ? !send_left(c) : !serve(c)) {
        forget(c);
      }
    }
  }
}
