//! A bridge that its bus has started.

use zbus::fdo::DBusProxy;
use zocp_testkit::{Bus, Lab, in_time, isolated};

use super::{BRIDGE, ZOCP};

#[test]
fn a_bridge_that_its_bus_has_started_ends_with_it() {
    isolated(async |lab: Lab| {
        let config = lab.file("bridge.toml", "[mesh]\nloopback = true\nbeacon = 'off'\n");
        let mut bus = Bus::start("session").await;
        let command = format!("{ZOCP} bridge --name stage --config {config}");
        bus.can_run(&command, BRIDGE).await;
        let listed = bus.command(ZOCP).arg("list").run().await;
        assert_eq!(listed, "", "the call has started a bridge that is alone");
        let proxy = DBusProxy::new(bus.connection()).await.expect("a proxy");
        let name = BRIDGE.try_into().expect("a name");
        let pid = proxy.get_connection_unix_process_id(name).await;
        let pid = pid.expect("the bridge");
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("a process");
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(
            environment.contains("DBUS_STARTER_ADDRESS="),
            "{environment}"
        );
        drop(proxy);
        bus.kill().await;
        let process = std::path::PathBuf::from(format!("/proc/{pid}/stat"));
        let end = async {
            // A process that nobody has waited for stays as a zombie.
            while std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        in_time("the end of the bridge", end).await;
    });
}
