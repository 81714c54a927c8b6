/* Programs of streams-latency.sh: round trips over a connection, and calls over a bus.
 *
 *   streams echo PORT                sends back what comes, for each connection in a process of its own
 *   streams flood PORT               sends without end, likewise
 *   streams trips COUNT SIZE [HOST PORT]
 *                                    round trips of SIZE octets over descriptor 3, or over a connection to HOST
 *   streams serve NAME               a service on the session bus whose method Echo gives back its string
 *   streams calls COUNT NAME         calls of that method
 *
 * `trips` and `calls` print the median and the 99th percentile in microseconds, and the rate of those.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

enum { OCTETS_MAX = 1 << 17 };
static char octets[OCTETS_MAX];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int compare(const void *one, const void *other) {
  double difference = *(const double *)one - *(const double *)other;
  return (difference > 0) - (difference < 0);
}

static void show(double *times, int count) {
  qsort(times, count, sizeof *times, compare);
  printf("%.1f %.1f\n", times[count / 2], times[count * 99 / 100]);
}

static void at_once(int connection) {
  int yes = 1;
  /* It fails where the connection is no TCP. */
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void listen_at(int port, void (*talk)(int)) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) fail("listen");
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) fail("accept");
    if (fork() == 0) {
      at_once(connection);
      talk(connection);
      exit(0);
    }
    close(connection);
  }
}

static void echo(int connection) {
  ssize_t length;
  while ((length = read(connection, octets, OCTETS_MAX)) > 0)
    if (write(connection, octets, length) != length) return;
}

static void flood(int connection) {
  while (write(connection, octets, OCTETS_MAX) > 0) {}
}

static int connected(const char *host, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr *)&address, sizeof address)) fail("connect");
  return connection;
}

static void trips(int connection, int count, int size) {
  double *times = calloc(count, sizeof *times);
  at_once(connection);
  for (int trip = -count / 10; trip < count; trip++) {
    double begin = now();
    if (write(connection, octets, size) != size) fail("write");
    for (int length = 0; length < size;) {
      ssize_t more = read(connection, octets, size - length);
      if (more <= 0) fail("read");
      length += more;
    }
    if (trip >= 0) times[trip] = now() - begin;
  }
  show(times, count);
}

static int answer(sd_bus_message *call, void *data, sd_bus_error *error) {
  const char *text;
  (void)data, (void)error;
  if (sd_bus_message_read(call, "s", &text) < 0) return -1;
  return sd_bus_reply_method_return(call, "s", text);
}

static const sd_bus_vtable methods[] = {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Echo", "s", "s", answer, SD_BUS_VTABLE_UNPRIVILEGED),
                                        SD_BUS_VTABLE_END};

static void serve(sd_bus *bus, const char *name) {
  if (sd_bus_add_object_vtable(bus, NULL, "/echo", "org.example.Echo", methods, NULL) < 0) fail("object");
  if (sd_bus_request_name(bus, name, 0) < 0) fail("name");
  for (;;)
    if (sd_bus_process(bus, NULL) == 0) sd_bus_wait(bus, UINT64_MAX);
}

static void calls(sd_bus *bus, int count, const char *name) {
  double *times = calloc(count, sizeof *times);
  for (int call = -count / 10; call < count; call++) {
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    double begin = now();
    if (sd_bus_call_method(bus, name, "/echo", "org.example.Echo", "Echo", &error, &reply, "s", "sixteen octets..") < 0) {
      fprintf(stderr, "%s\n", error.message);
      exit(1);
    }
    if (call >= 0) times[call] = now() - begin;
    sd_bus_message_unref(reply);
  }
  show(times, count);
}

int main(int count, char **arguments) {
  const char *what = count > 2 ? arguments[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(what, "echo")) listen_at(atoi(arguments[2]), echo);
  if (!strcmp(what, "flood")) listen_at(atoi(arguments[2]), flood);
  if (!strcmp(what, "trips") && count > 3) {
    trips(count > 5 ? connected(arguments[4], atoi(arguments[5])) : 3, atoi(arguments[2]), atoi(arguments[3]));
    return 0;
  }
  sd_bus *bus;
  if (sd_bus_open_user(&bus) < 0) fail("bus");
  if (!strcmp(what, "serve")) serve(bus, arguments[2]);
  if (!strcmp(what, "calls") && count > 3) {
    calls(bus, atoi(arguments[2]), arguments[3]);
    return 0;
  }
  fprintf(stderr, "streams: see the head of streams.c\n");
  return 2;
}
