//! The lamp follows the fader: read, set and follow mirrored nodes from Rust.
//!
//! Start `zocp demo`, then in another shell: `cargo run --example follow [COUNT]`.
//! COUNT is how many signals to follow; without it, until Ctrl-C.

use futures_util::StreamExt;
use zbus::{Connection, proxy};

#[proxy(
    interface = "org.z25.Zocp1.Values",
    default_service = "org.z25.Zocp1.Node.lamp",
    default_path = "/org/z25/Zocp1/Node"
)]
trait Lamp {
    #[zbus(property, name = "brightness")]
    fn brightness(&self) -> zbus::Result<f64>;
    #[zbus(property, name = "brightness")]
    fn set_brightness(&self, value: f64) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.z25.Zocp1.Signals",
    default_service = "org.z25.Zocp1.Node.fader",
    default_path = "/org/z25/Zocp1/Node"
)]
trait Fader {
    #[zbus(signal, name = "level")]
    fn moved(&self, value: f64);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map(|count| count.parse());
    let count = count.transpose()?.unwrap_or(usize::MAX);
    let bus = Connection::session().await?;
    let lamp = LampProxy::new(&bus).await?;
    let fader = FaderProxy::new(&bus).await?;

    // Read: a property, natively typed.
    println!("brightness is {}", lamp.brightness().await?);

    // Set: the node itself is asked, and what it cannot be is refused.
    if let Err(error) = lamp.set_brightness(2.0).await {
        println!("refused: {error}");
    }

    // Follow: each emission of the fader is a signal.
    let mut moves = fader.receive_moved().await?.take(count);
    while let Some(moved) = moves.next().await {
        lamp.set_brightness(*moved.args()?.value()).await?;
        println!("brightness is now {}", lamp.brightness().await?);
    }
    Ok(())
}
