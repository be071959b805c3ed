/*
 * A crowd of strangers: crowd PORT COUNT BYTES BEGIN FIRST HOSTS AGAIN
 *
 * Each of COUNT connections sends BYTES bytes, those in BEGIN (hexadecimal, or -) first, reads nothing and
 * stays. The clients' addresses are HOSTS from 127.0.0.0 + FIRST up. With AGAIN of 1, one that the server
 * has ended connects again. Prints a line when all have sent everything once, and ends with its stdin; then it
 * prints how many connections were made.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* Bytes of a receive buffer: what is not read is to fill the server, and not the kernel. */
#define RECEIVE 4096

struct client {
  int socket;
  long sent;
};

static int port, hosts, poll_fd;
static unsigned first;
static long made;

static void begin(struct client *client, int i) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1, receive = RECEIVE;
  struct linger reset = {1, 0};
  setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(s, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
  setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  struct sockaddr_in addr = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + first + i % hosts)};
  bind(s, (void *)&addr, sizeof addr);
  addr.sin_addr.s_addr = htonl(0x7f000001);
  addr.sin_port = htons(port);
  connect(s, (void *)&addr, sizeof addr);
  struct epoll_event event = {.events = EPOLLOUT | EPOLLRDHUP, .data.u32 = i};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, s, &event);
  client->socket = s;
  client->sent = 0;
  made++;
}

int main(int argc, char **argv) {
  if (argc < 8) return 2;
  port = atoi(argv[1]);
  int count = atoi(argv[2]), again = atoi(argv[7]), begun = 0, whole = 0, said = 0;
  long bytes = atol(argv[3]);
  first = atoi(argv[5]);
  hosts = atoi(argv[6]);
  static char p[65536];
  memset(p, 'A', sizeof p);
  size_t head = 0;
  for (char *c = argv[4]; *c && *c != '-'; c += 2, head++) sscanf(c, "%2hhx", (unsigned char *)&p[head]);
  static char rest[65536];
  memset(rest, 'A', sizeof rest);
  struct client *clients = calloc(count, sizeof *clients);
  poll_fd = epoll_create1(0);
  struct epoll_event input = {.events = EPOLLIN, .data.u32 = ~0u}, events[1024];
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &input);
  for (;;) {
    for (int burst = 0; begun < count && burst < 50; burst++, begun++) begin(&clients[begun], begun);
    int n = epoll_wait(poll_fd, events, 1024, begun < count ? 5 : 100);
    for (int e = 0; e < n; e++) {
      if (events[e].data.u32 == ~0u) {
        printf("%ld\n", made);
        return 0;
      }
      struct client *client = &clients[events[e].data.u32];
      if (events[e].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        close(client->socket);
        if (client->sent < bytes) whole++; /* it never will have */
        if (again) {
          begin(client, events[e].data.u32);
          client->sent = 0;
          if (!said) whole--;
        }
        continue;
      }
      while (client->sent < bytes) {
        long left = bytes - client->sent;
        const char *from = client->sent < (long)head ? p + client->sent : rest;
        long most = client->sent < (long)head ? (long)head - client->sent : (long)sizeof rest;
        ssize_t m = send(client->socket, from, left < most ? left : most, MSG_NOSIGNAL);
        if (m <= 0) break;
        client->sent += m;
      }
      if (client->sent == bytes) {
        struct epoll_event quiet = {.events = EPOLLRDHUP, .data.u32 = events[e].data.u32};
        epoll_ctl(poll_fd, EPOLL_CTL_MOD, client->socket, &quiet);
        whole++;
      }
    }
    if (!said && whole >= count) {
      said = 1;
      printf("all\n");
      fflush(stdout);
    }
  }
}
