//  A peer on zyre for the benchmark `mesh`: the same two roles as the Rust peer, the same words.
//
//  zyre_peer reflect NAME            echoes whispers; counts those that begin with '#', and answers
//                                    "END" with the count
//  zyre_peer drive NAME PEER TRIPS FLOOD SIZE
//                                    measures round trips and a one-way flood with PEER; prints
//                                    {"p50_us":…,"p99_us":…,"per_s":…}
//
//  zyre_peer zocp NAME               is a ZOCP node with one value, until killed
//
//  Link with -lzyre -lczmq; run.sh does so where pkg-config, or ZYRE_FLAGS, knows of them.

#include <czmq.h>
#include <zyre.h>

static int ascending (const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;
    return (x > y) - (x < y);
}

static void whisper (zyre_t *node, const char *uuid, const void *octets, size_t len)
{
    zmsg_t *msg = zmsg_new ();
    zmsg_addmem (msg, octets, len);
    zyre_whisper (node, uuid, &msg);
}

//  The first frame of the next whisper; NULL when interrupted.
static zframe_t *next_whisper (zyre_t *node, char **uuid)
{
    while (!zsys_interrupted) {
        zyre_event_t *event = zyre_event_new (node);
        if (!event)
            return NULL;
        zframe_t *frame = NULL;
        if (streq (zyre_event_type (event), "WHISPER")) {
            frame = zframe_dup (zmsg_first (zyre_event_msg (event)));
            if (uuid)
                *uuid = strdup (zyre_event_peer_uuid (event));
        }
        zyre_event_destroy (&event);
        if (frame)
            return frame;
    }
    return NULL;
}

static void reflect (zyre_t *node)
{
    char *uuid = NULL;
    zframe_t *frame;
    long counted = 0;
    while ((frame = next_whisper (node, &uuid))) {
        if (zframe_size (frame) > 0 && zframe_data (frame)[0] == '#')
            counted++;
        else if (zframe_streq (frame, "END")) {
            char text[32];
            whisper (node, uuid, text, snprintf (text, sizeof text, "%ld", counted));
            counted = 0;
        }
        else
            whisper (node, uuid, zframe_data (frame), zframe_size (frame));
        zframe_destroy (&frame);
        free (uuid);
    }
}

static char *wait_for (zyre_t *node, const char *name)
{
    while (!zsys_interrupted) {
        zyre_event_t *event = zyre_event_new (node);
        if (!event)
            return NULL;
        char *uuid = NULL;
        if (streq (zyre_event_type (event), "ENTER") && streq (zyre_event_peer_name (event), name))
            uuid = strdup (zyre_event_peer_uuid (event));
        zyre_event_destroy (&event);
        if (uuid)
            return uuid;
    }
    return NULL;
}

static void drive (zyre_t *node, const char *peer, int trips, int flood, int size)
{
    char *uuid = wait_for (node, peer);
    char *octets = calloc (1, size);
    int64_t *taken = calloc (trips, sizeof *taken);
    memset (octets, 'x', size);
    for (int i = 0; i < trips; i++) {
        int64_t start = zclock_usecs ();
        whisper (node, uuid, octets, size);
        zframe_t *frame = next_whisper (node, NULL);
        zframe_destroy (&frame);
        taken[i] = zclock_usecs () - start;
    }
    qsort (taken, trips, sizeof *taken, ascending);
    octets[0] = '#';
    int64_t start = zclock_usecs ();
    for (int i = 0; i < flood; i++)
        whisper (node, uuid, octets, size);
    whisper (node, uuid, "END", 3);
    zframe_t *frame = next_whisper (node, NULL);
    double seconds = (zclock_usecs () - start) / 1e6;
    char *count = zframe_strdup (frame);
    if (atol (count) != flood) {
        fprintf (stderr, "%s of %d arrived\n", count, flood);
        exit (1);
    }
    printf ("{\"p50_us\":%ld,\"p99_us\":%ld,\"per_s\":%.0f}\n", (long) taken[trips / 2],
            (long) taken[trips * 99 / 100], flood / seconds);
    fflush (stdout);
}

//  Answers every question for the tree; nothing else is asked in the benchmark.
static void be_zocp (zyre_t *node)
{
    const char *tree = "{\"MOD\": {\"level\": {\"value\": 0.5, \"typeHint\": \"flt\", "
                       "\"access\": \"rwe\", \"subscribers\": []}}}";
    char *uuid = NULL;
    zframe_t *frame;
    while ((frame = next_whisper (node, &uuid))) {
        if (zframe_size (frame) >= 6 && memcmp (zframe_data (frame), "{\"GET\"", 6) == 0)
            whisper (node, uuid, tree, strlen (tree));
        zframe_destroy (&frame);
        free (uuid);
    }
}

int main (int argc, char **argv)
{
    if (argc < 3)
        return 2;
    zyre_t *node = zyre_new (argv[2]);
    if (streq (argv[1], "zocp")) {
        zyre_set_header (node, "X-ZOCP", "1");
        zyre_join (node, "ZOCP");
    }
    if (zyre_start (node))
        return 1;
    if (streq (argv[1], "reflect"))
        reflect (node);
    else if (streq (argv[1], "zocp"))
        be_zocp (node);
    else if (argc == 7)
        drive (node, argv[3], atoi (argv[4]), atoi (argv[5]), atoi (argv[6]));
    zyre_destroy (&node);
    return 0;
}
