//! The examples that stand at the end of the help of each command, in lines of at most 80 columns. A test reads each as
//! a command line.

pub(super) const BRIDGE: &str = "Examples:
  zocp bridge                               # every network, the session bus
  zocp bridge --interface eth0 --name stage
  zocp bridge --export 'org.mpris.MediaPlayer2.*'  # others may use the players";
pub(super) const DEMO: &str = "Examples:
  zocp demo
  zocp demo --bus embedded                  # on a bus of its own";
pub(super) const LIST: &str = "Examples:
  zocp list
  zocp list --json";
pub(super) const LINK: &str = "Examples:
  zocp link
  zocp link add \"$(cat north.link)\"        # tcp://HOST:PORT|KEY
  zocp link add \"$(cat south.link)\" --relay https://relay.example.org # iroh:…
  zocp link remove tcp://203.0.113.7:5671";
pub(super) const TREE: &str = "Examples:
  zocp tree
  zocp tree lamp";
pub(super) const GET: &str = "Examples:
  zocp get lamp brightness
  zocp get lamp                             # all values";
pub(super) const SET: &str = "Examples:
  zocp set lamp brightness 0.8
  zocp set lamp colour 1,0.5,0";
pub(super) const CALL: &str = "Examples:
  zocp call lamp blink 3";
pub(super) const PUBLISH: &str = "Examples:
  zocp publish fader 0.5 --access rwe --min 0 --max 1
  zocp publish load - --hint flt            # each line of stdin is a value
  zocp publish --source cam --endpoint tcp://0.0.0.0:5005 --type video/mp2t
  zocp publish --source log -- journalctl --follow
  zocp publish --sink speaker -- aplay -f cd";
pub(super) const STREAMS: &str = "Examples:
  zocp streams
  zocp streams stage --json";
pub(super) const STREAM: &str = "Examples:
  zocp stream stage cam > cam.bin           # what comes, as it comes
  zocp stream stage cam -- ffplay -i pipe:3 # a program has descriptor 3
  zocp stream stage cam -- gst-launch-1.0 fdsrc fd=3 ! fakesink
  zocp stream stage speaker < sound.pcm     # a sink takes standard input";
pub(super) const UNPUBLISH: &str = "Examples:
  zocp unpublish fader";
pub(super) const WATCH: &str = "Examples:
  zocp watch
  zocp watch fader level
  zocp watch desk go -n 1 --for 60          # waits a minute for one value";
pub(super) const MONITOR: &str = "Examples:
  zocp monitor --peer lamp
  zocp monitor --verb SET -n 10
  zocp monitor --write show.pcapng          # for Wireshark";
pub(super) const DOCTOR: &str = "Examples:
  zocp doctor
  zocp doctor --config ./bridge.toml";
pub(super) const WEB: &str = "Examples:
  zocp web
  zocp web --role look                      # to see, and nothing else
  zocp web --listen 0.0.0.0:8070 --password-file ~/.config/zocp/passwords";
pub(super) const TOP: &str = "Examples:
  zocp top
  zocp top --bus system";
pub(super) const WIRES: &str = "Examples:
  zocp wires
  zocp wires --watch";
pub(super) const WIRE: &str = "Examples:
  zocp wire fader:level lamp:brightness
  zocp wire fader:level lamp:brightness --scale 0..1=0.2..0.6
  zocp wire fader:level lamp:on --expr 'value > 0.5'
  zocp wire fader:level \\
    dbus:org.example.Desk:/org/example/Desk:org.example.Desk.Volume";
pub(super) const UNWIRE: &str = "Examples:
  zocp unwire fader:level lamp:brightness";
pub(super) const SCENE: &str = "Examples:
  zocp scene save evening
  zocp scene load evening --over 5s
  zocp scene diff evening";
pub(super) const EXPORT: &str = "Examples:
  zocp export org.mpris.MediaPlayer2.mpv --peer foh
  zocp export                                        # what is, by which rules
  zocp export org.freedesktop.Notifications --learn  # prints the rules";
pub(super) const EXEC: &str = "Examples:
  zocp exec stage -- playerctl status       # the players of stage
  zocp exec stage -- busctl --user list     # what is on the bus
  zocp exec stage --system -- nmcli device  # programs of the system bus
  zocp exec stage --also org.freedesktop.Notifications -- bash
  zocp exec stage foh --timeout 30 -- ./show.py  # they may come later";
pub(super) const OSC: &str = "Examples:
  zocp osc                                  # this machine alone, port 9000
  zocp osc --listen 0.0.0.0:9000 --query 0.0.0.0:9000 --allow 192.168.1.0/24
  zocp osc --send 127.0.0.1:9001 lamp       # the values of the lamp
  zocp osc --publish pd --remote 127.0.0.1:9001 # a program as a node";
pub(super) const DMX: &str = "Examples:
  zocp dmx --universe 1 --name spots spots.toml
  zocp dmx --artnet --universe 0 desk.toml";
pub(super) const MIDI: &str = "Examples:
  zocp midi --name faders
  zocp midi --name faders --map faders.toml";
pub(super) const KEY: &str = "Examples:
  zocp key new ~/.config/zocp/key
  zocp key show ~/.config/zocp/key";
pub(super) const TRUST: &str = "Examples:
  zocp trust                                # lists all keys
  zocp trust 87cb-1132-682d-d23f-b20c";
pub(super) const DISTRUST: &str = "Examples:
  zocp distrust stage";
pub(super) const SERVICE: &str = "Examples:
  zocp service install
  zocp service install --dry-run
  sudo zocp service install --system";
pub(super) const COMPLETIONS: &str = "Examples:
  source <(zocp completions bash)";
pub(super) const MAN: &str = "Examples:
  zocp man | man -l -
  zocp man --directory ~/.local/share/man/man1";
