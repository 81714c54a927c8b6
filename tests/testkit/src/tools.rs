//! The programs that tests need, and where they come from.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The full path of `program`: itself if it is a path already, else found in `PATH` or where Debian has it.
///
/// # Panics
/// When it is not there, naming the package that has it.
pub(crate) fn find(program: &str) -> PathBuf {
    if program.contains('/') {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| missing(program))
}

/// That `file` of the system is there: a library's header, a module, a plugin.
///
/// # Panics
/// When it is not there, naming the package that has it.
pub(crate) fn need(file: &str) {
    if !Path::new(file).exists() {
        missing(file);
    }
}

/// The modules of Node.js that `tests/clients/package.json` names.
///
/// # Panics
/// When nobody has installed them yet.
pub(crate) fn node_modules() -> PathBuf {
    let modules = repository().join("target/node/node_modules");
    assert!(
        modules.join("dbus-next").exists(),
        "{} is missing: `tests/run` makes it, with the npm package dbus-next",
        modules.display()
    );
    modules
}

/// The Python that has what `tests/peers/requirements.txt` names.
///
/// # Panics
/// When nobody has made it yet.
pub(crate) fn python() -> PathBuf {
    if let Some(python) = env::var_os("ZOCP_TEST_PYTHON") {
        return python.into();
    }
    let python = repository().join("target/venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: `tests/run` makes it, with the packages of PyPI that the tests need",
        python.display()
    );
    python
}

/// The folder `tests/peers`.
pub(crate) fn peers() -> PathBuf {
    repository().join("tests/peers")
}

fn repository() -> &'static Path {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
    testkit.ancestors().nth(2).unwrap_or(testkit)
}

fn missing(tool: &str) -> ! {
    let package = PACKAGES.iter().find(|(known, _)| *known == tool);
    let package = package.map_or("of that name", |(_, package)| package);
    panic!("`{tool}` is missing, from the Debian package {package}. `tests/run` installs it")
}

/// The Python of the system, for which Debian has modules.
pub(crate) const SYSTEM_PYTHON: &str = "/usr/bin/python3";
/// Kept like the list in `tests/run`.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/include/alsa/asoundlib.h", "libasound2-dev"),
    ("/usr/include/jack/jack.h", "libjack-jackd2-dev"),
    ("/usr/bin/chromedriver", "chromium-driver"),
    ("/usr/bin/chromium", "chromium"),
    ("/usr/include/systemd/sd-bus.h", "libsystemd-dev"),
    ("/usr/lib/mpv-mpris/mpris.so", "mpv-mpris"),
    ("/usr/lib/polkit-1/polkitd", "polkitd"),
    ("/usr/lib/systemd/user/dbus.socket", "dbus-user-session"),
    ("/usr/lib/python3/dist-packages/dasbus", "python3-dasbus"),
    ("/usr/lib/python3/dist-packages/dbus", "python3-dbus"),
    (
        "/usr/lib/python3/dist-packages/dbusmock",
        "python3-dbusmock",
    ),
    ("/usr/lib/python3/dist-packages/gi", "python3-gi"),
    (
        "/usr/share/doc/gstreamer1.0-plugins-base",
        "gstreamer1.0-plugins-base",
    ),
    (
        "/usr/share/doc/gstreamer1.0-plugins-good",
        "gstreamer1.0-plugins-good",
    ),
    (
        "/usr/share/doc/gstreamer1.0-plugins-bad",
        "gstreamer1.0-plugins-bad",
    ),
    ("/usr/share/doc/libczmq4", "libczmq4"),
    (
        "/usr/lib/python3/dist-packages/jsonschema",
        "python3-jsonschema",
    ),
    (
        "/usr/lib/python3/dist-packages/selenium",
        "python3-selenium",
    ),
    (
        "/usr/share/qt5/doc/config/exampleurl-qtbase.qdocconf",
        "qtbase5-dev",
    ),
    ("/usr/include/glib-2.0/gio/gio.h", "libglib2.0-dev"),
    ("/usr/lib/qt6/bin/qdbus", "qdbus-qt6"),
    ("/usr/share/doc/libnet-dbus-perl", "libnet-dbus-perl"),
    ("/usr/share/doc/ruby-dbus", "ruby-dbus"),
    ("Xvfb", "xvfb"),
    ("/usr/bin/d-feet", "d-feet"),
    ("/usr/bin/gnome-keyring-daemon", "gnome-keyring"),
    ("/usr/bin/perl", "perl"),
    ("/usr/lib/qt5/bin/qdbusviewer", "qttools5-dev-tools"),
    ("/usr/bin/ruby", "ruby"),
    ("secret-tool", "libsecret-tools"),
    ("upower", "upower"),
    ("xdotool", "xdotool"),
    ("avahi-daemon", "avahi-daemon"),
    ("busctl", "systemd"),
    ("bridge", "iproute2"),
    ("cc", "gcc"),
    ("dbus-daemon", "dbus-daemon"),
    ("dbus-monitor", "dbus-bin"),
    ("dbus-send", "dbus-bin"),
    ("dnsmasq", "dnsmasq-base"),
    ("fish", "fish"),
    ("g++", "g++"),
    ("gdbus", "libglib2.0-bin"),
    ("gst-launch-1.0", "gstreamer1.0-tools"),
    ("ip", "iproute2"),
    ("jack_connect", "jackd2"),
    ("jack_midi_dump", "jackd2"),
    ("jack_midiseq", "jackd2"),
    ("jack_wait", "jackd2"),
    ("jackd", "jackd2"),
    ("jq", "jq"),
    ("mount", "mount"),
    ("mpv", "mpv"),
    ("nebula", "nebula"),
    ("nebula-cert", "nebula"),
    ("nft", "nftables"),
    ("nmcli", "network-manager"),
    ("node", "nodejs"),
    ("notify-send", "libnotify-bin"),
    ("nsenter", "util-linux"),
    ("pactl", "pulseaudio-utils"),
    ("pkg-config", "pkg-config"),
    ("ola_patch", "ola"),
    ("qlcplus", "qlcplus"),
    ("sclang", "supercollider-language"),
    ("ola_set_dmx", "ola"),
    ("oscdump", "liblo-tools"),
    ("oscsend", "liblo-tools"),
    ("pd", "puredata-core"),
    ("playerctl", "playerctl"),
    ("pulseaudio", "pulseaudio"),
    ("prlimit", "util-linux"),
    ("python3", "python3"),
    ("qdbus", "qdbus-qt5"),
    ("tmux", "tmux"),
    ("tshark", "tshark"),
    ("setpriv", "util-linux"),
    ("socat", "socat"),
    ("strace", "strace"),
    ("ss", "iproute2"),
    ("tc", "iproute2"),
    ("sox", "sox"),
    ("unshare", "util-linux"),
    ("zsh", "zsh"),
];
