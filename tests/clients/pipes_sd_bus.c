/* A client of tests/peers/pipe_service.py with sd-bus (Debian: libsystemd-dev).
 *
 *   cc -o pipes_sd_bus pipes_sd_bus.c $(pkg-config --cflags --libs libsystemd)
 *   ./pipes_sd_bus NAME
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>


#define PIPES "org.example.Pipes"

static const char *name;
static sd_bus *bus;

/* Ends the program where a call of the library or of the system did not succeed. */
static void must(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
}

/* The checksum that the service says of what it reads from a descriptor. */
static char *sum(int fd) {
    sd_bus_message *answer = NULL;
    const char *text;
    must(sd_bus_call_method(bus, name, "/pipes", PIPES, "Sum", NULL, &answer, "h", fd), "Sum");
    must(sd_bus_message_read(answer, "s", &text), "a checksum");
    return strdup(text);
}

int main(int argc, char **argv) {
    char piped[100], of_file[100], octets[65536];
    sd_bus_message *answer = NULL;
    const char *wanted;
    int ends[2], film;
    size_t len = 0;
    ssize_t got;
    FILE *file = tmpfile();

    name = argc > 1 ? argv[1] : PIPES;
    must(sd_bus_open_user(&bus), "the bus");

    must(pipe(ends), "pipe");
    must(write(ends[1], "the same", 8), "write");
    close(ends[1]);
    snprintf(piped, sizeof(piped), "%s", sum(ends[0]));
    close(ends[0]);
    printf("a pipe was read\n");

    fputs("the same", file);
    fflush(file);
    snprintf(octets, sizeof(octets), "/proc/self/fd/%d", fileno(file));
    file = fopen(octets, "r");
    snprintf(of_file, sizeof(of_file), "%s", sum(fileno(file)));
    if (strcmp(piped, of_file) != 0) {
        fprintf(stderr, "%s of the pipe, %s of the file\n", piped, of_file);
        return 1;
    }
    printf("a file was read\n");

    must(sd_bus_call_method(bus, name, "/pipes", PIPES, "Film", NULL, &answer, "u", 40), "Film");
    must(sd_bus_message_read(answer, "hs", &film, &wanted), "a film");
    while ((got = read(film, octets, sizeof(octets))) > 0)
        len += got;
    if (len != 40 * 65536) {
        fprintf(stderr, "%zu octets came\n", len);
        return 1;
    }
    printf("a pipe came\n");

    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), "socketpair");
    must(sd_bus_call_method(bus, name, "/pipes", PIPES, "Echo", NULL, NULL, "h", ends[1]), "Echo");
    close(ends[1]);
    must(send(ends[0], "a packet", 8, 0), "send");
    if (recv(ends[0], octets, sizeof(octets), 0) != 8 || memcmp(octets, "a packet", 8) != 0) {
        fprintf(stderr, "another packet came back\n");
        return 1;
    }
    printf("a packet came back\n");
    return 0;
}
