//! One test, or one program, alone in the world.
//!
//! Model: libtest calls the test, which runs its own executable once more (`--exact` the same test) in new network, mount,
//! PID and, for an ordinary user, user namespaces. The *outer* run only waits and passes on what the *inner*
//! says; the inner one runs the body as the first process of its PID namespace.
//! Invariants: the inner run ends when the outer does, since it watches its standard input (I1 of the crate).
//! Limits: [`TEST_MAX`] for the body of a test.
//! Not here: hosts and networks (`lab.rs`).

use std::{
    env,
    ffi::OsString,
    io::{self, Read},
    process::{Command, ExitCode, ExitStatus, Stdio},
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

/// Runs `body` in namespaces of its own, as their root, for a program whose `main` does nothing else: the program is run
/// again with the same arguments, and its end is that of the inner run. It may take as long as it takes.
///
/// # Panics
/// When it cannot be isolated.
pub fn isolated_program(body: impl AsyncFnOnce(Lab) -> ExitCode) -> ExitCode {
    if env::var_os(INSIDE).is_some_and(|inside| inside == PROGRAM) {
        std::thread::spawn(end_with_the_outer_run);
        return run_to_the_end(body);
    }
    let status = in_namespaces(PROGRAM).and_then(|mut command| {
        let mut child = command.args(env::args_os().skip(1)).spawn()?;
        let leash = child.stdin.take();
        let status = child.wait();
        drop(leash);
        status
    });
    let status = status.unwrap_or_else(|error| panic!("cannot run in namespaces: {error}"));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
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
    let mut command = in_namespaces(name)?;
    command
        .args([
            name,
            "--exact",
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
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

/// This executable once more, as `name`, in namespaces of its own; without arguments as yet, its input the leash.
fn in_namespaces(name: &str) -> io::Result<Command> {
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
    command.arg("--").arg(env::current_exe()?);
    command.envs(inner_environment(name));
    for variable in SESSION_VARIABLES {
        command.env_remove(variable);
    }
    command.stdin(Stdio::piped());
    Ok(command)
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
    run_to_the_end(async |lab| {
        if tokio::time::timeout(TEST_MAX, test(lab)).await.is_err() {
            panic!("the test took longer than {TEST_MAX:?}");
        }
    });
}

fn run_to_the_end<T>(body: impl AsyncFnOnce(Lab) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(async { body(Lab::open().await).await })
}

/// Being the first process of the PID namespace, this one takes all others with it.
fn end_with_the_outer_run() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    std::process::exit(EXIT_OUTER_GONE);
}

/// Set in the inner run, to the name of its test, or to [`PROGRAM`].
const INSIDE: &str = "ZOCP_TESTKIT_INSIDE";
const PROGRAM: &str = "the program";
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
