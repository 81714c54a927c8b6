/* The lamp follows the fader: read, set and follow mirrored nodes from C.
 *
 * Needs sd-bus (Debian: libsystemd-dev).
 *   cc -o follow examples/follow.c $(pkg-config --cflags --libs libsystemd)
 * Start `zocp demo`, then in another shell: ./follow [COUNT]
 * COUNT is how many signals to follow; without it, until Ctrl-C.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define LAMP "org.z25.Zocp1.Node.lamp", "/org/z25/Zocp1/Node", "org.z25.Zocp1.Values", "brightness"
#define FADER "org.z25.Zocp1.Node.fader", "/org/z25/Zocp1/Node", "org.z25.Zocp1.Signals", "level"

/* Ends the program where a call of the library did not succeed. */
static void must(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
}

/* A lamp that does not answer now is asked again with the next signal. */
static int moved(sd_bus_message *signal, void *left, sd_bus_error *error) {
    sd_bus *bus = sd_bus_message_get_bus(signal);
    double level;
    (void)error;
    must(sd_bus_message_read(signal, "d", &level), "the level");
    if (*(long *)left != 0 && sd_bus_set_property(bus, LAMP, NULL, "d", level) >= 0 &&
        sd_bus_get_property_trivial(bus, LAMP, NULL, 'd', &level) >= 0) {
        printf("brightness is now %g\n", level);
        *(long *)left -= 1;
    }
    return 0;
}

int main(int count, char **arguments) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    long left = count > 1 ? atol(arguments[1]) : -1;
    sd_bus *bus = NULL;
    double brightness;
    must(sd_bus_open_user(&bus), "the bus");

    /* Read: a property, natively typed. */
    must(sd_bus_get_property_trivial(bus, LAMP, NULL, 'd', &brightness), "brightness");
    printf("brightness is %g\n", brightness);

    /* Set: the node itself is asked, and what it cannot be is refused. */
    if (sd_bus_set_property(bus, LAMP, &error, "d", 2.0) < 0)
        printf("refused: %s\n", error.message);
    sd_bus_error_free(&error);

    /* Follow: each emission of the fader is a signal. */
    must(sd_bus_match_signal(bus, NULL, FADER, moved, &left), "a match");
    while (left != 0) {
        int result = sd_bus_process(bus, NULL);
        must(result, "the bus");
        if (result == 0)
            must(sd_bus_wait(bus, UINT64_MAX), "the bus");
    }
    sd_bus_flush_close_unref(bus);
    return 0;
}
