//! One test, alone in the world.
//!
//! Model: libtest calls the test, which runs its own executable once more (`--exact` the same test) in new network, mount,
//! PID and, for an ordinary user, user namespaces. The *outer* run only waits and passes on what the *inner*
//! says; the inner one runs the body as the first process of its PID namespace.
//! Invariants: the inner run ends when the outer does, since it watches its standard input (I1 of the crate).
//! Limits: [`TEST_MAX`] for one body.
//! Not here: hosts and networks (`lab.rs`).

use std::{
    env,
    ffi::OsString,
    io::{self, Read},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use crate::{
    lab::{HOME, Lab},
    tools,
};

/// Runs `test` in namespaces of its own, as their root, and fails where it fails.
///
/// Must be all that a `#[test]` function does, called in it directly: the test is found again by the name of the
/// function that made the closure.
///
/// # Panics
/// When the test fails, takes too long, or cannot be isolated.
pub fn isolated<F: AsyncFnOnce(Lab)>(test: F) {
    let name = test_name::<F>();
    if env::var_os(INSIDE).is_some_and(|inside| inside == name) {
        run_inside(test);
    } else {
        run_outside(name);
    }
}

/// The name libtest has for the function that made the closure `F`: its path without crate and `{{closure}}`.
fn test_name<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::").map_or(path, |(_crate, name)| name)
}

fn run_outside(name: &str) {
    let (status, said) = match run_again(name) {
        Ok(end) => end,
        Err(error) => panic!("cannot run {name} in namespaces: {error}"),
    };
    for line in said.lines().filter(|line| !line.starts_with(RESULT)) {
        println!("{line}");
    }
    if said.contains(NOT_PERMITTED) {
        panic!("this user may not make namespaces; `tests/run` says what to do");
    }
    assert!(status.success(), "{name} failed inside: {status}");
    assert!(
        said.contains("1 passed"),
        "no test of the name {name} ran inside"
    );
}

fn run_again(name: &str) -> io::Result<(ExitStatus, String)> {
    let (mut said, mouth) = io::pipe()?;
    let mut command = Command::new(tools::find("unshare"));
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--").arg(env::current_exe()?).args([
        name,
        "--exact",
        "--include-ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.envs(inner_environment(name));
    for variable in SESSION_VARIABLES {
        command.env_remove(variable);
    }
    command
        .stdin(Stdio::piped())
        .stdout(mouth.try_clone()?)
        .stderr(mouth);
    let mut child = command.spawn()?;
    drop(command); // and with it our ends of the pipe's mouth
    let leash = child.stdin.take();
    let mut text = Vec::new();
    said.read_to_end(&mut text)?;
    let status = child.wait()?;
    drop(leash);
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

fn inner_environment(name: &str) -> [(&'static str, OsString); 7] {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut with_sbin = path;
    with_sbin.push(":/usr/sbin:/sbin");
    [
        (INSIDE, name.into()),
        ("PATH", with_sbin),
        ("HOME", HOME.into()),
        ("TMPDIR", HOME.into()),
        ("XDG_CONFIG_HOME", format!("{HOME}/config").into()),
        ("XDG_RUNTIME_DIR", format!("{HOME}/runtime").into()),
        ("LC_ALL", "C.UTF-8".into()),
    ]
}

fn run_inside<F: AsyncFnOnce(Lab)>(test: F) {
    std::thread::spawn(end_with_the_outer_run);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime for the test: {error}"));
    runtime.block_on(async {
        let lab = Lab::open().await;
        if tokio::time::timeout(TEST_MAX, test(lab)).await.is_err() {
            panic!("the test took longer than {TEST_MAX:?}");
        }
    });
}

/// Being the first process of the PID namespace, this one takes all others with it.
fn end_with_the_outer_run() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    std::process::exit(EXIT_OUTER_GONE);
}

/// Set in the inner run, to the name of its test.
const INSIDE: &str = "ZOCP_TESTKIT_INSIDE";
/// What would lead a program to the user's own session.
const SESSION_VARIABLES: [&str; 8] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DBUS_STARTER_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "NOTIFY_SOCKET",
    "XDG_CONFIG_DIRS",
    "RUST_LOG",
];
/// What `unshare` says where the kernel's settings forbid user namespaces.
const NOT_PERMITTED: &str = "unshare failed";
/// How libtest begins the line that sums up; it is the outer run's to say.
const RESULT: &str = "test result:";
const TEST_MAX: Duration = Duration::from_secs(240);
const EXIT_OUTER_GONE: i32 = 101;
