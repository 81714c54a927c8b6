/* A client of tests/peers/lamp_service.py with GDBus of GLib (Debian: libglib2.0-dev).
 *
 *   cc -o lamp_gdbus lamp_gdbus.c $(pkg-config --cflags --libs gio-2.0)
 *   ./lamp_gdbus [NAME]
 */
#include <gio/gio.h>
#include <stdlib.h>

#define PATH "/org/example/lamp"
#define LAMP1 "org.example.Lamp1"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define INTROSPECTABLE "org.freedesktop.DBus.Introspectable"

static const char *name = "org.example.Lamp";
static GDBusConnection *bus;

/* The results of a call; NULL with an error. */
static GVariant *try_call(const char *interface, const char *method, GVariant *body, GError **error) {
    return g_dbus_connection_call_sync(bus, name, PATH, interface, method, body, NULL, G_DBUS_CALL_FLAGS_NONE, -1,
                                       NULL, error);
}

static GVariant *call(const char *interface, const char *method, GVariant *body) {
    GError *error = NULL;
    GVariant *results = try_call(interface, method, body, &error);
    if (!results) {
        g_printerr("%s: %s\n", method, error->message);
        exit(1);
    }
    return results;
}

static GVariant *property(const char *which) {
    GVariant *value;
    g_variant_get(call(PROPERTIES, "Get", g_variant_new("(ss)", LAMP1, which)), "(v)", &value);
    return value;
}

static void show_properties(void) {
    GVariantIter *properties;
    const char *which;
    g_variant_get(call(PROPERTIES, "GetAll", g_variant_new("(s)", LAMP1)), "(a{sv})", &properties);
    g_print("properties:");
    while (g_variant_iter_loop(properties, "{&sv}", &which, NULL))
        g_print(" %s", which);
    g_print("\n");
}

static void show_methods(void) {
    const char *text;
    GDBusNodeInfo *node;
    GDBusMethodInfo **method;
    g_variant_get(call(INTROSPECTABLE, "Introspect", NULL), "(&s)", &text);
    node = g_dbus_node_info_new_for_xml(text, NULL);
    g_print("methods:");
    for (method = g_dbus_node_info_lookup_interface(node, LAMP1)->methods; *method; method++)
        g_print(" %s", (*method)->name);
    g_print("\n");
}

static void blinked(GDBusConnection *from, const char *sender, const char *path, const char *interface,
                    const char *signal, GVariant *body, gpointer loop) {
    unsigned number;
    (void)from, (void)sender, (void)path, (void)interface, (void)signal;
    g_variant_get(body, "(u)", &number);
    g_print("signal %u\n", number);
    if (number == 2)
        g_main_loop_quit(loop);
}

int main(int count, char **arguments) {
    GError *error = NULL;
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    const char *text;
    if (count > 1)
        name = arguments[1];
    bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, &error);
    if (!bus) {
        g_printerr("the bus: %s\n", error->message);
        return 1;
    }

    call(PROPERTIES, "Set", g_variant_new("(ssv)", LAMP1, "Level", g_variant_new_double(0.25)));
    g_print("level is %g\n", g_variant_get_double(property("Level")));
    g_print("kind is %s\n", g_variant_get_string(property("Kind"), NULL));
    show_properties();
    show_methods();
    g_dbus_connection_signal_subscribe(bus, name, LAMP1, "Blinked", PATH, NULL, G_DBUS_SIGNAL_FLAGS_NONE, blinked,
                                       loop, NULL);
    g_variant_get(call(LAMP1, "Blink", g_variant_new("(u)", 3)), "(&s)", &text);
    g_print("%s\n", text);
    g_main_loop_run(loop);
    if (!try_call(LAMP1, "Fail", NULL, &error)) {
        char *which = g_dbus_error_get_remote_error(error);
        g_dbus_error_strip_remote_error(error);
        g_print("%s: %s\n", which, error->message);
    }
    return 0;
}
