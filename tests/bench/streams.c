/* Programs of streams-latency.sh, streams-opens.sh and tests/opens.rs: round trips over a connection, calls over a bus,
 * and streams and descriptors that are opened and closed.
 *
 *   streams echo PORT|PATH           sends back what comes, for each connection in a process of its own
 *   streams flood PORT|PATH              sends without end, likewise
 *   streams trips COUNT SIZE [HOST PORT]
 *                                    round trips of SIZE octets over descriptor 3, or over a connection to HOST, which
 *                                    may be the path of a Unix socket
 *   streams serve NAME               a service on the session bus: Echo gives back a string, Drain reads a pipe to its end
 *                                    and gives the number of octets, Pour gives a pipe with so many
 *   streams calls COUNT NAME         calls of Echo
 *   streams pipes COUNT NAME         calls of Drain and of Pour
 *   streams take MEGABYTES           reads so many from descriptor 3
 *   streams opens COUNT BUSNAME NAME WAY
 *                                    opens the stream NAME of a node, which echoes, and closes it after a round trip
 *
 * `trips` and `calls` print the median and the 99th percentile in microseconds; the last two say "done" at their end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

static int listener_at(const char *where) {
  struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons(atoi(where))};
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  int is_path = *where == '/', yes = 1, listener = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
  strncpy(path.sun_path, where, sizeof path.sun_path - 1);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr *address = is_path ? (struct sockaddr *)&path : (struct sockaddr *)&port;
  if (bind(listener, address, is_path ? sizeof path : sizeof port) || listen(listener, 16)) fail("listen");
  return listener;
}

static void serve_at(const char *where, void (*talk)(int)) {
  int listener = listener_at(where);
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
  if (*host == '/') {
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    strncpy(path.sun_path, host, sizeof path.sun_path - 1);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(local, (struct sockaddr *)&path, sizeof path)) fail("connect");
    return local;
  }
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

static int drain(sd_bus_message *call, void *data, sd_bus_error *error) {
  int pipe;
  uint64_t length = 0;
  ssize_t more;
  (void)data, (void)error;
  if (sd_bus_message_read(call, "h", &pipe) < 0) return -1;
  while ((more = read(pipe, octets, OCTETS_MAX)) > 0) length += more;
  return sd_bus_reply_method_return(call, "t", length);
}

/* A pipe with so many octets, which it takes at once, and its end. */
static int poured(uint64_t length) {
  int ends[2];
  if (pipe(ends)) fail("pipe");
  if (write(ends[1], octets, length) != (ssize_t)length) fail("write");
  close(ends[1]);
  return ends[0];
}

static int pour(sd_bus_message *call, void *data, sd_bus_error *error) {
  uint64_t length;
  (void)data, (void)error;
  if (sd_bus_message_read(call, "t", &length) < 0) return -1;
  int reader = poured(length), sent = sd_bus_reply_method_return(call, "h", reader);
  close(reader);
  return sent;
}

static const sd_bus_vtable methods[] = {SD_BUS_VTABLE_START(0),
                                        SD_BUS_METHOD("Echo", "s", "s", answer, SD_BUS_VTABLE_UNPRIVILEGED),
                                        SD_BUS_METHOD("Drain", "h", "t", drain, SD_BUS_VTABLE_UNPRIVILEGED),
                                        SD_BUS_METHOD("Pour", "t", "h", pour, SD_BUS_VTABLE_UNPRIVILEGED),
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

/* Has descriptor `reader` LENGTH octets and then its end? */
static void expect(int reader, uint64_t length) {
  uint64_t came = 0;
  ssize_t more;
  while ((more = read(reader, octets, OCTETS_MAX)) > 0) came += more;
  if (more < 0) fail("read");
  if (came != length) {
    fprintf(stderr, "%llu octets came, not %llu\n", (unsigned long long)came, (unsigned long long)length);
    exit(1);
  }
}

static void check(int outcome, const sd_bus_error *error) {
  if (outcome >= 0) return;
  fprintf(stderr, "%s: %s\n", error->name ? error->name : strerror(-outcome), error->message ? error->message : "");
  exit(1);
}

static void pipes(sd_bus *bus, int count, const char *name) {
  for (int number = 0; number < count; number++) {
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    uint64_t length = 1 + number % 4096, drained;
    int reader = poured(length);
    check(sd_bus_call_method(bus, name, "/echo", "org.example.Echo", "Drain", &error, &reply, "h", reader), &error);
    close(reader);
    check(sd_bus_message_read(reply, "t", &drained), &error);
    if (drained != length) check(-EBADMSG, &error);
    reply = sd_bus_message_unref(reply);
    check(sd_bus_call_method(bus, name, "/echo", "org.example.Echo", "Pour", &error, &reply, "t", length), &error);
    check(sd_bus_message_read(reply, "h", &reader), &error);
    expect(reader, length);
    sd_bus_message_unref(reply);
  }
  puts("done");
}

static void opens(sd_bus *bus, int count, char **what) {
  for (int number = 0; number < count; number++) {
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int stream;
    check(sd_bus_call_method(bus, what[0], "/org/z25/Zocp1/Node", "org.z25.Zocp1.Streams", "Acquire", &error, &reply,
                             "sa{sv}", what[1], 1, "Way", "s", what[2]), &error);
    check(sd_bus_message_read(reply, "h", &stream), &error);
    size_t length = 1 + number % 4096;
    if (write(stream, octets, length) != (ssize_t)length || shutdown(stream, SHUT_WR)) fail("write");
    expect(stream, length);
    sd_bus_message_unref(reply);
  }
  puts("done");
}

int main(int count, char **arguments) {
  const char *what = count > 2 ? arguments[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (!strcmp(what, "echo")) serve_at(arguments[2], echo);
  if (!strcmp(what, "flood")) serve_at(arguments[2], flood);
  if (!strcmp(what, "trips") && count > 3) {
    trips(count > 5 ? connected(arguments[4], atoi(arguments[5])) : 3, atoi(arguments[2]), atoi(arguments[3]));
    return 0;
  }
  if (!strcmp(what, "take")) {
    ssize_t more;
    for (uint64_t left = strtoull(arguments[2], NULL, 10) << 20; left > 0; left -= more)
      if ((more = read(3, octets, left < OCTETS_MAX ? left : OCTETS_MAX)) <= 0) fail("read");
    return 0;
  }
  sd_bus *bus;
  if (sd_bus_open_user(&bus) < 0) fail("bus");
  if (!strcmp(what, "serve")) serve(bus, arguments[2]);
  if (!strcmp(what, "calls") && count > 3) {
    calls(bus, atoi(arguments[2]), arguments[3]);
    return 0;
  }
  if (!strcmp(what, "pipes") && count > 3) {
    pipes(bus, atoi(arguments[2]), arguments[3]);
    return 0;
  }
  if (!strcmp(what, "opens") && count > 5) {
    opens(bus, atoi(arguments[2]), arguments + 3);
    return 0;
  }
  fprintf(stderr, "streams: see the head of streams.c\n");
  return 2;
}
