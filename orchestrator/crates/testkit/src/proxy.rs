//! A TCP proxy that a test puts before a server, to cut, stall and refuse what goes through it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{oneshot, watch},
};

const BUFFER: usize = 16 * 1_024;

/// What the proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Bytes go both ways.
    Pass,
    /// Connections stay open, new ones too, and nothing goes through: a half-open network.
    Stall,
    /// New connections are closed at once: nobody serves behind it.
    Refuse,
}

/// What a connection has to know: the mode, and how often all connections were cut.
#[derive(Debug, Clone, Copy)]
struct Orders {
    mode: Mode,
    /// How late everything arrives, each way.
    delay: Duration,
    cuts: u64,
}

/// A running proxy. It ends, and cuts its connections, with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of loopback and passes everything on to `upstream`.
    ///
    /// # Errors
    /// No port, thread or runtime is to be had.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .context("cannot listen on loopback")?;
        let address = listener.local_addr().context("the listener has no address")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the proxy's runtime")?;
        let (orders, heard) = watch::channel(Orders { mode: Mode::Pass, delay: Duration::ZERO, cuts: 0 });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("tcp-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        served = serve(listener, upstream, heard) => drop(served),
                        _ = stopped => {}
                    }
                });
            })
            .map_err(|error| anyhow!(error).context("cannot start the proxy's thread"))?;
        Ok(Self { address, orders, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection now; new ones are served as before.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Lets nothing through any more, and closes nothing.
    pub fn stall(&self) {
        self.enter(Mode::Stall);
    }

    /// Closes every connection now and new ones as soon as they come.
    pub fn refuse(&self) {
        self.enter(Mode::Refuse);
        self.cut();
    }

    /// Passes everything on again, what was held back while stalled first.
    pub fn resume(&self) {
        self.enter(Mode::Pass);
    }

    /// Holds everything back for so long from now on, each way.
    pub fn delay(&self, delay: Duration) {
        self.orders.send_modify(|orders| orders.delay = delay);
    }

    fn enter(&self, mode: Mode) {
        self.orders.send_modify(|orders| orders.mode = mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    upstream: SocketAddr,
    orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let now = *orders.borrow();
        match now.mode {
            Mode::Refuse => drop(client),
            Mode::Pass | Mode::Stall => {
                tokio::spawn(connection(client, upstream, orders.clone(), now.cuts));
            }
        }
    }
}

/// Carries one connection until a side closes it for good or it is cut. Its errors end it, as a network's would.
async fn connection(client: TcpStream, upstream: SocketAddr, mut orders: watch::Receiver<Orders>, cuts: u64) {
    let (up, down) = (orders.clone(), orders.clone());
    let carried = async move {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = TcpStream::connect(upstream).await?.into_split();
        tokio::try_join!(carry(from_client, to_server, up), carry(from_server, to_client, down))
    };
    tokio::select! {
        ended = carried => drop(ended),
        cut = orders.wait_for(|orders| orders.cuts != cuts) => drop(cut),
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut orders: watch::Receiver<Orders>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        let delay = orders.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        orders.wait_for(|orders| orders.mode != Mode::Stall).await.map_err(io::Error::other)?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}
