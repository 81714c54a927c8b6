/* A client of tests/peers/lamp_service.py with sd-bus (Debian: libsystemd-dev).
 *
 *   cc -o lamp_sd_bus lamp_sd_bus.c $(pkg-config --cflags --libs libsystemd)
 *   ./lamp_sd_bus [NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define PATH "/org/example/lamp"
#define LAMP1 "org.example.Lamp1"
#define PROPERTIES "org.freedesktop.DBus.Properties"

static const char *name = "org.example.Lamp";
static sd_bus *bus;

/* Ends the program where a call of the library did not succeed. */
static void must(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static void show_properties(void) {
    sd_bus_message *answer = NULL;
    const char *property;
    must(sd_bus_call_method(bus, name, PATH, PROPERTIES, "GetAll", NULL, &answer, "s", LAMP1), "GetAll");
    must(sd_bus_message_enter_container(answer, 'a', "{sv}"), "a dictionary");
    printf("properties:");
    while (sd_bus_message_enter_container(answer, 'e', "sv") > 0) {
        must(sd_bus_message_read(answer, "s", &property), "a name");
        printf(" %s", property);
        must(sd_bus_message_skip(answer, "v"), "a value");
        must(sd_bus_message_exit_container(answer), "an entry");
    }
    printf("\n");
    sd_bus_message_unref(answer);
}

/* Looks for the methods in the introspection data, with as much of XML as this service needs. */
static void show_methods(void) {
    static const char method[] = "<method name=\"";
    sd_bus_message *answer = NULL;
    const char *text, *end, *at;
    must(sd_bus_call_method(bus, name, PATH, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &answer, ""),
         "Introspect");
    must(sd_bus_message_read(answer, "s", &text), "text");
    at = strstr(text, "<interface name=\"" LAMP1 "\"");
    end = at ? strstr(at, "</interface>") : NULL;
    printf("methods:");
    while (at && (at = strstr(at, method)) && at < end) {
        at += strlen(method);
        printf(" %.*s", (int)strcspn(at, "\""), at);
    }
    printf("\n");
    sd_bus_message_unref(answer);
}

static int blinked(sd_bus_message *signal, void *left, sd_bus_error *error) {
    unsigned number;
    (void)error;
    must(sd_bus_message_read(signal, "u", &number), "a number");
    printf("signal %u\n", number);
    *(int *)left -= 1;
    return 0;
}

static void blink(void) {
    sd_bus_message *answer = NULL;
    const char *text;
    int left = 3;
    must(sd_bus_match_signal(bus, NULL, name, PATH, LAMP1, "Blinked", blinked, &left), "a match");
    must(sd_bus_call_method(bus, name, PATH, LAMP1, "Blink", NULL, &answer, "u", 3), "Blink");
    must(sd_bus_message_read(answer, "s", &text), "text");
    printf("%s\n", text);
    sd_bus_message_unref(answer);
    while (left > 0) {
        must(sd_bus_wait(bus, UINT64_MAX), "waiting");
        while (sd_bus_process(bus, NULL) > 0) {
        }
    }
}

int main(int count, char **arguments) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    double level;
    char *kind = NULL;
    if (count > 1)
        name = arguments[1];
    must(sd_bus_open_user(&bus), "the bus");

    must(sd_bus_set_property(bus, name, PATH, LAMP1, "Level", NULL, "d", 0.25), "Level");
    must(sd_bus_get_property_trivial(bus, name, PATH, LAMP1, "Level", NULL, 'd', &level), "Level");
    printf("level is %g\n", level);
    must(sd_bus_get_property_string(bus, name, PATH, LAMP1, "Kind", NULL, &kind), "Kind");
    printf("kind is %s\n", kind);
    show_properties();
    show_methods();
    blink();
    if (sd_bus_call_method(bus, name, PATH, LAMP1, "Fail", &error, NULL, "") < 0)
        printf("%s: %s\n", error.name, error.message);

    free(kind);
    sd_bus_error_free(&error);
    sd_bus_flush_close_unref(bus);
    return 0;
}
