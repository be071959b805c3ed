/*
 * Connects at a rate whatever happens: open_storm PORT RATE
 *
 * Each client sends 64 bytes, reads their echo and closes. No more begin once stdin ends; those under way
 * get 10 s. Prints how many were made and answered, were refused, were reset, saw an early end, had no
 * answer, and the longest of them in ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64
#define MOST 65536
#define PATIENCE 10.0

/* By descriptor. */
static double began[MOST];
static int heard[MOST];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int begin(int port) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (s < 0) return -1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (s >= MOST || (connect(s, (void *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
    close(s);
    return -1;
  }
  began[s] = now();
  heard[s] = -1;
  return s;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int port = atoi(argv[1]);
  double rate = atof(argv[2]), start = now(), over = 0, longest = 0;
  long made = 0, answered = 0, refused = 0, reset = 0, early = 0, live = 0, failed = 0;
  int poller = epoll_create1(0);
  struct epoll_event events[1024];
  struct pollfd input = {.fd = 0, .events = POLLIN};
  char bytes[SIZE];
  memset(bytes, 'x', SIZE);
  while (over == 0 || (live > 0 && now() - over < PATIENCE)) {
    char ignored[64];
    if (over == 0 && poll(&input, 1, 0) > 0 && read(0, ignored, sizeof ignored) <= 0) over = now();
    while (over == 0 && made + failed < (long)((now() - start) * rate)) {
      int s = begin(port);
      if (s < 0) {
        failed++;
        continue;
      }
      struct epoll_event event = {.events = EPOLLOUT, .data.fd = s};
      epoll_ctl(poller, EPOLL_CTL_ADD, s, &event);
      made++;
      live++;
    }
    int n = epoll_wait(poller, events, 1024, 1);
    for (int i = 0; i < n; i++) {
      int s = events[i].data.fd, error = 0;
      socklen_t size = sizeof error;
      if (heard[s] < 0) {
        getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == 0 && send(s, bytes, SIZE, MSG_NOSIGNAL) == SIZE) {
          heard[s] = 0;
          struct epoll_event event = {.events = EPOLLIN, .data.fd = s};
          epoll_ctl(poller, EPOLL_CTL_MOD, s, &event);
          continue;
        }
        if (error == ECONNREFUSED) refused++;
        else reset++;
      } else {
        char p[SIZE];
        ssize_t got = recv(s, p, SIZE, 0);
        if (got > 0 && (heard[s] += got) < SIZE) continue;
        if (got > 0) {
          answered++;
          if (now() - began[s] > longest) longest = now() - began[s];
        } else if (got == 0) early++;
        else reset++;
      }
      close(s);
      live--;
    }
  }
  printf("{\"made\":%ld,\"answered\":%ld,\"refused\":%ld,\"reset\":%ld,\"early\":%ld,"
         "\"unanswered\":%ld,\"failed\":%ld,\"longest\":%.0f}\n",
         made, answered, refused, reset, early, live, failed, longest * 1000);
  return 0;
}
