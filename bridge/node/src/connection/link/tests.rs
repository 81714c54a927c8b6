//! Links that send without end.

use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, yield_now},
};
use zocp_zmtp::Limits;

use tokio::time::timeout;

use super::super::handshake_time::HandshakeTime;
use super::super::stream::shake_hands;
use super::*;
use crate::log_throttle::AddressLogThrottle;
use crate::security::Keys;
use crate::traffic::Traffic;

#[tokio::test]
async fn a_link_that_sends_without_end_has_no_more_than_its_share_of_the_queue() {
    let (inputs, mut queue) = mpsc::channel(64);
    let flood = link(LinkId(1), &inputs, 100_000).await;
    timeout(SOON, async {
        while queue.len() < BATCHES_MAX {
            yield_now().await;
        }
    })
    .await
    .unwrap();
    let honest = link(LinkId(2), &inputs, 1).await;
    timeout(SOON, async {
        while queue.len() < BATCHES_MAX + 1 {
            yield_now().await;
        }
    })
    .await
    .unwrap();
    let mut ahead = 0;
    while let Some(Input::LinkMessages { link, .. }) = queue.recv().await
        && link != LinkId(2)
    {
        ahead += 1;
    }
    assert_eq!(ahead, BATCHES_MAX);
    flood.abort();
    honest.abort();
}

/// A link that is served, and at whose other end somebody says so many things.
async fn link(link: LinkId, inputs: &mpsc::Sender<Input>, messages: usize) -> JoinHandle<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut ours, _) = listener.accept().await.unwrap();
    let mut dealer = Connection::dealer(&[1; 17], Limits::default());
    let mut router = Connection::router(Limits::default());
    let (mut their_time, mut our_time) =
        (HandshakeTime::dialing(SOON), HandshakeTime::accepting(SOON));
    let (said, heard) = tokio::join!(
        shake_hands(&mut theirs, &mut dealer, &mut their_time),
        shake_hands(&mut ours, &mut router, &mut our_time)
    );
    said.and(heard).unwrap();
    let context = ConnectionContext {
        inputs: inputs.clone(),
        limits: Limits::default(),
        handshake_max: SOON,
        silence_max: SOON,
        keys: Keys::default(),
        traffic: Arc::new(Traffic::new(zocp_zre::IdHash::new(1))),
        tickets: Default::default(),
        old: AddressLogThrottle::default(),
    };
    tokio::spawn(async move {
        let token = CancellationToken::new();
        let (_turn, turned) = tokio::sync::oneshot::channel();
        let serving = serve(link, &mut ours, &mut router, &context, &token, turned);
        let sending = async {
            for _ in 0..messages {
                dealer.send(&[&[7; 100]]).unwrap();
            }
            theirs.write_all(dealer.output()).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::join!(serving, sending);
    })
}

const SOON: Duration = Duration::from_secs(10);
