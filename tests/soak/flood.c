/*
 * Connects at a rate: flood PORT RATE SECONDS FIRST COUNT [FILE]
 *
 * Each sends what is in FILE and reads nothing; without one it sends nothing. The clients' addresses are
 * COUNT from 127.0.0.FIRST up. A connection is kept until the server closes
 * it or the time is over; both ends are closed with RST, so that no port stays in TIME_WAIT. Prints how
 * many were made, established, ended by the server, not made, and answered.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int begin(int port, unsigned host) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (s < 0) return -1;
  struct linger reset = {1, 0};
  int one = 1;
  setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + host)};
  bind(s, (void *)&addr, sizeof addr);
  addr.sin_addr.s_addr = htonl(0x7f000001);
  addr.sin_port = htons(port);
  connect(s, (void *)&addr, sizeof addr);
  return s;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  int port = atoi(argv[1]), first = atoi(argv[4]), count = atoi(argv[5]);
  double rate = atof(argv[2]), seconds = atof(argv[3]), start = now(), t;
  int poll = epoll_create1(0);
  long made = 0, failed = 0, established = 0, ended = 0, answered = 0;
  static char hello[16384];
  size_t length = 0;
  if (argc > 6) {
    FILE *file = fopen(argv[6], "rb");
    if (!file) return 2;
    length = fread(hello, 1, sizeof hello, file);
    fclose(file);
  }
  struct epoll_event events[1024];
  while ((t = now() - start) < seconds) {
    for (int burst = 0; made < (long)(t * rate) && burst < 500; burst++, made++) {
      int s = begin(port, first + made % count);
      if (s < 0) {
        failed++;
        continue;
      }
      struct epoll_event e = {.events = EPOLLOUT | EPOLLRDHUP, .data.fd = s};
      epoll_ctl(poll, EPOLL_CTL_ADD, s, &e);
    }
    int n = epoll_wait(poll, events, 1024, 1);
    for (int i = 0; i < n; i++) {
      int s = events[i].data.fd;
      if (events[i].events & EPOLLIN) {
        char byte;
        if (recv(s, &byte, 1, MSG_PEEK) == 1) answered++;
      }
      if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        close(s);
        ended++;
      } else {
        /* Once established it waits for the first answer, and after that for the end only. */
        unsigned next = EPOLLRDHUP;
        if (events[i].events & EPOLLOUT) {
          established++;
          if (length > 0 && send(s, hello, length, MSG_NOSIGNAL) > 0) next |= EPOLLIN;
        }
        struct epoll_event e = {.events = next, .data.fd = s};
        epoll_ctl(poll, EPOLL_CTL_MOD, s, &e);
      }
    }
  }
  printf("%ld %ld %ld %ld %ld\n", made, established, ended, failed, answered);
  return 0;
}
